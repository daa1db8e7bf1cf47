"""What the station does with every child alike: listen to it, say that it is ready, bury it."""

from __future__ import annotations

import contextlib
from time import monotonic_ns
from typing import TYPE_CHECKING

import zmq

from pipeline.internal import ProtocolError
from pipeline.messages import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.child import Child
    from pipeline.heartbeat import Heartbeat
    from pipeline.internal import CameraLost, StartFailed
    from pipeline.messages import EventKind
    from pipeline.outbox import Outbox

LAST_WORDS_MS = 200
"""How long the last words of a child are waited for while the station starts."""


class StationError(Exception):
    """The station cannot start; the message says what, found, expected, do."""


class Attendance:
    """`handlers` says what to call when a socket or descriptor is readable.

    Until `started` is set a child that fails or dies stops the start; from then on it is a fault of the
    running station.
    """

    def __init__(self, outbox: Outbox, heartbeat: Heartbeat, poller: zmq.Poller) -> None:
        self.started = False
        self.handlers: dict[object, Callable[[], None]] = {}
        self._outbox = outbox
        self._heartbeat = heartbeat
        self._poller = poller

    def watch(self, socket: zmq.Socket[bytes] | int, handler: Callable[[], None]) -> None:
        """Poll a socket or descriptor, and call the handler when it is readable."""
        self._poller.register(socket, zmq.POLLIN)
        self.handlers[socket] = handler

    def attend(self, child: Child, hear: Callable[[], None], lose: Callable[[int, str], None]) -> None:
        """Hear a child that was just started, and notice its end."""
        assert child.socket is not None
        self.watch(child.socket, lambda: self._hear(hear, lose))
        self.watch(child.pidfd, lambda: lose(monotonic_ns(), "has died"))

    @staticmethod
    def _hear(hear: Callable[[], None], lose: Callable[[int, str], None]) -> None:
        """Nothing that a child says may take the station down."""
        try:
            hear()
        except ProtocolError as error:
            lose(monotonic_ns(), f"was stopped: {error}")

    def forget(self, child: Child) -> None:
        """Hear a child no more."""
        for socket in (child.socket, child.pidfd):
            if self.handlers.pop(socket, None) is not None:
                self._poller.unregister(socket)

    def ready(self, child: Child, kind: EventKind, text: str) -> None:
        """A child has reported ready."""
        child.mark_ready(monotonic_ns())
        self._outbox.fault(child.name, None)
        self._outbox.event(kind, "info", text)
        self._heartbeat.status_now()

    def warn(self, refused: list[str]) -> None:
        """Say what the operating system refused; the line runs without it."""
        for text in dict.fromkeys(refused):
            self._outbox.event("config", "warning", text)

    def last_words(self, child: Child, message: CameraLost | StartFailed) -> None:
        """Note why a child is about to end."""
        child.last_words = message.text
        if not self.started:
            raise StationError(message.text)

    def bury(self, child: Child, now_ns: int, why: str, hear: Callable[[], None]) -> str:
        """Take in what a child has said before it went, end it, plan its restart; returns what to say of it.

        While starting its last words are waited for: the end may be noticed before them. Not on a running
        line, where nothing may wait.
        """
        if not self.started and child.socket is not None:
            child.socket.poll(LAST_WORDS_MS)
        with contextlib.suppress(ProtocolError):
            hear()
        self.forget(child)
        last_words, code = child.last_words, child.bury(now_ns)
        return last_words or f"process {child.name} {why} (exit code {code})"

    def announce(self, child: Child, kind: EventKind, text: str, reason: Reason) -> None:
        """Tell of the loss of a child."""
        if not self.started:
            raise StationError(text)
        self._outbox.fault(child.name, text)
        self._outbox.event(kind, "error", text, reason=reason)
        self._heartbeat.status_now()
