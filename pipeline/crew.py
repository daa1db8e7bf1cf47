"""The station's child processes: started, heard, and replaced when they die or fall silent."""

from __future__ import annotations

import contextlib
from time import monotonic_ns
from typing import TYPE_CHECKING

import zmq

from pipeline.frame import CHANNELS
from pipeline.internal import (
    CameraLost,
    CameraReady,
    EndOfFrames,
    EngineReady,
    FrameReady,
    Go,
    Heartbeat,
    HistorianReady,
    Inspected,
    InspectionFailed,
    InspectionStart,
    NoFrame,
    ProtocolError,
    StartFailed,
    Stop,
    StubSpec,
    decode_from_capture,
    decode_from_historian,
    decode_from_inspection,
)
from pipeline.messages import Reason
from pipeline.preflight import size_mismatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.camera_line import CameraLine
    from pipeline.child import Child
    from pipeline.config import Config
    from pipeline.flow import Flow
    from pipeline.history.history import History
    from pipeline.messages import EventKind
    from pipeline.outbox import Outbox

STOP_S = 2.0
ANSWERS_PER_TURN = 16
LAST_WORDS_MS = 200
"""How long a child may take to close before it is killed."""


class StationError(Exception):
    """The station cannot start; the message says what, found, expected, do."""


