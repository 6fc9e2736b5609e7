"""The vectors of tests/golden/vectors.json: numbers of other projects' tests, as they print them, never through binary floats."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "golden" / "vectors.json"
_GROUPS = json.loads(FILE.read_text(encoding="utf-8"), parse_float=Decimal)["groups"]
VECTORS: dict[str, dict[str, Any]] = {vector["id"]: vector for group in _GROUPS for vector in group["vectors"]}


def named(*prefixes: str) -> list[str]:
    """Ids of the vectors whose name begins so, in the order of the file."""
    return [name for name in VECTORS if name.startswith(prefixes)]


BANKRUPTCIES = named("dydx-bankr-")
FUND_DELTAS = named("dydx-fund-long-")
MAINTENANCES = named("dydx-mm-")
ROWS = ["delta-linear-bankruptcy-sample", "phemex-cross-liquidation-sample"]
LIQUIDATABLE = named("dydx-liq-flat", "dydx-liq-at", "dydx-liq-below")
CAN_BEAR = named("dydx-fund-can-bear-")
CAN_ADL = [name for name in named("dydx-can-adl-") if not name.endswith("final-settlement")]
OFFSETS = named("dydx-offset-", "dydx-pair-")
ROOM = "dydx-rule-overlap-solvent-counterparty"
ORDERS = named("dydx-liq-fully", "dydx-liq-partial", "dydx-liq-unfilled")
PLAYED = [*LIQUIDATABLE, *CAN_BEAR, *CAN_ADL, *OFFSETS, ROOM, *ORDERS, "vega-network-nets-long-then-short", "drift-isolated-bankrupt-cross-not"]
