"""`backstop query`: one read-only SELECT over the tables that a run left beside its log."""

import datetime as dt
import math
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from streams.commands import run_directory
from streams.commands.console import emit_json, say
from streams.sinks.connection import Answer, open_embedded, query

WIDE = re.compile(r"U?Int(64|128|256)|Decimal")  # columns whose numbers may lie beyond 2^53, where JavaScript's stop being exact


def run_query(directory: Path, sql: str, *, as_json: bool) -> int:
    """Rows as a table on a terminal, as tab-separated text elsewhere, as a JSON array with `as_json`. Raises UsageProblem on refused SQL."""
    run_directory.require(directory)
    client = open_embedded(directory, read_only=True)
    try:
        answer = query(client, sql)
    finally:
        client.close()
    if as_json:
        wides = [WIDE.search(kind) is not None for kind in answer.types]
        emit_json([{name: _json(value, wide) for name, value, wide in zip(answer.columns, row, wides, strict=True)} for row in answer.rows])
    elif sys.stdout.isatty():
        _print_table(answer)
    else:
        _print_tsv(answer)
    return 0


def _json(value: Any, is_wide: bool) -> Any:
    """A value as JSON can carry it, and a reader that knows only floats: numbers of a wide column become text, NaN and infinities null."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return str(value) if is_wide else value
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [_json(part, is_wide) for part in value]
        case dict():
            return {str(key): _json(part, is_wide) for key, part in value.items()}
        case dt.datetime():
            return value.isoformat() + ("Z" if value.tzinfo is None else "")
        case _:
            return str(value)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case dt.datetime():
            return value.isoformat(sep=" ")
        case _:
            return str(value)


def _print_table(answer: Answer) -> None:
    table = Table(*answer.columns)
    numeric = [bool(answer.rows) and all(isinstance(row[i], int | float | Decimal | None) for row in answer.rows) for i in range(len(answer.columns))]
    for column, right in zip(table.columns, numeric, strict=True):
        column.justify = "right" if right else "left"
    for row in answer.rows:
        table.add_row(*map(_text, row))
    Console(markup=False).print(table)


def _print_tsv(answer: Answer) -> None:
    say(_line(answer.columns))
    for row in answer.rows:
        say(_line([_text(value) for value in row]))


def _line(values: Sequence[str]) -> str:
    escapes = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n"}
    return "\t".join(value.translate(escapes) for value in values)
