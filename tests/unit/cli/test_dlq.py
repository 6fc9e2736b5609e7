"""`dlq`: what is listed and shown, what stays hidden, and that a correction heals a run that still verifies and replays."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from streams.bus.contract import NewRecord, TopicPartition
from streams.bus.recording import load
from streams.cli import main
from streams.commands.summary import summary_of
from streams.domain.events import FillKind, MarginMode, PositionSide
from streams.engine.chunks import read_all
from streams.engine.turns import TURN_HEADER
from streams.venue.scenarios.registry import build
from streams.wire.records import new_record
from tests.support.pipeline import Ran, run
from tests.support.recorded import go_on, save


def fill(ran: Ran, account: int, **more: Any) -> dict[str, Any]:
    """A fill right behind what the account has had."""
    row = ran.rows("marks")[-1]
    return {
        "event_time_us": row["event_time_us"],
        "account": account,
        "account_seq": ran.exchange._recorder.sequence(account) + 1,
        "trade_id": 9_999,
        "leg": 0,
        "counter_account": 2,
        "instrument": row["instrument"],
        "position_side": PositionSide.ONE_WAY,
        "margin_mode": MarginMode.CROSS,
        "lots": 1,
        "quote": row["mark_ticks"],
        "margin_moved": 0,
        "price_ticks": None,
        "kind": FillKind.TRADE,
        "instruction_id": None,
        **more,
    }


@pytest.fixture(scope="module")
def broken_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run after which came a fill of an instrument nobody knows (account 105, partition 1) and one cut short (account 113, same partition)."""
    directory = tmp_path_factory.mktemp("dlq") / "run"
    ran = run(build("calm", 20, 1, 8))
    headers = ((TURN_HEADER, b"999999"),)
    unknown = new_record("fills", fill(ran, 105, instrument=77), 1, headers)
    whole = new_record("fills", fill(ran, 113), 1, headers)
    assert whole.value is not None
    short = NewRecord("account-events", 1, whole.timestamp_ms, whole.key, whole.value[:-3], headers)
    asyncio.run(go_on(ran.bus, [unknown, short]))
    asyncio.run(save(ran.bus, directory))
    return directory


@pytest.fixture
def directory(broken_run: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(broken_run, tmp_path / "run"))


def dlq(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["dlq", *arguments, "--json"]) == code
    document: dict[str, Any] = json.loads(capfd.readouterr().out)
    return document