class Crew:
    """All children of a station. `handlers` says what to call when a socket or descriptor is readable.

    Until `started` is called a child that fails or dies stops the start; from then on it is a fault of the
    running station: an event, a `not ready`, and a restart with back-off.
    """

    def __init__(
        self,
        config: Config,
        *,
        lines: dict[str, CameraLine],
        inspection: Child,
        history: History,
        flow: Flow,
        outbox: Outbox,
        poller: zmq.Poller,
        stub_engine_ms: float | None,
    ) -> None:
        self._config = config
        self._stub_engine_ms = stub_engine_ms
        self._lines = lines
        self._inspection = inspection
        self._history = history
        self._flow = flow
        self._outbox = outbox
        self._poller = poller
        self._started = False
        self.handlers: dict[object, Callable[[], None]] = {}

    @property
    def children(self) -> list[Child]:
        """Every child."""
        cameras = [line.child for line in self._lines.values()]
        return [self._inspection, self._history.line.child, *cameras]

    @property
    def ready(self) -> bool:
        """Whether the engine and all cameras are ready; a recorded camera that has ended counts as ready."""
        lines = all(line.child.state == "ready" or line.ended for line in self._lines.values())
        return lines and self._inspection.state == "ready"

    @property
    def complete(self) -> bool:
        """Whether every child is ready: a start waits for that, a running line only for `ready`."""
        return self.ready and self._history.line.child.state == "ready"

    @property
    def engine_state(self) -> str:
        """State of the inspection process."""
        return self._inspection.state

    @property
    def waiting_for(self) -> str:
        """Names of the children that are not ready."""
        return ", ".join(child.name for child in self.children if child.state != "ready")

    def start(self, now_ns: int) -> None:
        """Start every child."""
        self._start_inspection(now_ns)
        self._start_historian(now_ns)
        for line in self._lines.values():
            self._start_capture(line, now_ns)

    def go(self) -> None:
        """Let the frames come. From now on a loss is a fault and no longer a failed start."""
        self._started = True
        for line in self._lines.values():
            line.child.send(Go())

    def stop(self) -> None:
        """Ask all children to end, then see to it that they have."""
        for child in self.children:
            child.send(Stop())
        for child in self.children:
            self._forget(child)
            child.join(STOP_S)

    def check(self, now_ns: int) -> None:
        """Bury who has fallen silent, restart whose back-off is over."""
        silence_ns = self._config.station.child_silence_ms * 1_000_000
        start_ns = round(self._config.station.start_timeout_s * 1e9)
        if self._inspection.overdue(now_ns, silence_ns=silence_ns, start_ns=start_ns):
            self._lose_inspection(now_ns, "has fallen silent")
        elif self._inspection.restart_due(now_ns):
            self._start_inspection(now_ns)
        historian = self._history.line.child
        if historian.overdue(now_ns, silence_ns=silence_ns, start_ns=start_ns):
            self._lose_historian(now_ns, "has fallen silent")
        elif historian.restart_due(now_ns):
            self._start_historian(now_ns)
        self._history.announce_if_due(now_ns)
        for line in self._lines.values():
            if line.child.overdue(now_ns, silence_ns=silence_ns, start_ns=start_ns):
                self._lose_capture(line, now_ns, "has fallen silent")
            elif line.child.restart_due(now_ns) and not line.ended:
                self._start_capture(line, now_ns)

    def watch(self, socket: zmq.Socket[bytes] | int, handler: Callable[[], None]) -> None:
        """Poll a socket or descriptor, and call the handler when it is readable."""
        self._poller.register(socket, zmq.POLLIN)
        self.handlers[socket] = handler

    def _start_inspection(self, now_ns: int) -> None:
        child = self._inspection
        rings = [line.ring_spec() for line in self._lines.values()]
        start = InspectionStart(
            endpoint=child.endpoint,
            engine=self._config.engine,
            rings=rings,
            codec=self._config.heatmap.codec,
            realtime=self._config.realtime,
            stub=self._stub(),
        )
        child.start(start, fds=tuple(spec.fd for spec in rings), now_ns=now_ns)
        self._attend(child, self._hear_inspection, self._lose_inspection)

    def _stub(self) -> StubSpec | None:
        if self._stub_engine_ms is None:
            return None
        camera = next(iter(self._lines.values())).config
        return StubSpec(
            height_px=camera.height_px,
            width_px=camera.width_px,
            channels=CHANNELS[camera.pixel_format],
            wait_ms=self._stub_engine_ms,
        )

    def _start_capture(self, line: CameraLine, now_ns: int) -> None:
        child = line.child
        child.start(line.capture_start(self._config.realtime), fds=(line.ring.fd,), now_ns=now_ns)
        self._attend(
            child, lambda: self._hear_capture(line), lambda now, why: self._lose_capture(line, now, why)
        )

    def _start_historian(self, now_ns: int) -> None:
        child, start = self._history.line.child, self._history.start_message()
        child.start(start, fds=tuple(spec.fd for spec in start.rings), now_ns=now_ns)
        self._attend(child, self._hear_historian, self._lose_historian)

    def _attend(self, child: Child, hear: Callable[[], None], lose: Callable[[int, str], None]) -> None:
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

    def _forget(self, child: Child) -> None:
        for socket in (child.socket, child.pidfd):
            if self.handlers.pop(socket, None) is not None:
                self._poller.unregister(socket)

    # What the children say

    def _hear_capture(self, line: CameraLine) -> None:
        for parts in line.child.receive(monotonic_ns()):
            message = decode_from_capture(parts[0])
            if isinstance(message, FrameReady):
                line.count(message)
                self._flow.on_frame(line, message)
            elif isinstance(message, NoFrame):
                self._flow.on_no_frame(line, message)
            elif isinstance(message, Heartbeat):
                line.count(message)
            elif isinstance(message, CameraReady):
                self._on_ready(line.child, "camera", f"camera {line.name} is ready: {message.info.model}")
                self.warn(message.refused)
                if self._started:
                    line.child.send(Go())
            elif isinstance(message, EndOfFrames):
                line.ended = True
            elif isinstance(message, CameraLost | StartFailed):
                self._on_last_words(line.child, message)

    def _hear_inspection(self) -> None:
        for parts in self._inspection.receive(monotonic_ns()):
            message = decode_from_inspection(parts[0])
            if isinstance(message, Inspected):
                self._flow.on_inspected(message, parts[1] if len(parts) > 1 else None)
            elif isinstance(message, InspectionFailed):
                self._flow.on_inspection_failed(message)
            elif isinstance(message, EngineReady):
                self._on_engine_ready(message)
            elif isinstance(message, StartFailed):
                self._on_last_words(self._inspection, message)

    def _hear_historian(self) -> None:
        """A few messages only: the answers to a replay are many, and results go before them."""
        child = self._history.line.child
        for parts in child.receive(monotonic_ns(), ANSWERS_PER_TURN):
            message = decode_from_historian(parts[0])
            if isinstance(message, HistorianReady):
                self._on_ready(child, "config", "the historian is ready: replay and archive")
            elif isinstance(message, StartFailed):
                self._on_last_words(child, message)
            else:
                self._history.on_message(message, parts[1:])

    def _on_ready(self, child: Child, kind: EventKind, text: str) -> None:
        child.mark_ready(monotonic_ns())
        self._outbox.fault(child.name, None)
        self._outbox.event(kind, "info", text)
        self._outbox.status_now()

    def _on_engine_ready(self, message: EngineReady) -> None:
        info = message.info
        for line in self._lines.values():
            error = size_mismatch(
                line.config,
                model=info.model_id,
                width_px=info.width_px,
                height_px=info.height_px,
                channels=info.channels,
            )
            if error is not None:  # the files were exchanged under a running station: keep it, not them
                raise ProtocolError(error) if self._started else StationError(error)
        self._outbox.set_engine(message)
        self._on_ready(
            self._inspection, "model", f"{info.model_id} is ready on {info.runtime}, {info.device}"
        )
        self.warn(message.refused)

    def warn(self, refused: list[str]) -> None:
        """Say what the operating system refused; the line runs without it."""
        for text in dict.fromkeys(refused):
            self._outbox.event("config", "warning", text)

    def _on_last_words(self, child: Child, message: CameraLost | StartFailed) -> None:
        child.last_words = message.text
        if not self._started:
            raise StationError(message.text)

    # When they go

    def _lose_capture(self, line: CameraLine, now_ns: int, why: str) -> None:
        self._await_last_words(line.child)
        with contextlib.suppress(ProtocolError):
            self._hear_capture(line)  # what it said before it went still counts
        text = self._bury(line.child, now_ns, why)
        if line.ended:
            line.forget_device()
            return
        self._flow.on_camera_lost(line, text)
        self._announce(line.child, "camera", text, Reason.CAMERA_LOST)

    def _lose_inspection(self, now_ns: int, why: str) -> None:
        self._await_last_words(self._inspection)
        with contextlib.suppress(ProtocolError):
            self._hear_inspection()
        text = self._bury(self._inspection, now_ns, why)
        self._flow.on_engine_lost(text)
        self._announce(self._inspection, "fault", text, Reason.ENGINE_ERROR)

    def _lose_historian(self, now_ns: int, why: str) -> None:
        child = self._history.line.child
        self._await_last_words(child)
        with contextlib.suppress(ProtocolError):
            self._hear_historian()
        text = self._bury(child, now_ns, why)
        self._history.on_lost()
        self._announce(child, "fault", text, Reason.OK)

    def _await_last_words(self, child: Child) -> None:
        """While starting, wait for what a child that has just ended said: the end may be noticed before it.

        Not on a running line, where nothing may wait.
        """
        if not self._started and child.socket is not None:
            child.socket.poll(LAST_WORDS_MS)

    def _bury(self, child: Child, now_ns: int, why: str) -> str:
        self._forget(child)
        last_words, code = child.last_words, child.bury(now_ns)
        return last_words or f"process {child.name} {why} (exit code {code})"

    def _announce(self, child: Child, kind: EventKind, text: str, reason: Reason) -> None:
        if not self._started:
            raise StationError(text)
        self._outbox.fault(child.name, text)
        self._outbox.event(kind, "error", text, reason=reason)
        self._outbox.status_now()
