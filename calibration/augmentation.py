"""Noise-aware augmentation: nuisances of good parts (the paper's sparse points and stripes, and hairs).

What is injected into good parts counts as good: alignment and whitening see it, so it does not raise the
score. Amounts are ours; they are small beside real defects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NuisanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is injected into one image; 0 switches a nuisance off.

    `points_share` is the share of pixels hit, `point_levels` and `stripe_levels` their greatest change and
    `hair_levels` that of a hair, all in grey levels of 0..255; `stripes` and `hairs` are greatest counts.
    """

    points_share: float = 0.001
    point_levels: float = 40.0
    stripes: int = 2
    stripe_levels: float = 12.0
    hairs: int = 1
    hair_levels: float = 25.0


def inject(
    image: NDArray[np.float32], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A copy with nuisances; the same change in every channel.

    Args:
        image: (C, H, W) float32 in 0..255.
        settings: how much.
        rng: the only source of chance.
    """
    return np.clip(image + _change(image.shape[1:], settings, rng), 0, 255).astype(np.float32)


def inject_raw(
    image: NDArray[np.uint8], hr_px: tuple[int, int], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A copy of a raw image with the nuisances that `inject` would give its HR view.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        hr_px: (height, width) of the HR view; the nuisances are drawn there and enlarged to the image.
        settings: how much.
        rng: the only source of chance.
    """
    change = cv2.resize(_change(hr_px, settings, rng), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    change = change if image.ndim == 2 else change[..., None]
    return np.asarray(np.clip(np.rint(image + change), 0, 255), np.uint8)


def _change(
    shape: tuple[int, ...], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    return _points(shape, settings, rng) + _stripes(shape, settings, rng) + _hairs(shape, settings, rng)


def _points(
    shape: tuple[int, ...], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    change = np.zeros(shape, np.float32)
    count = rng.binomial(change.size, settings.points_share)
    where = rng.integers(0, change.size, count)
    change.ravel()[where] = rng.uniform(-settings.point_levels, settings.point_levels, count)
    return change


def _stripes(
    shape: tuple[int, ...], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Whole rows or columns, one to three pixels wide: a line sensor's gain error, a brushed surface."""
    change = np.zeros(shape, np.float32)
    for _ in range(rng.integers(0, settings.stripes + 1)):
        level = rng.uniform(-settings.stripe_levels, settings.stripe_levels)
        axis, width = int(rng.integers(0, 2)), int(rng.integers(1, 4))
        at = int(rng.integers(0, shape[axis]))
        change[
            (slice(at, at + width), slice(None)) if axis == 0 else (slice(None), slice(at, at + width))
        ] += level
    return change


def _hairs(
    shape: tuple[int, ...], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Thin bent lines, a fifth to a half of the image long."""
    change = np.zeros(shape, np.float32)
    for _ in range(rng.integers(0, settings.hairs + 1)):
        level = rng.uniform(-settings.hair_levels, settings.hair_levels)
        t = np.linspace(0, 1, 24)
        angle = rng.uniform(0, 2 * np.pi) + rng.uniform(-1.5, 1.5) * t
        step = rng.uniform(0.2, 0.5) * min(shape) / 24
        start = rng.uniform(0, 1, 2) * shape
        points = np.stack(
            [start[1] + np.cumsum(np.cos(angle)) * step, start[0] + np.cumsum(np.sin(angle)) * step]
        )
        line = np.zeros(shape, np.uint8)
        cv2.polylines(line, [np.round(points.T * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
        change += line.astype(np.float32) * (level / 255)
    return change
