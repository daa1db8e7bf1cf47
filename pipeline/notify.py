"""Tells systemd how this process is: a datagram to the socket that NOTIFY_SOCKET names, see sd_notify(3).

Nothing is sent where systemd does not ask for it. The loop that does the work calls `pet` each time it
turns: a loop that hangs pets no more, and after WatchdogSec= systemd kills the process and starts it again.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PETS_PER_PERIOD = 4
"""sd_watchdog_enabled(3) asks for half the period; a turn may take 50 ms."""
PATIENCE_S = 0.5


class Notifier:
    """One process's line to systemd. Nothing here raises.

    A full socket loses a pet at once, any other message after half a second.
    """

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        """Take over what systemd has set; `pid` is this process's, which the watchdog must be meant for."""
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket is not None:
            self._socket.settimeout(PATIENCE_S)
        self._period_ns = _period_ns(environ, os.getpid() if pid is None else pid)
        self._due_ns = 0

    def ready(self) -> None:
        """The service has started: `Type=notify` waits for this."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The service is about to end by itself or because it was asked to."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def pet(self, now_ns: int) -> None:
        """The loop has turned; `now_ns` is the monotonic clock's."""
        if self._period_ns is not None and now_ns >= self._due_ns:
            self._due_ns = now_ns + self._period_ns // PETS_PER_PERIOD
            self._send("WATCHDOG=1", socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Close the socket; safe to call again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, text: str, flags: int = 0) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), flags, self._address)


def _period_ns(environ: Mapping[str, str], pid: int) -> int | None:
    """The watchdog's period, None if there is none or it is meant for another process."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) * 1_000 if text.isascii() and text.isdecimal() and int(text) else None
