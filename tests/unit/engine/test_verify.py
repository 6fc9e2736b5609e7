"""Verify names the class of the first difference, and where it is."""

from pathlib import Path
from typing import Any

import pytest

from streams.bus.manifest import write_manifest
from streams.bus.memory import MemoryBus
from streams.bus.recording import record as record_log
from streams.engine.compare import DifferenceClass
from streams.engine.lockstep import LockStep
from streams.engine.verify import SNAPSHOTS, Report, verify, verify_bus
from streams.errors import UsageProblem
from streams.wire.records import new_record
from tests.support.toy import ToyAccounts, ToyPools, ToyVenue, account_state, runner, script, specs, toy_bus, toy_machine


async def recorded(directory: Path) -> MemoryBus:
    """A finished demo, recorded with its snapshots and its manifest."""
    bus: MemoryBus = await toy_bus()
    runners = [runner(bus, s, directory=directory / SNAPSHOTS, every=8) for s in specs()]
    for each in runners:
        await each.start()
    await LockStep(bus, runners, ToyVenue(script(20))).run()
    for each in runners:
        await each.stop()
    await record_log(bus, directory)
    write_manifest(directory)
    return bus


def flip(bus: MemoryBus, topic: str, partition: int, index: int, byte: int = -1) -> int:
    """Change one bit of a value; its offset."""
    log = bus._logs[topic, partition]
    value = bytearray(log.values[index] or b"")
    value[byte] ^= 2
    log.values[index] = bytes(value)
    return log.offsets[index]


def where(report: Report) -> tuple[Any, ...]:
    found = report.difference
    assert found is not None
    return found.kind, found.task, found.shard, found.topic, found.partition, found.offset


async def test_an_untouched_recording_is_the_same(tmp_path: Path) -> None:
    await recorded(tmp_path)
    report = await verify(tmp_path, toy_machine)
    assert report.difference is None
    assert report.is_same
    assert report.snapshots > 3
    assert report.steps > 20
    assert report.files > 20


