"""`replay` of a part and with other parameters, `compare` of two runs: what they say and how they end."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import TopicPartition
from streams.bus.memory import MemoryBus
from streams.cli import main
from streams.commands.broker import topic_counts
from streams.engine.chunks import read_all
from streams.engine.contrast import contrast, earliest
from streams.wire.records import new_record
from tests.support.pipeline import Ran
from tests.support.recorded import recorded_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    directory = tmp_path_factory.mktemp("recorded") / "run"
    return directory, recorded_run(directory, "oct-10-2025", accounts=12)


def answer(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


def refusal(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_the_whole_of_a_recording_replays_identically(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran]) -> None:
    document = answer(capfd, "replay", "--dir", str(recorded[0]))
    assert (document["identical"], document["compared"]) == (True, True)
    assert document["decision_digest"] == recorded[1].decisions


def test_a_replay_up_to_a_moment_gives_what_was_recorded_up_to_it(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran]) -> None:
    states = recorded[1].rows("account-states", "event_time_us")
    moment_ms = states[len(states) // 2] // 1000
    document = answer(capfd, "replay", "--dir", str(recorded[0]), "--to", f"s@{moment_ms}")
    assert (document["identical"], document["compared"]) == (True, True)
    whole = answer(capfd, "replay", "--dir", str(recorded[0]))
    assert 0 < document["outputs"] < whole["outputs"]
    assert 0 < document["inputs"] < whole["inputs"]


def test_a_replay_from_the_middle_is_run_but_not_compared(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran]) -> None:
    document = answer(capfd, "replay", "--dir", str(recorded[0]), "--from", "marks=5")
    assert (document["identical"], document["compared"]) == (None, False)
    assert main(["replay", "--dir", str(recorded[0]), "--from", "marks=5"]) == 0
    assert "not compared" in capfd.readouterr().out


def test_a_place_that_is_not_in_the_log_is_a_usage_error(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran]) -> None:
    assert "outside" in refusal(capfd, "replay", "--dir", str(recorded[0]), "--to", "marks=99999999")
    assert "no place in a log" in refusal(capfd, "replay", "--dir", str(recorded[0]), "--from", "noon")


def test_a_fund_that_may_take_nothing_over_leaves_it_to_adl(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran]) -> None:
    ran = recorded[1]
    document = answer(capfd, "replay", "--dir", str(recorded[0]), "--set", "pool.1.net_notional_cap=0")
    assert document["changes"] is True
    assert document["before"].get("instructions TAKEOVER", 0) > 0
    assert document["after"].get("instructions TAKEOVER", 0) == 0
    assert document["first"]["stream"] in document["streams"]
    assert document["before"]["account-states"] == len(ran.rows("account-states"))


def test_a_setting_that_was_there_already_changes_nothing(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran]) -> None:
    (valid_us,) = set(recorded[1].rows("pools", "instruction_valid_us"))
    document = answer(capfd, "replay", "--dir", str(recorded[0]), "--set", f"pool.1.instruction_valid_us={valid_us}")
    assert document["before"] == document["after"]
    assert document["changes"] is False


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("pool.1", "write pool"),
        ("account.1.wallet=5", "write pool"),
        ("pool.1.no_such_field=5", "no field 'no_such_field'"),
        ("pool.1.version=5", "no field 'version'"),
        ("pool.1.policy_id=ALPHABETICAL", "one of UNKNOWN, BITMEX"),
        ("pool.1.adl_start_value=lots", "whole number"),
        ("pool.1.adl_start_value=null", "whole number"),
        ("pool.1.adl_start_value=99999999999999999999", "lies from"),
        ("pool.77.net_notional_cap=0", "no pool 77"),
        ("instrument.1.max_lots=-1", "refuse"),
    ],
)
def test_a_setting_that_cannot_be_is_a_usage_error(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran], setting: str, said: str) -> None:
    assert said in refusal(capfd, "replay", "--dir", str(recorded[0]), "--set", setting)


def test_a_run_is_the_same_as_its_copy(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran], tmp_path: Path) -> None:
    shutil.copytree(recorded[0], tmp_path / "copy")
    document = answer(capfd, "compare", str(recorded[0]), str(tmp_path / "copy"))
    assert (document["same"], document["first"]) == (True, None)
    assert all(each["same"] for each in document["streams"].values())


def test_runs_of_one_and_two_shards_decide_the_same(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran], tmp_path: Path) -> None:
    recorded_run(tmp_path / "one", "oct-10-2025", accounts=12, shards=1)
    document = answer(capfd, "compare", str(recorded[0]), str(tmp_path / "one"), code=1)
    assert document["streams"]["instructions"]["same"] is True
    assert document["streams"]["account-states"]["same"] is True


def test_the_first_difference_is_shown_field_by_field(capfd: pytest.CaptureFixture[str], recorded: tuple[Path, Ran], tmp_path: Path) -> None:
    recorded_run(tmp_path / "other", "oct-10-2025", accounts=13)
    document = answer(capfd, "compare", str(recorded[0]), str(tmp_path / "other"), code=1)
    assert document["same"] is False
    firsts = [each["first"]["event_time_ms"] for each in document["streams"].values() if each["first"]]
    assert document["first"]["event_time_ms"] == min(firsts)
    assert main(["compare", str(recorded[0]), str(tmp_path / "other")]) == 1
    out, err = capfd.readouterr()
    assert out.startswith("first difference: ")
    assert err.count("\n") == 1


def mark(time_us: int, instrument: int, ticks: int) -> dict[str, Any]:
    return {"event_time_us": time_us, "instrument": instrument, "mark_ticks": ticks, "index_ticks": ticks, "sequence": time_us, "grade": 1}


async def marks(*rows: dict[str, Any]) -> MemoryBus:
    bus = MemoryBus()
    await bus.create_topics(topic_counts(account_partitions=2, shards=1))
    await (await bus.writer("test")).commit([new_record("marks", row) for row in rows])
    return bus


async def test_the_record_of_the_same_key_is_the_one_to_compare_with() -> None:
    a = await marks(mark(1_000, 7, 10), mark(2_000, 7, 11), mark(2_000, 8, 50))
    b = await marks(mark(1_000, 7, 10), mark(2_000, 8, 51), mark(2_000, 7, 11))
    first = earliest(await contrast(a, b))
    assert first is not None
    assert (first.stream, first.timestamp_ms, dict(first.fields)) == ("marks", 2, {"mark_ticks": (50, 51), "index_ticks": (50, 51)})


async def test_the_order_within_one_moment_is_no_difference() -> None:
    a = await marks(mark(1_000, 7, 10), mark(1_000, 8, 50), mark(2_000, 7, 11))
    b = await marks(mark(1_000, 8, 50), mark(1_000, 7, 10), mark(2_000, 7, 11))
    assert earliest(await contrast(a, b)) is None


async def test_a_record_that_only_one_run_has_is_shown_whole() -> None:
    a, b = await marks(mark(1_000, 7, 10)), await marks(mark(1_000, 7, 10), mark(3_000, 7, 12))
    first = earliest(await contrast(a, b))
    assert first is not None
    assert (first.a, first.rows[1] and first.rows[1]["mark_ticks"], first.rows[1] and first.rows[1]["grade"]) == (None, 12, "GOOD")
    assert len(await read_all(b, TopicPartition("marks", 0))) == 2
