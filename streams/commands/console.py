"""How commands speak: results on stdout, everything else on stderr, progress only where a person watches."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


class Ticker(Protocol):
    """Told what is going on, and how far it has come."""

    def __call__(self, what: str, *, done: int | None = None, of: int | None = None) -> None:
        """Show this."""


def say(text: str) -> None:
    """One line or block of the result."""
    sys.stdout.write(text + "\n")


def emit_json(document: Any) -> None:
    """The result as one JSON document; what is no JSON, such as NaN, is an error of ours."""
    say(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def complain(text: str) -> None:
    """One line on stderr, whatever the text holds."""
    sys.stderr.write("backstop: " + " ".join(text.split()) + "\n")


@contextmanager
def progress() -> Iterator[Ticker]:
    """Progress on stderr while the block runs, and a line for each part that is done with what it took; nothing where stderr is no terminal."""
    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield lambda what, *, done=None, of=None: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task("", total=None, note="")
        part, note, began = "", "", time.monotonic()

        def close() -> None:
            if part:
                bar.console.print(f"{part}{note and ': '}{note}, {time.monotonic() - began:.1f} s")

        def tick(what: str, *, done: int | None = None, of: int | None = None) -> None:
            nonlocal part, note, began
            if what != part:
                close()
                part, began = what, time.monotonic()
                bar.reset(line, total=of, description=what)
            note = "" if done is None else f"{done:,}" if of is None else f"{done:,} of {of:,}"
            bar.update(line, completed=done or 0, total=of, note=note)

        yield tick
        close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An interrupt within takes effect at the end: for the short while in which what stands on the disk is neither the old nor the new."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


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
