"""A wall clock that can be set for a process and its children, without touching that of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """Right until it is set; `env` is that of a process that is to go by it. Skips without a compiler."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("gcc") is None:
            pytest.skip("NO COMPILER: no clock was set back. Run: apt-get install gcc libc6-dev")
        self._file, library = directory / "offset", directory / "wall_clock.so"
        self._file.write_bytes(bytes(8))
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", str(_SOURCE), "-o", str(library)], check=True)
        self.env = {**os.environ, "LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(self._file)}

    def set(self, *, ahead_s: int) -> None:
        """Have it go ahead of the machine's, or with a negative number behind it."""
        with self._file.open("r+b") as file:
            file.write(ahead_s.to_bytes(8, "little", signed=True))
