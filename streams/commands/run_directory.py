"""The directory of a run: what is in it, how it is told from any other directory, how an earlier run makes room.

run.json names the run and comes first, MANIFEST closes it and comes last: without one the run was not finished.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streams.bus.manifest import MANIFEST
from streams.errors import CheckFailed, Interrupted, UsageProblem
from streams.notify.names import Unit
from streams.venue.scenarios.registry import NAMES, units_of
from streams.venue.scenarios.scenario import USD

RUN = "run.json"
LOG = "log"
SNAPSHOTS = "snapshots"
CLICKHOUSE = "clickhouse"
REPORT = "report.json"
PAGE = "report.html"
WORKER_LOG = "worker.log"
CONTENTS = (
    MANIFEST,
    MANIFEST + ".unfinished",
    REPORT,
    PAGE,
    PAGE + ".unfinished",
    WORKER_LOG,
    CLICKHOUSE,
    SNAPSHOTS,
    LOG,
    RUN,
)  # in the order of removal: what names the run goes last


@dataclass(frozen=True, slots=True)
class Run:
    """What a run was: enough to replay its log."""

    scenario: str
    seed: int
    accounts: int
    shards: int
    account_partitions: int
    bus: str
    deployment: str
    units: int | None = None  # settlement units shown as one; None: not known, unless the scenario's name says
    currency: str = "USD"  # how that one is called

    @property
    def shown(self) -> dict[int, Unit]:
        """How the run's money is written, by asset; nothing of a recording, which knows no decimals."""
        units = self.units or (units_of(self.scenario) if self.scenario in NAMES else None)
        return {USD: Unit(self.currency, len(str(units)) - 1)} if units else {}


def refuse_finished(directory: Path, *, force: bool) -> None:
    """Raises UsageProblem for a directory that `prepare` would refuse, and for a finished run unless `force` gives it up."""
    if directory.exists() and not directory.is_dir():
        raise UsageProblem(f"--dir {directory} is not a directory: name a new or empty one")
    try:
        if directory.is_dir() and any(directory.iterdir()) and not (directory / RUN).is_file():
            raise UsageProblem(f"--dir {directory} is not empty and holds no Backstop run: name a new or empty directory")
    except OSError as error:
        raise UsageProblem(f"--dir {directory} cannot be read ({error.strerror}): name another directory") from error
    if (directory / MANIFEST).exists() and not force:
        raise UsageProblem(f"--dir {directory} holds a finished run: name another directory, or give that run up with --force")


def prepare(directory: Path, *, force: bool) -> None:
    """Make an empty place for a run; what an interrupted one left is removed. Raises UsageProblem as `refuse_finished` does."""
    refuse_finished(directory, force=force)
    try:
        _clear(directory)
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageProblem(f"--dir {directory} cannot be written ({error.strerror}): name another directory") from error


def _clear(directory: Path) -> None:
    """Remove an earlier run, and nothing that is not part of it."""
    for name in CONTENTS:
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def unfinished(directory: Path) -> Iterator[None]:
    """Says of an interrupt what it leaves: a directory without its MANIFEST, which makes room for the next run without being asked."""
    try:
        yield
    except KeyboardInterrupt:
        if not (directory / RUN).exists() or (directory / MANIFEST).exists():
            raise
        raise Interrupted(f"interrupted: {directory} holds an unfinished run, which is of no use and makes room for the next one") from None


def begin(directory: Path, run: Run) -> None:
    """Name the run. Raises UsageProblem where the directory cannot be written."""
    try:
        (directory / RUN).write_text(json.dumps(asdict(run), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"--dir {directory} cannot be written ({error.strerror}): name another directory") from error


def require(directory: Path, given_as: str = "--dir") -> None:
    """Refuse what is no directory of a run at all: UsageProblem. Damage inside one is for `verify` to find. `given_as`: flag or argument."""
    place = f"{given_as} {directory}"
    if not directory.exists():
        raise UsageProblem(f"{place} does not exist: name the directory of a run, as `backstop demo --dir` left it")
    if not directory.is_dir():
        raise UsageProblem(f"{place} is not a directory: name the directory of a run")
    try:
        empty = not any(directory.iterdir())
    except OSError as error:
        raise UsageProblem(f"{place} cannot be read ({error.strerror})") from error
    if empty:
        raise UsageProblem(f"{place} is empty: name the directory of a run, as `backstop demo --dir` left it")
    if not any((directory / name).exists() for name in (RUN, MANIFEST, LOG)):
        raise UsageProblem(f"{place} holds no Backstop run: name the directory of a run, as `backstop demo --dir` left it")


def read_run(directory: Path) -> Run:
    """What the run was. Raises CheckFailed when run.json is missing or damaged."""
    path = directory / RUN
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        return Run(**content)
    except FileNotFoundError as error:
        raise CheckFailed(f"{path} is missing: the run is incomplete; run the demo again") from error
    except (OSError, ValueError, TypeError) as error:
        raise CheckFailed(f"{path} cannot be read ({type(error).__name__}): it is damaged; restore it or run the demo again") from error
