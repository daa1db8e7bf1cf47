"""The operator's page beside a station of `hlgfa run`: a process of its own that can die without harm.

A thread starts it and waits for its end. It is started again, later each time; not so if it says that it
cannot be as it is configured (exit code 2). It ends with the station, however that ends: its standard input
is a pipe that only the station's process holds.

It gets what the line leaves of the cores (SCHED_IDLE, sched(7)), and stays in the station's session for that:
Linux shares the cores out between sessions first (autogroup), and looks at priorities only within one.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from pipeline.realtime import LAST_IN_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.dashboard_config import DashboardConfig
    from pipeline.station import Station

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
STOP_S = 3.0
CANNOT_BE = 2


@contextlib.contextmanager
def beside(station: Station, config: Path, settings: DashboardConfig | None) -> Iterator[None]:
    """Keep the page alive while the block runs; without settings, or not enabled, there is none."""
    if settings is None or not settings.enabled:
        yield
        return
    keeper = Keeper(_command(station, config))
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


def _command(station: Station, config: Path) -> list[str]:
    """The page when nobody else wants the core: no part waits for it."""
    addresses = [word for name, at in station.endpoints.items() for word in (f"--{name}", at)]
    page = [sys.executable, "-m", "tools.cli", "dashboard", str(config), "--while-stdin", *addresses]
    return [*LAST_IN_LINE, *page]


class Keeper:
    """Starts a command again when it ends, until stopped."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="dashboard", daemon=True)

    def start(self) -> None:
        """Start the command; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End it now, by force if it does not."""
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        self._thread.join(STOP_S)
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()

    @property
    def running(self) -> bool:
        """Whether it is kept alive."""
        return self._thread.is_alive()

    def _keep(self) -> None:
        # Inherited by the page: Ctrl-C in the terminal is the station's, which then ends it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        wait_s = FIRST_WAIT_S
        while (process := self._start_once()) is not None:
            with process:
                code = process.wait()
            if code == CANNOT_BE or self._stopping.wait(wait_s):
                return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _start_once(self) -> subprocess.Popen[bytes] | None:
        """One more life, None if there is to be none: who stops finds the last one, or prevents it."""
        with self._lock:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            return self._process
