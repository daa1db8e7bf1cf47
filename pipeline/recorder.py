"""Writes frames behind the camera's back: a bounded queue in front of a thread that owns the recording."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from pipeline.frame import Frame
from pipeline.recording import RecordingError

if TYPE_CHECKING:
    from typing_extensions import Self

    from pipeline.recording_writer import RecordingWriter

QUEUE_BYTES = 256 * 1024 * 1024
MIN_QUEUE_FRAMES = 4


class Gaps(msgspec.Struct, frozen=True):
    """What is missing in a recording: frames that the queue had no room for, and that never came to us."""

    dropped: int
    missed: int

    def __bool__(self) -> bool:
        return bool(self.dropped or self.missed)


class Recorder:
    """Takes frames from any thread, never waits, and counts what it had to drop.

    `frame_bytes` is the size of the largest frame; it fixes how many wait at most.
    """

    def __init__(self, writer: RecordingWriter, *, frame_bytes: int) -> None:
        self._writer = writer
        self._queue: queue.Queue[tuple[int, Frame] | None] = queue.Queue(
            max(MIN_QUEUE_FRAMES, QUEUE_BYTES // frame_bytes)
        )
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._dropped = 0
        self._missed = 0
        self._last_ids: dict[str, int] = {}
        self._error: RecordingError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    @property
    def gaps(self) -> Gaps:
        """What is missing so far."""
        return Gaps(self._dropped, self._missed)

    def put(self, frame: Frame) -> None:
        """Copy a frame into the queue; without room it is dropped and counted.

        Raises:
            RecordingError: an earlier frame could not be written.
        """
        if self._error is not None:
            raise self._error
        header = frame.header
        with self._lock:
            sequence = self._taken[header.camera]
            self._taken[header.camera] += 1
            self._missed += header.frame_id - self._last_ids.get(header.camera, header.frame_id - 1) - 1
            self._last_ids[header.camera] = header.frame_id
        try:
            self._queue.put_nowait((sequence, Frame(header, frame.pixels.copy())))
        except queue.Full:
            with self._lock:
                self._dropped += 1

    def close(self) -> None:
        """Write what waits, then the end of the file; safe to call again.

        Raises:
            RecordingError: something could not be written.
        """
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()
        if self._error is not None:
            raise self._error
        self._writer.close()

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:  # else only make room, so that nobody waits for it
                try:
                    self._writer.write(item[1], item[0])
                except RecordingError as error:
                    self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
