"""How much a shard takes at a time: little while it keeps up, much while it is behind, never so much that something urgent waits for long.

Pure: it hears what steps took and says what the next read may ask for. Nothing here changes what is decided.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from streams.bus.contract import Chunk

FULL_READ = 5_000  # records a read asks for at first, and always where steps must be cut the same way every time
READ_BOUNDS = (500, 40_000)
URGENT = frozenset({"marks", "adl-rounds", "insolvencies", "adl-candidates"})  # somebody's position waits for what follows from them
PATIENCE = 5  # a step without anything urgent may take so many times as long: larger steps cost fewer transactions


def is_urgent(chunks: Iterable[Chunk]) -> bool:
    """Whether there is anything among them that should not wait."""
    return any(len(chunk) and chunk.topic in URGENT for chunk in chunks)


@dataclass(slots=True)
class Pace:
    """The size of reads. `target_ms`: of the machine's work in a step with something urgent; None: reads are never resized."""

    target_ms: int | None
    ask_for: int = FULL_READ

    def stepped(self, *, records: int, took_ms: int, urgent: bool) -> None:
        """Half the size after a step that took too long, twice the size after a quick one that was at least half full: the rest may be held back."""
        if self.target_ms is None:
            return
        low, high = READ_BOUNDS
        may_take_ms = self.target_ms if urgent else self.target_ms * PATIENCE
        if took_ms > may_take_ms:
            self.ask_for = max(low, self.ask_for // 2)
        elif records * 2 >= self.ask_for and took_ms * 2 < may_take_ms:
            self.ask_for = min(high, self.ask_for * 2)
