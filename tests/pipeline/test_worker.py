"""The first thing that a child process does."""

from __future__ import annotations

import subprocess
import sys

CHILD = """
import os, sys, time
from pipeline.internal import Stop
from pipeline.worker import read_start
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
read_start(Stop)
print("it goes on", flush=True)
"""
STATION = """
import os, subprocess, sys
from pipeline.internal import Stop, encode
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())], stdin=subprocess.PIPE)
child.stdin.write(encode(Stop()))
child.stdin.close()
os._exit(0)
"""


def test_a_child_whose_station_died_while_it_was_loading_ends() -> None:
    """Too early for the kernel to be asked to kill it."""
    command = [sys.executable, "-c", STATION, CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")
