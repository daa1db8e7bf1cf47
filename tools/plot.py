"""Small charts as PNG files: axes, lines, bars. OpenCV draws them, no plotting library is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WHITE, INK, GRID = (255, 255, 255), (40, 40, 40), (225, 225, 225)
BLUE, RED, GREEN, GREY = (190, 110, 30), (50, 50, 210), (80, 150, 40), (150, 150, 150)
"""As OpenCV orders them: blue, green, red."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 14, 30, 34
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Span(NamedTuple):
    """An axis from its low to its high end."""

    low: float
    high: float


class Chart:
    """One chart; `pixels` (H, W, 3) uint8 has what was drawn so far."""

    def __init__(self, title: str, x: Span, y: Span, *, width_px: int = 860, height_px: int = 240) -> None:
        self.pixels: NDArray[np.uint8] = np.full((height_px, width_px, 3), WHITE, np.uint8)
        self._x, self._y = x, y
        self._area = (_LEFT, _TOP, width_px - _RIGHT, height_px - _BOTTOM)
        self._write(title, (_LEFT, 19), 0.5)
        for value in _ticks(x):
            column = self._at(value, y.low)[0]
            self._line((column, self._area[1]), (column, self._area[3]), GRID)
            self._write(f"{value:g}", (column - 12, height_px - 14), 0.4)
        for value in _ticks(y):
            row = self._at(x.low, value)[1]
            self._line((self._area[0], row), (self._area[2], row), GRID)
            self._write(f"{value:g}", (8, row + 4), 0.4)

    def curve(self, xs: Sequence[float], ys: Sequence[float], colour: tuple[int, int, int]) -> None:
        """A line through these points; what lies outside the axes is held at their edge."""
        points = np.array([self._at(x, y) for x, y in zip(xs, ys, strict=True)], np.int32)
        cv2.polylines(self.pixels, [points.reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)

    def level(self, y: float, colour: tuple[int, int, int]) -> None:
        """A level line."""
        self.curve([self._x.low, self._x.high], [y, y], colour)

    def mark(self, x: float, text: str, colour: tuple[int, int, int], *, row: int = 0) -> None:
        """An upright line with a text beside it, in the given row of texts."""
        column = self._at(x, self._y.low)[0]
        self._line((column, self._area[1]), (column, self._area[3]), colour)
        self._write(text, (column + 4, self._area[1] + 14 + 15 * row), 0.42, colour)

    def bars(self, edges: Sequence[float], heights: Sequence[float], colour: tuple[int, int, int]) -> None:
        """A histogram: `edges` has one more than `heights`."""
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            if height > 0:
                corner, foot = self._at(left, height), self._at(right, self._y.low)
                cv2.rectangle(self.pixels, corner, (max(corner[0], foot[0] - 1), foot[1]), colour, -1)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        left, top, right, bottom = self._area
        across = (x - self._x.low) / (self._x.high - self._x.low)
        up = (y - self._y.low) / (self._y.high - self._y.low)
        return (
            round(left + min(1.0, max(0.0, across)) * (right - left)),
            round(bottom - min(1.0, max(0.0, up)) * (bottom - top)),
        )

    def _line(self, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int]) -> None:
        cv2.line(self.pixels, start, end, colour, 1)

    def _write(self, text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int] = INK) -> None:
        cv2.putText(self.pixels, text, at, _FONT, size, colour, 1, cv2.LINE_AA)


def save_charts(path: Path, charts: Sequence[Chart]) -> None:
    """Write charts of one width below each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.vstack([chart.pixels for chart in charts]))[1].tobytes())


def _ticks(span: Span) -> list[float]:
    """About five round numbers."""
    rough = (span.high - span.low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = int(np.ceil(span.low / step))
    return [float(round(i * step, 10)) for i in range(first, int(span.high / step + 1e-9) + 1)]
