"""Answers to what clients ask of the record: replay, ack, backlog, heatmap. Files, but no sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.history.cursors import CursorError, Position
from pipeline.requests import (
    AckReply,
    AckRequest,
    Backlog,
    BacklogReply,
    BacklogRequest,
    EndReply,
    ErrorReply,
    HeatmapReply,
    ItemReply,
    ReplayRequest,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.history.cursors import Cursors
    from pipeline.history.journal_index import JournalIndex
    from pipeline.requests import HeatmapRequest, RecordReply, RecordRequest

    FindHeatmap = Callable[[str], list[bytes] | None]

PAGE_ITEMS = 256
PAGE_BYTES = 2**20


class Answers:
    """Of one station whose start now is `epoch`; `find_heatmap` gives topic, header, payload by result id."""

    def __init__(
        self, index: JournalIndex, cursors: Cursors, *, topics: str, epoch: str, find_heatmap: FindHeatmap
    ) -> None:
        """Answer from these; `topics` is what all topics of the station begin with."""
        self._index = index
        self._cursors = cursors
        self._topics = topics
        self._epoch = epoch
        self._find_heatmap = find_heatmap

    def answer(self, request: RecordRequest, *, published: int) -> Iterator[list[bytes]]:
        """Frames of every message of the answer, the last one among them.

        Args:
            request: what is asked.
            published: the last number of the stream in question that this station has given.
        """
        self._index.refresh()
        if isinstance(request, ReplayRequest):
            yield from self._replay(request, published)
        elif isinstance(request, AckRequest):
            yield [self._encode(request, self._ack(request))]
        elif isinstance(request, BacklogRequest):
            yield [self._encode(request, self._backlog(request))]
        else:
            yield self._heatmap(request)

    @staticmethod
    def _encode(request: RecordRequest, reply: RecordReply | ErrorReply) -> bytes:
        return encode(msgspec.structs.replace(reply, request_id=request.request_id))

    def _replay(self, request: ReplayRequest, published: int) -> Iterator[list[bytes]]:
        epoch, stream = request.epoch, request.stream
        given = published if epoch == self._epoch else 0
        page = self._index.page(
            epoch, stream, request.first, request.last, given, max_items=PAGE_ITEMS, max_bytes=PAGE_BYTES
        )
        item = self._encode(request, ItemReply())
        topic = f"{self._topics}{stream}/".encode()
        for record in page.records:
            yield [item, topic, record]
        end = EndReply(
            epoch=epoch,
            stream=stream,
            last=page.gone[1] if page.gone else request.first + len(page.records) - 1,
            gone=page.gone,
            next=page.next,
            following=self._following(epoch),
        )
        yield [self._encode(request, end)]

    def _heatmap(self, request: HeatmapRequest) -> list[bytes]:
        frames = self._find_heatmap(request.result_id)
        reply = HeatmapReply(result_id=request.result_id, found=frames is not None)
        return [self._encode(request, reply), *(frames or [])]

    def _ack(self, request: AckRequest) -> AckReply | ErrorReply:
        name, epoch = request.consumer, request.epoch or self._epoch
        if name not in self._cursors.names:
            return self._unknown(name)
        files = self._index.of(epoch)
        known = self._index.streams(epoch).get(request.stream, 0)
        if not files or request.seq > known:
            return ErrorReply(
                error="unknown",
                text=f"ack: found {request.stream} {request.seq}, expected at most {known} of epoch {epoch}.",
            )
        position = Position(files[0].start, request.seq)
        try:
            position = self._cursors.acknowledge(name, request.stream, position)
            self._cursors.save()
        except CursorError as error:
            return ErrorReply(error="failed", text=str(error))
        at = next((e for e in self._index.epochs() if self._index.of(e)[0].start == position.start), epoch)
        return AckReply(consumer=name, stream=request.stream, epoch=at, seq=position.seq)

    def _backlog(self, request: BacklogRequest) -> BacklogReply | ErrorReply:
        name = request.consumer
        if name not in self._cursors.names:
            return self._unknown(name)
        found: dict[str, Backlog] = {}
        for epoch in self._index.epochs():
            start = self._index.of(epoch)[0].start
            for stream, last in sorted(self._index.streams(epoch).items()):
                position = self._cursors.position(name, stream)
                first = position.seq + 1 if position.start == start else 1
                waits = first <= last or epoch == self._epoch
                if self._cursors.wants(name, stream) and position.start <= start and waits:
                    found.setdefault(stream, Backlog(epoch=epoch, stream=stream, first=first))
        kinds = list(self._cursors.kinds(name))
        return BacklogReply(consumer=name, epoch=self._epoch, kinds=kinds, streams=list(found.values()))

    def _following(self, epoch: str) -> str | None:
        """The start after this one."""
        epochs = self._index.epochs()
        place = epochs.index(epoch) + 1 if epoch in epochs else len(epochs)
        return epochs[place] if place < len(epochs) else None

    def _unknown(self, name: str) -> ErrorReply:
        names = ", ".join(self._cursors.names) or "none"
        return ErrorReply(
            error="unknown",
            text=f"consumer: found {name!r}, expected one of config.yaml's consumers: {names}.",
        )
