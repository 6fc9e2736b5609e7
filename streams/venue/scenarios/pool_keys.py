"""The keys of a pool in a scenario file, derived from the pool's parameters: each can be given, and what is not given has a default.

A parameter in millionths is given as a share and one in microseconds as a duration, both without the suffix of the unit: `warning_ratio = "150 %"`.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from enum import IntEnum
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from streams.domain.events import PriceRule, RankPolicy
from streams.domain.instruments import Pool
from streams.venue.scenarios.units import Number, duration_us, share_ppm

E = TypeVar("E", bound=IntEnum)
_OURS = ("pool", "version", "asset", "fund_account")  # numbers, which names stand for in a file
_MONEY = ("_value", "_cap", "_floor", "_amount", "_quote")
_DEFAULTS: dict[str, Any] = {
    "policy_id": RankPolicy.BINANCE,
    "price_rule": PriceRule.BANKRUPTCY,
    "net_notional_cap": None,
    "warning_ratio_ppm": 1_500_000,
    "instruction_valid_us": 5_000_000,
}


def key_of(parameter: str) -> str:
    """How a parameter is called in a file."""
    return parameter.removesuffix("_ppm").removesuffix("_us").removesuffix("_id")


PARAMETERS: dict[str, Field[Any]] = {key_of(f.name): f for f in fields(Pool) if f.name not in _OURS}  # by key
_HINTS = get_type_hints(Pool)


def value_of(key: str, given: Any, money: Callable[[Number], int]) -> Any:
    """A given value as the parameter holds it. Raises ValueError with what to do."""
    name = PARAMETERS[key].name
    kinds = [kind for kind in get_args(_HINTS[name]) or (_HINTS[name],) if kind is not NoneType]
    if isinstance(kinds[0], type) and issubclass(kinds[0], IntEnum):
        return symbol_of(kinds[0], given)
    if kinds[0] is bool:
        if not isinstance(given, bool):
            raise ValueError(f"{given!r} is neither true nor false; write one of them")
        return given
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError("a number is wanted; correct it")
    if name.endswith("_ppm"):
        return share_ppm(given)
    if name.endswith("_us"):
        return duration_us(given)
    if name.endswith(_MONEY):
        return money(given)
    if not isinstance(given, int):
        raise ValueError(f"{given!r} is not a whole number; round it")
    return given


def default_of(key: str, unit: int, fund: int) -> Any:
    """The value of a parameter that is not given. `unit`: one of the currency; `fund`: the fund's money at the start; settlement units.

    As in the shipped markets adl begins at a tenth of the opening fund and ends at a half of it.
    """
    parameter = PARAMETERS[key]
    if parameter.default is not MISSING:
        return parameter.default
    moving = {"score_wallet_floor": unit, "adl_start_value": fund // 10, "adl_stop_value": max(fund // 2, fund // 10 + 1)}
    if parameter.name in moving:
        return moving[parameter.name]
    return _DEFAULTS[parameter.name]


def symbol_of(kind: type[E], given: Any) -> E:
    """The symbol of that name. Raises ValueError with those that there are."""
    symbols = {symbol.name: symbol for symbol in kind if symbol.name != "UNKNOWN"}
    if not isinstance(given, str) or given not in symbols:
        raise ValueError(f"{given!r} is not known; known are {', '.join(symbols)}")
    return symbols[given]
