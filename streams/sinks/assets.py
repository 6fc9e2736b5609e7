"""How amounts of an asset are shown: table `assets`, which the desk's views read. An asset that is not in it is shown in settlement units."""

from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from streams.sinks.tables import DATABASE


@dataclass(frozen=True, slots=True)
class Asset:
    """One of `symbol` is 10 to the power `decimals` settlement units; at most 8 decimals are shown, and at most 19 may be stated."""

    asset: int
    symbol: str
    decimals: int


def name_assets(client: Client, assets: Sequence[Asset], *, database: str = DATABASE) -> None:
    """State these assets; what was said of them before no longer holds. To be called after `migrate`."""
    if not assets:
        return
    rows = [[asset.asset, asset.symbol, asset.decimals] for asset in assets]
    client.insert("assets", rows, column_names=["asset", "symbol", "decimals"], database=database, settings={"async_insert": 0})
