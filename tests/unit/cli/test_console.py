"""Progress is for terminals, and an interrupt waits while what stands on the disk is neither the old nor the new."""

import io
import signal
import time
from typing import Any

import pytest
from rich.console import Console

from streams.commands import console


def shown(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> list[str]:
    """Lines on stderr after a run of two parts."""
    file = io.StringIO()
    real: Any = Console
    monkeypatch.setattr(console, "Console", lambda **given: real(file=file, force_terminal=is_terminal, width=120, **(given | {"stderr": False})))
    with console.progress() as tick:
        tick("reading")
        time.sleep(0.01)
        tick("replaying turns", done=1, of=1_200)
        tick("replaying turns", done=1_200, of=1_200)
    return file.getvalue().splitlines()


def test_each_part_ends_with_a_line_of_how_much_it_did_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(shown(monkeypatch, is_terminal=True))
    assert "reading, 0.0 s" in text
    assert "replaying turns: 1,200 of 1,200, 0.0 s" in text


def test_where_nobody_watches_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, is_terminal=False) == []


def test_an_interrupt_takes_effect_when_the_change_is_whole() -> None:
    done = []

    def change() -> None:
        with console.uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("whole")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        change()
    assert done == ["whole"]
    assert signal.getsignal(signal.SIGINT) is before
