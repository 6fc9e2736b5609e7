"""What the simulated exchange does with one instruction: fills, updates, results, clamps, rejections."""

from dataclasses import replace
from typing import Any

from streams.domain.events import FillKind, InstructionKind, MarginMode, Outcome, PositionSide, UpdateKind
from streams.venue.depth import DepthSpec
from streams.venue.exchange import Exchange
from streams.venue.records import Record
from streams.venue.scenarios.examples import FUND, L2, MAKER, S1, S2, L, example_a, example_d, example_e
from streams.venue.scenarios.scenario import CashFlow, FundingPayment, Leg, Scenario, Trade
from tests.support.desk import Instruction, instruction

BTC = 1
ONE_WAY = int(PositionSide.ONE_WAY)
BOTH = {"instrument": BTC, "position_side": ONE_WAY}


def opened(scenario: Scenario) -> Exchange:
    """The exchange after all that its script says."""
    exchange = Exchange(scenario)
    while exchange.next_records() is not None:
        pass
    return exchange


def tell(exchange: Exchange, *instructions: Instruction) -> list[Record]:
    """All records that answer these instructions."""
    exchange.accept(instructions)
    records: list[Record] = []
    while (said := exchange.next_records()) is not None:
        records += said
    exchange.book.check()
    return records


def rows(records: list[Record], stream: str) -> list[dict[str, Any]]:
    return [row for name, _, row in records if name == stream]


def takeover(lots: int = -2, quote: int = -180, **more: Any) -> Instruction:
    return instruction(
        InstructionKind.TAKEOVER, L, 2000, 1, lots=lots, quote=quote, counter_account=FUND, counter_position_side=ONE_WAY, **BOTH, **more
    )


def adl(counter: int, lots: int, quote: int, **more: Any) -> Instruction:
    return instruction(
        InstructionKind.ADL, L, 2000, 1, lots=lots, quote=quote, counter_account=counter, counter_position_side=ONE_WAY, **BOTH, **more
    )


def test_the_opening_states_parameters_and_one_part_per_wallet_and_position() -> None:
    records = Exchange(example_a(6)).next_records() or []
    assert [stream for stream, _, _ in records[:2]] == ["instruments", "pools"]
    mine = [row for row in rows(records, "account-updates") if row["account"] == L]
    assert [(r["part"], r["parts"], r["amount"], r["instrument"], r["lots"], r["cost"], r["margin_mode"]) for r in mine] == [
        (0, 2, 0, None, None, None, None),
        (1, 2, 100, BTC, 10, 1000, MarginMode.ISOLATED),
    ]
    assert [r["account_seq"] for r in mine] == [1, 2]


def test_records_of_an_account_go_to_the_partition_of_its_number() -> None:
    records = Exchange(example_a(4)).next_records() or []
    assert all(partition == row["account"] % 4 for stream, partition, row in records if stream == "account-updates")


def test_a_takeover_is_two_sides_at_the_exact_quote_and_a_result_for_each_party() -> None:
    records = tell(opened(example_a(6)), takeover())
    sides = [(r["account"], r["lots"], r["quote"], r["counter_account"], r["price_ticks"], r["kind"]) for r in rows(records, "fills")]
    assert sides == [(L, -2, -180, FUND, None, FillKind.TAKEOVER), (FUND, 2, 180, L, None, FillKind.TAKEOVER)]
    results = [(r["account"], r["outcome"], r["executed_lots"], r["executed_quote"]) for r in rows(records, "instruction-results")]
    assert results == [(L, Outcome.FILLED, 2, -180), (FUND, Outcome.FILLED, 2, -180)]
    last = {r["account"]: r["account_seq"] + 1 for r in rows(records, "fills")}
    assert {r["account"]: r["account_seq"] for r in rows(records, "instruction-results")} == last


