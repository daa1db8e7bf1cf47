"""The historian, one process: answers from the journal, prunes it, keeps frames, makes pictures of them.

Nothing waits for it. It has file handles of its own, and reads frames from the shared memory of the
cameras. If it dies or hangs, the line goes on: what it was asked is answered with an error, and it is
started again.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline.history.answers import Answers
from pipeline.history.archive_entry import ArchiveError, Entry
from pipeline.history.cursors import CursorError, Cursors
from pipeline.history.journal_index import JournalIndex
from pipeline.history.journal_retention import JournalRetention
from pipeline.internal import (
    Answer,
    Ask,
    Copied,
    Floor,
    HistorianReady,
    HistorianStart,
    Keep,
    Pictured,
    Stop,
    Told,
    decode_to_historian,
)
from pipeline.requests import decode_request
from pipeline.ring import Ring
from pipeline.wire import PREFIX
from pipeline.worker import Link, fail_start, read_start

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.history.archive_files import Archive
    from pipeline.history.pictures import Pictures
    from pipeline.requests import RecordRequest

WAIT_MS = 100
PRUNE_S = 5.0
MAX_COPIES = 8
"""Frames that are copied and wait to be packed and written."""


class Copy(NamedTuple):
    """A frame of its own to be kept."""

    order: Keep
    pixels: NDArray[np.uint8]


class Historian:
    """The work of the process, a piece at a time."""

    def __init__(
        self, start: HistorianStart, link: Link, archive: Archive | None, pictures: Pictures | None
    ) -> None:
        """Open the journal's reading side.

        Raises:
            CursorError: a consumer's cursor is damaged.
        """
        directory = Path(start.journal_dir)
        self._link = link
        self._archive = archive
        self._pictures = pictures
        self._epoch = start.epoch
        self._index = JournalIndex(directory)
        cursors = Cursors(directory, start.consumers)
        self._retention = JournalRetention(directory, self._index, cursors, start.journal)
        self._answers = Answers(
            self._index,
            cursors,
            topics=f"{PREFIX}{start.line}/{start.station}/",
            epoch=start.epoch,
            find_heatmap=self._find_heatmap,
        )
        self._rings = {
            spec.camera: Ring(spec.fd, slots=spec.slots, slot_bytes=spec.slot_bytes, writable=False)
            for spec in start.rings
        }
        self._copies: deque[Copy] = deque()
        self._not_kept = 0
        self._floor: dict[str, int] = {}
        self._prune_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is something to do without being asked."""
        return bool(self._copies)

    def take(self, message: Ask | Keep) -> None:
        """Do what the station asks for."""
        if isinstance(message, Ask):
            self._answer(message)
        else:
            self._read(message)

    def _read(self, order: Keep) -> None:
        """Take what is wanted of a frame out of its slot, and give the slot back before anything slower."""
        while "archive" in order.uses and len(self._copies) >= MAX_COPIES:
            self.work()
        pixels = self._rings[order.frame.camera].view(order.slot, order.frame.shape)
        small = self._pictures.shrink(pixels) if self._pictures and "image" in order.uses else None
        if "archive" in order.uses:
            self._copies.append(Copy(order, pixels.copy()))
        self._link.send(Copied(camera=order.frame.camera, slot=order.slot))
        if self._pictures is not None and small is not None:
            pictured = Pictured(
                camera=order.frame.camera,
                result_id=order.result.result_id,
                shape=(small.shape[0], small.shape[1]),
                image_shape=(pixels.shape[0], pixels.shape[1]),
            )
            self._link.send(pictured, self._pictures.pack(small))

    def work(self) -> None:
        """Pack and write the frame that has waited longest."""
        if not self._copies or self._archive is None:
            return
        order, pixels = self._copies.popleft()
        try:
            self._archive.store(Entry(result=order.result, heatmap=order.heatmap), pixels, order.payload)
        except ArchiveError as error:
            self._not_kept += 1
            if self._not_kept == 1:
                self._link.send(Told(severity="warning", text=f"frames are not kept: {error}"))
            return
        if self._not_kept:
            text = f"frames are kept again; {self._not_kept} were not"
            self._link.send(Told(severity="info", text=text))
            self._not_kept = 0

    def prune_if_due(self, now_s: float) -> None:
        """Keep journal and archive within their limits."""
        if now_s < self._prune_s:
            return
        self._prune_s = now_s + PRUNE_S
        if self._archive is not None:
            self._archive.prune()
        try:
            told = self._retention.prune()
        except OSError as error:
            told = [f"the journal cannot be pruned: {error}"]
        for text in told:
            self._link.send(Told(severity="warning", text=text))
        floor = self._index.floor(self._epoch)
        if floor != self._floor:
            self._floor = floor
            self._link.send(Floor(oldest_seq=floor))

    def _find_heatmap(self, result_id: str) -> list[bytes] | None:
        return None if self._archive is None else self._archive.find_heatmap(result_id)

    def _answer(self, ask: Ask) -> None:
        request: RecordRequest = decode_request(ask.request)  # type: ignore[assignment]
        frames: list[bytes] | None = None
        for following in self._answers.answer(request, published=ask.published):
            if frames is not None:
                self._link.send(Answer(ticket=ask.ticket, last=False), *frames)
            frames = following
        assert frames is not None
        self._link.send(Answer(ticket=ask.ticket, last=True), *frames)

    def close(self) -> None:
        """Write what is still waiting, then close."""
        while self.busy:
            self.work()
        self._index.close()
        for ring in self._rings.values():
            ring.close()


def serve(historian: Historian, link: Link) -> None:
    """Work until told to stop; a request goes before a frame that waits to be written."""
    while True:
        data = link.receive(0 if historian.busy else WAIT_MS)
        link.heartbeat()
        if data is None:
            historian.work()
        else:
            message = decode_to_historian(data)
            if isinstance(message, Stop):
                return
            historian.take(message)
        historian.prune_if_due(time.monotonic())


def open_archive(start: HistorianStart) -> Archive | None:
    """The archive, if one is configured; only then is what packs images loaded.

    Raises:
        ArchiveError: its directory cannot be written.
    """
    if start.archive is None:
        return None
    import cv2

    from pipeline.history.archive_files import Archive

    cv2.setNumThreads(1)
    return Archive(start.archive)


def open_pictures(start: HistorianStart) -> Pictures | None:
    """What makes small pictures, if they are published; only then is it loaded."""
    if start.image.policy == "none":
        return None
    import cv2

    from pipeline.history.pictures import Pictures

    cv2.setNumThreads(1)
    return Pictures(start.image)


def main() -> None:
    """Open journal and archive, report ready, work until told to stop."""
    start = read_start(HistorianStart)
    link = Link(start.endpoint)
    try:
        historian = Historian(start, link, open_archive(start), open_pictures(start))
    except (CursorError, ArchiveError, msgspec.MsgspecError) as error:
        fail_start(link, str(error))
    with link:
        historian.prune_if_due(time.monotonic())
        link.send(HistorianReady())
        serve(historian, link)
        historian.close()


if __name__ == "__main__":
    main()
