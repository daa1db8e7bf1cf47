"""What a process of the line asks of the operating system, so that it is not late for reasons of its own."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engines.affinity import pin
from engines.engine import EngineError

if TYPE_CHECKING:
    from pipeline.config import RealtimeConfig

MCL_CURRENT, MCL_FUTURE = 1, 2
CAP_SYS_NICE = 1 << 23
USUAL_NICE = 20
"""RLIMIT_NICE from which a thread of niceness 0 may leave SCHED_IDLE: the limit is 20 less the niceness."""
LAST_IN_LINE = ("chrt", "--idle", "0")
"""In front of a command: whoever else wants the core has it at once (SCHED_IDLE, sched(7)), where niceness 19
would end its turn first."""
EXPENDABLE = "1000"
COLLECT_S = 5.0
LATEST_COLLECT_S = 60.0
"""A line that is never idle is collected then all the same."""


def apply(settings: RealtimeConfig, *, cores: list[int] | None) -> list[str]:
    """Ask for what is configured; returns one line for everything that was refused.

    Args:
        settings: of the station.
        cores: that this process is to be kept on, None for all.
    """
    refused = []
    if cores is not None:
        try:
            pin(cores)
        except EngineError as error:
            refused.append(str(error))
    if settings.lock_memory and ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        refused.append(
            f"realtime.lock_memory: refused ({os.strerror(ctypes.get_errno())}); memory may be swapped out. "
            "Raise the limit: ulimit -l, LimitMEMLOCK= of the unit"
        )
    if settings.fifo_priority is not None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(settings.fifo_priority))
        except OSError as error:
            refused.append(
                f"realtime.fifo_priority: refused ({error.strerror}); scheduled like any other program. "
                "Allow it: ulimit -r, LimitRTPRIO= of the unit, CAP_SYS_NICE"
            )
    return refused


def stand_by() -> list[str]:
    """For a process that loads beside the line: where memory runs out, the kernel is to end this one.

    Its scheduling was set by who started it. Returns one line if it was refused.
    """
    try:
        Path("/proc/self/oom_score_adj").write_text(EXPENDABLE, encoding="utf-8")
    except OSError as error:
        return [f"standby: refused ({error.strerror}); where memory runs out, another process may be ended"]
    return []


def may_promote() -> bool:
    """Whether the system lets this process schedule a child of SCHED_IDLE as any other again."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NICE)
    if soft == resource.RLIM_INFINITY or soft >= USUAL_NICE:
        return True
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & CAP_SYS_NICE)
    return False


def promote(pid: int, settings: RealtimeConfig) -> list[str]:
    """Schedule every thread of a process that has stood by as one at work; one line for what was refused."""
    refused = []
    policy = os.SCHED_OTHER if settings.fifo_priority is None else os.SCHED_FIFO
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("0", encoding="utf-8")
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(task.name), policy, os.sched_param(settings.fifo_priority or 0))
    except OSError as error:
        refused.append(
            f"changeover: refused the new engine its priority ({error.strerror}). Allow it: LimitNICE=0 and "
            "LimitRTPRIO= of the unit, CAP_SYS_NICE"
        )
    return refused


class GarbageCollector:
    """Collects when nobody waits instead of in the middle of a part.

    What exists when it is made is taken as permanent, and is never looked through again.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        self._last_s = time.monotonic()

    def turn(self, *, idle: bool) -> None:
        """Collect if it is time: soon while idle, at last in any case."""
        since_s = time.monotonic() - self._last_s
        if since_s > (COLLECT_S if idle else LATEST_COLLECT_S):
            gc.collect()
            self._last_s = time.monotonic()

    @staticmethod
    def close() -> None:
        """Leave the collector as it was: a station may run inside another program."""
        gc.unfreeze()
        gc.enable()
