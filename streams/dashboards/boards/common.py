"""What several boards share: variables, filters, colours of states, ways on.

Ids leave SQL as text, for a browser rounds integers beyond 2^53; so does money in tables, for the data source turns Decimal into a float.
"""

from streams.dashboards.model import Link, Step, Variable

IN_RANGE = "$__timeFilter_ms(event_time)"
# Beyond a minute an interval needs no single mark: the pre-aggregate by minute has what it shows. The other branch reads nothing.
FINE, COARSE = "$__interval_s < 60", "$__interval_s >= 60"
UP_TO_NOW = "event_time <= $__toTime_ms"
OF_POOL = "$__conditionalAll(pool IN (${pool:singlequote}), $pool)"
_CHOSEN = "$__conditionalAll(instrument IN (${instrument:singlequote}), $instrument)"
OF_MARKETS = f"{OF_POOL} AND {_CHOSEN}"  # of rows that name their pool
OF_INSTRUMENT = (
    f"$__conditionalAll(instrument IN (SELECT instrument FROM desk_instruments WHERE pool IN (${{pool:singlequote}})), $pool) AND {_CHOSEN}"
)

_POOLS = "SELECT toString(pool) AS value, concat(toString(pool), ' (', asset_symbol, ')') AS text FROM desk_pools ORDER BY pool"
POOLS = Variable("pool", "Pool", _POOLS, "Insurance pools; their settlement asset in parentheses.")
ONE_POOL = Variable("pool", "Pool", _POOLS, "One insurance pool: its own parameters are the thresholds.", many=False)
INSTRUMENTS = Variable(
    "instrument",
    "Instrument",
    f"SELECT toString(instrument) AS value, symbol AS text FROM desk_instruments WHERE {OF_POOL} ORDER BY symbol",
    "Instruments of the pools chosen.",
)

POOL_STATE = "multiIf(state = 'ADL', 2, state = 'WARNING', 1, 0)"
POOL_STATES = (("0", "normal", "green"), ("1", "warning", "orange"), ("2", "ADL", "red"))
POOL_WORDS = (("NORMAL", "normal", "green"), ("WARNING", "warning", "orange"), ("ADL", "ADL", "red"))
GROUP_WORDS = (
    ("HEALTHY", "healthy", "green"),
    ("WARNING", "warning", "yellow"),
    ("LIQUIDATABLE", "liquidatable", "orange"),
    ("BANKRUPT", "bankrupt", "red"),
    ("SUSPECT", "suspect", "purple"),
)
GRADE_WORDS = (("GOOD", "good", "green"), ("STALE", "stale", "orange"), ("OUTLIER", "outlier", "orange"), ("FROZEN", "frozen", "red"))
ANY_IS_BAD = (Step(None, "green"), Step(1, "red"))

TO_MARKET = Link("market", "Market overview")
TO_LIQUIDATIONS = Link("liquidations", "Liquidations")
TO_FUND = Link("fund", "Insurance fund")
TO_ADL = Link("adl", "ADL")
TO_PIPELINE = Link("pipeline", "Pipeline health")
TO_QUALITY = Link("quality", "Data quality")

BY_SYMBOL = "${__field.labels.symbol}"
