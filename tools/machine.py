"""The machine that a figure was measured on."""

from __future__ import annotations

import platform
from pathlib import Path


def machine() -> str:
    """The processor as the system names it; "unknown" where it does not."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
