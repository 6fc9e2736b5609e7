"""What of a shard's accounts operators must know for as long as it lasts: who is not trusted, whom no pool can help, what is not answered."""

from collections.abc import Iterator

import numpy as np

from streams.domain.alarms import Alarm, Lasting
from streams.domain.events import GroupState
from streams.risk.book import Book
from streams.risk.machine import RiskMachine


def lasting(machine: RiskMachine) -> Iterator[Lasting]:
    """Accounts in limbo, groups without a pool, overdue instructions."""
    suspects = [since_us for _, since_us in machine.book.suspects.items()]
    if suspects:
        yield Lasting(Alarm.ACCOUNT_SUSPECT, "", len(suspects), min(suspects) or None)  # None: since before the first mark
    helpless = _without_a_pool(machine.book)
    if helpless:
        yield Lasting(Alarm.EPISODE_WITHOUT_A_POOL, "", helpless)
    overdue = [awaited.valid_until_us for _, awaited in machine.episodes.awaited.items() if awaited.is_alarmed]
    if overdue:
        yield Lasting(Alarm.INSTRUCTION_OVERDUE, "", len(overdue), min(overdue))


def _without_a_pool(book: Book) -> int:
    """Groups that should be in an episode and are in none. All groups are looked at only where parameters of a pool are missing."""
    instruments = [parameters for _, parameters in book.parameters.items()]
    insured = {pool.asset for _, pool in book.pools.items()}
    assets = {parameters.asset for parameters in instruments} | {asset for asset, _ in book.flows.items()}
    if assets <= insured and all(parameters.pool in book.pools for parameters in instruments):
        return 0
    groups = book.groups.rows
    return int(np.count_nonzero((groups["state"] >= GroupState.LIQUIDATABLE) & (groups["in_episode"] == 0) & (groups["watched"] != 0)))
