"""Parameters of instruments and pools as a shard takes them over, and what waited for them."""

from typing import Any

from streams.domain.alarms import Alarm
from streams.domain.batch import Outputs
from streams.domain.instruments import Instrument, Pool, parse_instrument, parse_pool
from streams.risk import fund_flows
from streams.risk.book import Book
from streams.risk.marks import Marks


class Parameters:
    """Takes versions of parameters over into the book."""

    def __init__(self, book: Book, marks: Marks) -> None:
        self._book, self._marks = book, marks

    def instrument(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        """Take parameters over. A newer version that is refused halts its instrument: nobody knows in which unit its marks are."""
        parsed, number = parse_instrument(row), row["instrument"]
        known = self._book.parameters.get(number)
        refused = self._book.set_instrument(parsed) if isinstance(parsed, Instrument) else parsed
        if not refused:
            if known is not None and known.pool not in self._book.pools:
                self._marks.resume(number, row["time_us"], out)
            return
        out.refuse("instruments", index, *refused)
        if known is not None and row["version"] > known.version:
            self._book.stand(number, self._book.standing(number).halted())
            out.alarm(Alarm.INSTRUMENT_HALTED, instrument=number, version=row["version"])

    def pool(self, row: dict[str, Any], index: int, out: Outputs) -> None:
        """Take parameters over; with a pool's first, its fund is known and what waited for it goes on."""
        parsed, is_first = parse_pool(row), row["pool"] not in self._book.pools
        refused = self._book.set_pool(parsed) if isinstance(parsed, Pool) else parsed
        if refused:
            out.refuse("pools", index, *refused)
        elif is_first and isinstance(parsed, Pool):
            fund_flows.found(self._book, parsed, row["time_us"], out)
            for number, parameters in self._book.parameters.items():
                if parameters.pool == parsed.pool:
                    self._marks.resume(number, row["time_us"], out)
