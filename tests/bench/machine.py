"""The machine a figure was measured on, in one line."""

import os
import platform
from pathlib import Path

import psutil


def describe_machine() -> str:
    """Processor, cores, memory, Python."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{os.cpu_count()} x {model}, {psutil.virtual_memory().total >> 30} GiB, Python {platform.python_version()}"
