"""`backstop compare` and `backstop replay --set`: two runs side by side, and what parameters would have changed."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from streams.bus.contract import Bus
from streams.bus.ranges import Ends
from streams.commands import run_directory
from streams.commands.check import Source, opened, part_of, require
from streams.commands.console import complain, emit_json, progress, run, say
from streams.commands.summary import Summary, summary_of
from streams.engine.contrast import Contrast, Divergence, Place, contrast, earliest
from streams.engine.replay import rerun_bus
from streams.engine.whatif import Setting, apply_settings
from streams.notify.names import Names, Unit
from streams.tasks import machine_for

FUND = "fund of pool "
VERSIONS = frozenset({"policy_version"})  # a setting makes a new version, which says nothing about what it changes


def run_compare(a: Source, b: Source, *, as_json: bool) -> int:
    """0 when both runs have the same records, 1 with where they part."""
    require(a, "A")
    require(b, "B")
    with progress() as tick:
        tick("comparing")
        contrasts = run(_contrasted(a, b))
    first = earliest(contrasts)
    if as_json:
        emit_json({"a": str(a), "b": str(b), "same": first is None, **contrasts_json(contrasts)})
    elif first is None:
        say(f"{a} and {b}: the same {sum(each.a for each in contrasts):,} records in {len(contrasts)} streams")
    else:
        say("\n".join(contrast_lines(contrasts, ("A", "B"))))
    if first is not None:
        complain(f"{a} and {b} differ: first in {first.stream} at event time {moment(first.timestamp_ms)}")
    return 0 if first is None else 1


async def _contrasted(a: Source, b: Source) -> list[Contrast]:
    async with opened(a) as one, opened(b) as two:
        return await contrast(one, two)


def run_what_if(source: Source, start: Ends, stop: Ends, settings: Sequence[Setting], *, as_json: bool) -> int:
    """Replay a part twice, as it was and with the settings, and say what changes. Always 0: a change is the answer, not a fault."""
    require(source)
    with progress() as tick:
        tick("replaying twice")
        before, after, contrasts = run(_what_if(source, start, stop, settings))
    first = earliest(contrasts)
    changes = figures(before), figures(after)
    if as_json:
        document = {**source.json, "set": [str(setting) for setting in settings], "changes": first is not None}
        emit_json({**document, "before": changes[0], "after": changes[1], **contrasts_json(contrasts)})
        return 0
    lines = [f"{source} with {', '.join(map(str, settings))} from the start (the exchange's records are those of the run):"]
    lines += [
        _change(name, changes, _written(name, replace(before.names, units=units_of(source)))) for name in dict.fromkeys([*changes[0], *changes[1]])
    ]
    lines += contrast_lines(contrasts, ("as it was", "with the setting")) if first is not None else ["  nothing changes"]
    say("\n".join(lines))
    return 0


def _change(name: str, sides: tuple[Mapping[str, int], Mapping[str, int]], written: Callable[[int], str]) -> str:
    then, now = (side.get(name, 0) for side in sides)
    return f"  {name:<32} {written(then):>24}   " + ("the same" if then == now else f"-> {written(now)}")


def _written(name: str, names: Names) -> Callable[[int], str]:
    """How a figure is written: a fund's in the asset of its pool, others as they are."""
    return names.unit_of_pool(int(name.removeprefix(FUND))).text if name.startswith(FUND) else "{:,}".format


def units_of(source: Source) -> Mapping[int, Unit]:
    """How assets of a run are written: as the run says, or for a deployment as the settings do."""
    return run_directory.read_run(source.directory).shown if source.kafka is None else source.kafka.display.units


async def _what_if(source: Source, start: Ends, stop: Ends, settings: Sequence[Setting]) -> tuple[Summary, Summary, list[Contrast]]:
    async with opened(source) as bus:
        part = await part_of(bus, start, stop)
        before: Bus = (await rerun_bus(bus, machine_for, part)).bus
        after: Bus = (await rerun_bus(bus, machine_for, part, partial(apply_settings, settings=settings))).bus
    contrasts = [each for each in await contrast(before, after, blind=VERSIONS) if each.stream not in ("instruments", "pools")]
    return await summary_of(before), await summary_of(after), contrasts


def figures(summary: Summary) -> dict[str, int]:
    """What a risk desk asks of a run first; funds in settlement units."""
    found = {f"instructions {kind.name}": count for kind, count in sorted(summary.instructions.items())}
    found["adl executions"] = summary.adl_executions
    for stream in ("insolvencies", "account-states", "adl-waves", "dead-letters"):
        found[stream] = summary.records[stream]
    return found | {f"{FUND}{pool}": balance for pool, balance in sorted(summary.fund_balances.items())}


def moment(timestamp_ms: int) -> str:
    """A time of the log as people write it."""
    return dt.datetime.fromtimestamp(timestamp_ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def contrasts_json(contrasts: Sequence[Contrast]) -> dict[str, Any]:
    """Where two runs part, and how each stream differs."""
    streams = {each.stream: {"a": each.a, "b": each.b, "same": each.first is None, "first": divergence_json(each.first)} for each in contrasts}
    return {"first": divergence_json(earliest(contrasts)), "streams": streams}


def divergence_json(first: Divergence | None) -> dict[str, Any] | None:
    """A divergence as JSON."""
    if first is None:
        return None
    sides = {
        name: None if place is None else {"partition": place.partition, "offset": place.offset, "record": row}
        for name, place, row in zip(("a", "b"), (first.a, first.b), first.rows, strict=True)
    }
    fields = {name: {"a": a, "b": b} for name, (a, b) in first.fields.items()}
    return {"stream": first.stream, "event_time": moment(first.timestamp_ms), "event_time_ms": first.timestamp_ms, "fields": fields, **sides}


def contrast_lines(contrasts: Sequence[Contrast], names: tuple[str, str]) -> list[str]:
    """Where two runs part, field by field, and a line for every other stream that differs."""
    first = earliest(contrasts)
    if first is None:
        return []
    lines = [f"first difference: {first.stream}, event time {moment(first.timestamp_ms)}, {_where(first.a, names[0])}, {_where(first.b, names[1])}"]
    if first.fields:
        lines += [f"  {name}: {a} | {b}" for name, (a, b) in first.fields.items()]
    else:
        row = next((row for row in first.rows if row is not None), {})
        lines += [f"  {name}: {value}" for name, value in row.items() if value is not None]
    lines += ["streams that differ:"]
    for each in contrasts:
        if each.first is not None:
            lines.append(f"  {each.stream:<20} {each.a:>10,} | {each.b:>10,}   from {moment(each.first.timestamp_ms)}")
    return lines


def _where(place: Place | None, name: str) -> str:
    return f"no such record {name}" if place is None else f"{name} [{place.partition}] offset {place.offset}"
