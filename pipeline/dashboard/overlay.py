"""A heatmap as a picture to be laid over the frame: fixed colours, transparent where it is normal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline.heatmaps import unpack_heatmap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.messages import HeatmapHeader

FULL_SCALE = 2.0
"""Of the threshold: where the colours end. The same for every image, so that two can be compared."""
BEGIN = 0.5
"""Of the threshold: below it nothing is drawn."""


def _colours() -> NDArray[np.uint8]:
    """(256, 4) BGRA by the score, 0 to `FULL_SCALE`; lightness grows with it, for eyes of every kind."""
    grey = np.arange(256, dtype=np.uint8).reshape(-1, 1)
    scale = np.arange(256) / 255 * FULL_SCALE
    rise = np.clip((scale - BEGIN) / (1 - BEGIN), 0, 1)
    table = np.empty((256, 4), np.uint8)
    table[:, :3] = cv2.applyColorMap(
        np.clip(96 + grey.astype(np.int32) * 159 // 255, 0, 255).astype(np.uint8), cv2.COLORMAP_INFERNO
    )[:, 0]
    table[:, 3] = np.rint(255 * rise**1.5)
    return table


_TABLE = _colours()


def overlay_png(header: HeatmapHeader, payload: bytes) -> bytes:
    """The PNG (RGBA) of a map, in the map's own size.

    Raises:
        MessageError: the payload does not fit its header.
    """
    scores = unpack_heatmap(header, payload)
    threshold = header.threshold if header.threshold > 0 else 1.0
    index = np.clip(scores / (threshold * FULL_SCALE) * 255, 0, 255).astype(np.uint8)
    rgba = _TABLE[index]
    _, png = cv2.imencode(".png", rgba, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(png)
