"""A disk of a few pages, in a mount namespace of the command that is to fill it."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_UNSHARE = ["unshare", "--mount", "--map-root-user"]


def on_small_disk(directory: Path | str, size: str) -> list[str]:
    """What to put before a command so that it finds a disk of `size` (as `256k`) at `directory`.

    Skips where that cannot be.
    """
    mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(directory))}"
    tried = subprocess.run([*_UNSHARE, "sh", "-c", mount], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"NO MOUNT NAMESPACES here: {tried.stderr.strip()}")
    return [*_UNSHARE, "sh", "-c", f'{mount} && exec "$@"', "sh"]


def seen_by(pid: int, path: Path) -> Path:
    """A path as the process sees it, in its own mount namespace."""
    return type(path)(f"/proc/{pid}/root{path}")


def run_on_small_disk(
    command: Sequence[str], directory: Path | str, size: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    whole = [*on_small_disk(directory, size), *command]
    return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=60)
