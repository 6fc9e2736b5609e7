"""Scenario files: what they mean in ticks, lots and settlement units, and how each mistake is told with its line and what to do."""

import json
import re
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.domain.events import Grade, InstructionKind, MarginMode, PositionSide, PriceRule, RankPolicy, Role, UpdateKind
from streams.domain.instruments import Pool, Tier
from streams.errors import UsageProblem
from streams.venue.book import Book, cross
from streams.venue.depth import DepthSpec
from streams.venue.exchange import Exchange
from streams.venue.scenarios.filed import load, scenario_of
from streams.venue.scenarios.places import parse_source
from streams.venue.scenarios.pool_keys import PARAMETERS
from streams.venue.scenarios.scenario import CashFlow, Leg, Mark, OpeningPosition, Scenario, Trade
from streams.venue.scenarios.units import duration_us, exact, plain, share_ppm

BTC, FUND, MAKER, ANN, BOB = 1, 1, 2, 7, 3  # numbers: Ann's is given, the others are the smallest free ones in the order of the file
FILE = """\
about = "a case"
start = 1970-01-01T00:00:01Z

[[instruments]]
symbol = "BTC"
tick = "0.5"
lot = "0.001"
maintenance = [{ rate = "0.5 %" }, { above = 1000, rate = 0.01 }]
depth = { maker = "maker", step = "0.1 %", size = "0.25", levels = 3, refill = "0.01" }

[[pools]]
fund = "fund"
price_rule = "MARK"
instruction_valid = "2 s"
adl_start_value = "-10.5"

[[accounts]]
name = "fund"
role = "FUND"
wallet = "100.000001"

[[accounts]]
name = "maker"
role = "MAKER"
positions = [{ instrument = "BTC", size = "-1.5", entry = "100.25" }]

[[accounts]]
name = "Ann"
number = 7
wallet = 20
positions = [
  { instrument = "BTC", size = 2, cost = "200", side = "LONG", margin = 12 },
  { instrument = "BTC", size = "-0.5", entry = 100, side = "SHORT" },
]

[[accounts]]
name = "Bob"

[[events]]
at = 1
marks = { BTC = "99.5" }
index = { BTC = 99 }
grade = "STALE"
deposits = [{ account = "Bob", amount = "50.5" }]
withdrawals = [{ account = "Ann", amount = 1 }]

[[events]]
at = "1500 ms"
trades = [
  { instrument = "BTC", size = "0.1", price = 100, buyer = "Bob", buyer_margin = 5, seller = "maker" },
]

[[rejects]]
kinds = ["LIQUIDATE", "ADL"]
account = "Ann"
until = "2 s"
"""
LINES = FILE.splitlines()


def read(text: str, suffix: str = ".toml") -> Scenario:
    return scenario_of(parse_source(f"case{suffix}", text.encode(), is_json=suffix == ".json"), "case", 4)


def test_quantities_are_read_exactly_in_units_lots_and_ticks() -> None:
    scenario = read(FILE)
    (btc,) = scenario.instruments
    # 0.5 USD x 0.001 BTC = 0.0005 USD = 500 millionths; twice the highest price in the file, 100.25 rounded up to 201 ticks
    assert (btc.symbol, btc.value_per_tick_lot, btc.max_mark_ticks) == ("BTC", 500, 402)
    # 1,000 USD x (1 - 0.5) % = 5 USD off from the second tier on
    assert btc.tiers == (Tier(0, 5_000, 0), Tier(1_000_000_000, 10_000, 5_000_000))
    assert scenario.depth == {BTC: DepthSpec(step_ppm=1_000, level_lots=250, levels=3, refill_lots_per_second=10)}
    assert scenario.makers == {BTC: MAKER}
    assert (scenario.start_us, scenario.units, scenario.account_partitions) == (1_000_000, 1_000_000, 4)


def test_accounts_hold_what_the_file_says() -> None:
    opened = {o.account: o for o in read(FILE).openings}
    assert [(o.account, o.role, o.wallet) for o in opened.values()] == [
        (FUND, Role.FUND, 100_000_001), (MAKER, Role.MAKER, 0), (ANN, Role.USER, 20_000_000), (BOB, Role.USER, 0),
    ]  # fmt: skip
    assert opened[MAKER].positions == (OpeningPosition(BTC, PositionSide.ONE_WAY, -1_500, -150_375_000),)  # 1.5 x 100.25
    assert opened[ANN].positions == (
        OpeningPosition(BTC, PositionSide.LONG, 2_000, 200_000_000, 12_000_000),
        OpeningPosition(BTC, PositionSide.SHORT, -500, -50_000_000),
    )
    assert [p.mode for p in opened[ANN].positions] == [MarginMode.ISOLATED, MarginMode.CROSS]


