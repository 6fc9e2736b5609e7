"""Which ClickHouse table a stream becomes: columns from its Avro schema, types from the units its field docs state.

Whatever is summed (settlement units, lots) is Decimal(38, 0) in the stream's own units, because sum(Int64) wraps silently; times are DateTime64(6);
enums keep their symbols; records inside records are Array(Tuple), an optional one as none or one row. Column comments are the schema's docs.
Rows stay as long as the table of streams says, counted from when they were inserted: a day of last year that is loaded now stays as long as today.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache

from streams.topics import FOREVER_MS, STREAMS
from streams.wire.schemas import Field, schema
from streams.wire.schemas import Kind as Avro

DATABASE = "backstop"
EVENT_TIME = "event_time"
EVENT_TIME_FIELD = "event_time_us"
FREE_TEXT = frozenset({"reason", "detail", "text"})
AMOUNT_TYPE = "Decimal(38, 0)"
# Far more inserts than any restart re-inserts: a token older than the window would be taken for a new block.
DEDUPLICATION_WINDOW = 100_000


class Kind(Enum):
    """How values of a field are stored."""

    TIME = "DateTime64(6, 'UTC')"
    AMOUNT = AMOUNT_TYPE
    AMOUNT_TEXT = "Decimal(38, 0) from text"
    LONG = "Int64"
    INT = "Int32"
    ENUM = "Enum8"
    WORD = "LowCardinality(String)"
    TEXT = "String"
    HEX = "String of hexadecimal digits"
    ROWS = "Array(Tuple)"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `field` is the stream's field, `name` the table's column; they differ for the event time only."""

    name: str
    field: str
    kind: Kind
    nullable: bool
    doc: str
    symbols: tuple[str, ...] = ()
    inner: tuple["Column", ...] = ()

    @property
    def type(self) -> str:
        """ClickHouse type."""
        match self.kind:
            case Kind.AMOUNT_TEXT:
                plain = AMOUNT_TYPE
            case Kind.HEX:
                plain = Kind.TEXT.value
            case Kind.ENUM:
                plain = f"Enum8({', '.join(f'{_quoted(symbol)} = {code}' for code, symbol in enumerate(self.symbols))})"
            case Kind.WORD:
                return "LowCardinality(Nullable(String))" if self.nullable else self.kind.value
            case Kind.ROWS:  # never Nullable: absent is an empty array
                return f"Array(Tuple({', '.join(f'`{column.name}` {column.type}' for column in self.inner)}))"
            case _:
                plain = self.kind.value
        return f"Nullable({plain})" if self.nullable else plain

    @property
    def codec(self) -> str:
        """Compression codec; Delta is refused on 128-bit decimals and pointless on the rest."""
        return "CODEC(Delta, ZSTD(1))" if self.kind is Kind.TIME else "CODEC(ZSTD(1))"


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one stream."""

    stream: str
    name: str
    columns: tuple[Column, ...]
    order_by: tuple[str, ...]
    kept_ms: int

    @property
    def topic(self) -> str:
        """The topic that carries the stream."""
        return STREAMS[self.stream].topic

    @property
    def ttl(self) -> str:
        """When a row may go; empty: never."""
        return "" if self.kept_ms == FOREVER_MS else f"TTL toDateTime(ingested_at) + toIntervalSecond({self.kept_ms // 1000})"

    def create_sql(self, database: str) -> str:
        """Its CREATE TABLE IF NOT EXISTS. One row per record: duplicates of a coordinate merge, and reads with FINAL never see them."""
        lines = [
            f"`src_topic` LowCardinality(String) DEFAULT {_quoted(self.topic)} COMMENT 'Topic of the record.'",
            "`src_partition` UInt32 COMMENT 'Partition of the record.' CODEC(ZSTD(1))",
            "`src_offset` UInt64 COMMENT 'Offset of the record.' CODEC(DoubleDelta, ZSTD(1))",
            "`ingested_at` DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by the server.' CODEC(Delta, ZSTD(1))",
            *(f"`{column.name}` {column.type} COMMENT {_quoted(column.doc)} {column.codec}" for column in self.columns),
        ]
        return (
            f"CREATE TABLE IF NOT EXISTS `{database}`.`{self.name}`\n(\n    "
            + ",\n    ".join(lines)
            + "\n)\nENGINE = ReplacingMergeTree\n"
            + f"PARTITION BY toYYYYMM({EVENT_TIME})\n"
            + f"ORDER BY ({', '.join(self.order_by)})\n"
            + (f"{self.ttl}\n" if self.ttl else "")
            # A block that the bounds file calls inserted must survive a power cut as well as the bounds file does.
            + f"SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, fsync_after_insert = 1, fsync_part_directory = 1"
        )


@cache
def table(stream: str) -> Table:
    """The table of a stream; rows lie by the stream's key, then time, then source coordinates."""
    declared = STREAMS[stream]
    columns = tuple(_column(field) for field in schema(declared.schema).fields)
    key = "source_topic" if declared.key == "source" else declared.key
    may_lead = any(column.name == key and not column.nullable for column in columns)
    order_by = (*((key,) if may_lead else ()), EVENT_TIME, "src_partition", "src_offset")
    return Table(stream, declared.table, columns, order_by, declared.rows_kept_ms)


def _column(field: Field) -> Column:
    kind = _kind(field)
    if kind is Kind.TIME:
        return Column(EVENT_TIME, field.name, kind, field.nullable, "Event time; outside the years 1900 to 2299 the nearer bound.")
    inner = tuple(_column(each) for each in field.fields)
    return Column(field.name, field.name, kind, field.nullable and not inner, field.doc, field.symbols, inner)


def _kind(field: Field) -> Kind:
    """How a field is stored."""
    match field.kind:
        case Avro.LONG if field.name == EVENT_TIME_FIELD:
            return Kind.TIME
        case Avro.LONG:
            return Kind.AMOUNT if is_summed(field.doc) else Kind.LONG
        case Avro.INT:
            return Kind.INT
        case Avro.ENUM:
            return Kind.ENUM
        case Avro.STRING if is_summed(field.doc):
            return Kind.AMOUNT_TEXT
        case Avro.STRING:
            return Kind.TEXT if field.name in FREE_TEXT else Kind.WORD
        case Avro.BYTES | Avro.FIXED:
            return Kind.HEX
        case Avro.ARRAY | Avro.RECORD:
            return Kind.ROWS


def is_summed(doc: str) -> bool:
    """Whether a field's doc states a unit that is summed: settlement units or lots."""
    return "settlement units" in doc or re.search(r"\blots\b", doc) is not None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
