"""What comes and goes many times a second is told as one spell: when it begins, whom it is about, and until when it lasts."""

from collections.abc import Iterable
from typing import Final

QUIET_MS: Final = 10_000  # without another time: the spell is over


class Spell:
    """One spell after the other. Pure: the time is passed in."""

    def __init__(self) -> None:
        self._began_ms = 0
        self._names: dict[str, int] = {}  # whom the spell has been about -> when last

    def add(self, names: Iterable[str], now_ms: int) -> list[str]:
        """It has come again, about these; those of them that this spell had not been about."""
        if not self._under_way(now_ms):
            self._began_ms, self._names = now_ms, {}
        named = list(names)
        new = [name for name in named if name not in self._names]
        self._names |= dict.fromkeys(named, now_ms)
        return new

    def look(self, now_ms: int) -> tuple[int, int] | None:
        """(How many it is about, for how many milliseconds it has lasted), or None when there is none."""
        under_way = self._under_way(now_ms)
        return (len(under_way), now_ms - self._began_ms) if under_way else None

    def _under_way(self, now_ms: int) -> list[str]:
        return [name for name, last_ms in self._names.items() if now_ms - last_ms < QUIET_MS]
