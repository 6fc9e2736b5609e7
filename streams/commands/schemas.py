"""`backstop schemas check`: every version of every schema against every other, and against the lock of what has been released.

Old and new workers read each other's records while a deployment moves, so compatibility is demanded in both directions and over all versions.
"""

import hashlib
import json
from itertools import permutations
from pathlib import Path
from typing import Any

from streams.commands.console import complain, emit_json, say
from streams.errors import BackstopError, UsageProblem
from streams.wire.evolution import incompatible, reused
from streams.wire.schemas import ARCHIVE, Schema, directory, other_versions, schemas

LOCK = "lock.json"


def run_check(*, write: bool, as_json: bool) -> int:
    """0 when every version can be read by every other and is as locked, 1 with what is wrong. `write` locks what is there now."""
    files = locked_files(directory())
    if write:
        try:
            (directory() / LOCK).write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"{directory() / LOCK} cannot be written ({error.strerror}): run this in a checkout") from error
    problems = [*changed_files(directory()), *incompatibilities()]
    versions = sum(len(_others(name)) + 1 for name in schemas())
    if as_json:
        emit_json({"directory": str(directory()), "schemas": len(schemas()), "versions": versions, "problems": problems, "locked": files})
    elif not problems:
        say(f"{len(schemas())} schemas in {versions} versions: as locked, and every version reads every other")
    for problem in problems:
        complain(problem)
    return 1 if problems else 0


def locked_files(root: Path) -> dict[str, dict[str, str]]:
    """Every schema file, its SHA-256 and the fingerprint of its canonical form: the two say different things, see `schemas/README.md`."""
    by_name: dict[str, Schema] = {each.name: each for name in schemas() for each in (schemas()[name], *_others(name))}
    found = {}
    for path in sorted([*root.glob("*.avsc"), *(root / ARCHIVE).glob("*.avsc")]):
        content = path.read_bytes()
        entry = {"sha256": hashlib.sha256(content).hexdigest()}
        version = by_name.get(path.stem)
        if version is not None:
            entry["fingerprint"] = version.fingerprint.hex()
        found[path.relative_to(root).as_posix()] = entry
    return found


def _others(name: str) -> tuple[Schema, ...]:
    """The other versions; none where they are broken, which `incompatibilities` says."""
    try:
        return other_versions(name)
    except BackstopError:
        return ()


def changed_files(root: Path) -> list[str]:
    """How the files differ from the lock; a file that is not locked yet is no difference."""
    try:
        lock: dict[str, Any] = json.loads((root / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"{root / LOCK} cannot be read ({type(error).__name__}): lock what is there (`backstop schemas check --write`)"]
    now = locked_files(root)
    gone = [f"{name} is locked, but is gone: restore it, old records are read with it" for name in lock if name not in now]
    return gone + [
        f"{name} is not as locked: a released schema is never changed; make the change a new version and keep this one in {ARCHIVE}/"
        for name, entry in lock.items()
        if name in now and now[name]["sha256"] != entry["sha256"]
    ]


def incompatibilities() -> list[str]:
    """What keeps any version of a schema from reading any other."""
    problems = []
    for name, current in schemas().items():
        try:
            others = other_versions(name)
        except BackstopError as error:
            problems.append(str(error))
            continue
        versions = [*others, current]
        for reader, writer in permutations(versions, 2):
            problems += [f"{reader.name} cannot read {writer.name}: {why}" for why in incompatible(reader.fields, writer.fields)]
        problems += [f"{name}: {why}" for why in reused(versions)]
    return problems
