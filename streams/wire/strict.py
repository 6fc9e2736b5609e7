"""What a readable datum is: the slow, exact reader that defines it. It also words every refusal, so that dead letters replay byte for byte.

fastavro and pyruhvro are faster but lenient (both cut numbers beyond 64 bits and ignore trailing bytes): where in doubt, this decides.
"""

from typing import Any, Final

from streams.domain.events import NULL, DeadLetterReason
from streams.wire.schemas import Field, Kind

LAST_SHIFT: Final = 63  # the tenth byte of a varint carries one bit


class Unreadable(Exception):
    """A datum that is refused; the record goes to dead-letters with this reason and detail."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read(fields: tuple[Field, ...], body: bytes) -> dict[str, Any]:
    """The datum as a dict, enums as codes, in the bounds of its fields. Raises Unreadable; every byte must be used."""
    reader = _Reader(body)
    row = reader.record(fields)
    if reader.at != len(body):
        raise Unreadable(DeadLetterReason.UNDECODABLE, f"{len(body) - reader.at} bytes follow the last field")
    check(fields, row)
    return row


def read_partly(fields: tuple[Field, ...], body: bytes) -> tuple[dict[str, Any], str]:
    """What can be read of a datum before it breaks, and what is wrong then ("" where nothing is). For people; machines never see it."""
    reader = _Reader(body)
    row: dict[str, Any] = {}
    try:
        for field in fields:
            row |= reader.record((field,))
    except Unreadable as refusal:
        return row, refusal.detail
    return row, "" if reader.at == len(body) else f"{len(body) - reader.at} bytes follow the last field"


def check(fields: tuple[Field, ...], row: dict[str, Any]) -> None:
    """Hold whole numbers, nested ones too, against their bounds. Raises Unreadable: OUT_OF_BOUNDS for NULL, else UNDECODABLE."""
    for field in fields:
        value = row[field.name]
        if value is None:
            continue
        if field.is_whole:
            if not field.low <= value <= field.high:
                raise _outside(field, value)
        elif field.kind is Kind.ARRAY:
            for item in value:
                check(field.fields, item)
        elif field.kind is Kind.RECORD:
            check(field.fields, value)


def _outside(field: Field, value: int) -> Unreadable:
    if value == NULL and field.kind is Kind.LONG:
        return Unreadable(DeadLetterReason.OUT_OF_BOUNDS, f"{field.name} is {value}, which stands for an absent value")
    return Unreadable(DeadLetterReason.UNDECODABLE, f"{field.name} holds {value}, outside {field.low} to {field.high}")


class _Reader:
    """Takes one Avro value after the other from the bytes; `at` is where it stands."""

    __slots__ = ("at", "body", "name")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self.name = ""

    def record(self, fields: tuple[Field, ...]) -> dict[str, Any]:
        row = {}
        for field in fields:
            self.name = field.name
            row[field.name] = self._value(field)
        return row

    def _value(self, field: Field) -> Any:
        if field.nullable:
            branch = self._long()
            if branch == 0:
                return None
            if branch != 1:
                raise self._refusal(f"has no union branch {branch}")
        match field.kind:
            case Kind.LONG | Kind.INT | Kind.ENUM:
                return self._long()
            case Kind.STRING:
                return self._text()
            case Kind.BYTES:
                return self._take(self._long())
            case Kind.FIXED:
                return self._take(field.size)
            case Kind.RECORD:
                return self.record(field.fields)
            case Kind.ARRAY:
                return self._array(field)

    def _array(self, field: Field) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while count := self._long():
            if count < 0:
                # A negative count is followed by the block's size in bytes, for readers that skip.
                count = -count
                self._long()
            if count > len(self.body) - self.at:
                raise self._refusal(f"announces {count} items in {len(self.body) - self.at} bytes")
            items.extend(self.record(field.fields) for _ in range(count))
            self.name = field.name
        return items

    def _text(self) -> str:
        raw = self._take(self._long())
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._refusal("is not UTF-8") from None

    def _long(self) -> int:
        """One zigzag varint of at most 64 bits. Longer encodings than needed are read, as every Avro reader does."""
        number = shift = 0
        while True:
            if self.at == len(self.body):
                raise self._refusal("is cut off")
            byte = self.body[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if shift == LAST_SHIFT and byte > 1:
                raise self._refusal("is wider than 64 bits")
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7

    def _take(self, size: int) -> bytes:
        if size < 0:
            raise self._refusal(f"has length {size}")
        if size > len(self.body) - self.at:
            raise self._refusal("is cut off")
        start, self.at = self.at, self.at + size
        return self.body[start : self.at]

    def _refusal(self, what: str) -> Unreadable:
        return Unreadable(DeadLetterReason.UNDECODABLE, f"{self.name} {what}")
