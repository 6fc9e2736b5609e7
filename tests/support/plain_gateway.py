"""A gateway as somebody else would write it, after docs/gateway.md and schemas/ alone: confluent-kafka and fastavro, none of our code."""

import io
import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from fastavro.schema import fingerprint, to_parsing_canonical_form

Row = dict[str, Any]
PATIENCE_S = 200.0  # the first answer comes when all kernels are compiled

# What a gateway writes, by schema: its topic, and the field that the key is made of with its struct format.
WRITES = {
    "instrument": ("instruments", "instrument", ">i"),
    "pool": ("pools", "pool", ">i"),
    "mark": ("marks", "instrument", ">i"),
    "fill": ("account-events", "account", ">q"),
    "account_update": ("account-events", "account", ">q"),
    "instruction_result": ("account-events", "account", ">q"),
}
# What it reads, by topic.
READS = {"instructions": "instruction", "dead-letters": "dead_letter", "account-states": "account_state"}


class Schemas:
    """The schemas, each with the ten bytes that stand before a record of it."""

    def __init__(self, directory: Path) -> None:
        self._parsed: dict[str, Any] = {}
        self._heads: dict[str, bytes] = {}
        for name in (*WRITES, *READS.values()):
            tree = json.loads((directory / f"{name}.avsc").read_text())
            self._parsed[name] = fastavro.parse_schema(tree, named_schemas={})
            self._heads[name] = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(self._parsed[name]), "CRC-64-AVRO"))

    def encode(self, name: str, row: Row) -> bytes:
        """A record's value."""
        out = io.BytesIO()
        out.write(self._heads[name])
        fastavro.schemaless_writer(out, self._parsed[name], row)
        return out.getvalue()

    def decode(self, name: str, value: bytes) -> Row | None:
        """The row of a record's value, or None where it is of another schema: a topic may carry several."""
        if value[:10] != self._heads[name]:
            return None
        row = fastavro.schemaless_reader(io.BytesIO(value[10:]), self._parsed[name], None)
        assert isinstance(row, dict)
        return row


class Gateway:
    """Writes what happened at an exchange, numbers the records of every account, and reads what it is told."""

    def __init__(self, bootstrap: str, deployment: str, schemas: Path, partitions: int) -> None:
        self._schemas, self._deployment, self._partitions = Schemas(schemas), deployment, partitions
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 1, "log_level": 2})
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": f"{deployment}-gateway", "isolation.level": "read_committed", "enable.auto.commit": False}
        )
        counts = {"instructions": partitions, "account-states": partitions, "dead-letters": 1}
        self._consumer.assign([TopicPartition(f"{deployment}.{topic}", n, 0) for topic, count in counts.items() for n in range(count)])
        self.heard: dict[str, list[Row]] = {topic: [] for topic in READS}
        self._numbers: dict[int, int] = {}
        self._marks: dict[int, int] = {}
        self._ids = 1_000
        self.now_us = time.time_ns() // 1_000 - 120_000_000  # what happens here happened two minutes ago, and goes on from there

    # -- writing ------------------------------------------------------------------------------------------------------------------------

    def send(self, name: str, row: Row, *, key: bytes | None = None, partition: int | None = None) -> Row:
        """Write one record, as it stands; the row."""
        topic, field, form = WRITES[name]
        if partition is None:
            partition = row["account"] % self._partitions if topic == "account-events" else 0
        self._producer.produce(
            f"{self._deployment}.{topic}", self._schemas.encode(name, row), key or struct.pack(form, row[field]), partition=partition
        )
        self._producer.flush()
        return row

    def number(self, account: int) -> int:
        """The account's next number: the first record of all has 1."""
        self._numbers[account] = self._numbers.get(account, 0) + 1
        return self._numbers[account]

    def id(self) -> int:
        """An id that nothing else has."""
        self._ids += 1
        return self._ids

    def tick(self) -> int:
        """The next moment; microseconds."""
        self.now_us += 1_000
        return self.now_us

    def mark(self, instrument: int, ticks: int, **more: Any) -> Row:
        """A mark."""
        self._marks[instrument] = self._marks.get(instrument, 0) + 1
        row = {
            "instrument": instrument,
            "mark_ticks": ticks,
            "index_ticks": ticks,
            "sequence": self._marks[instrument],
            "grade": "GOOD",
            "epoch": None,
        }
        return self.send("mark", {"event_time_us": self.tick(), **row, **more})

    def update(self, account: int, kind: str, amount: int, *, how: Row | None = None, **more: Any) -> Row:
        """An account update; `how`: where it is sent."""
        row = {"update_id": self.id(), "kind": kind, "asset": 1, "amount": amount}
        return self.send(
            "account_update", {"event_time_us": self.tick(), "account": account, "account_seq": self.number(account), **row, **more}, **(how or {})
        )

    def state(self, account: int, *parts: Row, role: str = "USER", **more: Any) -> None:
        """A SNAPSHOT: every part says an `amount`, and of a position its instrument, lots and cost."""
        for number, part in enumerate(parts):
            fields = {"margin_mode": "CROSS", "position_side": "ONE_WAY", **part} if "instrument" in part else dict(part)
            self.update(account, "SNAPSHOT", fields.pop("amount", 0), part=number, parts=len(parts), role=role, **{**fields, **more})

    def leg(self, account: int, counter: int, lots: int, quote: int, *, how: Row | None = None, **more: Any) -> Row:
        """One side of a trade."""
        row = {
            "trade_id": self.id(), "leg": 0, "counter_account": counter, "instrument": 1, "position_side": "ONE_WAY", "margin_mode": "CROSS",
            "lots": lots, "quote": quote, "margin_moved": 0, "price_ticks": None, "kind": "TRADE", "instruction_id": None,
        }  # fmt: skip
        return self.send(
            "fill", {"event_time_us": self.tick(), "account": account, "account_seq": self.number(account), **row, **more}, **(how or {})
        )

    def again(self, name: str, row: Row) -> Row:
        """The same event under the account's next number."""
        return self.send(name, {**row, "account_seq": self.number(row["account"])})

    # -- reading ------------------------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take what has been written since, for half a second at most."""
        for message in self._consumer.consume(500, timeout=0.5):
            assert message.error() is None, message.error()
            topic = str(message.topic()).removeprefix(f"{self._deployment}.")
            value = message.value()
            assert value is not None
            row = self._schemas.decode(READS[topic], value)
            if row is not None:
                self.heard[topic].append(row)

    def until(self, what: Callable[[], Any], why: str) -> Any:
        """Read on until it is so; what it came to."""
        end = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < end, f"{why}; heard last: {[rows[-5:] for rows in self.heard.values()]}"
            self.read()
        return found

    def letters(self, account: int | None) -> list[Row]:
        """Dead letters of an account, or of none."""
        return [row for row in self.heard["dead-letters"] if row["account"] == account]

    def standing(self, account: int) -> str | None:
        """What was said last of the account as a whole: SUSPECT, HEALTHY again, or nothing."""
        said = [row["state"] for row in self.heard["account-states"] if row["account"] == account and row["asset"] == 0]
        return said[-1] if said else None

    def suspects(self) -> Iterator[int]:
        """Accounts that are SUSPECT."""
        accounts = sorted({row["account"] for row in self.heard["account-states"]})
        return (account for account in accounts if self.standing(account) == "SUSPECT")

    def close(self) -> None:
        """Let go of connections."""
        self._consumer.close()
