"""Compiled kernels are cached by what they were compiled from."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "streams"


def cache_of(root: Path, home: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"XDG_CACHE_HOME": str(home), "PYTHONPATH": str(root)}
    code = "import streams, os; print(streams.__file__); print(os.environ.get('NUMBA_CACHE_DIR', ''))"
    said = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    assert said[0].startswith(str(root))
    return said[1]


def test_a_changed_room_never_runs_kernels_compiled_before(tmp_path: Path) -> None:
    package = tmp_path / "root" / "streams"
    (package / "risk").mkdir(parents=True)
    shutil.copy(PACKAGE / "__init__.py", package)
    (package / "risk" / "table.py").write_text("ONE = 1\n", encoding="utf-8")
    before = cache_of(tmp_path / "root", tmp_path / "home")
    assert before == cache_of(tmp_path / "root", tmp_path / "home")
    (package / "risk" / "table.py").write_text("ONE = 2\n", encoding="utf-8")
    after = cache_of(tmp_path / "root", tmp_path / "home")
    assert before != after
    assert Path(after).is_dir()


def test_without_a_home_to_write_to_numba_is_left_to_itself(tmp_path: Path) -> None:
    package = tmp_path / "root" / "streams"
    package.mkdir(parents=True)
    shutil.copy(PACKAGE / "__init__.py", package)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert cache_of(tmp_path / "root", tmp_path / "file") == ""
