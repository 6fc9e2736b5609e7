"""Pictures of a run's page for the documentation: `python -m tests.support.pictures DIR` after `backstop demo --dir DIR`."""

import sys
import tempfile
from pathlib import Path

from tests.support.browser import chromium, opened

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# name, width, dark, what is at the top, how high
SHOTS = (
    ("head", 1280, False, "header", 560),
    ("timeline", 1280, False, "#timeline", 920),
    ("timeline-dark", 1280, True, "#timeline", 920),
    ("waves", 1280, False, "#waves", 1_250),
    ("policies", 1280, False, "#policies", 760),
    ("telephone", 390, False, "header", 1_600),
)


def main(directory: Path) -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        for name, width, dark, top, height in SHOTS:
            page = opened(browser, directory / "report.html", width, dark=dark)
            start = page.evaluate(f"Math.floor(document.querySelector('{top}').getBoundingClientRect().top + window.scrollY)")
            page.picture(IMAGES / f"report-{name}.png", top=start, height=height)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
