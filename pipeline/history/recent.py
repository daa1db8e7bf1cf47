"""The last results with their heatmaps, for who asks for them later, in bounded memory. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.messages import HeatmapHeader, ResultHeader

KEPT_RESULTS = 512
KEPT_BYTES = 16 * 2**20


class Published(NamedTuple):
    """What was published of one trigger."""

    result: ResultHeader
    heatmap: HeatmapHeader | None
    payload: bytes | None


class Recent:
    """Results by `result_id`; the oldest go first."""

    def __init__(self, *, kept_results: int = KEPT_RESULTS, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_results, self._kept_bytes = kept_results, kept_bytes
        self._published: dict[str, Published] = {}
        self._bytes = 0

    def add(self, published: Published) -> None:
        """Keep one more."""
        self._published[published.result.result_id] = published
        self._bytes += len(published.payload or b"")
        while self._bytes > self._kept_bytes or len(self._published) > self._kept_results:
            oldest = self._published.pop(next(iter(self._published)))
            self._bytes -= len(oldest.payload or b"")

    def find(self, result_id: str) -> Published | None:
        """What was published of a result; None if that is too long ago."""
        return self._published.get(result_id)
