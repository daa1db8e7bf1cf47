"""Wiring of the historian: clients' requests to it and its answers back, slots back to their cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.history.history_line import Ticket
from pipeline.internal import Answer, Copied, Floor, HistorianStart, Pictured, Told
from pipeline.requests import ErrorReply, HeatmapReply, HeatmapRequest, ReplayRequest, encode
from pipeline.wire import encode as encode_header
from pipeline.wire import topic_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.access.front_desk import Asked
    from pipeline.camera_line import CameraLine
    from pipeline.config import Config
    from pipeline.history.history_line import HistoryLine
    from pipeline.internal import FromHistorian
    from pipeline.outbox import Outbox
    from pipeline.publisher import Publisher
    from pipeline.requests import RecordRequest, Reply

ANNOUNCE_NS = 10_000_000_000
"""Lost frames are said at most this often."""


class History:
    """What the station does for and with its historian."""

    def __init__(
        self,
        config: Config,
        line: HistoryLine,
        *,
        epoch: str,
        lines: Mapping[str, CameraLine],
        outbox: Outbox,
        publisher: Publisher,
    ) -> None:
        self.line = line
        self._config = config
        self._epoch = epoch
        self._lines = lines
        self._outbox = outbox
        self._publisher = publisher
        self._announced = 0
        self._announced_ns = -ANNOUNCE_NS

    def start_message(self) -> HistorianStart:
        """How the next life of the historian is started."""
        config = self._config
        reads = config.archive is not None or config.image.policy != "none"
        rings = [line.ring_spec() for line in self._lines.values()] if reads else []
        return HistorianStart(
            endpoint=self.line.child.endpoint,
            epoch=self._epoch,
            line=config.station.line,
            station=config.station.name,
            journal_dir=config.station.journal_dir,
            journal=config.journal,
            consumers=config.consumers,
            archive=config.archive,
            image=config.image,
            rings=rings,
        )

    def on_request(self, request: RecordRequest, asked: Asked) -> Reply | None:
        """Answer from memory, or pass on; None if the answer is sent or will be."""
        if isinstance(request, HeatmapRequest):
            published = self._outbox.recent.find(request.result_id)
            if published is not None and published.heatmap is not None and published.payload is not None:
                reply = HeatmapReply(result_id=request.result_id, found=True, request_id=request.request_id)
                heatmap = published.heatmap
                frames = [encode(reply), topic_of(heatmap), encode_header(heatmap), published.payload]
                self._publisher.answer(asked, frames)
                return None
        given = self._publisher.last_seq.get(request.stream, 0) if isinstance(request, ReplayRequest) else 0
        return self.line.ask(Ticket(asked, request.request_id), published=given)

    def on_message(self, message: FromHistorian, frames: Sequence[bytes]) -> None:
        """Do what the historian says."""
        if isinstance(message, Answer):
            asked = self.line.asked(message.ticket, last=message.last)
            if asked is not None:
                self._publisher.answer(asked, frames)
        elif isinstance(message, Copied):
            if self.line.copied(message.camera, message.slot):
                self._lines[message.camera].give_back(message.slot)
        elif isinstance(message, Pictured):
            self._outbox.image(message, frames[0])
        elif isinstance(message, Floor):
            self.line.oldest_seq = message.oldest_seq
        elif isinstance(message, Told):
            self._outbox.event("fault", message.severity, message.text)

    def on_lost(self) -> None:
        """Give back and answer what the historian has left behind."""
        for camera, slot in self.line.take_slots():
            self._lines[camera].give_back(slot)
        for ticket in self.line.abandon():
            reply = ErrorReply(error="failed", text="The historian has gone. Ask again.")
            reply = msgspec.structs.replace(reply, request_id=ticket.request_id)
            self._publisher.answer(ticket.asked, [encode(reply)])

    def announce_if_due(self, now_ns: int) -> None:
        """Say that frames were lost to the archive, not for every single one."""
        lost = self.line.dropped_frames - self._announced
        if lost and now_ns - self._announced_ns >= ANNOUNCE_NS:
            self._announced, self._announced_ns = self.line.dropped_frames, now_ns
            self._outbox.event(
                "fault",
                "warning",
                f"the archive was too slow for {lost} frame(s), they are not kept; "
                f"{self.line.dropped_frames} since the start",
            )
