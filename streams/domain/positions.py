"""What a fill does to a position kept as (lots, cost): exact, whatever its size and direction."""

from streams.domain.money import div_ceil, quote_part_floor


def fill_effect(lots: int, cost: int, change: int, quote: int) -> tuple[int, int, int]:
    """(cash into the wallet, lots after, cost after) of a fill of signed `change` lots at signed `quote` on a position.

    A closing fill releases cost x part, rounded towards +infinity (against the account), and the released cost meets the quote in the wallet.
    A fill through zero closes with its first lots, then opens with the rest; the quote is parted by lots, rounded down.
    """
    if lots == 0 or (lots > 0) == (change > 0):
        return 0, lots + change, cost + quote
    closing = min(abs(lots), abs(change))
    closing_quote = quote_part_floor(quote, closing, abs(change))
    released = div_ceil(cost * closing, abs(lots))
    opened = abs(change) - closing
    cash = -closing_quote - released
    if opened:
        return cash, (opened if change > 0 else -opened), quote - closing_quote
    return cash, lots + (closing if change > 0 else -closing), cost - released
