"""Which cores a process may run on: an engine's own keep its frames from waiting for other work."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from engines.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_cores(cores: Sequence[int]) -> None:
    """Refuse cores that this process may not use.

    Raises:
        EngineError: one of them is not there, or not allowed by the system.
    """
    allowed = os.sched_getaffinity(0)
    missing = [core for core in cores if core not in allowed]
    if missing:
        raise EngineError(
            f"engine.cores: found {missing}, expected some of {sorted(allowed)}, the cores that this process "
            "may use. Correct config.yaml, or what limits the process (taskset, cpuset, container)."
        )


def pin(cores: Sequence[int]) -> None:
    """Keep all threads of this process, and those that they start from now on, on these cores.

    Raises:
        EngineError: as `check_cores`.
    """
    check_cores(cores)
    for task in Path("/proc/self/task").iterdir():  # the call with 0 would move this thread alone
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setaffinity(int(task.name), cores)
