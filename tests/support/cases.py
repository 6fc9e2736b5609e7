"""A small case played through the whole pipeline: accounts by name, marks, a market; what is left in cash and positions at the end.

It is built as a scenario file is, so prices, sizes and money are decimal texts. Cash is a group's wallet less the cost of what it holds open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from streams.venue.book import cross
from streams.venue.scenarios.filed import scenario_of
from streams.venue.scenarios.places import Source
from tests.support.pipeline import PARTITIONS, Ran, run

Holdings = Mapping[str, tuple[str, Sequence[Sequence[str]]]]  # name -> (cash in USD, [(symbol, size)])
REST, FUND, MARKET = "rest", "fund", "market"  # holds what the others leave open, and is nobody's counterparty; the fund; the maker
OUT_OF_REACH = 1_000_000_000
MARKS = 6  # the same ones so often, so that everything can be finished


@dataclass
class Played:
    """A case that is over."""

    ran: Ran
    opened: dict[tuple[str, str], Decimal]

    def number(self, name: str) -> int:
        """The account's number."""
        wording = self.ran.exchange.scenario.wording
        assert wording is not None
        return {told: number for number, told in wording.accounts.items()}[name]

    def cash(self, name: str) -> Fraction:
        """Cash of the account's cross group; USD."""
        return Fraction(self.ran.exchange.book.cash[cross(self.number(name))], 1_000_000)

    def size(self, name: str, symbol: str) -> Fraction:
        """What the account holds in the end."""
        scenario = self.ran.exchange.scenario
        assert scenario.wording is not None
        instrument = {told: number for number, told in scenario.symbols.items()}[symbol]
        return self.ran.exchange.book.lots.get((self.number(name), instrument, 1), 0) * scenario.wording.lots[instrument]

    def closed(self, name: str, symbol: str) -> Fraction:
        """How much of the account's position is gone."""
        return abs(Fraction(self.opened[name, symbol]) - self.size(name, symbol))

    def states(self, name: str) -> list[int]:
        """States that the account's groups entered."""
        return list(self.ran.rows("account-states", "state", account=self.number(name)))


def play(
    accounts: Holdings,
    prices: Mapping[str, object],
    *,
    rate_ppm: int = 100_000,
    fund_usd: str = "0",
    lot: str = "0.0001",
    book: Sequence[Sequence[object]] = (),
    pool: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] | None = None,
) -> Played:
    """Play it; the first account is the one in trouble.

    `book`: one (size, price) that the market takes, at the mark. `pool`: parameters besides those that keep the fund's states away.
    """
    opened = {(name, symbol): Decimal(size) for name, (_, held) in accounts.items() for symbol, size in held}
    everybody = [
        _account(name, Decimal(cash), [(s, Decimal(size)) for s, size in held], prices, is_winner=place > 0)
        for place, (name, (cash, held)) in enumerate(accounts.items())
    ]
    symbols = list(prices)
    left = [(s, -sum((size for (_, symbol), size in opened.items() if symbol == s), Decimal(0))) for s in symbols]
    document = {
        "instruments": [_instrument(s, rate_ppm, lot, book) for s in symbols],
        "pools": [
            {"fund": FUND, "policy": "BITMEX", "adl_start_value": -OUT_OF_REACH, "adl_stop_value": OUT_OF_REACH, "warning_ratio": 0, **(pool or {})}
        ],
        "accounts": [
            *everybody,
            _account(REST, Decimal(OUT_OF_REACH), [(s, size) for s, size in left if size], prices) | {"role": "FEES"},
            {"name": FUND, "role": "FUND", "wallet": fund_usd},
            {"name": MARKET, "role": "MAKER", "wallet": OUT_OF_REACH},
        ],
        "events": list(events) if events is not None else [{"at": n + 1, "marks": {s: str(p) for s, p in prices.items()}} for n in range(MARKS)],
    }
    return Played(run(scenario_of(Source("case", document, {}), "case", PARTITIONS)), opened)


def _account(
    name: str, cash: Decimal, held: Sequence[tuple[str, Decimal]], prices: Mapping[str, object], *, is_winner: bool = False
) -> dict[str, Any]:  # fmt: skip
    """The wallet is the cash and what the positions cost. They were entered at the price; those of winners half of it better."""
    entries = [Decimal(str(prices[s])) * (Decimal(1) if not is_winner else Decimal("0.5") if size > 0 else Decimal("1.5")) for s, size in held]
    cost = sum((size * entry for (_, size), entry in zip(held, entries, strict=True)), Decimal(0))
    positions = [{"instrument": s, "size": str(size), "entry": str(entry)} for (s, size), entry in zip(held, entries, strict=True)]
    return {"name": name, "wallet": str(cash + cost), "positions": positions}


def _instrument(symbol: str, rate_ppm: int, lot: str, book: Sequence[Sequence[object]]) -> dict[str, Any]:
    depth = {"depth": {"maker": MARKET, "size": str(book[0][0])}} if book else {}
    rate = f"{Decimal(rate_ppm) / 10_000} %"
    return {"symbol": symbol, "tick": 1, "lot": lot, "max_price": 1_000_000, "max_position": 4_000, "maintenance": [{"rate": rate}], **depth}