def test_each_instruction_is_answered_at_an_event_time_of_its_own_in_the_order_of_the_rungs() -> None:
    exchange = opened(example_a(6))
    exchange.accept([adl(S2, -1, -90), takeover(), adl(S1, -1, -90)])
    answers = [exchange.next_records() or [] for _ in range(3)]
    assert [said[0][2]["event_time_us"] for said in answers] == [2001, 2002, 2003]
    parties = [{row["account"] for row in rows(said, "instruction-results")} for said in answers]
    assert parties == [{L, FUND}, {L, S1}, {L, S2}]


def test_answers_come_before_the_next_event_of_the_script_and_push_it_back() -> None:
    exchange = Exchange(example_a(6))
    times = [(exchange.next_records() or [])[0][2]["event_time_us"] for _ in range(2)]
    exchange.accept([adl(S1, -1, -100, attempt=n) for n in range(1, 4)])
    while said := exchange.next_records():
        times.append(said[0][2]["event_time_us"])
    assert times == [1000, 1001, 1002, 1003, 1004, 2000]


def test_an_instruction_is_executed_once_however_often_it_comes() -> None:
    exchange = opened(example_a(6))
    assert len(rows(tell(exchange, takeover(), takeover()), "fills")) == 2
    assert tell(exchange, takeover()) == []
    assert exchange.book.lots[L, BTC, ONE_WAY] == 8


def test_an_instruction_is_refused_after_valid_until_and_still_gets_its_results() -> None:
    exchange = opened(example_a(6))
    in_time, late = takeover(valid_until_us=2001), takeover(valid_until_us=2001, attempt=2)
    records = tell(exchange, in_time, late)
    outcomes = {(r["instruction_id"], r["account"]): r["outcome"] for r in rows(records, "instruction-results")}
    by_time = [outcomes[i["instruction_id"], L] for i in sorted((in_time, late), key=lambda i: i["instruction_id"])]
    assert by_time == [Outcome.FILLED, Outcome.EXPIRED]
    assert len(outcomes) == 4
    assert exchange.book.lots[L, BTC, ONE_WAY] == 8


def test_a_fill_is_clamped_to_the_smaller_position_and_gets_its_part_of_the_quote() -> None:
    records = tell(opened(example_a(6)), adl(S2, -7, -631))  # S2 is short 4: floor(-631 x 4 / 7) = floor(-360.57...) = -361
    assert [(r["account"], r["lots"], r["quote"]) for r in rows(records, "fills")] == [(L, -4, -361), (S2, 4, 361)]
    assert {(r["outcome"], r["executed_lots"], r["reason"]) for r in rows(records, "instruction-results")} == {
        (Outcome.PARTIAL, 4, "clamped to the position")
    }


def test_nothing_is_closed_that_is_not_held() -> None:
    exchange = opened(example_a(6))
    wrong_way = adl(S1, 3, 270)
    unknown = takeover() | {"account": 777, "instruction_id": 1}
    records = tell(exchange, wrong_way, unknown)
    assert rows(records, "fills") == []
    assert {(r["account"], r["outcome"]) for r in rows(records, "instruction-results")} == {
        (L, Outcome.REJECTED),
        (S1, Outcome.REJECTED),
        (777, Outcome.REJECTED),
        (FUND, Outcome.REJECTED),
    }


def test_netting_is_two_legs_of_one_account_under_one_trade() -> None:
    exchange = opened(example_d(6))
    net = instruction(
        InstructionKind.NET, L, 2000, 1, instrument=BTC, position_side=int(PositionSide.LONG), lots=-6, quote=-540, counter_account=L,
        counter_position_side=int(PositionSide.SHORT),
    )  # fmt: skip
    records = tell(exchange, net)
    fills = rows(records, "fills")
    assert [(r["leg"], r["position_side"], r["lots"], r["quote"]) for r in fills] == [
        (0, PositionSide.LONG, -6, -540),
        (1, PositionSide.SHORT, 6, 540),
    ]
    assert fills[0]["trade_id"] == fills[1]["trade_id"]
    assert fills[1]["account_seq"] == fills[0]["account_seq"] + 1
    assert [r["account_seq"] for r in rows(records, "instruction-results")] == [fills[1]["account_seq"] + 1]


