"""Noise-aware augmentation: nuisances of good parts (the paper's sparse points and stripes; hairs, stains).

What is injected into good parts counts as good: alignment and whitening see it, so it does not raise the
score. Amounts are ours; they are small beside real defects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import cv2
import msgspec
import numpy as np
from msgspec import Meta

if TYPE_CHECKING:
    from numpy.typing import NDArray

Share = Annotated[float, Meta(ge=0, le=1)]
Levels = Annotated[float, Meta(ge=0, le=255)]
Count = Annotated[int, Meta(ge=0, le=100)]


class NuisanceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is injected into one image; 0 switches a nuisance off.

    `points_share` is the share of pixels hit, `point_levels` and so on are the greatest change of a nuisance
    in grey levels of 0..255; `stripes`, `hairs` and `stains` are greatest counts.
    """

    points_share: Share = 0.001
    point_levels: Levels = 40.0
    stripes: Count = 2
    stripe_levels: Levels = 12.0
    hairs: Count = 1
    hair_levels: Levels = 25.0
    stains: Count = 1
    stain_levels: Levels = 10.0

    def times(self, amount: float) -> NuisanceSettings:
        """The same nuisances with their grey levels times `amount`; shares and counts stay."""
        levels = {
            name: amount * value for name, value in msgspec.structs.asdict(self).items() if "levels" in name
        }
        return msgspec.structs.replace(self, **levels)


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
    kinds = (_points, _stripes, _hairs, _stains)
    change = np.zeros(shape, np.float32)
    for kind in kinds:
        change += kind(shape, settings, rng)
    return change


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


def _stains(
    shape: tuple[int, ...], settings: NuisanceSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Soft, faint ellipses, a fiftieth to a tenth of the image across: dried drops, finger marks."""
    change = np.zeros(shape, np.float32)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for _ in range(rng.integers(0, settings.stains + 1)):
        level = rng.uniform(-settings.stain_levels, settings.stain_levels)
        row, column = rng.uniform(0, 1, 2) * shape
        radii = rng.uniform(0.01, 0.05, 2) * min(shape)
        away = ((rows - row) / radii[0]) ** 2 + ((columns - column) / radii[1]) ** 2
        change += np.float32(level) * np.exp(-(away.astype(np.float32) ** 2))
    return change
