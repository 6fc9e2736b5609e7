"""Directories of runs that write many small files and need none of them afterwards."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def fast_directory() -> Iterator[Path]:
    """A directory in memory where the system has one (a file is then on disk at once), else wherever temporary ones are; gone at the end."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="simulation-", dir=memory if memory.is_dir() else None))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
