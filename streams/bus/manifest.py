"""The MANIFEST of a recorded directory: SHA-256, size and path of every file, then the SHA-256 of those lines.

Container formats alone do not notice every flipped bit; this does. ClickHouse's own files change on reading, and the page
that `backstop report` derives may be written again by any version: both are left out.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from streams.errors import CheckFailed, UsageProblem

MANIFEST = "MANIFEST"
EXCLUDED = ("clickhouse", "report.html", "report.html.unfinished")  # names directly under the directory
_SEAL_BYTES = 64 + 1  # a SHA-256 in hex and a newline


def write_manifest(directory: Path, exclude: Sequence[str] = EXCLUDED) -> Path:
    """Write `directory`/MANIFEST over every file below it; the file appears whole or not at all."""
    lines = []
    for name in _files(directory, exclude):
        if "\n" in name:
            raise UsageProblem(f"{directory} holds a file whose name has a line break ({name!r}): rename it, then write the manifest again")
        digest, size = _digest(directory / name)
        lines.append(f"{digest}  {size}  {name}\n")
    body = os.fsencode("".join(lines))
    path = directory / MANIFEST
    unfinished = directory / (MANIFEST + ".unfinished")
    with unfinished.open("wb") as file:
        file.write(body + _seal(body))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return path


def check_manifest(directory: Path, exclude: Sequence[str] = EXCLUDED) -> list[str]:
    """The files of `directory`, all as their manifest says. Raises CheckFailed for the first difference in order of path."""
    expected = _read(directory / MANIFEST)
    present = set(_files(directory, exclude))
    for name in sorted(present | expected.keys()):
        path = directory / name
        if name not in expected:
            raise CheckFailed(f"{path} is not in the manifest: it was added after recording; move it away or record again")
        if name not in present:
            raise CheckFailed(f"{path} is missing, the manifest names it: restore it from the original recording")
        digest, size = _digest(path)
        if (digest, size) != expected[name]:
            raise CheckFailed(
                f"{path} is not as recorded: {size} bytes with SHA-256 {digest}, "
                f"the manifest has {expected[name][1]} bytes with {expected[name][0]}; restore it from the original recording"
            )
    return sorted(present)


def _read(path: Path) -> dict[str, tuple[str, int]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckFailed(f"{path} cannot be read ({error.strerror}): this is no complete recording; record again") from error
    body = data[:-_SEAL_BYTES]
    if data[-_SEAL_BYTES:] != _seal(body):
        raise CheckFailed(f"{path} is damaged: its last line is not the SHA-256 of the lines before it; restore it from the original recording")
    expected = {}
    for line in os.fsdecode(body).split("\n")[:-1]:
        digest, size, name = line.split("  ", 2)
        expected[name] = (digest, int(size))
    return expected


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"


def _files(directory: Path, exclude: Sequence[str]) -> list[str]:
    """Every path below `directory` that is not a plain directory, relative, sorted; without the manifest itself."""
    names = []
    for root, folders, files in os.walk(directory):
        base = Path(root)
        if base == directory:
            folders[:] = [name for name in folders if name not in exclude]
            files[:] = [name for name in files if name not in exclude]
        links = [name for name in folders if (base / name).is_symlink()]
        names += [(base / name).relative_to(directory).as_posix() for name in (*files, *links)]
    return sorted(name for name in names if name != MANIFEST)


def _digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, file.tell()
    except OSError as error:
        raise CheckFailed(f"{path} cannot be read ({error.strerror}): restore it from the original recording") from error
