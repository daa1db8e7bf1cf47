"""Opens the cameras of a configuration for commands that are not a station, and hands their frames over."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from pipeline.cameras import open_camera
from pipeline.cameras.camera import CameraError
from pipeline.cameras.frames import check_triggered, frames_of
from pipeline.config import ConfigError
from pipeline.recording import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.camera_config import CameraConfig
    from pipeline.cameras.camera import Camera, CameraInfo
    from pipeline.config import Config
    from pipeline.frame import Frame


def choose_cameras(config: Config, name: str | None) -> list[CameraConfig]:
    """The camera of that name, or all of them.

    Raises:
        ConfigError: there is none of that name, or one waits for software triggers from outside.
    """
    chosen = [camera for camera in config.cameras if name in (None, camera.name)]
    if not chosen:
        names = ", ".join(camera.name for camera in config.cameras)
        raise ConfigError(f"--camera: found {name!r}, expected one of: {names}.")
    for camera in chosen:
        check_triggered(camera)
    return chosen


class CameraThread:
    """One camera, opened, read and closed in a thread of its own, as its protocol wants it.

    It ends after `limit` frames, when `stopped` is set, at the last recorded image, or by an error.
    """

    def __init__(self, config: CameraConfig, *, limit: int | None, stopped: threading.Event) -> None:
        self._config, self._limit, self._stopped = config, limit, stopped
        self._opened, self._begun = threading.Event(), threading.Event()
        self._take: Callable[[Frame], None] | None = None
        self._info: CameraInfo | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"camera-{config.name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether frames may still come."""
        return self._thread.is_alive()

    def info(self) -> CameraInfo:
        """What was opened; waits for it.

        Raises:
            CameraError: it cannot be opened.
        """
        self._opened.wait()
        self.check()
        assert self._info is not None
        return self._info

    def begin(self, take: Callable[[Frame], None]) -> None:
        """Call `take` with every frame from now on; the frame is valid during the call only."""
        self._take = take
        self._begun.set()

    def check(self) -> None:
        """Raise what has ended the thread, if that was an error."""
        if self._error is not None:
            raise self._error

    def join(self) -> None:
        """Wait for the last frame and the closed camera, also of a thread that was never begun."""
        self._begun.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with open_camera(self._config) as camera:
                self._info = camera.info
                self._opened.set()
                self._begun.wait()
                if self._take is not None:
                    self._serve(camera, self._take)
        except (CameraError, ConfigError, RecordingError, OSError) as error:
            self._error = error
        finally:
            self._opened.set()

    def _serve(self, camera: Camera, take: Callable[[Frame], None]) -> None:
        frames = frames_of(camera, self._config.trigger, self._stopped)
        for number, frame in enumerate(frames, start=1):
            take(frame)
            if number == self._limit:
                return


@contextlib.contextmanager
def opened(
    cameras: Sequence[CameraConfig], *, limit: int | None, stopped: threading.Event
) -> Iterator[list[CameraThread]]:
    """All cameras, open; they are stopped and closed at the end of the block."""
    threads = [CameraThread(camera, limit=limit, stopped=stopped) for camera in cameras]
    try:
        yield threads
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set instead of ending the process."""
    stopped = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stopped.set()) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
