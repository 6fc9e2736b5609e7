"""The demo from outside, as a person runs it, and what the other commands make of the directory it leaves."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main

pytestmark = pytest.mark.chdb
BEGUN = "import sys; from streams.__main__ import main; print('begun', flush=True); sys.exit(main())"
ROOT = Path(__file__).resolve().parents[3]


def backstop(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=300, check=False)
    assert done.returncode == code, done.stderr
    if code:
        assert done.stderr.startswith("backstop: ")
        assert done.stderr.count("\n") == 1
    else:
        assert done.stderr == ""  # progress is for terminals
    return done


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "streams", *arguments]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BACKSTOP_")}


def check(capfd: pytest.CaptureFixture[str], *arguments: str, code: int) -> tuple[str, str]:
    """The same in this process, for commands that need no ClickHouse: (stdout, stderr)."""
    assert main(arguments) == code
    out, err = capfd.readouterr()
    assert err.count("\n") == (1 if code else 0)
    return out, err


def demo(directory: Path, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(backstop("demo", "--scenario", "example-a", "--dir", str(directory), "--json", *arguments).stdout)
    return document


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run of example A. Tests that change it take a copy."""
    directory = tmp_path_factory.mktemp("run") / "demo"
    return directory, demo(directory)


@pytest.fixture
def copy(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(run[0], tmp_path / "copy", symlinks=True))


def test_the_document_says_what_example_a_comes_to(run: tuple[Path, dict[str, Any]]) -> None:
    # A takeover of 2 of 10 lots, one wave for the other 8 out of two accounts; the fund's 5 less the 4 it lost in unwinding.
    _, document = run
    assert {name: document[name] for name in ("scenario", "seed", "shards", "liquidations", "takeovers", "adl_waves", "adl_executions")} == {
        "scenario": "example-a",
        "seed": 1,
        "shards": 2,
        "liquidations": 0,
        "takeovers": 1,
        "adl_waves": 1,
        "adl_executions": 2,
    }
    assert document["fund_balances"] == {"1": 1}
    assert document["pool_states"] == {"1": {"BTC": "ADL"}}
    assert (document["positions_sum"], document["cash_sum"]) == ({"BTC": 0}, {"1": 0})
    assert (document["dead_letters"], document["suspect_accounts"], document["alarms"]) == (0, 0, {})
    assert document["replay_identical"] is True
    for name in ("accounts", "events_in", "steps", "state_digest", "output_digest", "decision_digest", "seconds"):
        assert document[name], name


def test_the_directory_holds_the_log_the_tables_the_report_and_the_manifest(run: tuple[Path, dict[str, Any]]) -> None:
    directory, document = run
    assert {path.name for path in directory.iterdir()} == {"MANIFEST", "clickhouse", "log", "report.html", "report.json", "run.json", "snapshots"}
    report = json.loads((directory / "report.json").read_text())
    assert report["decision_digest"] == document["decision_digest"]


