"""A child process of the station: started, heard, noticed when it dies or falls silent, restarted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import zmq

from pipeline.internal import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import msgspec

    from pipeline.log_config import LogSpec

FIRST_BACK_OFF_NS = 100_000_000
LONGEST_BACK_OFF_NS = 5_000_000_000
STEADY_NS = 10_000_000_000
MESSAGES_PER_TURN = 1024


class Child:
    """One process, restarted as often as needed; each life has a socket of its own.

    `state` is "stopped", "starting", "ready" or "waiting" (for its restart). Times are monotonic ns.
    """

    def __init__(
        self,
        name: str,
        module: str,
        *,
        context: zmq.Context[zmq.Socket[bytes]],
        directory: Path,
        log: LogSpec,
        launcher: tuple[str, ...] = (),
    ) -> None:
        """Prepare a process of `module`; `launcher` is a command in front of it, such as nice or chrt."""
        self.name = name
        self.lives = 0
        self.state = "stopped"
        self.heard_ns = 0
        self.restart_ns = 0
        self.socket: zmq.Socket[bytes] | None = None
        self.pidfd = -1
        self.last_words = ""
        self._module = module
        self._log = log
        self._launcher = launcher
        self._context = context
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._back_off_ns = FIRST_BACK_OFF_NS
        self._ready_ns = 0

    @property
    def endpoint(self) -> str:
        """Address of the next life's socket."""
        return f"ipc://{self._directory}/{self.name}-{self.lives + 1}"

    @property
    def pid(self) -> int | None:
        """Process id, None if there is no process."""
        return self._process.pid if self._process else None

    def start(self, message: msgspec.Struct, *, fds: tuple[int, ...], now_ns: int) -> None:
        """Start the process; `message` tells it everything and goes to its standard input."""
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(self.endpoint)
        self.lives += 1
        command = [*self._launcher, sys.executable, "-m", self._module, str(os.getpid())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=fds)
        self.pidfd = os.pidfd_open(self._process.pid)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died already; its pidfd tells
            self._process.stdin.write(encode((self._log, message)))
            self._process.stdin.close()
        self.state = "starting"
        self.heard_ns = now_ns
        self.last_words = ""

    def send(self, message: msgspec.Struct) -> None:
        """Send without waiting; to a child that is not there this does nothing: its death is handled."""
        if self.socket is not None:
            with contextlib.suppress(zmq.Again):
                self.socket.send(encode(message), zmq.DONTWAIT)

    def receive(self, now_ns: int, limit: int = MESSAGES_PER_TURN) -> Iterator[list[bytes]]:
        """Messages that have come, at most `limit`, without waiting."""
        for _ in range(limit):
            if self.socket is None:
                return
            try:
                parts = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self.heard_ns = now_ns
            yield parts

    def overdue(self, now_ns: int, *, silence_ns: int, start_ns: int) -> bool:
        """Whether the child has said nothing for too long, or takes too long to start."""
        limit_ns = {"ready": silence_ns, "starting": start_ns}.get(self.state)
        return limit_ns is not None and now_ns - self.heard_ns > limit_ns

    def restart_due(self, now_ns: int) -> bool:
        """Whether the child waits for its restart and the back-off is over."""
        return self.state == "waiting" and now_ns >= self.restart_ns

    def mark_ready(self, now_ns: int) -> None:
        """Note that the child has reported ready."""
        self.state = "ready"
        self._ready_ns = now_ns

    def bury(self, now_ns: int) -> int | None:
        """Kill what is left, close its socket and plan the restart; returns the exit code."""
        if self.state == "ready" and now_ns - self._ready_ns > STEADY_NS:
            self._back_off_ns = FIRST_BACK_OFF_NS
        code = self.kill()
        self.restart_ns = now_ns + self._back_off_ns
        self._back_off_ns = min(2 * self._back_off_ns, LONGEST_BACK_OFF_NS)
        self.state = "waiting"
        return code

    def kill(self) -> int | None:
        """End the process now; safe to call again. Returns the exit code, None if there was no process."""
        code: int | None = None
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            code = self._process.wait()
            self._process = None
            os.close(self.pidfd)
            self.pidfd = -1
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.state = "stopped"
        return code

    def join(self, timeout_s: float) -> None:
        """Wait for the process to end by itself, then kill it if it did not."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()
