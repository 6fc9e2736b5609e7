"""The worked examples of tests/golden/examples.json: numbers as the sources print them, never through binary floats."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "golden" / "examples.json"
EXAMPLES: dict[str, dict[str, Any]] = {
    example["id"]: example for example in json.loads(FILE.read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)["examples"]
}


def units(number: Decimal, per_one: int) -> int:
    """A printed number in integer units, `per_one` of them to one; an error if it does not come out even."""
    scaled = number * per_one
    if scaled != int(scaled):
        raise ValueError(f"{number} is not a whole number of units of 1/{per_one}")
    return int(scaled)