def test_decisions_do_not_depend_on_the_number_of_shards(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    assert demo(tmp_path / "three", "--shards", "3")["decision_digest"] == run[1]["decision_digest"]


def test_the_report_for_people_names_each_account_hit_and_the_checks(tmp_path: Path) -> None:
    text = backstop("demo", "--scenario", "example-a", "--dir", str(tmp_path / "run")).stdout
    assert "deleveraged: 2 accounts in 2 executions" in text
    assert "Against the mark you gave up 12 USD." in text  # (90 - 88) x 6
    assert "instrument 1" not in text
    assert "replay identical" in text
    assert "differences between our book and the exchange's: 0" in text


def own_file(tmp_path: Path, *, wallet: str = "0") -> Path:
    """A file of one's own: example A in cents."""
    text = (ROOT / "streams" / "venue" / "scenarios" / "files" / "example-a.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("decimals = 0", "decimals = 2").replace("wallet = 0", f"wallet = {wallet}"), encoding="utf-8")
    return path


def test_a_file_of_ones_own_is_played_and_told_account_by_account(tmp_path: Path) -> None:
    path = own_file(tmp_path)
    lines = backstop("demo", "--scenario", str(path), "--dir", str(tmp_path / "run")).stdout.splitlines()
    assert lines[0] == "What happened to each account"
    assert "    0.001003 s  bought 6 BTC at 90 from L: was deleveraged, and against the mark gave up 12 USD" in lines
    assert "    at the end  444 USD at the last marks, short 2 BTC" in lines  # 400 + 2 x (100 - 90) + 2 x (100 - 88)
    assert "  cash at the end                       1.00" in lines
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["scenario"], report["fund_balances"]) == ("mine.toml", {"1": 100})
    assert report["story"]["S2"][-1] == "at the end  444 USD at the last marks, short 2 BTC"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h1>mine.toml</h1>" in page


def test_a_copy_of_an_example_comes_to_the_same_decisions(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    shutil.copy(ROOT / "streams" / "venue" / "scenarios" / "files" / "example-a.toml", path)
    said = json.loads(backstop("demo", "--scenario", str(path), "--dir", str(tmp_path / "run"), "--json").stdout)
    assert said["decision_digest"] == run[1]["decision_digest"]


def test_a_mistake_in_a_file_ends_with_2_and_tells_the_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = own_file(tmp_path, wallet='"a lot"')
    line = path.read_text(encoding="utf-8").splitlines().index('wallet = "a lot"') + 1
    err = check(capfd, "demo", "--scenario", str(path), "--dir", str(tmp_path / "run"), code=2)[1]
    assert err == f"backstop: {path}: line {line}: 'a lot' is not a number; write it as 12.5 or as text \"12.5\"\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nowhere.toml", "nothing", "streams"])
