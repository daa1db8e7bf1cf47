"""Which images of good parts should be looked at before they teach: the same twice, blurred, badly exposed.

Rules, all relative to the images themselves, since no number fits every part and camera:
1. An image whose pixels, or whose small copy, are those of an earlier one shows the same part again.
2. An image with half the median's sharpness (for its contrast) or less, and far outside, is blurred.
3. An image whose mean grey level or share of black and white pixels is far outside is badly exposed.
"Far outside" is `SPREADS` robust standard deviations (1.4826 times the median absolute deviation) from the
median, and at least what a person would see.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPREADS = 6.0
BLUR_FACTOR = 2.0
MEAN_LEVELS = 16.0
CLIPPED_SHARE = 0.02
SMALL_PX = 64
SAME_LEVELS = 0.3
"""Two small copies (rms, without their means) this near are one picture: noise is averaged out there."""
SAME_SHARE = 0.25
"""And so are two that are nearer than this share of the usual distance to the nearest other part."""


class Look(NamedTuple):
    """One image in numbers.

    `digest` is of its pixels; `sharpness` 1000 times the variance of the Laplacian of the smoothed grey image
    over its squared contrast; `mean` in grey levels, 0..255; `clipped` the share of pixels that are black or
    white; `small` (h, w) float64, the image scaled to `SMALL_PX` at the longer side, minus its mean.
    """

    digest: str
    sharpness: float
    mean: float
    clipped: float
    small: NDArray[np.float64]


class Flag(NamedTuple):
    """Why an image stands out, for people; `text` is short enough for a contact sheet."""

    kind: Literal["duplicate", "blur", "exposure"]
    text: str


def look_at(image: NDArray[np.uint8]) -> Look:
    """Measure an image, (H, W) or (H, W, 3) uint8."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    smooth = np.asarray(
        cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0), np.float32
    )  # else noise passes for sharpness
    scale = min(1.0, SMALL_PX / max(grey.shape))
    size = tuple(max(1, round(side * scale)) for side in grey.shape[::-1])
    small = np.asarray(cv2.resize(grey.astype(np.float64), size, interpolation=cv2.INTER_AREA))
    return Look(
        digest=hashlib.sha256(image.tobytes()).hexdigest(),
        sharpness=1000 * float(cv2.Laplacian(smooth, cv2.CV_32F).var()) / _contrast(smooth) ** 2,
        mean=float(grey.mean()),
        clipped=float(((grey <= 1) | (grey >= 254)).mean()),
        small=small - small.mean(),
    )


def _contrast(grey: NDArray[np.float32]) -> float:
    """Grey levels between the 5 % darkest and the 5 % brightest pixels, so that less light is not blur."""
    dark, bright = np.percentile(grey, (5, 95))
    return max(float(bright - dark), 1.0)


def flag(looks: Sequence[Look]) -> list[list[Flag]]:
    """For each image what is odd about it, empty for most; all images have one size.

    Of images of one part the first one is not flagged. Numbers in texts count from 1.
    """
    flags: list[list[Flag]] = [[] for _ in looks]
    if not looks:
        return flags
    for index, original in duplicates(looks).items():
        flags[index].append(Flag("duplicate", f"same as {original + 1}"))
    for index, factor in _blurred(looks).items():
        flags[index].append(Flag("blur", f"blurred: x{factor:.2f}"))
    for index, text in _badly_exposed(looks).items():
        flags[index].append(Flag("exposure", text))
    return flags


def duplicates(looks: Sequence[Look]) -> dict[int, int]:
    """Index of each image that shows what an earlier one shows, and the index of that one."""
    distances = _distances(looks)
    np.fill_diagonal(distances, np.inf)
    usual = float(np.median(distances.min(axis=1))) if len(looks) > 1 else 0.0
    limit = max(SAME_LEVELS, SAME_SHARE * usual)
    found: dict[int, int] = {}
    for index, one in enumerate(looks):
        for earlier in range(index):
            if earlier in found:
                continue
            if one.digest == looks[earlier].digest or distances[index, earlier] < limit:
                found[index] = earlier
                break
    return found


def _distances(looks: Sequence[Look]) -> NDArray[np.float64]:
    """(n, n) rms differences of the small copies, in grey levels."""
    rows = np.stack([one.small.ravel() for one in looks])
    squares = (rows**2).sum(axis=1)
    products = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
    return np.asarray(np.sqrt(np.maximum(products, 0) / rows.shape[1]))


def _blurred(looks: Sequence[Look]) -> dict[int, float]:
    """Sharpness of blurred images as a share of the median's."""
    logs = np.array([math.log(max(one.sharpness, 1e-6)) for one in looks])
    below = np.median(logs) - logs
    limit = far_from_median(logs, math.log(BLUR_FACTOR))
    return {int(i): math.exp(-below[i]) for i in np.flatnonzero(below > limit)}


def _badly_exposed(looks: Sequence[Look]) -> dict[int, str]:
    means = np.array([one.mean for one in looks])
    clipped = np.array([one.clipped for one in looks])
    off, more = means - np.median(means), clipped - np.median(clipped)
    found = {}
    for index in np.flatnonzero(more > far_from_median(clipped, CLIPPED_SHARE)):
        found[int(index)] = f"{clipped[index]:.0%} black or white"
    for index in np.flatnonzero(abs(off) > far_from_median(means, MEAN_LEVELS)):
        found[int(index)] = f"{'dark' if off[index] < 0 else 'bright'}: {off[index]:+.0f} levels"
    return found


def far_from_median(values: NDArray[np.float64], least: float = 0.0) -> float:
    """How far from the median a value may be: `SPREADS` robust standard deviations, and at least `least`."""
    deviation = float(np.median(abs(values - np.median(values))))
    return max(least, SPREADS * 1.4826 * deviation)
