"""Where a setting comes from, and what is said when it is wrong."""

from pathlib import Path

import pytest

from streams.errors import ConfigurationProblem
from streams.notify.names import Unit
from streams.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("BACKSTOP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def problem_of(config: Path | None = None) -> str:
    with pytest.raises(ConfigurationProblem) as caught:
        load_settings(config=config)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_reach_a_local_broker_only() -> None:
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.kafka.ssl_context() is None
    assert (settings.web.enabled, settings.web.bind) == (False, "127.0.0.1")
    assert (settings.engine.deployment, settings.engine.account_partitions, settings.engine.patience_ms) == ("backstop", 8, 50)


def test_more_partitions_than_a_step_record_can_name_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_ENGINE__SHARDS", "1")
    monkeypatch.setenv("BACKSTOP_ENGINE__ACCOUNT_PARTITIONS", "3001")
    problem = problem_of()
    assert "ACCOUNT_PARTITIONS is 3001, but each of 1 SHARDS can account for 3000" in problem
    assert "needs 2 SHARDS" in problem
    monkeypatch.setenv("BACKSTOP_ENGINE__SHARDS", "2")
    assert load_settings().engine.account_partitions == 3001


def test_flag_goes_before_environment_before_dotenv_before_config_file_before_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "b.toml"
    config.write_text("[engine]\nshards = 4\npatience_ms = 4\nsnapshot_every = 4\ndeployment = 'four'\n")
    (tmp_path / ".env").write_text("BACKSTOP_ENGINE__SHARDS=3\nBACKSTOP_ENGINE__PATIENCE_MS=3\nBACKSTOP_ENGINE__SNAPSHOT_EVERY=3\n")
    monkeypatch.setenv("BACKSTOP_ENGINE__SHARDS", "2")
    monkeypatch.setenv("BACKSTOP_ENGINE__PATIENCE_MS", "2")
    engine = load_settings(config=config, flags={"engine": {"shards": 1, "patience_ms": None}}).engine
    assert (engine.shards, engine.patience_ms, engine.snapshot_every, engine.deployment, engine.account_partitions) == (1, 2, 3, "four", 8)


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_ENGINE__SHARDS", "")
    assert load_settings().engine.shards == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKSTOP_KAFKA__BOOTSTRAP_SERVERS", "localhost"),
        ("BACKSTOP_KAFKA__BOOTSTRAP_SERVERS", "a:1,b:99999"),
        ("BACKSTOP_KAFKA__SECURITY_PROTOCOL", "TLS"),
        ("BACKSTOP_KAFKA__SASL_MECHANISM", "NTLM"),
        ("BACKSTOP_ENGINE__SHARDS", "two"),
        ("BACKSTOP_ENGINE__SHARDS", "0"),
        ("BACKSTOP_ENGINE__DEPLOYMENT", "Has Spaces"),
        ("BACKSTOP_WEB__PORT", "70000"),
        ("BACKSTOP_ENGINE__SHARD", "1"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert name in problem_of()


def test_a_misspelt_section_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_KAFAK__BOOTSTRAP_SERVERS", "a:1")
    assert problem_of().startswith("BACKSTOP_KAFAK__BOOTSTRAP_SERVERS: no such setting")


def test_more_shards_than_account_partitions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_ENGINE__SHARDS", "9")
    assert "BACKSTOP_ENGINE" in problem_of()


def sasl(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    monkeypatch.setenv("BACKSTOP_KAFKA__SECURITY_PROTOCOL", protocol)
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_MECHANISM", "SCRAM-SHA-256")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_USERNAME", "risk")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_PASSWORD", "hunter2")


def test_a_password_without_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sasl(monkeypatch, "SASL_PLAINTEXT")
    assert "ALLOW_PLAINTEXT" in problem_of()


def test_a_password_without_tls_is_allowed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sasl(monkeypatch, "SASL_PLAINTEXT")
    monkeypatch.setenv("BACKSTOP_KAFKA__ALLOW_PLAINTEXT", "true")
    assert load_settings().kafka.password == "hunter2"


def test_a_password_for_a_protocol_without_sasl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sasl(monkeypatch, "SSL")
    assert "SASL_SSL" in problem_of()


def test_sasl_ssl_has_a_tls_context_that_checks_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    sasl(monkeypatch, "SASL_SSL")
    context = load_settings().kafka.ssl_context()
    assert context is not None
    assert context.check_hostname


def test_a_password_never_shows_in_repr_or_in_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    sasl(monkeypatch, "SASL_SSL")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("BACKSTOP_KAFKA__SECURITY_PROTOCOL", "PLAINTEXT")
    assert "hunter2" not in problem_of()


def test_a_password_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sasl(monkeypatch, "SASL_SSL")
    monkeypatch.delenv("BACKSTOP_KAFKA__SASL_PASSWORD")
    (tmp_path / "secret").write_text("from-file\n")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "secret"))
    assert load_settings().kafka.password == "from-file"


