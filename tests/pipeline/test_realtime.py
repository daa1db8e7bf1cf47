"""What the operating system is asked for, in a process of its own: it cannot be taken back."""

from __future__ import annotations

import gc
import subprocess
import sys

from pipeline import realtime
from pipeline.config import RealtimeConfig
from pipeline.realtime import GarbageCollector


def test_nothing_is_asked_for_by_default() -> None:
    assert realtime.apply(RealtimeConfig(), cores=None) == []


def test_what_is_refused_is_one_line_with_what_to_do() -> None:
    script = (
        "import os, resource\n"
        "from pipeline import realtime\n"
        "from pipeline.config import RealtimeConfig\n"
        "for limit in (resource.RLIMIT_MEMLOCK, resource.RLIMIT_RTPRIO): resource.setrlimit(limit, (0, 0))\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "found = realtime.apply(RealtimeConfig(lock_memory=True, fifo_priority=10), cores=[4095])\n"
        "print(*found, sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    cores, memory, fifo = done.stdout.splitlines()
    assert "found [4095]" in cores
    assert memory.startswith("realtime.lock_memory: refused (")
    assert fifo.startswith("realtime.fifo_priority: refused (")
    assert "ulimit" in memory
    assert "ulimit" in fifo


def test_the_collector_collects_when_idle_only_and_leaves_python_as_it_was() -> None:
    collected: list[str] = []

    def note(phase: str, _: object) -> None:
        collected.append(phase)

    garbage = GarbageCollector()
    gc.callbacks.append(note)
    try:
        assert not gc.isenabled()
        garbage.turn(idle=True)
        assert collected == []
        garbage._last_s -= realtime.COLLECT_S + 1
        garbage.turn(idle=False)
        assert collected == []
        garbage.turn(idle=True)
        assert collected == ["start", "stop"]
        garbage._last_s -= realtime.LATEST_COLLECT_S + 1
        garbage.turn(idle=False)
        assert len(collected) == 4
    finally:
        gc.callbacks.remove(note)
        garbage.close()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
