"""docs/benchmarks.md and its plots, from the figures of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[3] / "docs"
WIDTH, BAR, GAP, LABEL = 760, 26, 12, 250
OURS, PEER = "#1f6f54", "#8a94a6"
Bars = Sequence[tuple[str, float | None, bool]]  # label, value, whether it is ours


def bars(title: str, unit: str, rows: Bars) -> str:
    """An SVG of horizontal bars from zero, the values written out."""
    known = [(label, value, ours) for label, value, ours in rows if value is not None]
    top = max((value for _, value, _ in known), default=1.0)
    height = 44 + len(known) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold" fill="#222222">{title}</text>',
    ]
    for place, (label, value, ours) in enumerate(known):
        y = 40 + place * (BAR + GAP)
        length = max(1.0, (WIDTH - LABEL - 130) * value / top)
        parts += [
            f'<text x="{LABEL - 10}" y="{y + 18}" font-size="13" text-anchor="end" fill="#222222">{label}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{OURS if ours else PEER}"/>',
            f'<text x="{LABEL + length + 8:.1f}" y="{y + 18}" font-size="13" fill="#222222">{_number(value)} {unit}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(_number(cell) for cell in row) + " |" for row in rows])


PROGRAMS = {
    "ours": "Backstop, fills to positions, exactly once",
    "risk": "Backstop, whole risk machine, exactly once",
    "kafka_streams_exactly_once_v2": "Kafka Streams 4.1, exactly_once_v2",
    "kafka_streams_at_least_once": "Kafka Streams 4.1, at_least_once",
    "plain": "plain aiokafka, exactly once",
    "faust_agent": "Faust agent and table, at least once",
}


def _spread(found: Mapping[str, Sequence[Mapping[str, Any]]], part: str, name: str) -> list[object]:
    values = sorted(figures[name] for figures in found.get(part, []) if figures.get(name) is not None)
    return [values[0], values[len(values) // 2], values[-1]] if values else [None, None, None]


def _throughput(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    rows = []
    for part, label in PROGRAMS.items():
        low, middle, high = _spread(found, part, "per_s")
        rows.append(
            [
                label,
                middle,
                low,
                high,
                _spread(found, part, "warm_per_s")[1],
                _spread(found, part, "per_cpu_s")[1],
                _spread(found, part, "peak_mb")[1],
            ]
        )
    return table(["program", "events/s, median", "least", "most", "warm half", "per CPU second", "peak MiB"], rows)


def _hops(figures: Mapping[str, Any]) -> str:
    rows = []
    for rate, ours in figures["hop_ms"].items():
        theirs = figures["hop_ms_kafka_streams"][rate]
        rows.append([f"{int(rate):,} events/s", *ours.values(), *theirs.values()])
    return table(["rate", "p50", "p99", "p99.9", "Kafka Streams p50", "p99", "p99.9"], rows)


def write(figures: Mapping[str, Any], found: Mapping[str, Sequence[Mapping[str, Any]]], conditions: Mapping[str, str]) -> None:
    """The page and its plots."""
    plots = DOCS / "images"
    plots.mkdir(parents=True, exist_ok=True)
    speed = [(label, _spread(found, part, "per_s")[1], part in ("ours", "risk")) for part, label in PROGRAMS.items()]
    hop = [
        (f"{who} at {int(rate):,}/s", quantiles["p99"], who == "Backstop")
        for rate in figures["hop_ms"]
        for who, quantiles in (("Backstop", figures["hop_ms"][rate]), ("Kafka Streams", figures["hop_ms_kafka_streams"][rate]))
    ]
    (plots / "bench-throughput.svg").write_text(bars("Fills a second, wall clock", "/s", speed), encoding="utf-8")  # type: ignore[arg-type]
    (plots / "bench-latency.svg").write_text(bars("One hop, 99th percentile", "ms", hop), encoding="utf-8")
    (DOCS / "benchmarks.md").write_text(page(figures, found, conditions), encoding="utf-8")


def page(figures: Mapping[str, Any], found: Mapping[str, Sequence[Mapping[str, Any]]], conditions: Mapping[str, str]) -> str:
    """docs/benchmarks.md."""
    forms = figures["marks_per_s_kafka_streams"]
    others = [
        ["insolvency to ADL instructions, all tasks, 20,000 fills/s beside: p50", figures["adl_ms"]["p50"], "ms"],
        ["the same, p99", figures["adl_ms"]["p99"], "ms"],
        ["recovery from a snapshot, 1 M accounts and 2 M positions", figures["recovery_s"], "s"],
        ["take-over by a standby, fencing included", figures["takeover_s"], "s"],
        ["verified replay of a recording, whole risk machine, one core", figures["replay_per_s"], "events/s"],
    ]
    ratios = [
        ["Kafka Streams exactly_once_v2, wall clock", figures["ratio_kafka_streams_wall"]],
        ["the same, CPU second", figures["ratio_kafka_streams_cpu"]],
        ["the same, our whole risk machine against its positions, wall clock", figures["ratio_full_risk_kafka_streams_wall"]],
        ["Faust, wall clock", figures["ratio_faust_wall"]],
    ]
    return f"""# Benchmarks

Written by `make bench-engine`, which starts a broker, loads the same input and runs Backstop and its peers in turn. To repeat it: `make
bench-engine` (`SCALE=0.2 REPEATS=1` for a short one).

{chr(10).join(f"- {name}: {value}" for name, value in conditions.items())}

Every program is a process of its own, on one machine with the broker and the driver. A run's wall clock ends when everything is committed.
CPU seconds are the program's own. Figures are medians of the runs. Kafka Streams compiles while it runs; its rate over the second half
of a run stands beside.

## Fills to positions

A million fills over 50,000 accounts and 20 instruments, framed Avro in four partitions. One output a fill, except for the whole
risk machine, which says only what it has to say: states, insolvencies, instructions. Faust gets fewer fills, of the same kind.

{_throughput(found)}

![fills a second](images/bench-throughput.svg)

{table(["Backstop to", "times as fast"], ratios)}

## One hop

Fill sent to output readable by a read_committed consumer, milliseconds. One accounts shard; Kafka Streams commits every 10 ms.

{_hops(figures)}

![one hop](images/bench-latency.svg)

## Marks

Marks against 100,000 accounts with 200,000 positions. Kafka Streams in three forms: all accounts at every mark, an index store, decoded
accounts kept by hand on the heap.

{table(["program", "marks/s"], [["Backstop", figures["marks_per_s"]], *([f"Kafka Streams, {form}", rate] for form, rate in forms.items())])}

## Crises and restarts

{table(["what", "measured", "unit"], others)}
"""