def test_an_unreadable_password_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sasl(monkeypatch, "SASL_SSL")
    monkeypatch.delenv("BACKSTOP_KAFKA__SASL_PASSWORD")
    monkeypatch.setenv("BACKSTOP_KAFKA__SASL_PASSWORD_FILE", "/no/such/secret")
    assert "/no/such/secret" in problem_of()


def test_an_unreadable_ca_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("BACKSTOP_KAFKA__SSL_CAFILE", "/no/such/ca.pem")
    with pytest.raises(ConfigurationProblem, match="SSL_CAFILE"):
        load_settings().kafka.ssl_context()


@pytest.mark.parametrize("content", ["engine = ", "[risk]\nfee = 1\n", "[engine]\nshard = 1\n", "engine = 3\n"])
def test_a_wrong_config_file_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "b.toml"
    config.write_text(content)
    assert problem_of(config)


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    assert "absent.toml" in problem_of(tmp_path / "absent.toml")


def test_a_clickhouse_password_without_tls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__PASSWORD", "hunter2")
    assert "BACKSTOP_CLICKHOUSE" in problem_of()
    monkeypatch.setenv("BACKSTOP_CLICKHOUSE__SECURE", "true")
    assert load_settings().clickhouse.secret == "hunter2"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().engine.shards = 3


def test_every_setting_is_described() -> None:
    for section in Settings.model_fields.values():
        assert section.annotation is not None
        for name, field in section.annotation.model_fields.items():
            assert field.description, name


def test_no_risk_parameter_is_a_setting() -> None:
    words = ("tier", "threshold", "policy", "haircut", "margin", "leverage", "fee")
    for section in Settings.model_fields.values():
        assert section.annotation is not None
        assert not [name for name in section.annotation.model_fields if any(word in name for word in words)]


def test_endpoints_listen_on_loopback_unless_an_address_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().observe.bind == "127.0.0.1"
    monkeypatch.setenv("BACKSTOP_OBSERVE__BIND", "0.0.0.0")
    assert load_settings().observe.bind == "0.0.0.0"
    monkeypatch.setenv("BACKSTOP_OBSERVE__BIND", "everywhere")
    assert "BACKSTOP_OBSERVE__BIND" in problem_of()


def test_assets_are_named_with_their_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTOP_DISPLAY__ASSETS", "1=USD:6, 2=BTC:8")
    assert load_settings().display.units == {1: Unit("USD", 6), 2: Unit("BTC", 8)}


@pytest.mark.parametrize("text", ["USD", "1=USD", "1=USD:9", "0=USD:6", "1=US D:6", "1:USD:6"])
def test_an_asset_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BACKSTOP_DISPLAY__ASSETS", text)
    assert "BACKSTOP_DISPLAY__ASSETS" in problem_of()
    assert "<asset>=<symbol>:<decimals>" in problem_of()