def test_a_pool_takes_every_parameter_and_has_a_default_for_what_is_not_said() -> None:
    (pool,) = read(FILE).pools
    assert (pool.fund_account, pool.price_rule, pool.policy_id) == (FUND, PriceRule.MARK, RankPolicy.BINANCE)
    assert (pool.instruction_valid_us, pool.adl_start_value, pool.warning_ratio_ppm) == (2_000_000, -10_500_000, 1_500_000)
    assert (pool.score_wallet_floor, pool.adl_stop_value) == (1_000_000, 50_000_000)  # one USD; half of the fund's 100.000001, cut
    numbers = {"pool", "version", "asset", "fund_account"}
    assert {parameter.name for parameter in PARAMETERS.values()} == {f.name for f in fields(Pool)} - numbers


def test_events_come_at_their_times_marks_first_then_money_then_trades() -> None:
    scenario = read(FILE)
    assert list(scenario.script(Book())) == [
        (
            2_000_000,
            [Mark(BTC, 199, 198, Grade.STALE), CashFlow(UpdateKind.DEPOSIT, BOB, 50_500_000), CashFlow(UpdateKind.WITHDRAWAL, ANN, -1_000_000)],
        ),
        (
            2_500_000,
            [Trade(BTC, 100, 200, Leg(BOB, PositionSide.ONE_WAY, MarginMode.ISOLATED, 5_000_000), Leg(MAKER, PositionSide.ONE_WAY))],
        ),
    ]  # fmt: skip


def test_the_exchange_says_what_the_file_says_and_its_book_adds_up() -> None:
    exchange = Exchange(read(FILE))
    records = []
    while (said := exchange.next_records()) is not None:
        records += said
    exchange.book.check()
    marks = [(row["event_time_us"], row["mark_ticks"], row["index_ticks"], row["grade"]) for _, _, row in records if "mark_ticks" in row]
    assert marks == [(2_000_000, 199, 198, Grade.STALE)]
    assert exchange.book.lots[BOB, BTC, PositionSide.ONE_WAY] == 100
    assert exchange.book.cash[cross(BOB)] == 45_500_000  # 50.5 deposited, 5 of it the margin of the position
    assert exchange.book.cash[BOB, BTC, PositionSide.ONE_WAY] == -5_000_000  # 5 - 0.1 x 100


def test_a_trade_in_an_open_position_is_margined_as_that_position_is() -> None:
    sells = 'buyer = "maker", seller = "Ann", seller_side = "LONG"'
    scenario = read(FILE.replace('buyer = "Bob", buyer_margin = 5, seller = "maker"', sells))
    book = Book(lots={(ANN, BTC, PositionSide.LONG): 2_000}, modes={(ANN, BTC, PositionSide.LONG): MarginMode.ISOLATED})
    (trade,) = list(scenario.script(book))[1][1]
    assert isinstance(trade, Trade)
    assert (trade.seller, trade.buyer.mode) == (Leg(ANN, PositionSide.LONG, MarginMode.ISOLATED, 0), MarginMode.CROSS)


def test_margin_for_an_open_cross_position_is_told_when_the_trade_is_due() -> None:
    book = Book(lots={(BOB, BTC, PositionSide.ONE_WAY): 1}, modes={(BOB, BTC, PositionSide.ONE_WAY): MarginMode.CROSS})
    with pytest.raises(UsageProblem) as told:
        list(read(FILE).script(book))
    assert str(told.value) == f"case.toml: line {line_of('buyer =')}: the position of the buyer is open and CROSS; leave its margin out"


def test_the_exchange_rejects_the_kinds_of_the_file_until_their_time_and_as_often_as_it_says() -> None:
    def given(kind: InstructionKind, account: int, lots: int = -9) -> dict[str, Any]:
        return {"kind": kind, "account": account, "counter_account": None, "instrument": BTC, "lots": lots}

    refuses = read(FILE).trouble()
    assert refuses(given(InstructionKind.ADL, ANN), 2_999_999) is None
    assert refuses(given(InstructionKind.ADL, ANN), 3_000_000) == 9
    assert refuses(given(InstructionKind.ADL, BOB), 2_000_000) == 9
    assert refuses(given(InstructionKind.TAKEOVER, ANN), 2_000_000) == 9
    once = read(FILE.replace('until = "2 s"', 'times = 1\nmost = "0.004"')).trouble()
    assert [once(given(InstructionKind.ADL, ANN), 2_000_000) for _ in range(2)] == [4, 9]


