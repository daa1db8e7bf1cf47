"""What a process of the line asks of the operating system, so that it is not late for reasons of its own."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from typing import TYPE_CHECKING

from engines.affinity import pin
from engines.engine import EngineError

if TYPE_CHECKING:
    from pipeline.config import RealtimeConfig

MCL_CURRENT, MCL_FUTURE = 1, 2
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
