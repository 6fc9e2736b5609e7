"""What an episode of a solvency group is called: a bare episode number would collide between the groups of one account."""

from streams.domain.events import MarginMode
from streams.domain.ids import identity


def episode_id(*, account: int, asset: int, group_instrument: int | None, group_side: int | None, episode: int) -> int:
    """Id of an episode: 63 bits over its solvency group (cross: instrument and side are None) and its number in that group."""
    return identity("episode", account, asset, group_instrument, None if group_side is None else int(group_side), episode)


def group_fields(instrument: int, side: int) -> dict[str, int | None]:
    """An isolated group's position as the streams name it; 0 and 0, a cross group's, are null."""
    return {"group_instrument": instrument or None, "group_side": side or None}


def margin_mode(group_instrument: int | None) -> MarginMode:
    """What carries a group: its one isolated position's bucket, or the cross wallet (no instrument)."""
    return MarginMode.ISOLATED if group_instrument else MarginMode.CROSS