def test_json_says_the_same_as_toml() -> None:
    document = parse_source("case.toml", FILE.encode(), is_json=False).value
    text = json.dumps(document, default=lambda moment: moment.isoformat(), indent=1)
    theirs, ours = read(text, ".json"), read(FILE)
    for name in ("start_us", "instruments", "pools", "openings", "depth", "makers", "units"):
        assert getattr(theirs, name) == getattr(ours, name)
    assert list(theirs.script(Book())) == list(ours.script(Book()))


def line_of(part: str, nth: int = 1) -> int:
    """The line of the file in which a text stands for the nth time."""
    return [number for number, line in enumerate(LINES, 1) if part in line][nth - 1]


MISTAKES = [
    # what stands there, what is written instead, the line told: that of the nth line with this text, what is said
    ('about = "a case"', "about = ", 'about = "a case"', "correct the TOML"),
    ('about = "a case"', 'abuot = "a case"', 'about = "a case"', "`abuot` is not known here; known are about, accounts"),
    ('about = "a case"', "about = 5", 'about = "a case"', "`about`: text is wanted, not a whole number; correct it"),
    ('tick = "0.5"', "", '[[instruments]]', "`tick` is missing; add it"),
    ('tick = "0.5"', 'tick = "half"', 'tick = "0.5"', "'half' is not a number; write it as"),
    ('tick = "0.5"', "tick = nan", 'tick = "0.5"', "nan is not a number that can be counted with"),
    ('tick = "0.5"', "tick = 1e999999999", 'tick = "0.5"', "is not a number that can be counted with; write a smaller"),
    ('tick = "0.5"', "tick = 0", 'tick = "0.5"', "a tick of 0 is impossible; give more than 0"),
    ('tick = "0.5"', 'tick = "0.0001"', 'tick = "0.5"', "worth 0.0000001, less than the smallest unit of the currency; give more `decimals`"),
    ('tick = "0.5"', "tick = true", 'tick = "0.5"', "`tick`: a number is wanted, not true or false; correct it"),
    ('{ rate = "0.5 %" }', '{ rate = "0.00001 %" }', "maintenance =", "finer than a millionth; round it to one"),
    ('{ rate = "0.5 %" }', '{ rate = "5 %" }', "maintenance =", "tiers begin at 0 and ascend, in `above` and in `rate`; order them"),
    ('{ rate = "0.5 %" }', '{ rate = "0 %" }', "[[instruments]]", "this instrument would be refused: tier rates must lie in 1..1000000 ppm"),
    ('{ rate = "0.5 %" }', '{ rat = "0.5 %" }', "maintenance =", "`rat` is not known here; known are above, rate"),
    ('maker = "maker"', 'maker = "nobody"', "depth =", "there is no account 'nobody'; there are: fund, maker, Ann, Bob"),
    ('size = "0.25"', 'size = "0.0005"', "depth =", "0.0005 is not a whole number of lots of 0.001; round it"),
    ("levels = 3", "levels = -1", "depth =", "-1 levels are impossible; give 0 or more"),
    ('fund = "fund"', "", "[[pools]]", "`fund` is missing or no text"),
    ('fund = "fund"', 'fund = "Ann"', 'fund = "fund"', "account 'Ann' is not the fund of this pool alone; name one of role FUND"),
    ('fund = "fund"', 'fund = "fund"\nadl_begin = 3', "price_rule", "`adl_begin` is not known here; known are adl_start_value"),
    ('price_rule = "MARK"', "price_rule = []", "price_rule", "[] is not known; known are BANKRUPTCY, MARK"),
    ('price_rule = "MARK"', 'price_rule = "MIDDLE"', "price_rule", "'MIDDLE' is not known; known are BANKRUPTCY, MARK"),
    ('instruction_valid = "2 s"', 'instruction_valid = "2 weeks"', "instruction_valid", "is not a duration; write it as"),
    ('instruction_valid = "2 s"', "instruction_valid = 0", "[[pools]]", "this pool would be refused: score_wallet_floor, instruction_valid_us"),
    ('adl_start_value = "-10.5"', "adl_start_value = [3]", "adl_start_value", "a number is wanted; correct it"),
    ('role = "FUND"', 'role = "FOND"', 'fund = "fund"', "account 'fund' is not the fund of this pool alone"),
    ('role = "MAKER"', 'role = "MEKER"', 'role = "MAKER"', "'MEKER' is not known; known are USER, MAKER, FUND"),
    ('wallet = "100.000001"', 'wallet = "100.0000001"', "wallet", "is not a whole number of the smallest units of 0.000001; round it"),
    ("wallet = 20", "wallet = 9999999999999", "wallet = 20", "is too large or below zero; give an amount from 0 to 1,152,921,504,606.846976"),
    ("wallet = 20", 'wallet = "20', "wallet = 20", "correct the TOML"),
    ("number = 7", "number = 0", "number = 7", "number 0 is taken or impossible; give another, or none"),
    ('name = "Bob"', 'name = "Ann"', 'name = "Bob"', "account 'Ann' is here twice; give it a name of its own"),
    ('entry = "100.25"', 'entry = "100.25", cost = 3', 'size = "-1.5"', "a position has an `entry` price or a `cost`; give one of the two"),
    ('entry = "100.25"', 'entry = "-3"', 'size = "-1.5"', "-3 is below zero; give a price"),
    ('size = "-1.5"', 'size = "-1.4"', "[[instruments]]", "the positions in BTC add up to 0.1, and every long has its short; let an"),
    ('size = "-1.5"', 'size = "-1.0005"', 'size = "-1.5"', "-1.0005 is not a whole number of lots of 0.001; round it"),
    ("size = 2, ", "size = -2, ", "size = 2, ", "a size of -2 on the side LONG; a long is above zero"),
    ("size = 2, ", "size = 0, ", "size = 2, ", "a size of 0 is impossible; give one up to"),
    ('side = "LONG"', 'side = "ONE_WAY"', 'size = "-0.5"', "a second position in BTC; join them, or give the sides LONG and SHORT"),
    ("margin = 12", "margin = -12", "margin = 12", "-12 is too large or below zero"),
    ("margin = 12", 'margin = 12, margin_mode = "CROSS"', "margin = 12", "an ISOLATED position has a `margin` and a CROSS one has none"),
    ("at = 1\n", "at = 0\n", "at = 1", "0 is not after what comes before it; give times after the start that grow"),
    ('at = "1500 ms"', 'at = "500 ms"', "1500 ms", "500 ms is not after what comes before it"),
    ('marks = { BTC = "99.5" }', 'marks = { BTC = "99.6" }', "marks =", "99.6 is not a whole number of ticks of 0.5; round it"),
    ('marks = { BTC = "99.5" }', 'marks = { ETH = "99.5" }', "marks =", "there is no instrument 'ETH'; there are: BTC"),
    ('marks = { BTC = "99.5" }', "", "index =", "an index of BTC without its mark; give the mark too"),
    ('grade = "STALE"', 'grade = "SO SO"', "grade", "'SO SO' is not known; known are GOOD, STALE, OUTLIER, FROZEN"),
    ('amount = "50.5"', "amount = -3", "deposits", "-3 is not above zero; give more"),
    ('seller = "maker"', 'seller = "Bob"', "buyer =", "'Bob' cannot trade with itself; name two accounts"),
    ('buyer = "Bob"', 'buyer = "Ann"', "buyer =", "'Ann' trades there both ONE_WAY and by sides; choose one of the two ways"),
    ('"LIQUIDATE", "ADL"', '"LIQUIDATE", "ADLL"', "kinds", "'ADLL' is not known; known are CANCEL_ORDERS"),
    ('until = "2 s"', "times = 0", "[[rejects]]", "`times` below one; correct it"),
]  # fmt: skip


