"""`make bench-engine`: one broker, the same input, us and the peers in turn; writes docs/benchmarks.md, and JSON as its last line.

SCALE (default 1) multiplies sizes, REPEATS (default 3) says how often each program runs; the figures are the medians. ONLY=part,part runs some.
Every program is a process of its own; what it costs is its own CPU time, the broker's is the same for all and not counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.machine import describe_machine
from tests.bench.peers import report
from tests.bench.peers.loading import load, make_topics
from tests.support.kafka import broker

KSTREAMS = Path(__file__).parent / "peers" / "kstreams"
RATES = (1_000, 5_000, 20_000, 50_000)
HOP_SECONDS = 4
ADL_RATE = 20_000
COMMIT_MS = 100  # of Kafka Streams where throughput counts; its default under exactly_once_v2
LATENCY_COMMIT_MS = 10  # of Kafka Streams where latency counts
TIMEOUT_SECONDS = 300
MARKS = {"scan": 20, "index": 100, "heap": 1_000}  # marks for each form of the peer: the slow ones get few
Figures = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """A run of everything: where, how large, and what came out by part, a list of figures each."""

    address: str
    directory: Path
    scale: float
    repeats: int
    found: dict[str, list[Figures]] = field(default_factory=dict)

    def size(self, records: int) -> int:
        """Scaled."""
        return max(1_000, int(records * self.scale))

    def note(self, part: str, figures: Figures) -> None:
        """One run's figures."""
        self.found.setdefault(part, []).append(figures)
        sys.stdout.write(f"{part}: {json.dumps(figures)}\n")
        sys.stdout.flush()

    def fresh(self, name: str) -> str:
        """A name nobody has used."""
        return f"{name}-{uuid.uuid4().hex[:8]}"

    def python(self, module: str, *arguments: object) -> list[str]:
        """Command of a program of this benchmark."""
        return [sys.executable, "-m", f"tests.bench.peers.{module}", *map(str, arguments)]

    def java(self, program: str, *arguments: object, **properties: object) -> list[str]:
        """Command of a Kafka Streams program."""
        given = {"broker": self.address, "state": self.directory / self.fresh("state"), **properties}
        classes = f"{KSTREAMS / 'target' / 'classes'}:{(KSTREAMS / 'target' / 'classpath.txt').read_text(encoding='utf-8')}"
        settings = [f"-D{name}={value}" for name, value in given.items()]
        return [
            "java",
            "-Xmx1g",
            "-XX:+UseG1GC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            *settings,
            "-cp",
            classes,
            f"bench.{program}",
            *map(str, arguments),
        ]


