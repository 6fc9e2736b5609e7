"""What comes first: whether the run is sound, what it came to in eight figures, each check, each digest."""

from collections.abc import Sequence

from streams.domain.events import AdlState
from streams.notify.names import counted
from streams.report.markup import Content, Markup, joined, tag
from streams.report.model import Check, Report
from streams.report.tables import amount, name, table, words
from streams.report.writing import clock, money

VERDICTS = {True: ("✓ holds", "holds"), False: ("✗ fails", "fails"), None: ("not looked at", "")}


def verdict(report: Report) -> Markup:
    """One line: sound, or the checks that fail."""
    failed = [check.name for check in report.origin.checks if check.holds is False]
    open_ = [check.name for check in report.origin.checks if check.holds is None]
    if failed:
        head, rest = f"✗ {len(failed)} of {counted(len(report.origin.checks), 'check')} fail{'s' if len(failed) == 1 else ''}", "; ".join(failed)
    else:
        held = len(report.origin.checks) - len(open_)
        head = f"✓ {counted(held, 'check')} hold{'s' if held == 1 else ''}"
        rest = f"not looked at here: {'; '.join(open_)}" if open_ else "nothing leaked"
    return tag("p", tag("b", head), tag("span", rest), class_="verdict" if report.origin.is_sound else "verdict broken")


def tiles(report: Report) -> Markup:
    """Eight figures."""
    waves, hits = report.waves, report.hits
    given, gained = ([(hit.asset, getattr(hit, side)) for hit in hits] for side in ("gave_up", "gained"))
    worst = sorted(report.funds, key=lambda fund: -report.market.unit(fund.asset).rough(fund.deepest.drawdown))[:1]
    deepest = [(fund.asset, fund.deepest.drawdown) for fund in worst]
    traded = [(kind.asset, kind.notional) for kind in report.kinds]
    opening = [(fund.asset, fund.opening) for fund in report.funds]
    taken, needed = (sum(wave.row[field] for wave in waves) for field in ("lots_taken", "lots_needed"))
    entered = [span for fund in report.funds for span in fund.spans if span.state == AdlState.ADL]
    first = min((span.start_us for span in entered), default=None)
    told: Sequence[tuple[str, Content, str]] = (
        (
            "Forced trading",
            _by_asset(report, traded),
            f"{counted(len(report.tape), 'fill')}, each counted once",
        ),
        ("Given up by the deleveraged", _by_asset(report, given), f"others of them gained {_texts(report, gained)}"),
        ("Accounts deleveraged", f"{len({hit.account for hit in hits}):,}", f"in {counted(len(report.executions), 'execution')}"),
        ("Waves", f"{len(waves):,}", f"{taken:,} of {needed:,} lots taken"),
        ("Fund at last", _by_asset(report, [(fund.asset, fund.closing) for fund in report.funds]), f"at first {_texts(report, opening)}"),
        ("Deepest drawdown", _by_asset(report, deepest), "from the peak of 8 hours" + ("" if len(report.funds) < 2 else f", pool {worst[0].pool}")),
        ("ADL entered", counted(len(entered), "time"), "never" if first is None else f"first at {clock(first)}"),
        ("Records", f"{sum(report.counts.values()):,}", f"in {sum(count > 0 for count in report.counts.values())} streams"),
    )
    return tag(
        "dl",
        *(tag("div", tag("dt", head), tag("dd", figure), tag("dd", under, class_="under"), class_="tile") for head, figure, under in told),
        class_="tiles",
    )


def _by_asset(report: Report, amounts: Sequence[tuple[int, int]]) -> Markup:
    """Sums by asset; a plain 0 where there is nothing."""
    sums: dict[int, int] = {}
    for asset, units in amounts:
        sums[asset] = sums.get(asset, 0) + units
    shown = [amount(report.market.unit(asset), units, symbol=True) for asset, units in sums.items()]
    return joined(*(part for n, one in enumerate(shown) for part in ((tag("br"), one) if n else (one,)))) if shown else joined("0")


def _texts(report: Report, amounts: Sequence[tuple[int, int]]) -> str:
    return ", ".join(money(report.market.unit(asset), units) for asset, units in amounts) or "nothing"


def checks(report: Report) -> Markup:
    """Each check, and each digest."""
    rows = [[check.name, _verdict(check), check.found] for check in report.origin.checks]
    digests = [[of, digest] for of, digest in report.origin.digests.items()]
    return tag(
        "div",
        table("Checks", [name("Check"), words("Verdict"), words("Found", "wrap")], rows),
        table("Digests of the log (SHA-256)", [name("Of"), words("Digest", "hash")], digests),
        class_="two",
    )


def _verdict(check: Check) -> Markup:
    label, class_ = VERDICTS[check.holds]
    return tag("span", label, class_=class_ or None)
