"""What the operating system is asked for, in a process of its own: it cannot be taken back."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

from pipeline import realtime
from pipeline.config import RealtimeConfig
from pipeline.realtime import LAST_IN_LINE, GarbageCollector


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


def test_every_thread_of_a_process_that_stood_by_is_scheduled_as_usual_again() -> None:
    script = (
        "import sys, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "print('up', flush=True); sys.stdin.read()"
    )
    command = [*LAST_IN_LINE, sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        threads = [int(task.name) for task in Path(f"/proc/{child.pid}/task").iterdir()]
        assert [os.sched_getscheduler(thread) for thread in threads] == [os.SCHED_IDLE] * 2
        refused = realtime.promote(child.pid, RealtimeConfig())
        if realtime.may_promote():
            assert refused == []
            assert [os.sched_getscheduler(thread) for thread in threads] == [os.SCHED_OTHER] * 2
        else:
            assert "LimitNICE=0" in refused[0]
        child.communicate(b"")


def test_without_leave_no_priority_is_taken_back() -> None:
    script = (
        "import os, resource\n"
        "from pipeline import realtime\n"
        "from pipeline.config import RealtimeConfig\n"
        "resource.setrlimit(resource.RLIMIT_NICE, (0, 0))\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        "print(realtime.may_promote(), *realtime.promote(os.getpid(), RealtimeConfig()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    refused = "changeover: refused the new engine its priority (Operation not permitted)"
    assert done.stdout.startswith(f"False {refused}")