def with_depth(scenario: Scenario) -> Scenario:
    return replace(scenario, depth={BTC: DepthSpec(step_ppm=20_000, level_lots=4, levels=2, refill_lots_per_second=1)})


def test_a_liquidation_sells_to_the_maker_level_by_level_within_its_limit() -> None:
    exchange = opened(with_depth(example_a(6)))  # mark 88: levels at 87 (4 lots) and 85 (4 lots): 88 x 2 % and 4 %, cut to 1 and 3
    order = instruction(InstructionKind.LIQUIDATE, L, 2000, 1, lots=-10, quote_limit=-860, **BOTH)
    records = tell(exchange, order)
    fills = [(r["account"], r["lots"], r["quote"], r["price_ticks"]) for r in rows(records, "fills")]
    # 4 bring 348; k more at 85 must keep 348 + 85 k >= 86 (4 + k): k <= 4.
    assert fills == [(L, -4, -348, 87), (MAKER, 4, 348, 87), (L, -4, -340, 85), (MAKER, 4, 340, 85)]
    results = [(r["account"], r["outcome"], r["executed_lots"], r["executed_quote"]) for r in rows(records, "instruction-results")]
    assert results == [(L, Outcome.PARTIAL, 8, -688)]


def test_a_liquidation_whose_limit_the_market_does_not_reach_is_unfilled() -> None:
    exchange = opened(with_depth(example_a(6)))
    records = tell(exchange, instruction(InstructionKind.LIQUIDATE, L, 2000, 1, lots=-10, quote_limit=-900, **BOTH))
    assert rows(records, "fills") == []
    assert [(r["outcome"], r["reason"]) for r in rows(records, "instruction-results")] == [(Outcome.UNFILLED, "not enough depth within the limit")]


def test_an_unwind_sells_at_the_market_without_a_limit() -> None:
    exchange = opened(with_depth(example_a(6)))
    tell(exchange, takeover())
    records = tell(exchange, instruction(InstructionKind.UNWIND, FUND, 2000, 2, lots=-2, **BOTH))
    assert [(r["account"], r["lots"], r["quote"], r["kind"]) for r in rows(records, "fills")] == [
        (FUND, -2, -174, FillKind.UNWIND),
        (MAKER, 2, 174, FillKind.UNWIND),
    ]


def test_an_isolated_position_that_ends_bankrupt_keeps_its_deficit_until_it_is_covered() -> None:
    exchange = opened(example_a(6))  # example B: 180 + 528 + 176 = 884 for 10 lots
    records = tell(exchange, takeover(), adl(S1, -6, -528), adl(S2, -2, -176))
    assert all(r["margin_moved"] == 0 for r in rows(records, "fills"))
    assert exchange.book.cash[L, BTC, ONE_WAY] == -16
    cover = instruction(InstructionKind.COVER, L, 2000, 2, counter_account=FUND, amount=1, **BOTH)
    shares = [instruction(InstructionKind.SOCIALISE, L, 2000, 2, counter_account=a, amount=n, **BOTH) for a, n in ((S1, 11), (S2, 4))]
    records = tell(exchange, cover, *shares)
    updates = [(r["account"], r["kind"], r["amount"], r["instrument"], r["counter_account"]) for r in rows(records, "account-updates")]
    assert updates == [
        (L, UpdateKind.COVER, 1, BTC, FUND),
        (FUND, UpdateKind.COVER, -1, None, L),
        (L, UpdateKind.SOCIALISED, 11, BTC, S1),
        (S1, UpdateKind.SOCIALISED, -11, None, L),
        (S1, UpdateKind.CLAIM, 11, None, L),
        (L, UpdateKind.SOCIALISED, 4, BTC, S2),
        (S2, UpdateKind.SOCIALISED, -4, None, L),
        (S2, UpdateKind.CLAIM, 4, None, L),
    ]
    assert exchange.book.cash[L, BTC, ONE_WAY] == 0
    assert [r["wallet_after"] for r in rows(records, "account-updates") if r["account"] == L] == [-15, -4, 0]
    assert {r["executed_amount"] for r in rows(records, "instruction-results")} == {1, 11, 4}


