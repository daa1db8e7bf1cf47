"""The station's child processes: started, heard, and replaced when they die or fall silent."""

from __future__ import annotations

from time import monotonic_ns
from typing import TYPE_CHECKING

from pipeline.internal import (
    Adjust,
    Adjusted,
    CameraLost,
    CameraReady,
    EndOfFrames,
    FrameReady,
    Go,
    Heartbeat,
    HistorianReady,
    NoFrame,
    StartFailed,
    Stop,
    decode_from_capture,
    decode_from_historian,
)
from pipeline.messages import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.attendance import Attendance
    from pipeline.camera_config import CameraConfig
    from pipeline.camera_line import CameraLine
    from pipeline.child import Child
    from pipeline.config import Config
    from pipeline.flow import Flow
    from pipeline.history.history import History
    from pipeline.inspector import Inspector

STOP_S = 2.0
ANSWERS_PER_TURN = 16


class Crew:
    """All children of a station. One that is lost while the line runs is replaced, after a back-off.

    `on_camera` hears of every camera that is ready with its settings (None) or lost (why).
    """

    def __init__(
        self,
        config: Config,
        *,
        lines: dict[str, CameraLine],
        inspector: Inspector,
        history: History,
        flow: Flow,
        attendance: Attendance,
    ) -> None:
        self._config = config
        self._lines = lines
        self._inspector = inspector
        self._history = history
        self._flow = flow
        self._attendance = attendance
        self.on_camera: Callable[[str, str | None], None] = lambda _name, _error: None

    @property
    def children(self) -> list[Child]:
        """Every child."""
        cameras = [line.child for line in self._lines.values()]
        return [self._inspector.child, self._history.line.child, *cameras]

    @property
    def ready(self) -> bool:
        """Whether the engine and all cameras are ready; a recorded camera that has ended counts as ready."""
        lines = all(line.child.state == "ready" or line.ended for line in self._lines.values())
        return lines and self._inspector.child.state == "ready"

    @property
    def complete(self) -> bool:
        """Whether every child is ready: a start waits for that, a running line only for `ready`."""
        return self.ready and self._history.line.child.state == "ready"

    @property
    def restarts(self) -> int:
        """How often a child was replaced, but for cameras that were opened again for another recipe."""
        lives = sum(max(0, child.lives - 1) for child in self.children)
        return lives - sum(line.reopened for line in self._lines.values())

    @property
    def engine_state(self) -> str:
        """State of the inspection process."""
        return self._inspector.child.state

    @property
    def waiting_for(self) -> str:
        """Names of the children that are not ready."""
        return ", ".join(child.name for child in self.children if child.state != "ready")

    def start(self, now_ns: int) -> None:
        """Start every child."""
        self._inspector.start(now_ns)
        self._start_historian(now_ns)
        for line in self._lines.values():
            self._start_capture(line, now_ns)

    def go(self) -> None:
        """Let the frames come. From now on a loss is a fault and no longer a failed start."""
        self._attendance.started = True
        for line in self._lines.values():
            line.child.send(Go())

    def stop(self) -> None:
        """Ask all children to end, then see to it that they have."""
        for child in self.children:
            child.send(Stop())
        for child in self.children:
            self._attendance.forget(child)
            child.join(STOP_S)

    def check(self, now_ns: int) -> None:
        """Bury who has fallen silent, restart whose back-off is over."""
        silence_ns = self._config.station.child_silence_ms * 1_000_000
        start_ns = round(self._config.station.start_timeout_s * 1e9)
        self._inspector.check(now_ns, silence_ns=silence_ns, start_ns=start_ns)
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

    # Cameras

    def set_camera(self, line: CameraLine, config: CameraConfig) -> None:
        """Give a camera other settings, while it runs or by opening it again. No part may be open.

        `on_camera` hears how that goes.
        """
        line.config = config
        if line.child.state == "ready" and not (line.ended or line.reopening):
            line.child.send(Adjust(camera=config))
        else:
            self._reopen(line)

    def _reopen(self, line: CameraLine) -> None:
        line.ended = False
        if line.child.state in {"starting", "ready"}:
            line.reopening = True
            line.child.send(Stop())

    def _on_adjusted(self, line: CameraLine, message: Adjusted) -> None:
        if line.reopening or message.camera != line.config:
            return  # it was told something else since
        if message.taken:
            self.on_camera(line.name, None)
        else:
            self._reopen(line)

    def _start_capture(self, line: CameraLine, now_ns: int) -> None:
        child = line.child
        child.start(line.capture_start(self._config.realtime), fds=(line.ring.fd,), now_ns=now_ns)
        self._attendance.attend(
            child, lambda: self._hear_capture(line), lambda now, why: self._lose_capture(line, now, why)
        )

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
                self._on_camera_ready(line, message)
            elif isinstance(message, Adjusted):
                self._on_adjusted(line, message)
            elif isinstance(message, EndOfFrames):
                line.ended = True
            elif isinstance(message, CameraLost | StartFailed):
                self._attendance.last_words(line.child, message)

    def _on_camera_ready(self, line: CameraLine, message: CameraReady) -> None:
        if line.reopening:
            return  # it was told to end before it could say so
        text = f"camera {line.name} is ready: {message.info.model}"
        self._attendance.ready(line.child, "camera", text)
        self._attendance.warn(message.refused)
        if self._attendance.started:
            line.child.send(Go())
        self.on_camera(line.name, None)

    def _lose_capture(self, line: CameraLine, now_ns: int, why: str) -> None:
        text = self._attendance.bury(line.child, now_ns, why, lambda: self._hear_capture(line))
        if line.reopening:
            line.reopening = line.ended = False
            line.reopened += 1
            self._flow.on_camera_lost(line, "the camera is opened with other settings")
            self._start_capture(line, now_ns)
            return
        if line.ended:
            line.forget_device()
            return
        self._flow.on_camera_lost(line, text)
        self._attendance.announce(line.child, "camera", text, Reason.CAMERA_LOST)
        self.on_camera(line.name, text)

    # The historian

    def _start_historian(self, now_ns: int) -> None:
        child, start = self._history.line.child, self._history.start_message()
        child.start(start, fds=tuple(spec.fd for spec in start.rings), now_ns=now_ns)
        self._attendance.attend(child, self._hear_historian, self._lose_historian)

    def _hear_historian(self) -> None:
        """A few messages only: the answers to a replay are many, and results go before them."""
        child = self._history.line.child
        for parts in child.receive(monotonic_ns(), ANSWERS_PER_TURN):
            message = decode_from_historian(parts[0])
            if isinstance(message, HistorianReady):
                self._attendance.ready(child, "config", "the historian is ready: replay and archive")
            elif isinstance(message, StartFailed):
                self._attendance.last_words(child, message)
            else:
                self._history.on_message(message, parts[1:])

    def _lose_historian(self, now_ns: int, why: str) -> None:
        child = self._history.line.child
        text = self._attendance.bury(child, now_ns, why, self._hear_historian)
        self._history.on_lost()
        self._attendance.announce(child, "fault", text, Reason.OK)
