"""Our expansion of the data source's macros gives what its documentation and its own examples show."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.grafana_macros import ALL, Unexpandable, View, expanded, filled_in

START = datetime(2014, 11, 12, 11, 45, 26, 123_000, tzinfo=UTC)  # 1415792726.123
STOP = datetime(2015, 11, 12, 11, 45, 26, 456_000, tzinfo=UTC)  # 1447328726.456
VIEW = View(START, STOP, timedelta(seconds=20))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("$__dateFilter(d)", "d >= toDate('2014-11-12') AND d <= toDate('2015-11-12')"),
        ("$__timeFilter(time)", "time >= toDateTime(1415792726) AND time <= toDateTime(1447328726)"),
        ("$__timeFilter(cast(x as timestamp) )", "cast(x as timestamp) >= toDateTime(1415792726) AND cast(x as timestamp) <= toDateTime(1447328726)"),
        ("$__timeFilter_ms(time)", "time >= fromUnixTimestamp64Milli(1415792726123) AND time <= fromUnixTimestamp64Milli(1447328726456)"),
        (
            "$__dateTimeFilter(d, t)",
            "(d >= toDate('2014-11-12') AND d <= toDate('2015-11-12')) AND (t >= toDateTime(1415792726) AND t <= toDateTime(1447328726))",
        ),
        ("$__timeFrom(time)", "time >= toDateTime(1415792726)"),
        ("$__timeTo(time)", "time <= toDateTime(1447328726)"),
        ("$__timeGroup(column, 5m)", "toStartOfInterval(toDateTime(column), INTERVAL 300 second)"),
        ("$__timeGroup(column, '1h')", "toStartOfInterval(toDateTime(column), INTERVAL 3600 second)"),
        (
            "( date >= $__fromTime ) and ( date <= $__toTime ) limit 9",
            "( date >= toDateTime(1415792726) ) and ( date <= toDateTime(1447328726) ) limit 9",
        ),
        ("$__fromTime_ms, $__toTime_ms", "fromUnixTimestamp64Milli(1415792726123), fromUnixTimestamp64Milli(1447328726456)"),
        ("$__interval_s", "20"),
        ("$__timeInterval(column)", "toStartOfInterval(toDateTime(column), INTERVAL 20 second)"),
        ("$__timeInterval_ms(column)", "toStartOfInterval(toDateTime64(column, 3), INTERVAL 20000 millisecond)"),
        ("$__timeInterval($__fromTime)", "toStartOfInterval(toDateTime(toDateTime(1415792726)), INTERVAL 20 second)"),
        ("$__timeFrom(coalesce(c, $__toTime))", "coalesce(c, toDateTime(1447328726)) >= toDateTime(1415792726)"),
        (r"msg = 'it\'s -- fine' and $__fromTime", r"msg = 'it\'s -- fine' and toDateTime(1415792726)"),
        ("msg = 'it''s' and $__fromTime", "msg = 'it''s' and toDateTime(1415792726)"),
        ("SELECT `it's` AS x FROM t WHERE $__fromTime", "SELECT `it's` AS x FROM t WHERE toDateTime(1415792726)"),
        ("$__nothingOfTheKind(x)", "$__nothingOfTheKind(x)"),
    ],
)
def test_a_macro_becomes_what_the_data_source_makes_of_it(written: str, sent: str) -> None:
    assert expanded(written, VIEW) == sent


def test_an_interval_below_a_second_counts_as_one_second_or_as_its_milliseconds() -> None:
    view = View(START, STOP, timedelta(milliseconds=200))
    assert expanded("$__timeInterval(c)", view) == "toStartOfInterval(toDateTime(c), INTERVAL 1 second)"
    assert expanded("$__timeInterval_ms(c)", view) == "toStartOfInterval(toDateTime64(c, 3), INTERVAL 200 millisecond)"


@pytest.mark.parametrize(
    "written",
    [
        "$__timeFilter",
        "$__timeFilter(a, b)",
        "$__timeGroup(a)",
        "$__timeGroup(a, soon)",
        "'$__fromTime'",
        "1 -- $__fromTime",
        "$__columns(t, k, v) FROM x",
    ],
)
def test_what_is_wrong_or_not_documented_is_refused(written: str) -> None:
    with pytest.raises(Unexpandable):
        expanded(written, VIEW)


@pytest.mark.parametrize(
    ("written", "chosen", "sent"),
    [
        ("$__conditionalAll(a IN (${v:singlequote}), $v)", {"v": ALL}, "1=1"),
        ("$__conditionalAll(a IN (${v:singlequote}), $v)", {"v": [ALL]}, "1=1"),
        ("$__conditionalAll(a IN (${v:singlequote}), $v)", {"v": ["1", "2"]}, "a IN ('1','2')"),
        ("$__conditionalAll(a IN ($v), $v) and $__conditionalAll(b IN ($w), $w)", {"v": "1", "w": ALL}, "a IN (1) and 1=1"),
        ("a = ${v:singlequote}", {"v": "O'Brien"}, r"a = 'O\'Brien'"),
        ("a = ${v}", {"v": "7"}, "a = 7"),
        ("a = ${unknown}", {"v": "7"}, "a = ${unknown}"),
    ],
)
def test_a_variable_becomes_what_the_page_makes_of_it(written: str, chosen: dict[str, str | list[str]], sent: str) -> None:
    assert filled_in(written, chosen) == sent


def test_all_of_a_variable_stands_for_every_option_outside_the_macro() -> None:
    assert filled_in("a IN (${v:singlequote})", {"v": [ALL]}, {"v": ["1", "2"]}) == "a IN ('1','2')"
