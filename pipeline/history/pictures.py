"""Small pictures of frames, for people: made smaller, then packed as JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.record_config import ImageConfig


class Pictures:
    """Makes the pictures of one station."""

    def __init__(self, settings: ImageConfig) -> None:
        self._max_width_px = settings.max_width_px
        self._quality = settings.quality

    def shrink(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy, (h, w) or (h, w, 3) uint8, at most as wide as configured; its colours are the frame's."""
        height, width = pixels.shape[:2]
        if width <= self._max_width_px:
            return pixels.copy()
        size = (self._max_width_px, max(1, round(height * self._max_width_px / width)))
        return cast("NDArray[np.uint8]", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))

    def pack(self, small: NDArray[np.uint8]) -> bytes:
        """The JPEG of a grey or RGB picture."""
        image = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        return bytes(jpeg)
