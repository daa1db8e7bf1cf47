import os
import subprocess
import sys

import pytest

from engines.affinity import check_cores, pin
from engines.engine import EngineError

PINNED = """
import sys, threading
from pathlib import Path
from engines.affinity import pin
end = threading.Event()
threading.Thread(target=end.wait).start()
pin([int(sys.argv[1])])
threading.Thread(target=end.wait).start()
for task in Path("/proc/self/task").iterdir():
    lines = (task / "status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("Cpus_allowed_list")))
end.set()
"""


def test_a_core_that_is_not_there_is_refused_and_nothing_changes() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(EngineError, match=r"engine.cores: found \[4095\], expected some of \["):
        pin([*before, 4095])
    assert os.sched_getaffinity(0) == before


def test_cores_that_are_there_are_no_error() -> None:
    check_cores(sorted(os.sched_getaffinity(0)))


def test_all_threads_stay_where_they_are_put_those_before_and_those_after() -> None:
    """What the kernel says of each thread, not what was set."""
    core = max(os.sched_getaffinity(0))
    command = [sys.executable, "-c", PINNED, str(core)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = done.stdout.split()
    assert len(found) >= 3
    assert set(found) == {str(core)}
