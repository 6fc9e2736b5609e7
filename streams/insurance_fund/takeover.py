"""How many lots of an insolvent position the fund takes over: the most whose loss fits its value and whose notional fits the cap."""


def lots_within_cap(*, lots: int, sign: int, held_lots: int, lot_value: int, notional_elsewhere: int, cap: int) -> int:
    """The most lots of direction `sign` after which the fund's absolute inventory at mark fits the cap; settlement units.

    A takeover that does not enlarge the inventory of its instrument always fits, so fitting is monotone: with k lots also any fewer.
    Source: Binance, "Insurance Fund": the fund has a maximum net notional position; excess goes to counterparty liquidation.
    """
    limit = max((cap - notional_elsewhere) // lot_value, abs(held_lots))
    return max(0, min(lots, limit - sign * held_lots))


def bearable_lots(*, lots: int, quote: int, value: int, most: int, fund_value: int) -> int:
    """The most of `lots`, up to `most`, whose loss fits the fund's value; a gain always does.

    The loss of k lots is their quote less their value at mark, floor(quote x k / lots) - value x k / lots. Value divides exactly, so it is
    floor(k x (quote - value) / lots): monotone in k, and k fits as long as k x loss < (fund value + 1) x lots.
    """
    loss = quote - value
    if loss <= 0 or loss * most // lots <= fund_value:
        return most
    if fund_value < 0:
        return 0
    return min(most, ((fund_value + 1) * lots - 1) // loss)


def lots_within_bounds(*, lots: int, sign: int, held_lots: int, max_lots: int) -> int:
    """The most lots of direction `sign` after which the fund's position is within the bound of its instrument."""
    return max(0, min(lots, max_lots - sign * held_lots))


def closing_lots(*, lots: int, sign: int, held_lots: int) -> int:
    """How many of the lots only shrink what the fund holds."""
    return max(0, min(lots, -sign * held_lots))


def lots_within_quote(*, lots: int, quote: int, most: int) -> int:
    """The most of the first lots of a position whose part of its quote, floor(quote x k / lots), lies within `most` of either sign.

    Monotone in k: q x k < (most + 1) x lots where q is not negative, and -q x k <= most x lots where it is, because a negative quotient is
    rounded away from zero.
    """
    if most < 0:
        return 0
    if quote > 0:
        return min(lots, ((most + 1) * lots - 1) // quote)
    return min(lots, most * lots // -quote) if quote else lots
