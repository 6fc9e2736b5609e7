"""Bankruptcy quotes: at which quote a position must be closed so that its group ends with nothing left and nothing owed.

Decided here: the apportioning of a group's equity, negative or positive, to its positions by maintenance, and its rounding.
"""

from collections.abc import Sequence

from streams.domain.money import div_ceil


def bankruptcy_quote(value: int, equity: int, maintenance: int, group_maintenance: int) -> int:
    """Signed value - `equity` x `maintenance` / `group_maintenance`, rounded towards +infinity; settlement units.

    The quote has the sign convention of a position's cost: positive for what a long is sold for, negative for what a short is bought back for;
    it may change sign. Without any maintenance in the group the position has no share and the quote is its value.
    Source: dYdX v4, GetBankruptcyPriceInQuoteQuantums (-DNNV - TNC x |DMMR| / TMMR).
    """
    if group_maintenance == 0:
        return value
    return div_ceil(value * group_maintenance - equity * maintenance, group_maintenance)


def bankruptcy_quotes(values: Sequence[int], equity: int, maintenances: Sequence[int]) -> list[int]:
    """Bankruptcy quotes of all positions of a group, given in position-key order; they add up to sum(values) - `equity` exactly.

    The last position takes what rounding leaves over, and the whole equity if there is no maintenance to share it by.
    """
    if not values:
        return []
    group_maintenance = sum(maintenances)
    quotes = [bankruptcy_quote(value, equity, maintenance, group_maintenance) for value, maintenance in zip(values, maintenances, strict=True)]
    quotes[-1] = sum(values) - equity - sum(quotes[:-1])
    return quotes
