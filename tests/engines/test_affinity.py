import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from engines.affinity import check_cores, pin
from engines.engine import EngineError


def test_a_core_that_is_not_there_is_refused_and_nothing_changes() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(EngineError, match=r"engine.cores: found \[4095\], expected some of \["):
        pin([*before, 4095])
    assert os.sched_getaffinity(0) == before


def test_no_core_is_no_request() -> None:
    check_cores(sorted(os.sched_getaffinity(0)))


def _pinned(connection: Connection, core: int) -> None:
    pin([core])
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()  # the kernel's word for it
    connection.send(next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list")))


def test_a_process_stays_where_it_is_put() -> None:
    core = max(os.sched_getaffinity(0))
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_pinned, args=(there, core))
    process.start()
    assert here.recv() == str(core)
    process.join()
