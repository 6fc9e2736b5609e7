"""How commands speak: results on stdout, everything else on stderr, progress only where a person watches."""

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

T = TypeVar("T")


class Ticker(Protocol):
    """Told what is going on, and how far it has come."""

    def __call__(self, what: str, *, done: int | None = None, of: int | None = None) -> None:
        """Show this."""


def say(text: str) -> None:
    """One line or block of the result."""
    sys.stdout.write(text + "\n")


def emit_json(document: Any) -> None:
    """The result as one JSON document."""
    say(json.dumps(document, indent=2, ensure_ascii=False))


def complain(text: str) -> None:
    """One line on stderr, whatever the text holds."""
    sys.stderr.write("backstop: " + " ".join(text.split()) + "\n")


@contextmanager
def progress() -> Iterator[Ticker]:
    """A progress line on stderr while the block runs; nothing at all where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=None, note="")

        def tick(what: str, *, done: int | None = None, of: int | None = None) -> None:
            note = "" if done is None else f"{done:,}" if of is None else f"{done:,} of {of:,}"
            bar.update(line, description=what, completed=done or 0, total=of, note=note)

        yield tick


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. An interrupt takes effect at once, even while nothing in `work` ever waits, as on the memory bus."""

    async def interruptible() -> T:
        before = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the event loop's own handler acts only at the next wait
        try:
            return await work
        finally:
            signal.signal(signal.SIGINT, before)

    return asyncio.run(interruptible())
