"""A mark over 1 M accounts with 2 M positions: every holder revalued, every group of a holder classified. `python -m tests.bench.bench_mark`."""

import sys
import time
from typing import Any

import numba as nb
import numpy as np

from streams.domain.events import PositionSide
from streams.domain.instruments import Instrument
from streams.risk import layout as k
from streams.risk.bands import settle_pending
from streams.risk.book import Book
from streams.risk.rebuild import make_all_pending
from tests.bench.machine import describe_machine
from tests.support.instruments import linear

INSTRUMENTS = 20
MARK = 100_000
_ONE_WAY = int(PositionSide.ONE_WAY)


@nb.njit(cache=False)
def _populate(tables: k.Tables, accounts: int, lots: Any, cost: Any, wallets: Any) -> None:
    """Two positions an account in two of the instruments, opened through the book's own functions."""
    for n in range(accounts):
        account_row = k.add_account(tables, n + 1, n % 8)
        group = k.add_group(tables, account_row, 1, 0, 0)
        k.move_wallet(tables, group, wallets[n])
        for leg in range(2):
            place = 2 * n + leg
            row = k.add_position(tables, account_row, (n * 7 + leg * 3) % INSTRUMENTS, _ONE_WAY, group)
            k.set_position(tables, row, lots[place], cost[place])


def populated(accounts: int) -> Book:
    """A book with this many accounts, nobody near a threshold."""
    book = Book()
    for number in range(1, INSTRUMENTS + 1):
        instrument: Instrument = linear(number)
        assert book.set_instrument(instrument) is None
        book.apply_mark(book.instrument_row(number), MARK)
    rng = np.random.default_rng(1)
    lots = rng.integers(1, 1_000, 2 * accounts) * rng.choice(np.array([-1, 1]), 2 * accounts)
    _populate(book.tables(2 * accounts), accounts, lots, lots * MARK, np.full(accounts, 10**11, np.int64))
    return book


def measure(accounts: int, repeats: int = 30) -> dict[str, float]:
    """Median milliseconds of a mark that crosses nobody, and of evaluating everybody."""
    book = populated(accounts)
    book.apply_mark(0, MARK)
    marks, full = [], []
    for n in range(repeats):
        began = time.perf_counter()
        crossed = book.apply_mark(n % INSTRUMENTS, MARK + 1 + n)
        marks.append(time.perf_counter() - began)
        assert not crossed
    for _ in range(5):
        make_all_pending(book.tables())
        began = time.perf_counter()
        settle_pending(book.tables())
        full.append(time.perf_counter() - began)
    holders = len(book.holders(0))
    return {
        "accounts": accounts,
        "holders_of_the_instrument": holders,
        "mark_ms": sorted(marks)[len(marks) // 2] * 1e3,
        "evaluate_all_ms": min(full) * 1e3,
    }


def main() -> None:
    """Print the figures."""
    out = sys.stdout
    out.write(describe_machine() + "\n")
    for accounts in (10_000, 100_000, 1_000_000):
        figures = measure(accounts)
        out.write(
            f"{accounts:>9,} accounts: a mark over {figures['holders_of_the_instrument']:,} holders {figures['mark_ms']:.3f} ms (median of 30), "
            f"everybody evaluated and banded {figures['evaluate_all_ms']:.1f} ms (best of 5)\n"
        )


if __name__ == "__main__":
    main()
