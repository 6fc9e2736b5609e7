"""What one seed means: the deployment, the market, the network and the faults, all drawn here and printable.

A fault is found by where it happens (the n-th commit of a shard and the await in it, the n-th record of the exchange, a virtual time), so a
list of faults can be cut in two and run again: what is left still happens at the same places.
"""

from dataclasses import dataclass, fields
from random import Random

# The awaits of a commit, in order, and the two of a take-over. `sent` comes once for every batch.
POINTS = ("init", "inited", "begin", "send", "sent", "end", "decided", "ended", "committed")
SINK_FAULTS = ("sink_down", "sink_lost", "sink_crash")
INPUT_FAULTS = ("duplicate", "late", "garbage", "excess")
EXCESS_SHARE = 0.03  # of runs in which the exchange says a lot too many
HALTING_FAULTS = ("truncate", "alter")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Which fields count depends on `kind`; times are virtual milliseconds."""

    kind: str
    shard: str = ""  # as in accounts-0
    nth: int = 0  # commit or take-over of the shard, record of the exchange, insert of the sink
    point: str = ""
    at_ms: int = 0
    for_ms: int = 0
    extra: int = 0

    def __str__(self) -> str:
        said = [f"{field.name}={value}" for field in fields(self)[1:] if (value := getattr(self, field.name))]
        return f"{self.kind}({', '.join(said)})"


@dataclass(frozen=True, slots=True)
class Options:
    """Everything about a run."""

    seed: int
    shards: int
    partitions: int
    scenario: str
    accounts: int
    steps: int
    pace_ms: int
    patience_ms: int | None
    snapshot_every: int
    marker_ms: int
    latency_ms: int
    uneven_percent: int
    sink: bool
    standbys: bool
    workers: int  # that share all shards by a consumer group; 0: one for each shard, and nothing says who runs what
    faults: tuple[Fault, ...]

    @property
    def shard_names(self) -> list[str]:
        """All task shards."""
        return shard_names(self.shards)

    def lines(self) -> list[str]:
        """The expanded options, for people."""
        plain = [f"  {field.name} = {getattr(self, field.name)}" for field in fields(self) if field.name != "faults"]
        return [*plain, "  faults:", *(f"    {fault}" for fault in self.faults)]


def shard_names(shards: int) -> list[str]:
    """Names of all task shards of a deployment."""
    return [*(f"accounts-{shard}" for shard in range(shards)), "pools-0"]


def draw(seed: int) -> Options:
    """The options of a seed."""
    random = Random(f"options {seed}")
    shards = random.choice((1, 2, 2, 3))
    scenario = random.choice(("crash", "crash", "crash", "crash", "example-a", "example-b", "example-c", "example-e"))
    steps = random.randrange(8, 21)
    sink = random.random() < 0.25
    faults = tuple(_faults(random, shard_names(shards), steps, sink=sink))
    if (chance := Random(f"excess {seed}")).random() < EXCESS_SHARE:
        faults = (*faults, Fault("excess", nth=chance.randrange(20, 60)))
    halts = any(fault.kind in HALTING_FAULTS for fault in faults)  # a standby has run what is altered then, and rightly goes on
    return Options(
        seed=seed,
        shards=shards,
        partitions=random.randrange(shards, 5),
        scenario=scenario,
        accounts=random.randrange(6, 13),
        steps=steps,
        pace_ms=random.choice((5, 20, 40, 80)),
        patience_ms=random.choice((None, 20, 50, 200)),
        snapshot_every=random.choice((10, 40, 150, 1_000_000)),
        marker_ms=random.choice((1, 4, 15, 40)),
        latency_ms=random.choice((1, 3, 8)),
        uneven_percent=random.choice((0, 20, 50, 80)),
        sink=sink,
        standbys=not halts and Random(f"standbys {seed}").random() < 0.3,
        workers=0 if halts else Random(f"workers {seed}").choice((0, 0, 0, 0, 0, 2, 3)),
        faults=faults,
    )


def _faults(random: Random, shards: list[str], steps: int, *, sink: bool) -> list[Fault]:
    count = random.choice((0, 1, 2, 3, 4, 6, 8, 12))
    found = [_fault(random, random.choice(shards), steps) for _ in range(count)]
    if random.random() < 0.05:  # these end with a shard that refuses to go on, so there is one at most
        shard = random.choice(shards)
        found.append(Fault(random.choice(HALTING_FAULTS), shard, at_ms=random.randrange(200, 60 * steps), extra=random.randrange(1_000)))
    if sink:
        found += [Fault(random.choice(SINK_FAULTS), nth=random.randrange(1, 60), for_ms=random.randrange(5, 300)) for _ in range(random.randrange(4))]
    return found


def _fault(random: Random, shard: str, steps: int) -> Fault:
    nth = random.randrange(1, 3 * steps) if random.random() < 0.7 else random.randrange(1, 6)
    at_ms, for_ms = random.randrange(20, 60 * steps), random.choice((5, 40, 200, 900))
    match random.randrange(20):
        case 0 | 1 | 2 | 3 | 4:
            return _at_point(random, "kill", shard, nth, for_ms)
        case 5 | 6 | 7:
            return _at_point(random, "pause", shard, nth, random.choice((30, 300, 1_500, 2_500)))
        case 8 | 9:
            return Fault(random.choice(("overlap", "overlap", "term")), shard, at_ms=at_ms)
        case 10 | 11:
            return Fault("lose", shard, nth)
        case 12:
            return Fault("delay", shard, nth, for_ms=random.choice((100, 900, 1_250, 1_400, 1_700)))
        case 13:
            return Fault("refuse", shard, nth, extra=random.randrange(4))
        case 14:
            return Fault("down", at_ms=at_ms, for_ms=random.choice((20, 150, 700, 2_000)))
        case 15:
            return Fault(random.choice(("torn", "flipped", "full")), shard, nth=random.randrange(1, 4), extra=random.randrange(100_000))
        case 16:
            return Fault("late", nth=random.randrange(1, 40 * steps), extra=random.choice((1, 1_000, 3_000_000, 10**12)))
        case 17:
            return Fault("garbage", nth=random.randrange(20, 20 * steps), extra=random.randrange(1_000))
        case _:
            return Fault("duplicate", nth=random.randrange(1, 30 * steps), extra=random.randrange(1, 6))


def _at_point(random: Random, kind: str, shard: str, nth: int, for_ms: int) -> Fault:
    point = random.choice(POINTS)
    if point in ("init", "inited"):
        nth = random.randrange(1, 4)
    return Fault(kind, shard, nth, point, for_ms=for_ms, extra=random.randrange(3))
