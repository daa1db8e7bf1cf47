"""The thread that reads a live stream, so that no picture grows old in a queue."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from pipeline.cameras.camera import CameraError
from pipeline.cameras.live import Arrival, Selection, Steps, StreamClock, Wholeness
from pipeline.cameras.video_decoder import open_stream, reason, video_stream

if TYPE_CHECKING:
    from pipeline.camera_config import VideoCameraConfig

_GOODBYE_S = 0.5


class StreamReader:
    """Opens a stream in a thread of its own, decodes every picture at once, keeps one for `take`.

    The thread owns the connection: a server that answers nothing holds up the thread, never the caller. After
    `close` it ends by itself, at the latest when the stream has been silent for the read timeout.
    """

    def __init__(self, av: Any, config: VideoCameraConfig, selection: Selection) -> None:
        self.codec = ""
        self._av = av
        self._config = config
        self._selection = selection
        self._changed = threading.Condition()
        self._stopped = False
        self._failure: str | None = None
        self._first: Any = None
        self._fresh_ns = 0
        self._number = -1
        self._clock, self._steps, self._wholeness = StreamClock(), Steps(), Wholeness()
        # Daemon: a thread held up in a dead connection must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"camera-{config.name}", daemon=True)
        self._thread.start()

    def first_picture(self) -> Any:
        """Wait for the first live picture.

        Raises:
            CameraError: none came within the opening timeout, or the stream cannot be opened.
        """
        limit_ms = self._config.open_timeout_ms
        with self._changed:
            self._changed.wait_for(lambda: self._first is not None or self._failure, limit_ms / 1e3)
            if self._first is None:
                raise CameraError(self._failure or f"no live picture within {limit_ms} ms")
            return self._first

    def check(self) -> None:
        """Do nothing if the stream is alive.

        Raises:
            CameraError: it is lost, or has given no fresh picture for the read timeout.
        """
        with self._changed:
            self._check_alive()

    def trigger(self) -> None:
        """Ask for the first picture that is due from now on.

        Raises:
            CameraError: the stream is lost.
        """
        with self._changed:
            self._check_alive()
            self._selection.trigger(time.monotonic_ns())

    def take(self, timeout_s: float) -> tuple[Arrival, int | None] | None:
        """The selected picture and the triggers up to it; None if there is none in the time.

        Raises:
            CameraError: the stream is lost, or has given no fresh picture for the read timeout.
        """
        until_ns = time.monotonic_ns() + round(timeout_s * 1e9)
        with self._changed:
            while True:
                self._check_alive()  # first: what still waits in a lost stream is old
                taken = self._selection.take()
                now_ns = time.monotonic_ns()
                if taken is not None or now_ns >= until_ns:
                    return taken
                self._changed.wait(max(0, min(until_ns, self._silent_ns()) - now_ns) / 1e9)

    def close(self) -> None:
        """Let the thread end, at its next picture; if the stream is dead it is not waited for."""
        self._stopped = True
        self._thread.join(_GOODBYE_S)

    def _silent_ns(self) -> int:
        """From when on the stream counts as lost, unless a fresh picture comes before."""
        return self._fresh_ns + self._config.read_timeout_ms * 1_000_000

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise CameraError(self._failure)
        if time.monotonic_ns() >= self._silent_ns():
            raise CameraError(f"no fresh picture for {self._config.read_timeout_ms} ms")

    def _run(self) -> None:
        failure = "its reader stopped"
        try:
            with open_stream(self._av, self._config) as container:
                failure = self._read(container)
        except self._av.FFmpegError as error:
            failure = reason(error)
        finally:
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def _read(self, container: Any) -> str:
        """Decode until the stream ends or nobody wants it; why it ended."""
        stream = video_stream(self._av, container)
        if stream is None:
            return "it has no video"
        self.codec = stream.codec_context.name
        asked_ns = time.monotonic_ns()
        for packet in container.demux(stream):
            if self._stopped:
                return "it was closed"
            arrived_ns = time.monotonic_ns()
            for picture in self._decode(packet):
                self._arrive(picture, arrived_ns, arrived_ns - asked_ns)
            asked_ns = time.monotonic_ns()
        return "the stream has ended"

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except self._av.error.InvalidDataError:  # the next picture shows the gap in time
            return []

    def _arrive(self, picture: Any, arrived_ns: int, waited_ns: int) -> None:
        if picture.pts is None:
            return
        pts_ns = round(picture.pts * picture.time_base * 10**9)
        missing = self._steps.missing(pts_ns)
        self._number += 1 + missing
        exposed_ns = self._clock.to_host_ns(pts_ns, arrived_ns, waited_ns)
        whole = self._wholeness.advance(
            key_frame=picture.key_frame, corrupt=picture.is_corrupt, missing=missing > 0
        )
        arrival = Arrival(
            picture=picture,
            number=self._number,
            pts_ns=pts_ns,
            exposed_ns=exposed_ns,
            arrived_ns=arrived_ns,
            whole=whole,
        )
        self._offer(arrival)

    def _offer(self, arrival: Arrival) -> None:
        """Let the reader have it, unless it is old or nothing has been whole yet."""
        old = arrival.arrived_ns - arrival.exposed_ns > self._config.max_lag_ms * 1_000_000
        if old or not self._clock.settled or (self._first is None and not arrival.whole):
            return
        with self._changed:
            self._first = self._first or arrival.picture
            self._fresh_ns = arrival.arrived_ns
            self._selection.offer(arrival)
            self._changed.notify_all()
