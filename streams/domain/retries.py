"""How long what was refused waits: nobody was asked, so it is sent again, later each time."""

from typing import Final

DOUBLINGS_MAX: Final = 10  # a pause grows at most a thousandfold


def pause_after(refusals: int, first_us: int) -> int:
    """The pause after so many refusals in a row, the first of which waits `first_us`; microseconds. It doubles each time; 0 after none."""
    return first_us << min(refusals - 1, DOUBLINGS_MAX) if refusals else 0
