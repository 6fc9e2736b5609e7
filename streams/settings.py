"""Every setting of the process in one typed table, and where its value comes from.

Precedence: flag > environment > .env > TOML file of --config > default. Prefix BACKSTOP_, nested with `__`, e.g. BACKSTOP_KAFKA__BOOTSTRAP_SERVERS.
Risk parameters (tiers, thresholds, policies) are never settings: they are events, so that a replay sees them.
"""

import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from streams.errors import BackstopError, ConfigurationProblem, UsageProblem
from streams.notify.names import Unit

PREFIX = "BACKSTOP_"
PARTITIONS_OF_SHARD = 3_000  # a step that reads and writes all of them in every topic says so in 750 KB; a record takes 1,000,000 bytes
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
_ASSET = re.compile(r"(?P<asset>[1-9]\d{0,8})=(?P<symbol>[^\s,:=]{1,20}):(?P<decimals>[0-8])", re.ASCII)
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class _Section(BaseModel):
    """A group of settings: frozen, and an unknown name is an error rather than a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _secret(value: SecretStr | None, file: Path | None, name: str) -> SecretStr | None:
    """The secret itself, from the setting or from the file that holds it."""
    if file is None:
        return value
    if value is not None:
        raise ValueError(f"{name} and {name}_FILE are both set: keep one")
    try:
        return SecretStr(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE cannot be read: {file} ({type(error).__name__})") from error


class KafkaSettings(_Section):
    """How to reach the brokers; names as Kafka's own clients use them."""

    bootstrap_servers: str = Field(default="127.0.0.1:9092", description="Brokers to begin with: host:port, comma separated.")
    security_protocol: SecurityProtocol = Field(default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: SaslMechanism | None = Field(default=None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    sasl_username: str | None = Field(default=None, description="User name for SASL.")
    sasl_password: SecretStr | None = Field(default=None, description="Password for SASL.")
    sasl_password_file: Path | None = Field(default=None, description="File that holds the password.")
    ssl_cafile: Path | None = Field(default=None, description="Certificate authorities, PEM; absent: the system's.")
    ssl_certfile: Path | None = Field(default=None, description="Client certificate, PEM.")
    ssl_keyfile: Path | None = Field(default=None, description="Key of the client certificate, PEM.")
    allow_plaintext: bool = Field(default=False, description="Allow a password to travel without TLS.")
    replication_factor: int = Field(default=1, ge=1, le=32_767, description="Replicas of topics that are created; fewest that a check allows.")
    record_batches: bool = Field(default=True, description="Read and write by record batches; false: record by record, several times slower.")

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, value: str) -> str:
        for address in value.split(","):
            host, colon, port = address.strip().rpartition(":")
            if not (host and colon and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"{address.strip()!r} is not host:port")
        return ",".join(address.strip() for address in value.split(","))

    @model_validator(mode="after")
    def _credentials_fit(self) -> Self:
        password = _secret(self.sasl_password, self.sasl_password_file, "SASL_PASSWORD")
        if self.security_protocol.startswith("SASL"):
            if self.sasl_mechanism is None or not self.sasl_username or password is None:
                raise ValueError(f"{self.security_protocol} needs SASL_MECHANISM, SASL_USERNAME and SASL_PASSWORD (or SASL_PASSWORD_FILE)")
        elif self.sasl_mechanism is not None or self.sasl_username or password is not None:
            raise ValueError(f"SASL credentials are set, but SECURITY_PROTOCOL is {self.security_protocol}: set SASL_SSL")
        if self.security_protocol == "SASL_PLAINTEXT" and not self.allow_plaintext:
            raise ValueError("a password would travel without TLS: set SECURITY_PROTOCOL to SASL_SSL, or ALLOW_PLAINTEXT to true")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("SSL_CERTFILE and SSL_KEYFILE belong together: set both or neither")
        return self

    @property
    def password(self) -> str | None:
        """The SASL password in the clear, from the setting or its file. Never log it."""
        secret = _secret(self.sasl_password, self.sasl_password_file, "SASL_PASSWORD")
        return None if secret is None else secret.get_secret_value()

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context of this connection; None where the protocol has none. Raises ConfigurationProblem on an unreadable file."""
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=None if self.ssl_cafile is None else str(self.ssl_cafile))
            if self.ssl_certfile is not None:
                context.load_cert_chain(str(self.ssl_certfile), None if self.ssl_keyfile is None else str(self.ssl_keyfile))
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationProblem(
                f"{PREFIX}KAFKA__SSL_*: TLS files cannot be used ({error}): correct SSL_CAFILE, SSL_CERTFILE, SSL_KEYFILE"
            ) from error
        return context


class ClickHouseSettings(_Section):
    """The ClickHouse server that `worker --roles sink` loads; without a host there is none."""

    host: str | None = Field(default=None, description="Host of the server's HTTP interface.")
    port: int = Field(default=8123, ge=1, le=65535, description="Its port; 8443 with TLS by custom.")
    username: str = Field(default="default", description="User.")
    password: SecretStr | None = Field(default=None, description="Password of the user.")
    password_file: Path | None = Field(default=None, description="File that holds the password.")
    secure: bool = Field(default=False, description="Use TLS.")
    database: str = Field(default="backstop", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", description="Database of the tables.")
    allow_plaintext: bool = Field(default=False, description="Allow a password to travel without TLS.")

    @model_validator(mode="after")
    def _password_is_covered(self) -> Self:
        if self.secret is not None and not self.secure and not self.allow_plaintext:
            raise ValueError("a password would travel without TLS: set SECURE to true, or ALLOW_PLAINTEXT to true")
        return self

    @property
    def secret(self) -> str | None:
        """The password in the clear, from the setting or its file. Never log it."""
        secret = _secret(self.password, self.password_file, "PASSWORD")
        return None if secret is None else secret.get_secret_value()


class GrafanaSettings(_Section):
    """The Grafana that `dashboards publish` writes to, as a service account; and how it reaches the two data sources itself."""

    url: str | None = Field(
        default=None, pattern=r"^https?://[^/?#\s@]+(/[^?#\s]*)?$", description="Address of Grafana: http(s)://host[:port][/path]."
    )
    token: SecretStr | None = Field(default=None, description="Token of a service account with the role Editor; Admin, to write data sources.")
    token_file: Path | None = Field(default=None, description="File that holds the token.")
    ca_file: Path | None = Field(default=None, description="Certificate authorities, PEM; absent: the system's.")
    folder_uid: str = Field(default="backstop", pattern=r"^[a-zA-Z0-9_-]{1,40}$", description="Folder of the boards and alert rules.")
    allow_plaintext: bool = Field(default=False, description="Allow the token to travel without TLS to another machine.")
    prometheus_url: str | None = Field(default=None, description="Prometheus as Grafana reaches it; absent: its data source is left alone.")
    clickhouse_username: str = Field(default="grafana", description="ClickHouse user that may only read.")
    clickhouse_password: SecretStr | None = Field(default=None, description="Password of that user; absent: the data source is left alone.")
    clickhouse_password_file: Path | None = Field(default=None, description="File that holds that password.")

    @model_validator(mode="after")
    def _token_is_covered(self) -> Self:
        if self.secret is not None and self.url is not None and not self.allow_plaintext and not self._is_covered():
            raise ValueError("the token would travel without TLS: set an https URL, or ALLOW_PLAINTEXT to true")
        _secret(self.clickhouse_password, self.clickhouse_password_file, "CLICKHOUSE_PASSWORD")
        return self

    def _is_covered(self) -> bool:
        address = urlsplit(self.url or "")
        if address.scheme == "https" or address.hostname == "localhost":
            return True
        try:
            return ip_address(address.hostname or "").is_loopback
        except ValueError:  # a name
            return False

    @property
    def secret(self) -> str | None:
        """The token in the clear, from the setting or its file. Never log it."""
        secret = _secret(self.token, self.token_file, "TOKEN")
        return None if secret is None else secret.get_secret_value()

    @property
    def clickhouse_secret(self) -> str | None:
        """The reading user's password in the clear. Never log it."""
        secret = _secret(self.clickhouse_password, self.clickhouse_password_file, "CLICKHOUSE_PASSWORD")
        return None if secret is None else secret.get_secret_value()


class ObserveSettings(_Section):
    """Where the endpoints of `--metrics-port` and `--health-port` listen. They show nothing of any account, and ask nobody for a password."""

    bind: str = Field(default="127.0.0.1", description="Address of metrics and health; 0.0.0.0 in a container, whose network is the border.")

    @field_validator("bind")
    @classmethod
    def _address(cls, value: str) -> str:
        return str(ip_address(value))


class DisplaySettings(_Section):
    """How amounts are written for people, in notices, reports and ClickHouse's table `assets`. Nothing is ever decided by it."""

    assets: str = Field(
        default="", description="<asset>=<symbol>:<decimals>, comma separated, e.g. 1=USD:6; an asset left out is shown in settlement units."
    )

    @field_validator("assets")
    @classmethod
    def _readable(cls, value: str) -> str:
        for text in filter(None, map(str.strip, value.split(","))):
            if not _ASSET.fullmatch(text):
                raise ValueError(f"{text!r} is not <asset>=<symbol>:<decimals>, with 0 to 8 decimals")
        return value

    @property
    def units(self) -> dict[int, Unit]:
        """By asset; those that are named."""
        found = (_ASSET.fullmatch(text.strip()) for text in self.assets.split(","))
        return {int(match["asset"]): Unit(match["symbol"], int(match["decimals"])) for match in found if match}


class WebSettings(_Section):
    """Faust's own web pages; off unless asked for, and then on the loopback interface only."""

    enabled: bool = Field(default=False, description="Serve Faust's web pages.")
    bind: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=6066, ge=1, le=65535, description="Port to listen on.")