@pytest.mark.parametrize(("stands", "written", "line", "said"), MISTAKES, ids=[f"{m[1] or 'no ' + m[0]} {m[3][:20]}" for m in MISTAKES])
def test_a_mistake_is_told_with_its_line_and_what_to_do(stands: str, written: str, line: str, said: str) -> None:
    assert FILE.count(stands) == 1
    with pytest.raises(UsageProblem) as told:
        read(FILE.replace(stands, written))
    assert str(told.value).startswith(f"case.toml: line {line_of(line)}: ")
    assert said in str(told.value)
    assert "\n" not in str(told.value)


JSON = """{
  "instruments": [
    {"symbol": "BTC", "tick": 1, "lot": 1,
     "maintenance": [{"rate": "5 %"}]}
  ],
  "pools": [{"fund": "fund"}],
  "accounts": [
    {"name": "fund",
     "role": "FUND",
     "wallet": 3.5}
  ]
}
"""
JSON_MISTAKES = [
    ('"tick": 1,', '"tick": [1],', 3, "`tick`: a number is wanted, not a list; correct it"),
    ('"rate": "5 %"', '"rate": "5 %", "form": "a:b"', 4, "`form` is not known here"),
    ('"wallet": 3.5', '"wallet": 3.5, "wallet": 4', 10, "`wallet` is given twice; keep one"),
    ('"wallet": 3.5', '"wallet": 3.5000001', 10, "is not a whole number of the smallest units"),
    ('"wallet": 3.5', '"wallet": NaN', 10, "NaN is not a number that can be counted with"),
    ('"role": "FUND",', '"role": "FUND"', 10, "Expecting ',' delimiter; correct the JSON"),
    ('"name": "fund"', '"name": "fund "', 6, "there is no account 'fund'; there are: fund "),
]