def run(command: list[str], **environment: str) -> Figures:
    """The figures a program prints as its last line of JSON. Raises where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, env={**os.environ, **environment})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2_000:]}")
    figures: Figures = json.loads(lines[-1])
    if "wall_s" in figures and "events" in figures:
        figures |= {"per_s": figures["events"] / figures["wall_s"], "per_cpu_s": figures["events"] / figures["cpu_s"]}
    return figures


@contextmanager
def serving(command: list[str], until: str | None) -> Iterator[None]:
    """A program that runs beside; it is ready when it says `until` (None: five seconds later)."""
    with tempfile.TemporaryFile("w+") as errors:
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert program.stdout is not None
            if until is None:
                time.sleep(5)
            elif not any(until in line for line in program.stdout):
                errors.seek(0)
                raise RuntimeError(f"{' '.join(command)} did not start: {errors.read()[-2_000:]}")
            yield
        finally:
            program.kill()
            program.wait()


def build_peers() -> None:
    """Compile the Kafka Streams programs with Maven, once."""
    if not (KSTREAMS / "target" / "classpath.txt").exists():
        sys.stdout.write("building the Kafka Streams peers\n")
        subprocess.run(
            ["mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=target/classpath.txt"], cwd=KSTREAMS, check=True
        )


def throughput(bench: Bench) -> None:
    """Fills to positions, one output a fill, and the whole risk machine, all in turn."""
    events, few = bench.size(1_000_000), bench.size(20_000)
    its_inputs, its_few = bench.fresh("in"), bench.fresh("few")
    load(bench.address, its_inputs, events)
    load(bench.address, its_few, few)
    for _ in range(bench.repeats):
        bench.note("ours", run(bench.python("ours", "positions", bench.address, f"{bench.fresh('ours')}/{its_inputs}", events)))
        for guarantee in ("exactly_once_v2", "at_least_once"):
            out = bench.fresh("out")
            make_topics(bench.address, out)
            arguments = (bench.fresh("ks"), guarantee, 1, COMMIT_MS, f"{its_inputs}.account-events", out, 4)
            bench.note(f"kafka_streams_{guarantee}", run(bench.java("Positions", *arguments, records=events)))
        bench.note("risk", run(bench.python("ours", "risk", bench.address, bench.fresh("risk"), events)))
        for peer in ("plain", "faust_agent"):
            out = bench.fresh("out")
            make_topics(bench.address, out)
            source, records = (its_inputs, events) if peer == "plain" else (its_few, few)
            command = bench.python(peer, bench.address, bench.fresh(peer), f"{source}.account-events", out, 4, records)
            bench.note(peer, run(command, BENCH_STATE=str(bench.directory / out)))


def hops(bench: Bench) -> None:
    """Latency of one hop at rising rates, ours and Kafka Streams'."""
    for _ in range(bench.repeats):
        for rate in RATES:
            deployment = bench.fresh("hop")
            with serving(bench.python("ours", "serve", bench.address, deployment, 0), "running"):
                bench.note(
                    f"hop_{rate}", run(bench.python("drive", "hop", bench.address, deployment, f"{deployment}.bench-positions", rate, HOP_SECONDS))
                )
            deployment, out = bench.fresh("hop"), bench.fresh("out")
            make_topics(bench.address, f"{deployment}.account-events", out)
            arguments = (bench.fresh("ks"), "exactly_once_v2", 1, LATENCY_COMMIT_MS, f"{deployment}.account-events", out, 4, "forever")
            with serving(bench.java("Positions", *arguments), None):
                bench.note(f"hop_kafka_streams_{rate}", run(bench.python("drive", "hop", bench.address, deployment, out, rate, HOP_SECONDS)))


def deleveraging(bench: Bench) -> None:
    """From the mark that makes a position insolvent to the instructions, over all tasks, with fills beside."""
    for _ in range(bench.repeats):
        deployment = bench.fresh("adl")
        with serving(bench.python("ours", "pipeline", bench.address, deployment, 0), "running"):
            bench.note("adl", run(bench.python("drive", "adl", bench.address, deployment, "-", ADL_RATE, max(5, int(20 * bench.scale)))))


def marks(bench: Bench) -> None:
    """Marks against 100,000 accounts with 200,000 positions, ours and Kafka Streams' in three forms."""
    accounts = 100_000
    for _ in range(bench.repeats):
        bench.note("marks", run(bench.python("ours", "marks", bench.address, bench.fresh("marks"), bench.size(100_000))))
    for form, count in MARKS.items():
        deployment, out = bench.fresh("marks"), bench.fresh("out")
        make_topics(bench.address, out)
        run(bench.python("loading", "held", bench.address, deployment, accounts))
        command = bench.java("Marks", bench.fresh("ks"), 1, form, f"{deployment}.", out, 4, opening=3 * accounts, first=20, marks=count)
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert program.stdout is not None
            if any("opened" in line for line in program.stdout):
                run(bench.python("loading", "marks", bench.address, deployment, count))
                lines = [line for line in program.communicate(timeout=TIMEOUT_SECONDS)[0].splitlines() if line.startswith("{")]
                figures = json.loads(lines[-1])
                bench.note(f"marks_kafka_streams_{form}", {**figures, "per_s": figures["events"] / figures["wall_s"]})
        finally:
            program.kill()
            program.wait()