class EngineSettings(_Section):
    """How one deployment is laid out. Shards and partition counts are fixed at its genesis."""

    deployment: str = Field(default="backstop", pattern=r"^[a-z0-9][a-z0-9-]{0,47}$", description="Prefix of every topic and transactional id.")
    shards: int = Field(default=2, ge=1, le=256, description="Accounts shards; fixed for the life of the deployment.")
    account_partitions: int = Field(default=8, ge=1, le=4096, description="Partitions of the account-keyed topics, as the exchange chose them.")
    epoch: int | None = Field(
        default=None, ge=0, lt=2**63,
        description="What ids of instructions are made from besides their causes, taken when the deployment is founded; 0: nothing. Unset: an "
        "epoch that no other deployment has, from its name and the ids of its topics. A broker that gives topics no ids needs a new number here.",
    )  # fmt: skip
    snapshot_every: int = Field(default=200_000, ge=1, description="Records a shard takes between two snapshots.")
    snapshots_kept: int = Field(default=2, ge=0, description="Snapshots of a shard that stay; 0: all of them.")
    data_dir: Path = Field(default=Path("run/engine"), description="Directory of snapshots.")
    patience_ms: int = Field(
        default=50, ge=0, le=60_000, description="How long the pools task waits for what the accounts shards still have to say of an event time."
    )
    order_patience_ms: int = Field(
        default=10_000, ge=0, le=600_000, description="How long an accounts shard waits for an input that is known to hold more and gives nothing."
    )
    in_turns: bool = Field(
        default=False,
        description="Take the turns of a simulated exchange in lock-step whole, by headers of its records; only for one that a demo or a test plays.",
    )
    held_back_alarm_ms: int = Field(
        default=10_000, ge=0, description="How long an open transaction may hold back an input before it is alarmed and the worker is not ready."
    )
    session_timeout_ms: int = Field(default=10_000, ge=500, le=300_000, description="Silence after which a worker's shards go to other workers.")
    fence_pause_ms: int = Field(default=500, ge=1, le=60_000, description="Pause before a fenced shard that is still assigned starts again.")
    grace_ms: int = Field(default=15_000, ge=0, le=600_000, description="How long a stop waits for shards to finish their step and leave a snapshot.")
    ready_lag: int = Field(default=100_000, ge=0, description="Records behind up to which a shard counts as ready.")
    retention_alarm: float = Field(
        default=0.2, ge=0, le=1, description="Alarm when less than this share of an input's kept log lies before the oldest kept snapshot."
    )

    dead_letters_per_minute: int = Field(default=100, ge=0, description="Dead letters of one event-minute and shard above which an alarm is raised.")

    @model_validator(mode="after")
    def _partitions_cover_shards(self) -> Self:
        if self.account_partitions < self.shards:
            raise ValueError(f"SHARDS is {self.shards}, but there are only {self.account_partitions} ACCOUNT_PARTITIONS: a shard would have no input")
        if self.account_partitions > self.shards * PARTITIONS_OF_SHARD:
            raise ValueError(
                f"ACCOUNT_PARTITIONS is {self.account_partitions}, but each of {self.shards} SHARDS can account for {PARTITIONS_OF_SHARD} of them "
                f"in the record of a step: a new deployment of as many partitions needs {-(-self.account_partitions // PARTITIONS_OF_SHARD)} SHARDS"
            )
        return self


