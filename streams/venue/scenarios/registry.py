"""All scenarios by name."""

from collections.abc import Callable

from streams.errors import UsageProblem
from streams.venue.scenarios import calm, cascade, examples, oct10
from streams.venue.scenarios.scenario import Scenario

_EXAMPLES: dict[str, Callable[[int], Scenario]] = {
    "example-a": examples.example_a,
    "example-b": examples.example_b,
    "example-c": examples.example_c,
    "example-d": examples.example_d,
    "example-e": examples.example_e,
}
_SEEDED: dict[str, tuple[Callable[[int, int, int], Scenario], int]] = {
    "calm": (calm.calm, calm.DEFAULT_ACCOUNTS),
    "cascade": (cascade.cascade, cascade.DEFAULT_ACCOUNTS),
    "oct-10-2025": (oct10.oct10, oct10.DEFAULT_ACCOUNTS),
}
NAMES = (*_EXAMPLES, *_SEEDED)
MIN_ACCOUNTS, MAX_ACCOUNTS = 10, 20_000


def build(name: str, accounts: int | None = None, seed: int = 0, account_partitions: int = 6) -> Scenario:
    """The scenario of that name. `accounts`: how many users (None: the scenario's default); the examples have their own few and ignore it.

    Raises UsageProblem for an unknown name or an impossible number.
    """
    if account_partitions < 1:
        raise UsageProblem(f"{account_partitions} account partitions are impossible; give 1 or more")
    if name in _EXAMPLES:
        return _EXAMPLES[name](account_partitions)
    if name not in _SEEDED:
        raise UsageProblem(f"there is no scenario {name!r}; there are: {', '.join(NAMES)}")
    make, default = _SEEDED[name]
    count = default if accounts is None else accounts
    if not MIN_ACCOUNTS <= count <= MAX_ACCOUNTS:
        raise UsageProblem(f"scenario {name} takes {MIN_ACCOUNTS} to {MAX_ACCOUNTS} accounts, not {count}; correct the number of accounts")
    return make(count, seed, account_partitions)
