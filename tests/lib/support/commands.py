"""Our commands in a process of their own, as a person calls them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def build_engine(
    *arguments: object, preexec_fn: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    script = "from tools.build_engine import main; main()"
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments), "--threads", "1"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, preexec_fn=preexec_fn
    )


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    """One line, exit code 2."""
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
