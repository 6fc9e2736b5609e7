"""SQL as Grafana's ClickHouse data source 4.20 sends it: variables and `$__conditionalAll` as its page does, then macros as its backend does.

Where the data source's behaviour is not documented (a macro inside quotes, a comment, a statement macro) this refuses rather than guesses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ALL = "$__all"
QUOTED = re.compile(r"'(?:\\.|''|[^'\\])*'|\"[^\"]*\"|`[^`]*`")
COMMENT = re.compile(r"--|/\*|#!")
MACRO = re.compile(r"\$__([A-Za-z0-9_]+)")
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)")
STATEMENT_MACROS = {"columns", "rateColumns", "perSecondColumns", "increaseColumns", "lttb"}
DURATION = re.compile(r"(\d+)(ms|s|m|h)")
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


class Unexpandable(Exception):
    """The data source would refuse this, or nobody knows what it would do."""


@dataclass(frozen=True, slots=True)
class View:
    """What a panel is looked at with: time range and the interval that fits its width."""

    start: datetime
    stop: datetime
    interval: timedelta = timedelta(seconds=1)

    @property
    def interval_s(self) -> int:
        return int(max(self.interval.total_seconds(), 1))

    @property
    def interval_ms(self) -> int:
        return max(self.interval // timedelta(milliseconds=1), 1)


def seconds(moment: datetime) -> str:
    return f"toDateTime({int(moment.timestamp())})"


def millis(moment: datetime) -> str:
    return f"fromUnixTimestamp64Milli({(moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)})"


def date(moment: datetime) -> str:
    return f"toDate('{moment:%Y-%m-%d}')"


def between(column: str, start: str, stop: str) -> str:
    return f"{column} >= {start} AND {column} <= {stop}"


def date_time(view: View, day: str, time: str) -> str:
    days = between(day, date(view.start), date(view.stop))
    return f"({days}) AND ({between(time, seconds(view.start), seconds(view.stop))})"


def time_group(_: View, column: str, period: str) -> str:
    text = period.strip("'\"")
    if not re.fullmatch(rf"(?:{DURATION.pattern})+", text):
        raise Unexpandable(f"$__timeGroup: invalid interval {text!r}")
    total = sum(int(number) * UNITS_MS[unit] for number, unit in DURATION.findall(text))
    return f"toStartOfInterval(toDateTime({column}), INTERVAL {round(total / 1000)} second)"


Expand = Callable[..., str]
MACROS: Mapping[str, tuple[int, Expand]] = {
    "timeFilter": (1, lambda view, column: between(column, seconds(view.start), seconds(view.stop))),
    "timeFilter_ms": (1, lambda view, column: between(column, millis(view.start), millis(view.stop))),
    "dateFilter": (1, lambda view, column: between(column, date(view.start), date(view.stop))),
    "dateTimeFilter": (2, date_time),
    "dt": (2, date_time),
    "timeFrom": (1, lambda view, column: f"{column} >= {seconds(view.start)}"),
    "timeTo": (1, lambda view, column: f"{column} <= {seconds(view.stop)}"),
    "timeGroup": (2, time_group),
    "fromTime": (0, lambda view: seconds(view.start)),
    "toTime": (0, lambda view: seconds(view.stop)),
    "fromTime_ms": (0, lambda view: millis(view.start)),
    "toTime_ms": (0, lambda view: millis(view.stop)),
    "timeInterval": (1, lambda view, column: f"toStartOfInterval(toDateTime({column}), INTERVAL {view.interval_s} second)"),
    "timeInterval_ms": (1, lambda view, column: f"toStartOfInterval(toDateTime64({column}, 3), INTERVAL {view.interval_ms} millisecond)"),
    "interval_s": (0, lambda view: str(view.interval_s)),
}


def expanded(sql: str, view: View) -> str:
    """The backend's part: every `$__` macro, innermost first; an unknown one stays as it is."""
    _refuse_the_undocumented(sql)
    done = sql
    for match in reversed(list(MACRO.finditer(sql))):  # the last one holds no other, so inner ones go before outer ones
        if match[1] not in MACROS:
            continue
        arity, expand = MACROS[match[1]]
        arguments, end = _arguments(done, match.end()) if done[match.end() : match.end() + 1] == "(" and arity else ([], match.end())
        if len(arguments) != arity:
            raise Unexpandable(f"$__{match[1]} expected {arity} argument(s), received {len(arguments)}")
        done = done[: match.start()] + expand(view, *arguments) + done[end:]
    return done


