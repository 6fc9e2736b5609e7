"""The usual mistakes of a first gateway, each made once through a real topic: what is said of it, and that the account or instrument recovers.

The gateway is written after the documents alone (tests/support/plain_gateway.py). Each row of the table in docs/gateway.md is a mistake here.
"""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streams.commands.broker import kafka_bus, topic_counts
from streams.commands.demo_kafka import environment
from streams.settings import EngineSettings, KafkaSettings, Settings
from tests.support.plain_gateway import Gateway
from tests.support.workers import PATIENCE_SECONDS, ROOT, Fleet, Worker, fleet

pytestmark = pytest.mark.kafka

PARTITIONS = 2
FUND, OTHER_FUND, BUYER, MAKER = 31, 32, 60, 90
WALLET = 10_000
Play = Callable[[Gateway, int], Any]


@dataclass(frozen=True)
class Mistake:
    """What is done wrong with one account (numbered as in the table), what is said of it, and what mends it.

    `mend` None: an operator drops the dead letter, and nothing is missing. `letter`: words of its dead letter; `alarm`: an alarm that the worker
    raises; neither: the account is just SUSPECT.
    """

    make: Play
    mend: Play | None
    letter: str = ""
    alarm: str = ""
    is_suspect: bool = True


def trade(gateway: Gateway, account: int, **wrong: Any) -> None:
    """One lot is bought at 100 ticks from the maker; the buyer's side is written wrongly."""
    number = gateway.id()
    gateway.leg(account, MAKER, **{"lots": 1, "quote": 100, "trade_id": number, **wrong})
    gateway.leg(MAKER, account, -1, -100, trade_id=number)


def states(gateway: Gateway, account: int, lots: int = 0, wallet: int = WALLET) -> None:
    """What the exchange has of the account: so many lots, bought at 100."""
    position = {"instrument": 1, "lots": lots, "cost": 100 * lots}
    gateway.state(account, {"amount": wallet}, *([position] if lots else []))


def bought(gateway: Gateway, account: int) -> None:
    """The trade of the mistake, and nothing else."""
    states(gateway, account, 1)


