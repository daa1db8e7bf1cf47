"""Synthetic defects on good parts: what an engine must still see as its reference does.

They are for comparing engines, not for training and not for a miss rate: real defects look different.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def with_defect(image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A copy with one defect: a patch of itself elsewhere, a scratch, or a blob, in turn by `seed`.

    Args:
        image: (H, W) or (H, W, 3) uint8, 16 pixels at least in each direction.
        seed: the same seed gives the same defect.
    """
    kinds = (_pasted, _scratched, _blotched)
    return kinds[seed % len(kinds)](image, np.random.default_rng(seed))


def _pasted(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A patch of a twelfth to a fourth of the side, turned over, at another place; as CutPaste does."""
    height, width = (max(4, int(side * rng.uniform(1 / 12, 1 / 4))) for side in image.shape[:2])
    source, target = (
        (int(rng.integers(0, image.shape[0] - height)), int(rng.integers(0, image.shape[1] - width)))
        for _ in range(2)
    )
    changed = image.copy()
    patch = image[source[0] : source[0] + height, source[1] : source[1] + width][::-1, ::-1]
    changed[target[0] : target[0] + height, target[1] : target[1] + width] = patch
    return changed


def _scratched(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A straight line, much darker or brighter than the part."""
    height, width = image.shape[:2]
    centre = rng.uniform(0.25, 0.75, 2) * (width, height)
    angle, reach = rng.uniform(0, np.pi), rng.uniform(0.05, 0.2) * min(height, width)
    step = np.array([np.cos(angle), np.sin(angle)]) * reach
    mask = np.zeros((height, width), np.uint8)
    ends = [tuple(int(v) for v in np.rint(centre + sign * step)) for sign in (-1, 1)]
    cv2.line(mask, ends[0], ends[1], 255, max(1, min(height, width) // 100), cv2.LINE_AA)
    return _blended(image, mask, float(rng.choice([-110.0, 110.0])))


def _blotched(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A soft-edged spot, darker or brighter than the part."""
    height, width = image.shape[:2]
    centre = tuple(int(v) for v in rng.uniform(0.25, 0.75, 2) * (width, height))
    axes = tuple(max(2, int(v)) for v in rng.uniform(0.02, 0.08, 2) * min(height, width))
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, min(axes) / 4)), np.uint8)
    return _blended(image, soft, float(rng.choice([-80.0, 80.0])))


def _blended(image: NDArray[np.uint8], mask: NDArray[np.uint8], levels: float) -> NDArray[np.uint8]:
    """Grey levels added where the mask, (H, W) uint8, is; the same in every channel."""
    change = mask.astype(np.float32) * (levels / 255)
    change = change if image.ndim == 2 else change[..., None]
    return np.asarray(np.clip(np.rint(image + change), 0, 255), np.uint8)