def restarts(bench: Bench) -> None:
    """Recovery, take-over, replay."""
    for _ in range(bench.repeats):
        bench.note("recovery", run(bench.python("ours", "recovery", "-", "-", bench.size(1_000_000))))
        bench.note("takeover", run(bench.python("ours", "takeover", bench.address, bench.fresh("takeover"), bench.size(200_000))))
        bench.note("replay", run(bench.python("ours", "replay", "-", "-", bench.size(500_000))))


PARTS: dict[str, Callable[[Bench], None]] = {"throughput": throughput, "hops": hops, "adl": deleveraging, "marks": marks, "restarts": restarts}


def middle(found: dict[str, list[Figures]], part: str, name: str) -> float | None:
    """The median over the runs of a part; None where it did not run."""
    values = [figures[name] for figures in found.get(part, []) if figures.get(name) is not None]
    return round(median(values), 3) if values else None


def ratio(found: dict[str, list[Figures]], part: str, peer: str, name: str) -> float | None:
    """Our median over the peer's."""
    ours, theirs = middle(found, part, name), middle(found, peer, name)
    return round(ours / theirs, 2) if ours and theirs else None


def summary(found: dict[str, list[Figures]]) -> Figures:
    """What scripts read."""
    streams = "kafka_streams_exactly_once_v2"
    quantiles = ("p50", "p99", "p999")
    forms = {form: middle(found, f"marks_kafka_streams_{form}", "per_s") for form in MARKS}
    return {
        "ratio_kafka_streams_wall": ratio(found, "ours", streams, "per_s"),
        "ratio_kafka_streams_cpu": ratio(found, "ours", streams, "per_cpu_s"),
        "ratio_full_risk_kafka_streams_wall": ratio(found, "risk", streams, "per_s"),
        "ratio_faust_wall": ratio(found, "ours", "faust_agent", "per_s"),
        "fills_per_s": middle(found, "ours", "per_s"),
        "fills_per_cpu_s": middle(found, "ours", "per_cpu_s"),
        "risk_fills_per_s": middle(found, "risk", "per_s"),
        "kafka_streams_fills_per_s": middle(found, streams, "per_s"),
        "kafka_streams_warm_fills_per_s": middle(found, streams, "warm_per_s"),
        "plain_fills_per_s": middle(found, "plain", "per_s"),
        "marks_per_s": middle(found, "marks", "per_s"),
        "marks_per_s_kafka_streams": forms,
        "hop_ms": {str(rate): {q: middle(found, f"hop_{rate}", q) for q in quantiles} for rate in RATES},
        "hop_ms_kafka_streams": {str(rate): {q: middle(found, f"hop_kafka_streams_{rate}", q) for q in quantiles} for rate in RATES},
        "adl_ms": {q: middle(found, "adl", q) for q in ("p50", "p99")},
        "recovery_s": middle(found, "recovery", "recovery_s"),
        "takeover_s": middle(found, "takeover", "takeover_s"),
        "replay_per_s": middle(found, "replay", "per_cpu_s"),
        "peak_mb": middle(found, "ours", "peak_mb"),
    }


def main() -> None:
    """Run, write the page, print the summary."""
    build_peers()
    wanted = [name for name in os.environ.get("ONLY", ",".join(PARTS)).split(",") if name]
    conditions = {
        "machine": describe_machine(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "date": time.strftime("%Y-%m-%d"),
        "scale": os.environ.get("SCALE", "1"),
        "repeats": os.environ.get("REPEATS", "3"),
    }
    began = time.perf_counter()
    with broker() as address, tempfile.TemporaryDirectory() as directory:
        bench = Bench(address, Path(directory), float(conditions["scale"]), int(conditions["repeats"]))
        for name in wanted:
            PARTS[name](bench)
    conditions["took"] = f"{(time.perf_counter() - began) / 60:.1f} minutes"
    figures = summary(bench.found)
    if wanted == list(PARTS):
        report.write(figures, bench.found, conditions)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