def in_seconds(gateway: Gateway, account: int) -> None:
    trade(gateway, account, event_time_us=gateway.now_us // 1_000_000)


def in_milliseconds(gateway: Gateway, account: int) -> None:
    trade(gateway, account, event_time_us=gateway.now_us // 1_000)


def sent_again(gateway: Gateway, account: int) -> None:
    number = gateway.id()
    row = gateway.leg(account, MAKER, 1, 100, trade_id=number)
    gateway.leg(MAKER, account, -1, -100, trade_id=number)
    gateway.again("fill", row)


def deposited_again(gateway: Gateway, account: int) -> None:
    gateway.again("account_update", gateway.update(account, "DEPOSIT", 50))


def another_margin_mode(gateway: Gateway, account: int) -> None:
    trade(gateway, account)
    trade(gateway, account, margin_mode="ISOLATED")


def marks_of_no_number(gateway: Gateway, _: int) -> None:
    for ticks in (100, 100, 1):
        gateway.mark(3, ticks, sequence=0)


def marks_that_rise(gateway: Gateway, account: int) -> None:
    """At 1 tick the holder of ten lots is far below its maintenance: it is told to liquidate, so the mark counts."""
    gateway.mark(3, 1, sequence=1)
    gateway.until(lambda: [row for row in gateway.heard["instructions"] if row["account"] == account], "no instruction at the mark that rose")


def mark_of_another_instrument(gateway: Gateway, _: int) -> None:
    gateway.mark(4, 10_000_000)


def right_mark(gateway: Gateway, account: int) -> None:
    gateway.mark(4, 1)
    gateway.until(lambda: [row for row in gateway.heard["instructions"] if row["account"] == account], "no instruction at the mark that was right")


def result_of_the_other_sign(gateway: Gateway, account: int) -> None:
    """Ten lots are sold for 930, and the result says that 930 were paid."""
    gateway.mark(1, 94)

    def order() -> Any:
        return next((row for row in gateway.heard["instructions"] if (row["account"], row["kind"]) == (account, "LIQUIDATE")), None)

    told = gateway.until(order, "no order for an account below its maintenance")
    common = {"trade_id": gateway.id(), "kind": "LIQUIDATION", "instruction_id": told["instruction_id"]}
    gateway.leg(account, MAKER, -10, -930, **common)
    gateway.leg(MAKER, account, 10, 930, **common)
    row = {"instruction_id": told["instruction_id"], "kind": "LIQUIDATE", "account": account, "outcome": "FILLED", "executed_lots": 10}
    row |= {"executed_quote": 930, "executed_amount": 0, "reason": "", "event_time_us": gateway.tick(), "account_seq": gateway.number(account)}
    gateway.send("instruction_result", row)
    gateway.mark(1, 100)


def two_wallets(gateway: Gateway, account: int) -> None:
    gateway.state(account, {"amount": WALLET}, {"amount": WALLET})


def another_asset(gateway: Gateway, account: int) -> None:
    gateway.state(account, {"amount": WALLET, "asset": 2}, {"instrument": 1, "lots": 1, "cost": 100, "asset": 1})


MISTAKES: dict[str, Mistake] = {
    "a quote that is not lots x price": Mistake(partial(trade, quote=101, price_ticks=100), bought, "is not lots x price_ticks"),
    "an account never stated": Mistake(lambda g, a: g.update(a, "DEPOSIT", 50), partial(states, wallet=50), alarm="account_not_opened"),
    "numbers that begin at 0": Mistake(
        lambda g, a: g.update(a, "SNAPSHOT", WALLET, part=0, parts=1, role="USER", account_seq=0), states, "the first record of an account has 1"
    ),
    "a SNAPSHOT in another asset than its positions": Mistake(another_asset, states, "no wallet of asset 1, which that settles in"),
    "an account split over partitions": Mistake(
        lambda g, a: trade(g, a, how={"partition": (a + 1) % PARTITIONS}), bought, "all its records go to one partition"
    ),
    "seconds for microseconds": Mistake(in_seconds, bought, "seconds given for microseconds?"),
    "milliseconds for microseconds": Mistake(in_milliseconds, bought, "milliseconds given for microseconds?"),
    "marks numbered 0": Mistake(marks_of_no_number, marks_that_rise, alarm="mark_sequence_restarted", is_suspect=False),
    "a mark in the ticks of another instrument": Mistake(
        mark_of_another_instrument, right_mark, "mark_ticks outside 1..1000000", alarm="mark_out_of_bounds", is_suspect=False
    ),
    "a fill sent again under a new number": Mistake(sent_again, None, "sent again under a new number"),
    "an update sent again under a new number": Mistake(deposited_again, partial(states, wallet=WALLET + 50), "sent again under a new number"),
    "a result whose quote has the other sign": Mistake(result_of_the_other_sign, partial(states, wallet=30), "the quote has the other sign"),
    "a quote of another sign than its lots": Mistake(partial(trade, quote=-100), bought, "both are above zero for the buyer"),
    "a withdrawal above zero": Mistake(
        lambda g, a: g.update(a, "WITHDRAWAL", 50), partial(states, wallet=WALLET - 50), "amount is the change of the wallet, below zero"
    ),
    "money in another scale": Mistake(
        lambda g, a: g.update(a, "DEPOSIT", 50_000_000, wallet_after=WALLET + 50), lambda *_: None, alarm="wallet_reconciled", is_suspect=False
    ),
    "a fee of the wrong sign": Mistake(
        lambda g, a: g.update(a, "FEE", 5, wallet_after=WALLET - 5), lambda *_: None, alarm="wallet_reconciled", is_suspect=False
    ),
    "a key that is not the account": Mistake(lambda g, a: trade(g, a, how={"key": str(a).encode()}), bought, "the key is the account as 8 bytes"),
    "another margin mode than the position's": Mistake(another_margin_mode, partial(states, lots=2), "changes only while it is flat"),
    "a wallet stated twice": Mistake(two_wallets, states, "gives the wallet of asset 1 twice"),
}
ONE_SIDED = "a trade of which one side never comes"
NUMBERS = {name: number for number, name in enumerate(MISTAKES, 1)}


def opens(gateway: Gateway) -> None:
    """Parameters, first marks, and a SNAPSHOT of every account but the one that is never stated and the one that begins elsewhere."""
    tier = {"floor": 0, "rate_ppm": 50_000, "maintenance_amount": 0}
    for number in (1, 2, 3, 4):
        row: dict[str, Any] = {"instrument": number, "symbol": f"I{number}", "version": 1, "kind": "LINEAR", "value_per_tick_lot": 1}
        row |= {"max_mark_ticks": 1_000_000, "max_lots": 1_000_000, "tiers": [tier], "event_time_us": gateway.tick()}
        gateway.send("instrument", {**row, "asset": 2 if number == 2 else 1, "pool": 2 if number == 2 else 1})
    pool: dict[str, Any] = {"version": 1, "policy_id": "BITMEX", "price_rule": "BANKRUPTCY", "score_wallet_floor": 1}
    pool |= {"net_notional_cap": None, "adl_start_value": -(10**9), "adl_stop_value": 10**9, "warning_ratio_ppm": 0, "instruction_valid_us": 10**7}
    pool |= {"adl_when": "INSOLVENT", "room_floor": "ZERO", "price_cap_ppm": None, "wave_deadline_us": 10**7, "wave_late": "GIVE_UP"}
    pool |= {"unwind_limit_ppm": 50_000, "unwind_lots_max": None, "fund_floor_value": 0, "retry_pause_us": 0, "retry_alarm_count": 5}
    for number, fund in ((1, FUND), (2, OTHER_FUND)):
        gateway.send("pool", {**pool, "pool": number, "asset": number, "fund_account": fund, "event_time_us": gateway.tick()})
    for number in (1, 2, 4):
        gateway.mark(number, 100)
    held: dict[str, dict[str, Any]] = {
        "a result whose quote has the other sign": {"instrument": 1}, "marks numbered 0": {"instrument": 3},
        "a mark in the ticks of another instrument": {"instrument": 4},
    }  # fmt: skip
    for name, number in NUMBERS.items():
        if name in held:
            gateway.state(number, {"amount": 100}, {**held[name], "lots": 10, "cost": 1_000})
        elif name not in ("an account never stated", "numbers that begin at 0"):
            states(gateway, number)
    sold = [{**each, "lots": -10, "cost": -1_000} for each in held.values()]
    gateway.state(MAKER, {"amount": 10**9}, {"amount": 10**9, "asset": 2}, *sold, role="MAKER")
    gateway.state(BUYER, {"amount": WALLET, "asset": 2})
    gateway.state(FUND, {"amount": 10**6}, role="FUND")
    gateway.state(OTHER_FUND, {"amount": 10**6, "asset": 2}, role="FUND")


@pytest.fixture
def settings(kafka_broker: str, tmp_path: Path) -> Settings:
    engine = EngineSettings(deployment=f"t{uuid.uuid4().hex[:12]}", shards=1, account_partitions=PARTITIONS, data_dir=tmp_path)
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka_broker), engine=engine)


