"""How output cells share the pixels of one axis; the geometry of every area resize, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def area_weights(size_in: int, size_out: int) -> NDArray[np.float64]:
    """Share of each output cell's length that a pixel covers: (size_out, size_in), every row sums to one."""
    scale = size_in / size_out
    out, source = np.arange(size_out)[:, None], np.arange(size_in)[None, :]
    overlap = np.minimum(source + 1, (out + 1) * scale) - np.maximum(source, out * scale)
    return np.asarray(np.clip(overlap, 0, None) / scale)
