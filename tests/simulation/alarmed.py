"""Whether operators hear that money or lots have come from nowhere, and only then: by the sums that the shards tell, added up anew."""

from collections import defaultdict
from collections.abc import Iterator

from tests.simulation.ordering import rows_of
from tests.simulation.world import World

ALARM = "conservation_violated"
PROVEN_SECONDS = 8  # of one amount, to the end; the machine takes one less
Sums = tuple[tuple[str, int], ...]


def check_alarms(world: World) -> Iterator[str]:
    """Heard, or standing where the pools task runs now; an owner that died may have taken a word with it."""
    is_heard = ALARM in (*(alarm for _, alarm, _ in world.alarms), *world.lasting)
    sums = _by_second(world, world.options.shards)
    last = sums[-PROVEN_SECONDS:]
    if len(last) == PROVEN_SECONDS and last[0] and len(set(last)) == 1 and not is_heard:
        yield f"alarm: the sums of {PROVEN_SECONDS} seconds are {dict(last[0])}, and nobody was told"
    if is_heard and not any(sums):
        yield "alarm: operators are told that the sums are not zero, and they are"


def _by_second(world: World, shards: int) -> list[Sums]:
    """What is not zero over all shards, second by second; seconds of which a shard has not spoken are left out."""
    told: dict[int, dict[int, dict[str, int]]] = defaultdict(dict)
    for *_, row in rows_of(world, "shard-totals"):
        amounts = {f"lots of {total['instrument']}": total["lots"] for total in row["instruments"]}
        amounts["money"] = int(row["wallets"]) - int(row["open_cost"]) - int(row["external"])
        told[row["event_second"]].setdefault(row["shard"], amounts)
    found = []
    for _, by_shard in sorted(told.items()):
        if len(by_shard) == shards:
            names = sorted({name for amounts in by_shard.values() for name in amounts})
            totals = [(name, sum(amounts.get(name, 0) for amounts in by_shard.values())) for name in names]
            found.append(tuple((name, amount) for name, amount in totals if amount))
    return found