async def test_any_flipped_bit_of_any_file_is_a_file_difference(tmp_path: Path) -> None:
    await recorded(tmp_path)
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for path in paths[:: len(paths) // 12]:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        report = await verify(tmp_path, toy_machine)
        assert report.difference is not None
        assert report.difference.kind is DifferenceClass.FILE
        path.write_bytes(whole)


async def test_a_changed_input_is_an_input_difference(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    offset = flip(bus, "account-events", 2, 0)
    assert where(await verify_bus(bus, toy_machine)) == (DifferenceClass.INPUT, "accounts", 0, "account-events", 2, offset)


async def test_a_changed_output_is_an_output_difference(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    offset = flip(bus, "account-states", 3, 0)
    assert where(await verify_bus(bus, toy_machine)) == (DifferenceClass.OUTPUT, "accounts", 1, "account-states", 3, offset)


async def test_an_internal_record_is_blamed_on_the_task_that_wrote_it(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    flip(bus, "insolvencies", 0, 0)
    kind, task, _, topic, _, _ = where(await verify_bus(bus, toy_machine))
    assert (kind, task, topic) == (DifferenceClass.OUTPUT, "accounts", "insolvencies")


async def test_an_output_that_names_no_step_is_an_output_difference(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    bus._logs["account-states", 0].headers[0] = ()
    assert where(await verify_bus(bus, toy_machine)) == (DifferenceClass.OUTPUT, None, None, "account-states", 0, 0)


async def test_an_output_that_nobody_wrote_is_an_output_difference(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    log = bus._logs["account-states", 0]
    log.headers[0] = (("step", b"accounts/0/1"),)
    log.headers[1] = (("step", b"accounts/1/1"),)
    kind, *_ = where(await verify_bus(bus, toy_machine))
    assert kind is DifferenceClass.OUTPUT


@pytest.mark.parametrize("byte", [11, 40, -40, -1])
async def test_a_changed_step_record_is_a_journal_difference(tmp_path: Path, byte: int) -> None:
    bus = await recorded(tmp_path)
    offset = flip(bus, "accounts-journal", 1, 3, byte)
    kind, _, _, topic, partition, at = where(await verify_bus(bus, toy_machine))
    assert (kind, topic, partition, at) == (DifferenceClass.JOURNAL, "accounts-journal", 1, offset)


async def test_a_missing_step_record_is_a_journal_difference(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    log = bus._logs["pools-journal", 0]
    for column in (log.offsets, log.timestamps_ms, log.keys, log.values, log.headers):
        del column[4]
    kind, task, shard, topic, _, _ = where(await verify_bus(bus, toy_machine))
    assert (kind, task, shard, topic) == (DifferenceClass.JOURNAL, "pools", 0, "pools-journal")


class Changed(ToyAccounts):
    """Other rules from the third step on."""

    steps = 0
    surcharge_then = 0
    secret_then = 0

    def step(self, batch: Any) -> Any:
        self.steps += 1
        if self.steps == 3:
            self.surcharge, self.state["secret"] = self.surcharge_then, self.secret_then
        return super().step(batch)


class OtherOutput(Changed):
    surcharge_then = 1


class OtherState(Changed):
    secret_then = 1


@pytest.mark.parametrize(("machine", "kind"), [(OtherOutput, DifferenceClass.CODE), (OtherState, DifferenceClass.STATE)])
async def test_another_rule_is_a_code_difference_and_another_state_a_state_difference(
    tmp_path: Path, machine: type[Changed], kind: DifferenceClass
) -> None:
    bus = await recorded(tmp_path)

    def factory(task: str, shard: int, shard_count: int) -> Any:
        return machine(shard) if task == "accounts" else ToyPools(shard)

    report = await verify_bus(bus, factory)
    assert report.difference is not None
    assert (report.difference.kind, report.difference.task, report.difference.shard) == (kind, "accounts", 0)
    assert report.difference.step in (3, 4)
    assert report.steps == report.difference.step - 1


async def test_rules_of_another_version_are_a_code_difference(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)

    def factory(*shape: Any) -> Any:
        machine: Any = toy_machine(*shape)
        machine.version = 2
        return machine

    report = await verify_bus(bus, factory)
    assert str(report.difference) == "code: accounts-0 step 1: it was run by version 1 of the rules, these are version 2"


async def test_a_snapshot_changed_together_with_the_manifest_is_still_found(tmp_path: Path) -> None:
    await recorded(tmp_path)
    snapshot = min((tmp_path / SNAPSHOTS).iterdir())
    data = bytearray(snapshot.read_bytes())
    data[len(data) // 2] ^= 1
    snapshot.write_bytes(data)
    write_manifest(tmp_path)
    report = await verify(tmp_path, toy_machine)
    assert report.difference is not None
    assert report.difference.kind is DifferenceClass.FILE
    assert snapshot.name in report.difference.text


async def test_a_listed_snapshot_that_is_gone_is_found(tmp_path: Path) -> None:
    await recorded(tmp_path)
    min((tmp_path / SNAPSHOTS).iterdir()).unlink()
    write_manifest(tmp_path)
    report = await verify(tmp_path, toy_machine)
    assert report.difference is not None
    assert report.difference.kind is DifferenceClass.FILE


async def test_outputs_of_steps_after_the_journals_end_are_left_for_later(tmp_path: Path) -> None:
    bus = await recorded(tmp_path)
    newer = new_record("account-states", account_state({"account": 4, "time_us": 1}, 0), 0, (("step", b"accounts/0/100000"),))
    await (await bus.writer("accounts")).commit([newer])
    assert (await verify_bus(bus, toy_machine)).is_same


async def test_a_bus_on_which_nothing_ran_cannot_be_verified() -> None:
    with pytest.raises(UsageProblem, match="never run"):
        await verify_bus(await toy_bus(), toy_machine)