@pytest.fixture
async def started(settings: Settings) -> AsyncIterator[tuple[Fleet, Worker]]:
    """The deployment's topics, and a worker for all of it."""
    bus = kafka_bus(settings)
    await bus.create_topics(topic_counts(account_partitions=PARTITIONS, shards=1))
    await bus.close()
    async with fleet(settings) as workers:
        yield workers, await workers.start()


def raised(worker: Worker, alarm: str) -> list[dict[str, Any]]:
    return worker.events("alarm_raised", alarm=alarm)


def told(gateway: Gateway, worker: Worker, name: str) -> bool:
    """Whether of the mistake everything has been said that should be."""
    mistake, account = MISTAKES[name], NUMBERS[name]
    said = any(mistake.letter in row["detail"] for row in gateway.letters(account if mistake.is_suspect else None))
    return bool(
        (not mistake.letter or said)
        and (not mistake.alarm or raised(worker, mistake.alarm))
        and (not mistake.is_suspect or gateway.standing(account) == "SUSPECT")
    )


def one_side_never_comes(gateway: Gateway, worker: Worker) -> None:
    """Five lots are bought for 500 in another asset, and nobody has sold them; then the seller's side comes after all."""
    row = gateway.leg(BUYER, MAKER, 5, 500, instrument=2)

    def seconds_pass_until(what: Callable[[], Any], why: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < end, (why, worker.lines[-10:])
            gateway.now_us += 1_000_000
            gateway.mark(2, 100)
            time.sleep(0.2)

    def violated() -> bool:
        return bool(worker.events("alarm_lasts", alarm="conservation_violated", of="asset 2")) and any(
            (line["asset"], line["amount"], line["lots"]) == (2, -500, {"2": 5}) for line in raised(worker, "conservation_violated")
        )

    seconds_pass_until(violated, "nobody was told that sums do not close")
    gateway.leg(MAKER, BUYER, -5, -500, instrument=2, trade_id=row["trade_id"])
    seconds_pass_until(
        lambda: worker.events("alarm_over", alarm="conservation_violated", of="asset 2"), "the alarm goes on though both sides are there"
    )


def dropped(settings: Settings, letter: dict[str, Any]) -> None:
    """What the operator types."""
    place = "{source_topic}/{source_partition}/{source_offset}".format(**letter)
    command = [sys.executable, "-m", "streams.cli", "dlq", "drop", place, "--reason", "it came twice", "--bus", "kafka"]
    command += ["--deployment", settings.engine.deployment]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment(settings)}, check=True, stdout=subprocess.DEVNULL)


