"""What the operating system is asked for, in a process of its own: it cannot be taken back."""

from __future__ import annotations

import gc
import os
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


def test_a_process_that_stood_by_gets_the_usual_priority_back() -> None:
    command = [
        "nice",
        "-n",
        "19",
        sys.executable,
        "-c",
        "import sys; print('up', flush=True); sys.stdin.read()",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
        refused = realtime.promote(child.pid, RealtimeConfig())
        if realtime.may_promote():
            assert refused == []
            assert os.getpriority(os.PRIO_PROCESS, child.pid) == 0
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
        "os.nice(10)\n"
        "print(realtime.may_promote(), *realtime.promote(os.getpid(), RealtimeConfig()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False changeover: refused the new engine its priority (Permission denied)")
