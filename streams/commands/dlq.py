"""`backstop dlq`: dead letters listed, shown, corrected or let go. A correction is a record of `corrections`; no other stream is ever written.

On Kafka the running engine takes it. A directory has no engine, so its shards are run on over the correction and the recording is closed again.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streams.bus.contract import Bus, NewRecord, TopicPartition
from streams.bus.manifest import check_manifest, write_manifest
from streams.bus.recording import load, record
from streams.commands import run_directory
from streams.commands.check import Source, opened, require
from streams.commands.console import emit_json, run, say, uninterrupted
from streams.commands.corrections import Fate, Outcome, Watch
from streams.commands.dead_letters import CORRECTIONS, DeadLetter, find_letter, hashed, now_of, read_letters, source_value
from streams.commands.sides import moment
from streams.domain.events import CorrectionKind, GroupState
from streams.domain.ids import identity
from streams.domain.letters import LETTERS_MAX
from streams.engine.lockstep import settle
from streams.engine.shard import RunnerOptions, ShardRunner
from streams.engine.snapshot import SnapshotStore
from streams.engine.turns import TURN_HEADER
from streams.engine.verify import SNAPSHOTS, read_journals
from streams.errors import UsageProblem
from streams.tasks import machine_for
from streams.wire.kinds import stream_of
from streams.wire.readable import from_readable, read_far, readable
from streams.wire.records import new_record

ACCOUNT_FIELDS = ("account", "counter_account")
CORRECTABLE = {"fills": ("fill", CorrectionKind.FILL), "account-updates": ("update", CorrectionKind.UPDATE)}
_OF_FIELD = {"trade_id": "fills", "update_id": "account-updates"}  # what tells one kind of record from the other where its header does not
OWNER = "dlq"


def run_list(source: Source, *, everything: bool, reveal: bool, as_json: bool) -> int:
    """The open dead letters, or all of them. Always 0."""
    require(source)
    letters = run(_listed(source))
    shown = [letter for letter in letters if everything or letter.status in ("open", "noted")]
    if as_json:
        emit_json({**source.json, "open": sum(x.status == "open" for x in letters), "dead_letters": [letter_json(x, reveal=reveal) for x in shown]})
        return 0
    for letter in shown:
        account = "no account" if letter.account is None else _account(letter.account, reveal=reveal)
        say(f"{letter.place:<28} {moment(letter.event_time_us // 1000)}  {letter.status:<9} {letter.reason:<24} {account}  {letter.detail}")
    if not shown:
        say("no dead letters" if everything else "no open dead letters")
    return 0


async def _listed(source: Source) -> list[DeadLetter]:
    async with opened(source) as bus:
        return await read_letters(bus)


def _account(account: int, *, reveal: bool) -> Any:
    return account if reveal else hashed(account)


def letter_json(letter: DeadLetter, *, reveal: bool) -> dict[str, Any]:
    """A dead letter as JSON, its bytes aside."""
    return {
        "place": letter.place,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "status": letter.status,
        "reason": letter.reason,
        "detail": letter.detail,
        "account": None if letter.account is None else _account(letter.account, reveal=reveal),
        "event_time": moment(letter.event_time_us // 1000),
        "event_time_us": letter.event_time_us,
        "task": letter.task,
        "shard": letter.shard,
        "value_length": letter.value_length,
    }


def run_show(source: Source, place: str, *, reveal: bool, as_json: bool) -> int:
    """One dead letter with its payload decoded as far as it goes."""
    require(source)
    letter, value = run(_shown(source, place))
    decoded, wrong = read_far(letter.topic, value)
    if not reveal:
        decoded = {name: hashed(part) if name in ACCOUNT_FIELDS else part for name, part in decoded.items()}
    # Raw bytes name the account as well as any field does.
    raw = {"key": letter.key.hex(), "value": None if value is None else value.hex()} if reveal else {}
    document = {**letter_json(letter, reveal=reveal), "record": decoded, "wrong": wrong or None, **raw}
    if as_json:
        emit_json(document)
    else:
        lines = [f"{name}: {part}" for name, part in document.items() if name != "record"]
        say("\n".join([*lines, "record:", *(f"  {name}: {part}" for name, part in decoded.items())]))
    return 0


async def _shown(source: Source, place: str) -> tuple[DeadLetter, bytes | None]:
    async with opened(source) as bus:
        letter = await find_letter(bus, place)
        return letter, await source_value(bus, letter)


def run_correct(
    source: Source, place: str, *, changes: Sequence[str], record_text: str | None, reason: str, wait_s: float, dry_run: bool, as_json: bool
) -> int:
    """Write the record as it should have been, and tell what became of it. Raises UsageProblem where it cannot be told what it should have been."""
    require(source)
    given = _given(record_text)
    changed = dict(_change(text) for text in changes)

    async def row_of(bus: Bus, letter: DeadLetter) -> dict[str, Any]:
        value = await source_value(bus, letter)
        was, wrong = read_far(letter.topic, value)
        if given is None and wrong:
            raise UsageProblem(f"{letter.place} cannot be read ({wrong}): give the whole record with --record")
        stream = stream_of(letter.topic, value) if given is None else next((s for f, s in _OF_FIELD.items() if f in given), None)
        if stream not in CORRECTABLE:
            what = "the record given" if given is not None else f"a record of {stream or letter.topic}"
            raise UsageProblem(
                f"{what} is neither a fill nor an account update: let this one go (`backstop dlq drop`), or send a SNAPSHOT of the account"
            )
        name, kind = CORRECTABLE[stream]
        corrected = from_readable(stream, {**(was if given is None else given), **changed})
        if corrected["account"] != letter.account:
            raise UsageProblem(f"the record given is of another account than the dead letter {letter.place}")
        return {"kind": kind, name: corrected}

    return _write(source, place, row_of, reason=reason, wait_s=wait_s, dry_run=dry_run, as_json=as_json)


def run_drop(source: Source, place: str, *, account_seq: int | None, reason: str, wait_s: float, dry_run: bool, as_json: bool) -> int:
    """Let a dead letter go, and tell what became of that: it stays unapplied, and no longer makes its account SUSPECT."""
    require(source)

    async def row_of(_bus: Bus, _letter: DeadLetter) -> dict[str, Any]:
        return {"kind": CorrectionKind.DROP, "account_seq": account_seq}

    return _write(source, place, row_of, reason=reason, wait_s=wait_s, dry_run=dry_run, as_json=as_json)


def _given(text: str | None) -> dict[str, Any] | None:
    """The record of --record: JSON, or @<file> with JSON."""
    if text is None:
        return None
    try:
        content = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise UsageProblem(f"--record is neither JSON nor @<file> with JSON ({error})") from error
    if not isinstance(content, dict):
        raise UsageProblem("--record is a JSON object of the record's fields")
    return content


def _change(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageProblem(f"--set {text}: write <field>=<value>")
    return name, value


def _write(source: Source, place: str, row_of: Any, *, reason: str, wait_s: float, dry_run: bool, as_json: bool) -> int:
    """0 where the dead letter is closed by this (or, with `dry_run`, nothing was done), 1 otherwise."""
    row, partition, outcome = run(_written(source, place, row_of, reason, wait_s=wait_s, dry_run=dry_run))
    if as_json:
        fate = {"outcome": None} if outcome is None else outcome.json
        emit_json({**source.json, "place": place, "written": not dry_run, "partition": partition, **fate, "correction": readable(CORRECTIONS, row)})
    else:
        say(f"{place}: {_words(row, outcome, wait_s)}")
    return 0 if outcome is None or outcome.fate in (Fate.APPLIED, Fate.DROPPED) else 1


def _words(row: Mapping[str, Any], outcome: Outcome | None, wait_s: float) -> str:
    what = "let go" if row["kind"] == CorrectionKind.DROP else "corrected"
    if outcome is None:
        return f"would be {what}"
    match outcome.fate:
        case Fate.APPLIED | Fate.DROPPED:
            healed = outcome.state == GroupState.HEALTHY.name
            return f"is {what}; " + ("its account is healed" if healed else "its account stays SUSPECT: other records of it are missing (`dlq list`)")
        case Fate.REFUSED:
            return f"is open as before: the correction was refused and is the dead letter {outcome.place} ({outcome.detail})"
        case Fate.IGNORED:
            return "was closed by something else before the correction was taken, which was ignored"
        case _:
            return f"the correction is written; no shard has taken it within {wait_s:g} s. See what has become of it with `dlq list --all`"


async def _written(
    source: Source, place: str, row_of: Any, reason: str, *, wait_s: float, dry_run: bool
) -> tuple[dict[str, Any], int, Outcome | None]:
    if source.kafka is None:
        check_manifest(source.directory)
    async with opened(source) as bus:
        letter = await find_letter(bus, place)
        if letter.account is None or letter.status != "open":
            raise UsageProblem(f"{place} is {letter.status}: there is nothing to do about it")
        if letter.is_counted_only:
            raise UsageProblem(f"{place} is one of more than {LETTERS_MAX} open of its account: only a SNAPSHOT of the account closes it")
        if CORRECTIONS not in await bus.partitions():
            raise UsageProblem(f"{source} has no stream {CORRECTIONS}: it was founded before there were any")
        time_us, turn = await now_of(bus)
        row = _row(letter, time_us, await row_of(bus, letter), reason)
        headers = () if turn is None else ((TURN_HEADER, str(turn).encode()),)
        written = new_record(CORRECTIONS, row, letter.partition, headers)
        if dry_run:
            return row, letter.partition, None
        watch = await Watch.begin(bus)
        offset = await _commit(source, bus, written)
        return row, letter.partition, await watch.outcome(letter, row, offset, wait_s if source.kafka is not None else 0)


def _row(letter: DeadLetter, time_us: int, content: Mapping[str, Any], reason: str) -> dict[str, Any]:
    row = {
        "event_time_us": time_us,
        "account": letter.account,
        "account_seq": None,
        "source_topic": letter.topic,
        "source_partition": letter.partition,
        "source_offset": letter.offset,
        "reason": reason,
        "fill": None,
        "update": None,
        **content,
    }
    if row["kind"] != CorrectionKind.DROP:
        row["account_seq"] = (row["fill"] or row["update"])["account_seq"]
    return {**row, "correction_id": identity(*(f"{name}={row[name]}" for name in sorted(row)))}


async def _commit(source: Source, bus: Bus, written: NewRecord) -> int:
    """Write the correction and, in a directory, let its shards take it; its offset."""
    deployment = "directory" if source.kafka is None else source.kafka.engine.deployment
    writer = await bus.writer(f"{deployment}-{OWNER}")
    ends = await writer.commit([written])
    await writer.close()
    if source.kafka is None:
        await _run_on(source.directory, bus)
    return ends[TopicPartition(written.topic, written.partition)] - 1


async def _run_on(directory: Path, bus: Bus) -> None:
    """The recorded deployment's shards take the correction; then the recording is as long as they have come, and closed."""
    snapshots = SnapshotStore(directory / SNAPSHOTS, keep=None)
    options = RunnerOptions(patience_ms=None)
    runners = [ShardRunner(bus, spec, machine_for, owner=OWNER, snapshots=snapshots, options=options) for spec in await read_journals(bus)]
    for runner in runners:
        await runner.start()
    await settle(runners)
    for runner in runners:
        await runner.stop()
    beside = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    await record(bus, beside)
    with uninterrupted():  # from here on the log and its tables change: half of that would be of no use
        (directory / run_directory.LOG).rename(beside / "log.before")
        (beside / run_directory.LOG).rename(directory / run_directory.LOG)
        shutil.rmtree(beside)
        if (directory / run_directory.CLICKHOUSE).is_dir():
            await _load_tables(directory)
        write_manifest(directory)


async def _load_tables(directory: Path) -> None:
    from streams.commands.demo import finish_sink, open_sink  # noqa: PLC0415 - ClickHouse is loaded only where there are tables
    from streams.sinks.connection import open_embedded  # noqa: PLC0415

    client = open_embedded(directory)
    try:
        await finish_sink(*await open_sink(client, directory, await load(directory)))
    finally:
        client.close()