def refusal(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["dlq", *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def places(capfd: pytest.CaptureFixture[str], directory: Path) -> dict[str, str]:
    """Reason -> place of the open dead letters."""
    return {each["reason"]: each["place"] for each in dlq(capfd, "list", "--dir", str(directory))["dead_letters"]}


def suspects(directory: Path) -> int:
    async def count() -> int:
        bus = await load(directory)
        last: dict[int, int] = {}
        for partition in range(8):
            chunk = await read_all(bus, TopicPartition("account-states", partition))
            last |= {partition: len(chunk)}
        return sum(last.values()) + (await summary_of(bus)).records["dead-letters"]

    return asyncio.run(count())


def test_dead_letters_are_listed_with_place_and_reason_and_hashed_accounts(capfd: pytest.CaptureFixture[str], broken_run: Path) -> None:
    document = dlq(capfd, "list", "--dir", str(broken_run))
    assert document["open"] == 2
    assert [(each["topic"], each["partition"], each["reason"], each["status"]) for each in document["dead_letters"]] == [
        ("account-events", 1, "UNKNOWN_INSTRUMENT", "open"),
        ("account-events", 1, "UNDECODABLE", "open"),
    ]
    assert all(str(each["account"]).startswith("#") for each in document["dead_letters"])
    revealed = dlq(capfd, "list", "--dir", str(broken_run), "--reveal")
    assert [each["account"] for each in revealed["dead_letters"]] == [105, 113]
    assert main(["dlq", "list", "--dir", str(broken_run)]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_a_payload_is_shown_as_far_as_it_can_be_read(capfd: pytest.CaptureFixture[str], broken_run: Path) -> None:
    place = places(capfd, broken_run)
    unknown = dlq(capfd, "show", place["UNKNOWN_INSTRUMENT"], "--dir", str(broken_run), "--reveal")
    assert (unknown["record"]["account"], unknown["record"]["instrument"], unknown["record"]["kind"], unknown["wrong"]) == (105, 77, "TRADE", None)
    short = dlq(capfd, "show", place["UNDECODABLE"], "--dir", str(broken_run))
    assert short["record"]["lots"] == 1
    assert "kind" not in short["record"]
    assert short["wrong"]
    assert (short["record"]["account"][0], "value" in short, "key" in short) == ("#", False, False)


def test_a_corrected_record_heals_and_the_run_still_verifies_and_replays(capfd: pytest.CaptureFixture[str], directory: Path) -> None:
    place = places(capfd, directory)
    written = dlq(capfd, "correct", place["UNKNOWN_INSTRUMENT"], "--set", "instrument=1", "--reason", "renumbered", "--dir", str(directory))
    assert (written["written"], written["partition"], written["correction"]["kind"]) == (True, 1, "FILL")
    assert (written["correction"]["fill"]["instrument"], written["correction"]["reason"]) == (1, "renumbered")
    assert (written["outcome"], written["dead_letter"], written["account_state"]) == ("applied", None, "HEALTHY")
    assert list(places(capfd, directory)) == ["UNDECODABLE"]
    everything = dlq(capfd, "list", "--all", "--dir", str(directory))
    assert {each["place"]: each["status"] for each in everything["dead_letters"]} == {
        place["UNKNOWN_INSTRUMENT"]: "corrected",
        place["UNDECODABLE"]: "open",
    }
    assert main(["verify", "--dir", str(directory)]) == 0
    assert main(["replay", "--dir", str(directory)]) == 0


def test_a_record_that_cannot_be_read_is_given_whole(capfd: pytest.CaptureFixture[str], directory: Path, tmp_path: Path) -> None:
    place = places(capfd, directory)["UNDECODABLE"]
    assert "give the whole record with --record" in refusal(capfd, "correct", place, "--set", "lots=2", "--reason", "x", "--dir", str(directory))
    shown = dlq(capfd, "show", place, "--dir", str(directory), "--reveal")["record"]
    (tmp_path / "record.json").write_text(json.dumps({**shown, "kind": "TRADE"}))
    written = dlq(capfd, "correct", place, "--record", f"@{tmp_path}/record.json", "--reason", "read by hand", "--dir", str(directory))
    assert written["correction"]["fill"]["kind"] == "TRADE"
    assert list(places(capfd, directory)) == ["UNKNOWN_INSTRUMENT"]


def test_a_dead_letter_let_go_is_not_open_any_more(capfd: pytest.CaptureFixture[str], directory: Path) -> None:
    place = places(capfd, directory)["UNDECODABLE"]
    before = suspects(directory)
    seq = str(dlq(capfd, "show", place, "--dir", str(directory))["record"]["account_seq"])
    written = dlq(capfd, "drop", place, "--reason", "a test record", "--account-seq", seq, "--dir", str(directory))
    assert (written["correction"]["kind"], written["correction"]["account_seq"]) == ("DROP", int(seq))
    assert (written["outcome"], written["account_state"]) == ("dropped", "HEALTHY")
    assert suspects(directory) == before + 2  # the closing, and HEALTHY once
    assert "is dropped: there is nothing to do about it" in refusal(capfd, "drop", place, "--reason", "again", "--dir", str(directory))
    assert main(["verify", "--dir", str(directory)]) == 0


def test_a_correction_that_is_refused_says_so_names_its_dead_letter_and_is_exit_code_1(capfd: pytest.CaptureFixture[str], directory: Path) -> None:
    place = places(capfd, directory)["UNKNOWN_INSTRUMENT"]
    arguments = ["correct", place, "--set", "instrument=1", "--set", "lots=0", "--reason", "x", "--dir", str(directory)]
    written = dlq(capfd, *arguments, code=1)
    assert (written["written"], written["outcome"], written["dead_letter"]) == (True, "refused", "corrections/1/0")
    assert "out of bounds" in written["detail"]
    assert places(capfd, directory)["UNKNOWN_INSTRUMENT"] == place
    assert main(["dlq", *arguments]) == 1
    said = "is open as before: the correction was refused and is the dead letter corrections/1/2"  # a marker lies between
    assert said in capfd.readouterr().out
    assert main(["dlq", "correct", place, "--set", "instrument=1", "--reason", "x", "--dir", str(directory)]) == 0
    assert "is corrected; its account is healed" in capfd.readouterr().out


def test_a_correction_that_leaves_another_record_missing_says_that_the_account_is_not_healed(
    capfd: pytest.CaptureFixture[str], directory: Path
) -> None:
    place = places(capfd, directory)["UNDECODABLE"]
    record = dlq(capfd, "show", place, "--dir", str(directory), "--reveal")["record"]
    later = json.dumps({**record, "kind": "TRADE", "account_seq": record["account_seq"] + 1})  # one number more is missing before it
    assert main(["dlq", "correct", place, "--record", later, "--reason", "x", "--dir", str(directory)]) == 0
    assert "is corrected; its account stays SUSPECT" in capfd.readouterr().out


def test_a_dry_run_writes_nothing(capfd: pytest.CaptureFixture[str], broken_run: Path) -> None:
    place = places(capfd, broken_run)["UNDECODABLE"]
    assert dlq(capfd, "drop", place, "--reason", "x", "--dry-run", "--dir", str(broken_run))["written"] is False
    assert len(places(capfd, broken_run)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "instrument"], "write <field>=<value>"),
        (["--set", "colour=red"], "no field 'colour'"),
        (["--set", "kind=GIFT"], "kind is one of"),
        (["--set", "lots=many"], "lots is a whole number"),
        (["--set", "lots=99999999999999999999"], "lots lies from"),
        (["--set", "lots=null"], "field lots is missing"),
        (["--set", "account=10"], "another account"),
        (["--record", "{"], "neither JSON nor"),
        (["--record", "7"], "JSON object"),
    ],
)
def test_a_correction_that_makes_no_record_is_a_usage_error(
    capfd: pytest.CaptureFixture[str], broken_run: Path, arguments: list[str], said: str
) -> None:
    place = places(capfd, broken_run)["UNKNOWN_INSTRUMENT"]
    assert said in refusal(capfd, "correct", place, *arguments, "--reason", "x", "--dir", str(broken_run))


def test_a_place_without_a_dead_letter_is_a_usage_error(capfd: pytest.CaptureFixture[str], broken_run: Path) -> None:
    assert "there is no dead letter 'fills/0/0'" in refusal(capfd, "show", "fills/0/0", "--dir", str(broken_run))