def test_a_scenario_that_is_neither_a_name_nor_a_file_ends_with_2(capfd: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    err = check(capfd, "demo", "--scenario", name, "--dir", str(tmp_path / "run"), code=2)[1]
    assert f"--scenario {name}: there is no such {'file' if name.endswith('.toml') else 'scenario'}" in err
    assert "example-a" in err


def test_the_demo_ends_with_a_link_to_its_page_and_a_question_that_can_be_asked(tmp_path: Path) -> None:
    link, question = backstop("demo", "--scenario", "example-a", "--dir", str(tmp_path / "run")).stdout.splitlines()[-2:]
    assert link == f"Report: {(tmp_path / 'run' / 'report.html').as_uri()}"
    assert "<h1>example-a</h1>" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    words = shlex.split(question.removeprefix("Query:"))
    assert words[:4] == ["backstop", "query", "--dir", str(tmp_path / "run")]
    assert len(backstop(*words[1:]).stdout.splitlines()) == 3  # the heading, and two accounts deleveraged


def test_a_second_run_replaces_the_first(copy: Path) -> None:
    (copy / "log" / "marks" / "0.avro").write_bytes(b"old")
    assert demo(copy, "--shards", "1", "--force")["shards"] == 1
    backstop("verify", "--dir", str(copy))


def test_verify_and_replay_agree_with_a_sound_run(run: tuple[Path, dict[str, Any]]) -> None:
    directory, document = run
    verified = json.loads(backstop("verify", "--dir", str(directory), "--json").stdout)
    assert (verified["same"], verified["difference"]) == (True, None)
    replayed = json.loads(backstop("replay", "--dir", str(directory), "--json").stdout)
    assert replayed["identical"] is True
    assert {name: replayed[name] for name in ("state_digest", "output_digest", "decision_digest")} == {
        name: document[name] for name in ("state_digest", "output_digest", "decision_digest")
    }


@pytest.mark.parametrize("name", ["log/account-events/3.avro", "log/marks/0.avro", "log/pools-journal/0.avro", "report.json", "run.json", "MANIFEST"])
def test_one_flipped_bit_is_found_and_named(capfd: pytest.CaptureFixture[str], copy: Path, name: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert name in check(capfd, "verify", "--dir", str(copy), code=1)[1]
    assert name in check(capfd, "replay", "--dir", str(copy), code=1)[1]


@pytest.mark.parametrize("name", ["log/account-events/3.avro", "MANIFEST", "run.json"])
def test_a_missing_file_is_found_and_named(capfd: pytest.CaptureFixture[str], copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert name in check(capfd, "verify", "--dir", str(copy), code=1)[1]


def test_the_json_of_a_failed_verify_names_the_class(capfd: pytest.CaptureFixture[str], copy: Path) -> None:
    (copy / "log" / "marks" / "0.avro").write_bytes(b"")
    failed = json.loads(check(capfd, "verify", "--dir", str(copy), "--json", code=1)[0])
    assert (failed["same"], failed["difference"]["class"]) == (False, "file")


def test_queries_answer_as_json_and_as_tab_separated_text(run: tuple[Path, dict[str, Any]]) -> None:
    directory = str(run[0])
    sql = "SELECT account, lots FROM adl_executions ORDER BY account"
    # Example A deleverages accounts S1 and S2, short 6 and 4 lots: 6 and 2 lots are bought back.
    assert json.loads(backstop("query", "--dir", directory, sql, "--json").stdout) == [{"account": "21", "lots": "6"}, {"account": "22", "lots": "2"}]
    assert backstop("query", "--dir", directory, sql).stdout == "account\tlots\n21\t6\n22\t2\n"


def test_json_of_a_query_is_read_alike_by_readers_that_know_only_floats(run: tuple[Path, dict[str, Any]]) -> None:
    sql = (
        "SELECT toInt64(9223372036854775807) AS id, [toUInt64(1)] AS ids, toInt32(7) AS small, nan AS n, [-inf, 0.5] AS f, "
        "toDecimal64('1.50', 2) AS d, "
        "CAST(NULL, 'Nullable(Int64)') AS nothing, true AS yes, toDateTime64('2025-10-10 21:15:00', 3, 'UTC') AS t"
    )

    def refused(constant: str) -> None:
        raise AssertionError(constant)  # Python's reader takes NaN and Infinity, which are no JSON

    (row,) = json.loads(backstop("query", "--dir", str(run[0]), sql, "--json").stdout, parse_constant=refused)
    assert row == {
        "id": "9223372036854775807", "ids": ["1"], "small": 7, "n": None, "f": [None, 0.5], "d": "1.50", "nothing": None, "yes": True,
        "t": "2025-10-10T21:15:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM nothing", "DROP TABLE fills", "TRUNCATE TABLE fills", "SELECT 1 INTO OUTFILE 'x'"])
def test_wrong_or_writing_sql_is_a_usage_error(run: tuple[Path, dict[str, Any]], sql: str) -> None:
    backstop("query", "--dir", str(run[0]), sql, code=2)


def test_a_query_of_a_run_without_tables_is_a_usage_error(copy: Path) -> None:
    shutil.rmtree(copy / "clickhouse")
    backstop("query", "--dir", str(copy), "SELECT 1", code=2)


def test_an_interrupt_ends_with_130_and_the_directory_can_be_used_again(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    arguments = command("demo", "--scenario", "calm", "--accounts", "2000", "--dir", str(directory))
    running = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
    deadline = time.monotonic() + 60
    while not (directory / "clickhouse" / "bounds.json").exists() and not (directory / "snapshots").exists():  # then it is under way
        assert time.monotonic() < deadline
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    told = f"backstop: interrupted: {directory} holds an unfinished run, which is of no use and makes room for the next one\n"
    assert (running.returncode, err) == (130, told)
    backstop("verify", "--dir", str(directory), code=1)
    assert demo(directory)["replay_identical"] is True


@pytest.mark.parametrize("words", [("demo",), ("replay",), ("report",), ("query", "SELECT 1")], ids=lambda words: words[0])
@pytest.mark.parametrize("after_s", [0.02, 0.2, 0.7, 1.5])
def test_an_interrupt_at_any_moment_is_one_line_and_130(copy: Path, words: tuple[str, ...], after_s: float) -> None:
    arguments = [*command(*words), "--dir", str(copy), *(["--scenario", "example-a", "--force"] if words == ("demo",) else [])]
    running = subprocess.Popen(
        [sys.executable, "-c", BEGUN, *arguments[3:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"  # Python itself has started; what it does before that is not ours
    time.sleep(after_s)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    if running.returncode != 0:  # or it was done by then
        assert running.returncode == 130, err
        assert re.fullmatch(r"backstop: interrupted(: \S+ holds an unfinished run, .*)?\n", err)
    assert not list(copy.glob("*.unfinished"))