def _refuse_the_undocumented(sql: str) -> None:
    if any("$__" in quoted for quoted in QUOTED.findall(sql)):
        raise Unexpandable("a macro inside quotes")
    bare = QUOTED.sub("", sql)
    if COMMENT.search(bare):
        raise Unexpandable("a comment")
    if used := STATEMENT_MACROS & set(MACRO.findall(bare)):
        raise Unexpandable(f"the statement macro $__{used.pop()}")


def _arguments(sql: str, opening: int) -> tuple[list[str], int]:
    """Arguments between the parenthesis at `opening` and its partner, split at commas outside quotes and parentheses; and where it ends."""
    found, depth, start, index = [], 0, opening + 1, opening
    while index < len(sql):
        if quoted := QUOTED.match(sql, index):
            index = quoted.end()
            continue
        character = sql[index]
        depth += (character == "(") - (character == ")")
        if (character == "," and depth == 1) or (character == ")" and depth == 0):
            found.append(sql[start:index].strip())
            start = index + 1
        if character == ")" and depth == 0:
            return found, index + 1
        index += 1
    raise Unexpandable("unbalanced parentheses")


Choice = str | Sequence[str]


def filled_in(sql: str, chosen: Mapping[str, Choice], options: Mapping[str, Sequence[str]] | None = None) -> str:
    """The page's part: `$__conditionalAll`, then variables. `options` are what All stands for where a variable is written without that macro."""
    done = _conditional(sql, chosen)

    def value(match: re.Match[str]) -> str:
        name, form = match[1] or match[3], match[2]
        if name not in chosen:
            return match[0]
        picked = chosen[name]
        values = [picked] if isinstance(picked, str) else list(picked)
        if values == [ALL]:
            values = list((options or {}).get(name, ()))
        match form:
            case "singlequote":
                return ",".join("'" + each.replace("'", "\\'") + "'" for each in values)
            case None:  # the data source's own way with several values; one is put in as it is
                return values[0] if isinstance(picked, str) else "'" + "','".join(values) + "'"
            case _:
                raise Unexpandable(f"the format :{form}")

    return VARIABLE.sub(value, done)


def _conditional(sql: str, chosen: Mapping[str, Choice]) -> str:
    head = "$__conditionalAll("
    while (at := sql.rfind(head)) >= 0:
        arguments, end = _bare_arguments(sql, at + len(head) - 1)
        if len(arguments) != 2:
            raise Unexpandable(f"$__conditionalAll takes 2 arguments, not {len(arguments)}")
        named = re.search(r"(?<=\$\{)\w+(?=\})|(?<=\$)\w+", arguments[1])
        picked = chosen.get(named[0]) if named else None
        text = picked if isinstance(picked, str) or picked is None else ",".join(picked)
        sql = sql[:at] + ("1=1" if text in ("", ALL) else arguments[0]) + sql[end:]
    return sql


def _bare_arguments(sql: str, opening: int) -> tuple[list[str], int]:
    """As the page splits them: at commas outside parentheses, quotes not regarded."""
    found, depth, start = [], 0, opening + 1
    for index in range(opening, len(sql)):
        character = sql[index]
        depth += (character == "(") - (character == ")")
        if (character == "," and depth == 1) or depth == 0:
            found.append(sql[start:index])
            start = index + 1
        if depth == 0:
            return found, index + 1
    raise Unexpandable("unbalanced parentheses")
