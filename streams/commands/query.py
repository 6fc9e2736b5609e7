"""`backstop query`: one read-only SELECT over the tables that a run left beside its log."""

import datetime as dt
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


def run_query(directory: Path, sql: str, *, as_json: bool) -> int:
    """Rows as a table on a terminal, as tab-separated text elsewhere, as a JSON array with `as_json`. Raises UsageProblem on refused SQL."""
    run_directory.require(directory)
    client = open_embedded(directory, read_only=True)
    try:
        answer = query(client, sql)
    finally:
        client.close()
    if as_json:
        emit_json([{name: _json(value) for name, value in zip(answer.columns, row, strict=True)} for row in answer.rows])
    elif sys.stdout.isatty():
        _print_table(answer)
    else:
        _print_tsv(answer)
    return 0


def _json(value: Any) -> Any:
    """A value as JSON can carry it: what is no number, text, list or mapping there becomes text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_json(part) for part in value]
        case dict():
            return {str(key): _json(part) for key, part in value.items()}
        case dt.datetime():
            return value.isoformat()
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
