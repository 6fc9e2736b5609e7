"""The boards, one file each, and the order in which they are listed."""

from streams.dashboards.boards.account import ACCOUNT
from streams.dashboards.boards.adl import ADL
from streams.dashboards.boards.fund import FUND
from streams.dashboards.boards.liquidations import LIQUIDATIONS
from streams.dashboards.boards.market import MARKET
from streams.dashboards.boards.pipeline import PIPELINE
from streams.dashboards.boards.quality import QUALITY

BOARDS = (MARKET, LIQUIDATIONS, FUND, ADL, ACCOUNT, PIPELINE, QUALITY)
