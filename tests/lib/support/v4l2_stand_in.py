"""A V4L2 camera for processes that preload `v4l2_stand_in.c`; no kernel driver is needed."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

STAND_IN_PATH = "/dev/video7"
NO_COMPILER = "NO V4L2: apt-get install gcc libc6-dev"
_VARIABLE = "LD_PRELOAD"
_SOURCE = Path(__file__).with_suffix(".c")


def has_compiler() -> bool:
    """Whether the stand-in can be built here."""
    return shutil.which("gcc") is not None


def build_stand_in(directory: Path) -> Path:
    """Compile it into `directory`; the path of the library."""
    library = directory / "v4l2_stand_in.so"
    command = ["gcc", "-O1", "-shared", "-fPIC", str(_SOURCE), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True)
    return library


def with_stand_in(library: Path) -> dict[str, str]:
    """The environment of a process that is to have the camera."""
    return {**os.environ, _VARIABLE: str(library)}


def stand_in_is_loaded() -> bool:
    """Whether this process has the camera."""
    return "v4l2_stand_in" in os.environ.get(_VARIABLE, "")


def stand_in() -> ctypes.CDLL:
    """The library within this process: `stand_in_set(name, value)`, `stand_in_control(id)`."""
    return ctypes.CDLL(os.environ[_VARIABLE])
