"""Migrations as files: `infra/clickhouse/migrations/NNNN_name.sql`, numbered from 1 without holes, locked by SHA-256 in `lock.json`.

A statement ends with a semicolon at the end of a line, and may be run again: a crash can leave one done and not noted. `{database}` stands for
the database's name. What the lock names is released and never changes; a change is a new migration.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from streams.errors import CheckFailed, ConfigurationProblem

PACKAGED: Final = Path(__file__).resolve().parent.parent / "_migrations"  # where the wheel puts them
CHECKOUT: Final = PACKAGED.parent.parent / "infra" / "clickhouse" / "migrations"
LOCK: Final = "lock.json"
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql", re.ASCII)
_END: Final = re.compile(r";[ \t]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `sha256` is of its bytes."""

    number: int
    name: str
    sha256: str
    text: str

    @property
    def file(self) -> str:
        """Its file name."""
        return f"{self.number:04d}_{self.name}.sql"

    def statements(self, database: str) -> list[str]:
        """What it runs in this database, in order."""
        return [part.strip() for part in _END.split(self.text.replace("{database}", database)) if part.strip()]


def directory() -> Path:
    """Where the files are: beside the installed package, or in the checkout."""
    return PACKAGED if PACKAGED.is_dir() else CHECKOUT


@cache
def migrations() -> tuple[Migration, ...]:
    """The migrations of this version. Raises ConfigurationProblem for a broken set, CheckFailed where a locked file has changed."""
    return load(directory())


def load(source: Path) -> tuple[Migration, ...]:
    """The migrations of a directory, checked against its lock."""
    found = read(source)
    if changed := changed_files(source, found):
        raise CheckFailed(changed[0])
    return found


def read(source: Path) -> tuple[Migration, ...]:
    """The migrations of a directory in their order, whatever the lock says."""
    found = []
    for path in sorted(source.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise ConfigurationProblem(f"{path} is not named like a migration (0001_name.sql): rename it")
        content = path.read_bytes()
        found.append(Migration(int(match[1]), match[2], hashlib.sha256(content).hexdigest(), content.decode("utf-8")))
    if not found:
        raise ConfigurationProblem(f"no migrations in {source}. Reinstall the package, or run in a complete checkout")
    for wanted, migration in enumerate(found, start=1):
        if migration.number != wanted:
            raise ConfigurationProblem(f"{source / migration.file} has number {migration.number} where {wanted} is next: number them without holes")
    return tuple(found)


def locked(source: Path) -> dict[str, str]:
    """SHA-256 of every released file. Raises ConfigurationProblem for a lock that cannot be read."""
    try:
        return {str(name): str(sha256) for name, sha256 in json.loads((source / LOCK).read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationProblem(f"{source / LOCK} cannot be read ({type(error).__name__}): restore it") from error


def changed_files(source: Path, found: tuple[Migration, ...]) -> list[str]:
    """How the files differ from the lock; a file that is not locked yet is no difference."""
    now = {migration.file: migration.sha256 for migration in found}
    return [
        f"{source / name} is {'gone' if name not in now else 'not as locked'}: "
        "a released migration never changes; restore it, and put the change into a new one"
        for name, sha256 in locked(source).items()
        if now.get(name) != sha256
    ]


def lock(source: Path) -> list[str]:
    """Add the files that are not locked yet to the lock; returns their names. Raises CheckFailed where a locked one has changed."""
    found, known = load(source), locked(source)
    (source / LOCK).write_text(json.dumps({migration.file: migration.sha256 for migration in found}, indent=1) + "\n", encoding="utf-8")
    return [migration.file for migration in found if migration.file not in known]