def test_a_small_json_file_is_a_scenario() -> None:
    assert read(JSON, ".json").openings[0].wallet == 3_500_000


@pytest.mark.parametrize(("stands", "written", "line", "said"), JSON_MISTAKES)
def test_a_mistake_in_json_is_told_with_its_line_too(stands: str, written: str, line: int, said: str) -> None:
    with pytest.raises(UsageProblem) as told:
        read(JSON.replace(stands, written), ".json")
    assert str(told.value).startswith(f"case.json: line {line}: ")
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("case.txt", b"", "a scenario is a .toml or .json file; name it so"),
        ("case.toml", b'about = "x"\nabout2 = "\xff"', "line 2: the text is not UTF-8; save the file as UTF-8"),
        ("case.json", b"[1]", "line 1: a scenario is a table of keys, not a list; see docs/scenarios.md"),
        ("case.json", b"[" * 100_000, "brackets are nested too deep; correct the file"),
        ("case.json", b'{"decimals": ' + b"9" * 5_000 + b"}", "cannot be read"),
        ("case.toml", b"", "line 1: `instruments` is missing; add it"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageProblem) as told:
        load(path, 4)
    assert str(told.value).startswith(str(path))
    assert said in str(told.value)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_written_wrong_is_refused_in_one_line_with_its_place(seed: int) -> None:
    random = Random(seed)
    told: list[str] = []
    for _ in range(200):
        letters = list(FILE)
        for _ in range(random.choice((1, 1, 2, 5))):
            letters[random.randrange(len(letters))] = random.choice(["", "[", "]", "{", "}", "=", ",", ".", '"', "'", "#", "\n", "0", "-", "%", "x"])
        try:
            read("".join(letters))
        except UsageProblem as problem:
            told.append(str(problem))
    assert len(told) > 50
    assert [line for line in told if not re.fullmatch(r"case\.toml: line \d+: [^\n]+; [^\n]+", line)] == []


def test_the_file_that_the_documentation_shows_is_a_scenario() -> None:
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    scenario = read(page.split("```toml\n")[1].split("```")[0])
    assert [scenario.wording.accounts[o.account] for o in scenario.openings if scenario.wording] == ["fund", "maker", "Ann", "Bob"]
    assert scenario.openings[3].positions[0].cost == -303_001_500_000  # 3 x 101,000.5 USD


def test_lines_are_those_of_the_keys_whatever_the_way_they_are_written() -> None:
    text = 'a.b = """\nx = 1\n"""\n# c = 3\n[t."d e"]\nf = [\n  1, # ]\n  { g = "}" },\n]\n[[u]]\n[[u.v]]\nh = 07:32:00\n[[u.v]]\nh = 1.5\n'
    source = parse_source("x.toml", text.encode(), is_json=False)
    keys = [("a", "b"), ("t", "d e"), ("t", "d e", "f", 0), ("t", "d e", "f", 1, "g"), ("u", 0, "v", 0, "h"), ("u", 0, "v", 1, "h"), ("no", "such")]
    assert [source.line(key) for key in keys] == [1, 5, 7, 8, 12, 14, 1]


@pytest.mark.parametrize(("given", "ppm"), [("5 %", 50_000), ("0.5%", 5_000), ("0.05", 50_000), (1, 1_000_000), ("150 %", 1_500_000)])
def test_shares_are_per_cent_or_parts_of_one(given: str | int, ppm: int) -> None:
    assert share_ppm(given) == ppm


@pytest.mark.parametrize(
    ("given", "us"), [("5 s", 5_000_000), ("20ms", 20_000), ("1 us", 1), ("2 min", 120_000_000), ("1.5", 1_500_000), (3, 3_000_000)]
)
def test_durations_have_units_and_are_seconds_without(given: str | int, us: int) -> None:
    assert duration_us(given) == us


@pytest.mark.parametrize(
    ("number", "text"), [(Fraction(-1, 4), "-0.25"), (Fraction(10_000), "10,000"), (Fraction(2, 3), "0.66666666"), (exact("1e-6"), "0.000001")]
)
def test_numbers_are_shown_as_decimals(number: Fraction, text: str) -> None:
    assert plain(number) == text
