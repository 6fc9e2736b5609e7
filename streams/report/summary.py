"""What comes first: whether the run is sound, what it came to in eight figures, each check, each digest."""

from collections.abc import Sequence

from streams.domain.events import AdlState
from streams.notify.names import counted
from streams.report.markup import Content, Markup, joined, tag
from streams.report.model import Check, Report
from streams.report.tables import amount, name, table, words
from streams.report.writing import ABSENT, clock, money

NONE = "none"
EXECUTIONS = ("adl-executions",)
VERDICTS = {True: ("✓ holds", "holds"), False: ("✗ fails", "fails"), None: ("not looked at", "")}


def verdict(report: Report) -> Markup:
    """One line: sound, or the checks that fail."""
    failed = [check.name for check in report.origin.checks if check.holds is False]
    open_ = [check.name for check in report.origin.checks if check.holds is None]
    if failed:
        head, rest = f"✗ {len(failed)} of {counted(len(report.origin.checks), 'check')} fail{'s' if len(failed) == 1 else ''}", "; ".join(failed)
    elif report.origin.is_sound is None:
        head, rest = "Nothing could be looked at", "; ".join(open_)
    else:
        held = len(report.origin.checks) - len(open_)
        head = f"✓ {counted(held, 'check')} hold{'s' if held == 1 else ''}"
        rest = f"not looked at here: {'; '.join(open_)}" if open_ else "nothing leaked"
    return tag("p", tag("b", head), tag("span", rest), class_="verdict" if report.origin.is_sound else "verdict broken")


Tile = tuple[str, tuple[str, ...], Content, str]  # heading, streams it is told from, figure, words under it


def tiles(report: Report) -> Markup:
    """Eight figures; a dash where the streams they are told from are not in the log."""
    told = (*_trading_tiles(report), *_fund_tiles(report), _records_tile(report))
    shown = [(head, *_known(report, needs, figure, under)) for head, needs, figure, under in told]
    return tag(
        "dl",
        *(tag("div", tag("dt", head), tag("dd", figure), tag("dd", under, class_="under"), class_="tile") for head, figure, under in shown),
        class_="tiles",
    )


def _known(report: Report, needs: Sequence[str], figure: Content, under: str) -> tuple[Content, str]:
    absent = [stream for stream in needs if stream not in report.counts]
    return (ABSENT, f"not in this log: {', '.join(absent)}") if absent else (figure, under)


def _trading_tiles(report: Report) -> tuple[Tile, ...]:
    waves, hits = report.waves, report.hits
    given, gained = ([(hit.asset, getattr(hit, side)) for hit in hits] for side in ("gave_up", "gained"))
    taken, needed = (sum(wave.row[field] for wave in waves) for field in ("lots_taken", "lots_needed"))
    accounts = len({hit.account for hit in hits})
    traded = [(kind.asset, kind.notional) for kind in report.kinds]
    fills = f"{counted(len(report.tape), 'fill')}, each counted once" if report.tape else "nobody was forced to trade"
    nobody = "nobody was deleveraged"
    return (
        ("Forced trading", ("fills",), _by_asset(report, traded), fills),
        ("Given up by the deleveraged", EXECUTIONS, _by_asset(report, given), f"gained by others: {_texts(report, gained)}" if hits else nobody),
        (
            "Accounts deleveraged",
            EXECUTIONS,
            f"{accounts:,}" if hits else NONE,
            f"in {counted(len(report.executions), 'execution')}" if hits else nobody,
        ),
        ("Waves", ("adl-waves",), f"{len(waves):,}" if waves else NONE, f"{taken:,} of {needed:,} lots taken" if waves else nobody),
    )


def _fund_tiles(report: Report) -> tuple[Tile, ...]:
    worst = sorted(report.funds, key=lambda fund: -report.market.unit(fund.asset).rough(fund.deepest.drawdown))[:1]
    entered = [span for fund in report.funds for span in fund.spans if span.state == AdlState.ADL]
    opening, closing = ([(fund.asset, getattr(fund, end)) for fund in report.funds] for end in ("opening", "closing"))
    which = "" if len(report.funds) < 2 else f", pool {worst[0].pool}"
    deepest = [(fund.asset, fund.deepest.drawdown) for fund in worst]
    no_fund = "nothing was said of a fund"
    return (
        ("Fund at last", ("pools", "fund-ledger"), _by_asset(report, closing), f"at first {_texts(report, opening)}" if opening else no_fund),
        ("Deepest drawdown", ("pools", "fund-ledger"), _by_asset(report, deepest), f"from the peak of 8 hours{which}" if worst else no_fund),
        (
            "ADL entered", ("pools", "pool-states"), counted(len(entered), "time") if entered else "never",
            f"first at {clock(min(span.start_us for span in entered))}" if entered else "",
        ),
    )  # fmt: skip


def _records_tile(report: Report) -> Tile:
    return "Records", (), f"{sum(report.counts.values()):,}", f"in {sum(count > 0 for count in report.counts.values())} streams"


def _by_asset(report: Report, amounts: Sequence[tuple[int, int]]) -> Markup:
    """Sums by asset; "none" where there is nothing to sum."""
    sums: dict[int, int] = {}
    for asset, units in amounts:
        sums[asset] = sums.get(asset, 0) + units
    shown = [amount(report.market.unit(asset), units, symbol=True) for asset, units in sums.items()]
    return joined(*(part for n, one in enumerate(shown) for part in ((tag("br"), one) if n else (one,)))) if shown else joined(NONE)


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
