"""Whether the data can be trusted: marks by instrument, dead letters by reason, suspect accounts, and losses that nobody has borne yet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streams.domain.events import DeadLetterReason, Grade, InsolvencyKind
from streams.domain.money import PPM, div_floor
from streams.report.log import Log, Row


@dataclass(frozen=True, slots=True)
class MarkQuality:
    """Marks of one instrument. `gaps`: sequence numbers left out within a run of the feed. `widest_basis_ppm`: largest |mark - index| / index.

    Rounded down; None where there is nothing to measure: one mark has no silence, marks without an index have no basis.
    """

    instrument: int
    marks: int
    grades: Mapping[Grade, int]
    gaps: int
    regressions: int
    longest_silence_us: int | None
    widest_basis_ppm: int | None


@dataclass(frozen=True, slots=True)
class Quality:
    """`dead_letters` in order of time; `suspects`: accounts at the end; `deficits`: (pool, number, sum) of what groups owed when they were flat."""

    marks: Sequence[MarkQuality]
    dead_letters: Sequence[Row]
    by_reason: Mapping[tuple[DeadLetterReason, str], int]
    suspects: int
    deficits: Sequence[tuple[int, int, int]]


def quality_of(log: Log) -> Quality:
    """The quality of a log's data."""
    letters = log.rows("dead-letters")
    suspects = {row["shard"]: row["suspects"] for row in log.rows("shard-totals")}
    owed: dict[int, dict[tuple[int | None, ...], int]] = {}  # the most that each episode owed: a row tells all that is owed then
    for row in log.rows("insolvencies"):
        if row["kind"] == InsolvencyKind.DEFICIT:
            episode = (row["account"], row["asset"], row["group_instrument"], row["group_side"], row["episode"])
            of_pool = owed.setdefault(row["pool"], {})
            of_pool[episode] = max(of_pool.get(episode, 0), row["deficit"])
    return Quality(
        marks=_marks(log), dead_letters=letters,
        by_reason=dict(Counter((DeadLetterReason(row["reason"]), row["source_topic"]) for row in letters).most_common()),
        suspects=sum(suspects.values()), deficits=[(pool, len(amounts), sum(amounts.values())) for pool, amounts in sorted(owed.items())],
    )  # fmt: skip


def _marks(log: Log) -> list[MarkQuality]:
    numbers = log.numbers("marks", "instrument")
    told = []
    for instrument in np.unique(numbers).tolist():
        of_it = ("event_time_us", "sequence", "epoch", "grade", "mark_ticks", "index_ticks")
        column = {name: log.numbers("marks", name)[numbers == instrument] for name in of_it}
        steps = np.diff(column["sequence"])[np.diff(column["epoch"]) == 0]  # a feed that counts anew leaves nothing out
        bases = zip(np.abs(column["mark_ticks"] - column["index_ticks"]).tolist(), column["index_ticks"].tolist(), strict=True)
        told.append(
            MarkQuality(
                instrument=instrument, marks=len(column["sequence"]), grades=dict(sorted(Counter(map(Grade, column["grade"].tolist())).items())),
                gaps=int((steps[steps > 1] - 1).sum()), regressions=int((steps <= 0).sum()),
                longest_silence_us=int(np.diff(column["event_time_us"]).max()) if len(column["sequence"]) > 1 else None,
                widest_basis_ppm=max((div_floor(PPM * basis, index) for basis, index in bases if index > 0), default=None),
            )
        )  # fmt: skip
    return told
