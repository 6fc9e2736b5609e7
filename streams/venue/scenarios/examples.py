"""The walked examples A to E: small whole numbers, a depth that trades at the mark. What happens in them stands in the files beside this one.

A: isolated long, pool too small. B: the same at mark. C: a cross account in three markets. D: hedge mode, netted first.
E: two liquidated positions in one wave, of which the gateway refuses one pair and cuts another.
"""

from functools import cache
from importlib.resources import files

from streams.venue.scenarios.filed import scenario_of
from streams.venue.scenarios.places import Source, parse_source
from streams.venue.scenarios.scenario import Scenario

L, L2, S1, S2, S3, FUND, MAKER = 11, 12, 21, 22, 23, 31, 41  # the accounts of all of them
NAMES = ("example-a", "example-b", "example-c", "example-d", "example-e")
FILES = files("streams.venue.scenarios") / "files"


@cache
def source(name: str) -> Source:
    """The file of an example."""
    return parse_source(name, (FILES / f"{name}.toml").read_bytes(), is_json=False)


def example(name: str, account_partitions: int) -> Scenario:
    """The example of that name."""
    return scenario_of(source(name), name, account_partitions)


def example_a(account_partitions: int) -> Scenario:
    """Isolated long of 10 at 100 with margin 100, fund cash 5, mark falls to 88: the fund takes 2, ADL the other 8 at the bankruptcy quote."""
    return example("example-a", account_partitions)


def example_c(account_partitions: int) -> Scenario:
    """A cross account with three positions; each closes at its value less equity x its share of maintenance; the wallet ends at zero."""
    return example("example-c", account_partitions)


def example_d(account_partitions: int) -> Scenario:
    """Hedge mode: long 10 and short 6 in one instrument are netted 6 against 6 first, so ADL touches 4 lots."""
    return example("example-d", account_partitions)


def example_e(account_partitions: int) -> Scenario:
    """Two isolated longs bankrupt at one mark share a wave; what the gateway leaves undone is taken up at the next mark."""
    return example("example-e", account_partitions)