def play(gateway: Gateway, worker: Worker, settings: Settings) -> None:
    """Every mistake, what is said of it, and every mend; then the one that only sums tell."""
    opens(gateway)
    for name, number in NUMBERS.items():
        MISTAKES[name].make(gateway, number)
    for name in NUMBERS:
        gateway.until(partial(told, gateway, worker, name), f"not told: {name}")
    assert sorted(gateway.suspects()) == [number for name, number in NUMBERS.items() if MISTAKES[name].is_suspect]
    for name, number in NUMBERS.items():
        mend = MISTAKES[name].mend
        if mend is None:
            dropped(settings, gateway.letters(number)[0])
        else:
            mend(gateway, number)
    gateway.until(lambda: not list(gateway.suspects()), "not healed")
    one_side_never_comes(gateway, worker)
    gateway.read()
    places = {(row["source_topic"], row["source_partition"], row["source_offset"]) for row in gateway.heard["dead-letters"]}
    assert len(places) == sum(bool(mistake.letter) for mistake in MISTAKES.values())  # one each, and none of what mended them


async def test_every_mistake_of_a_first_gateway_is_noticed_named_and_mended(
    settings: Settings, started: tuple[Fleet, Worker], kafka_broker: str
) -> None:
    _, worker = started
    gateway = Gateway(kafka_broker, settings.engine.deployment, ROOT / "schemas", PARTITIONS)
    try:
        await asyncio.to_thread(play, gateway, worker, settings)
    except AssertionError as error:
        error.add_note(f"the worker's last lines: {[*worker.lines[-12:], *worker.other[-3:]]}")
        raise
    finally:
        gateway.close()
    assert worker.process.returncode is None
    command = (sys.executable, "-m", "streams.cli", "dlq", "list", "--bus", "kafka", "--deployment", settings.engine.deployment)
    listed = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **environment(settings)})
    said, _ = await listed.communicate()
    places = [line.split()[0] for line in said.decode().splitlines() if line.split()[2:3] == ["open"]]
    assert places == [], "what a SNAPSHOT has healed is not open"


def test_every_mistake_that_the_documents_name_is_made_here() -> None:
    page = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8").split("## The usual mistakes")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")][2:]
    assert [row[0] for row in rows] == [*MISTAKES, ONE_SIDED]
    for name, seen, next_step in rows:
        quoted = MISTAKES.get(name)
        assert next_step
        assert quoted is None or not quoted.alarm or f"`{quoted.alarm}`" in seen
        assert quoted is None or not quoted.letter or any(words in quoted.letter or quoted.letter in words for words in seen.split("`")[1::2]), name
