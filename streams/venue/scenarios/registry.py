"""All scenarios by name, and those from files of one's own."""

from collections.abc import Callable
from pathlib import Path

from streams.errors import UsageProblem
from streams.venue.scenarios import calm, cascade, examples, filed, oct10
from streams.venue.scenarios.places import FORMATS
from streams.venue.scenarios.scenario import UNITS_PER_USD, Scenario

_SEEDED: dict[str, tuple[Callable[[int, int, int], Scenario], int]] = {
    "calm": (calm.calm, calm.DEFAULT_ACCOUNTS),
    "cascade": (cascade.cascade, cascade.DEFAULT_ACCOUNTS),
    "oct-10-2025": (oct10.oct10, oct10.DEFAULT_ACCOUNTS),
}
NAMES = (*examples.NAMES, *_SEEDED)
MIN_ACCOUNTS, MAX_ACCOUNTS = 10, 20_000


def build(name: str, accounts: int | None = None, seed: int = 0, account_partitions: int = 6) -> Scenario:
    """The scenario of that name, or that in the file of that name. A name of ours goes before a file.

    `accounts`: how many users (None: the scenario's default); the examples and files have their own few and ignore it.
    Raises UsageProblem for an unknown name, an impossible number, or a mistake in the file.
    """
    if account_partitions < 1:
        raise UsageProblem(f"{account_partitions} account partitions are impossible; give 1 or more")
    if name in examples.NAMES:
        return examples.example(name, account_partitions)
    if name not in _SEEDED:
        return filed.load(_file(name), account_partitions)
    make, default = _SEEDED[name]
    count = default if accounts is None else accounts
    if not MIN_ACCOUNTS <= count <= MAX_ACCOUNTS:
        raise UsageProblem(f"--accounts {count}: scenario {name} takes {MIN_ACCOUNTS:,} to {MAX_ACCOUNTS:,}")
    return make(count, seed, account_partitions)


def draws(name: str) -> bool:
    """Whether a scenario draws its accounts by seed, as many as are wanted. An unknown name: True, for it is refused by itself."""
    return name in _SEEDED or not (name in examples.NAMES or Path(name).is_file())


def _file(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix.lower() in FORMATS:
        raise UsageProblem(f"--scenario {name}: there is no such file; name one that exists, or one of {', '.join(NAMES)}")
    raise UsageProblem(f"--scenario {name}: there is no such scenario; there are {', '.join(NAMES)}; or name a .toml or .json file of your own")


def units_of(name: str) -> int:
    """Settlement units that a scenario of ours shows as one."""
    return examples.example(name, 1).units if name in examples.NAMES else UNITS_PER_USD
