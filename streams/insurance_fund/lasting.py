"""What of the funds operators must know for as long as it lasts: books that do not add up, and losses that nobody bears."""

from collections.abc import Iterator

from streams.domain.alarms import Alarm, Lasting
from streams.insurance_fund.machine import InsuranceFund


def lasting(fund: InsuranceFund) -> Iterator[Lasting]:
    """Funds whose ledger differs, and by pool the deficits that are owed while nobody has been told to pay."""
    for pool, known in fund.books.funds.items():
        if known.gap:
            yield Lasting(Alarm.FUND_LEDGER_DIFFERS, f"pool {pool}", 1)
    told_us: dict[int, list[int]] = {}
    deficits = fund.deficits
    for episode, deficit in deficits.table.items():
        is_under_way = deficits.instructions.is_open_in(episode) or deficits.is_open_elsewhere(episode)
        if deficits.owed(episode) and not is_under_way:
            told_us.setdefault(deficit.pool, []).append(deficit.told_us)
    for pool, times_us in told_us.items():
        yield Lasting(Alarm.LOSS_UNCOVERED, f"pool {pool}", len(times_us), min(times_us))