class Settings(BaseSettings):
    """All settings. Build with `load_settings`, which turns what is wrong into one ConfigurationProblem."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="ignore")

    kafka: KafkaSettings = KafkaSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    grafana: GrafanaSettings = GrafanaSettings()
    observe: ObserveSettings = ObserveSettings()
    display: DisplaySettings = DisplaySettings()
    web: WebSettings = WebSettings()
    engine: EngineSettings = EngineSettings()


def _read_toml(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        content = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationProblem(f"--config {config}: cannot be read ({error.strerror}): give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationProblem(f"--config {config}: not a TOML file ({error}): correct it") from error
    if unknown := sorted(content.keys() - Settings.model_fields.keys()):
        raise ConfigurationProblem(f"--config {config}: unknown section {unknown[0]!r}: sections are {', '.join(Settings.model_fields)}")
    return content


def _refuse_unknown_sections() -> None:
    """A misspelt section would otherwise be a setting that silently does nothing."""
    for name in os.environ:
        section, nested, _ = name.removeprefix(PREFIX).partition("__")
        if name.startswith(PREFIX) and nested and section.lower() not in Settings.model_fields:
            known = ", ".join(f"{PREFIX}{field.upper()}__" for field in Settings.model_fields)
            raise ConfigurationProblem(f"{name}: no such setting: names begin with {known}")


def _problem(error: ValidationError, flags: Mapping[str, Mapping[str, Any]]) -> BackstopError:
    """The first difficulty, by the flag that gave the value or else the name of its environment variable; never the value of a secret."""
    first, *others = error.errors(include_url=False, include_input=False)
    section, *field = map(str, first["loc"])
    if section in flags and (not field or field[0] in flags[section]):
        return _problem_of_flag(first["msg"].removeprefix("Value error, "), section, flags[section], *field)
    name = PREFIX + "__".join(str(part).upper() for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    match first["type"]:
        case "extra_forbidden":
            return ConfigurationProblem(f"{name}: no such setting{more}: correct the name or remove it")
        case "value_error":  # our own words, which say what to do
            return ConfigurationProblem(f"{name}: {first['msg'].removeprefix('Value error, ')}{more}")
        case _:
            return ConfigurationProblem(f"{name}: {first['msg']}{more}: correct this setting")


def _problem_of_flag(said: str, section: str, flags: Mapping[str, Any], field: str | None = None) -> UsageProblem:
    """A wrong value from the command line; or values of a section that do not go together, one of which is from there."""
    if field is not None:
        return UsageProblem(f"{_flag(field)} {flags[field]}: {said}")
    for name in Settings.model_fields[section].default.__class__.model_fields:
        said = re.sub(rf"\b{name.upper()}\b", _flag(name) if name in flags else f"{PREFIX}{section}__{name}".upper(), said)
    return UsageProblem(said)


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def load_settings(*, config: Path | None = None, flags: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Settings of this process. `flags`: section -> name -> value given on the command line, None where a flag was left out.

    Raises ConfigurationProblem naming the environment variable of the first wrong value, UsageProblem naming its flag where it came from one.
    """
    toml = _read_toml(config)
    _refuse_unknown_sections()

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, dotenv_settings, InitSettingsSource(settings_cls, init_kwargs=toml)

    given = {section: {name: value for name, value in values.items() if value is not None} for section, values in (flags or {}).items()}
    arguments: dict[str, Any] = {"_env_file": ".env", **{section: values for section, values in given.items() if values}}
    try:
        return Layered(**arguments)
    except ValidationError as error:
        raise _problem(error, given) from None
    except SettingsError as error:
        raise ConfigurationProblem(f"{PREFIX}*: {error}: correct this setting") from None