def test_a_solvent_isolated_position_gives_its_bucket_back_with_the_last_fill() -> None:
    exchange = opened(example_a(6))
    records = tell(exchange, adl(S1, -6, -600), adl(S2, -4, -380))  # 100 + 600 + 380 - 1,000 = 80
    assert [r["margin_moved"] for r in rows(records, "fills") if r["account"] == L] == [0, -80]


def test_the_gateway_of_example_e_refuses_one_pair_and_cuts_another_once() -> None:
    exchange = opened(example_e(6))
    pairs = [
        instruction(
            InstructionKind.ADL, L2, 3000, cause, lots=-2, quote=-180, counter_account=c, counter_position_side=ONE_WAY, **BOTH
        )
        for cause, c in ((1, S1), (1, S2), (2, S1))
    ]  # fmt: skip
    records = tell(exchange, *pairs)
    outcomes = {r["instruction_id"]: (r["outcome"], r["executed_lots"]) for r in rows(records, "instruction-results")}
    first, again = sorted((pairs[0]["instruction_id"], pairs[2]["instruction_id"]))
    assert outcomes == {first: (Outcome.REJECTED, 0), pairs[1]["instruction_id"]: (Outcome.PARTIAL, 1), again: (Outcome.FILLED, 2)}


def test_a_rung_that_is_not_offered_is_rejected() -> None:
    provider = instruction(InstructionKind.PROVIDER, L, 2000, 1, lots=-1, quote=-90, counter_account=S1, counter_position_side=ONE_WAY, **BOTH)
    results = rows(tell(opened(example_a(6)), provider), "instruction-results")
    assert [(r["account"], r["outcome"], r["reason"]) for r in results] == [
        (L, Outcome.REJECTED, "PROVIDER is not offered here"),
        (S1, Outcome.REJECTED, "PROVIDER is not offered here"),
    ]


def playing(*events: Any) -> Scenario:
    """Example A whose script is these events, one a time."""
    base = example_a(6)
    return replace(base, script=lambda book: (timed for timed in [*base.script(book), *((3000 + n, list(e)) for n, e in enumerate(events))]))


def test_a_trade_brings_the_margin_of_an_isolated_position_with_the_fill() -> None:
    trade = Trade(BTC, 3, 88, Leg(777, PositionSide.ONE_WAY, MarginMode.ISOLATED, 50), Leg(MAKER, PositionSide.ONE_WAY))
    exchange = opened(playing([CashFlow(UpdateKind.DEPOSIT, 777, 60)], [trade]))
    assert exchange.book.cash[777, None, None] == 10
    assert exchange.book.cash[777, BTC, ONE_WAY] == 50 - 3 * 88
    exchange.book.check()


def test_funding_is_rounded_against_each_account_and_the_rest_is_kept() -> None:
    exchange = Exchange(playing([FundingPayment(BTC, 10_000, MAKER)]))  # 1 % of 10, -6 and -4 lots at 88
    while said := exchange.next_records():
        records = said
    paid = {r["account"]: r["amount"] for r in rows(records, "account-updates") if r["account"] != MAKER}
    assert paid == {L: -9, S1: 5, S2: 3}  # 8.8 up, 5.28 and 3.52 down
    assert sum(r["amount"] for r in rows(records, "account-updates") if r["account"] == MAKER) == 1
    assert all(r["counter_account"] is not None and r["transfer_id"] is not None for r in rows(records, "account-updates"))


def test_an_update_behind_a_fill_of_the_same_event_time_has_the_next_number() -> None:
    trade = Trade(BTC, 1, 88, Leg(S1, PositionSide.ONE_WAY), Leg(MAKER, PositionSide.ONE_WAY))
    exchange = Exchange(playing([trade, CashFlow(UpdateKind.DEPOSIT, S1, 1)]))
    while said := exchange.next_records():
        records = said
    numbers = [(stream, r["account_seq"]) for stream, _, r in records if r.get("account") == S1]
    assert [stream for stream, _ in numbers] == ["fills", "account-updates"]
    assert numbers[1][1] == numbers[0][1] + 1
