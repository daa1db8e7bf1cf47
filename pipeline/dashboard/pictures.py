"""Joins what belongs to one frame: result, heatmap and image come one after another, on two sockets. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from pipeline.dashboard.messages import ResultView
    from pipeline.messages import HeatmapHeader, ImageHeader

KeptT = TypeVar("KeptT")
KEPT_FRAMES = 128
KEPT_REJECTS = 50


class Heatmap(NamedTuple):
    """A heatmap as it was published."""

    header: HeatmapHeader
    payload: bytes


class Picture(NamedTuple):
    """All that is known of a frame that can be shown."""

    result: ResultView
    image: ImageHeader
    jpeg: bytes
    heatmap: Heatmap | None


class Joiner:
    """The parts of the last frames, until they are whole; the oldest are forgotten."""

    def __init__(self) -> None:
        self._results: dict[str, ResultView] = {}
        self._heatmaps: dict[str, Heatmap] = {}
        self._images: dict[str, tuple[ImageHeader, bytes]] = {}

    def take_result(self, result: ResultView) -> Picture | None:
        """A result; the picture if its image was there before it."""
        self._results[result.result_id] = result
        _bound(self._results)
        return self._join(result.result_id)

    def take_heatmap(self, heatmap: Heatmap) -> None:
        """A heatmap; it is published before its frame's image."""
        self._heatmaps[heatmap.header.result_id] = heatmap
        _bound(self._heatmaps)

    def take_image(self, header: ImageHeader, jpeg: bytes) -> Picture | None:
        """An image; the picture if its result has come."""
        self._images[header.result_id] = (header, jpeg)
        _bound(self._images)
        return self._join(header.result_id)

    def _join(self, result_id: str) -> Picture | None:
        result = self._results.get(result_id)
        if result is None or result_id not in self._images:
            return None
        image, jpeg = self._images.pop(result_id)
        return Picture(result, image, jpeg, self._heatmaps.get(result_id))


def _bound(kept: dict[str, KeptT]) -> None:
    while len(kept) > KEPT_FRAMES:
        del kept[next(iter(kept))]


class Rejects:
    """The last rejected parts, and the pictures of those that have one; newest last."""

    def __init__(self, kept: int = KEPT_REJECTS) -> None:
        self._kept = kept
        self._results: dict[str, ResultView] = {}
        self._pictures: dict[str, Picture] = {}

    def add(self, result: ResultView) -> None:
        """One more; the oldest goes."""
        self._results[result.result_id] = result
        while len(self._results) > self._kept:
            oldest = next(iter(self._results))
            del self._results[oldest]
            self._pictures.pop(oldest, None)

    def add_picture(self, picture: Picture) -> bool:
        """The picture of a reject; False if it is of none that is kept."""
        if picture.result.result_id not in self._results:
            return False
        self._pictures[picture.result.result_id] = picture
        return True

    def picture(self, result_id: str) -> Picture | None:
        """The picture of a reject; None if there is none."""
        return self._pictures.get(result_id)

    def all(self) -> list[tuple[ResultView, Picture | None]]:
        """Every reject, with its picture if there is one."""
        return [(result, self._pictures.get(result_id)) for result_id, result in self._results.items()]
