"""What the baselines have in common: their interface, one grid for all taps, and maps at image pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from calibration.record import CalibrationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Features = Mapping[int, Tensor]
"""HR features of the frozen backbone: stride -> (N, C, HR height / stride, HR width / stride) float32."""

Progress = Callable[[int, int], None]
"""Called with units done and units in all."""


class AnomalyScores(NamedTuple):
    """Anomaly maps (N, HR height, HR width) and image scores (N,), both float32, higher is worse."""

    maps: NDArray[np.float32]
    images: NDArray[np.float32]


class Baseline(Protocol):
    """A fitted method; the same features and seed give the same bits at the same number of threads."""

    def score(self, features: Features) -> AnomalyScores:
        """Anomaly maps and image scores of the images whose features these are."""


def hr_size(features: Features) -> tuple[int, int]:
    """(height, width) of the HR view in pixels."""
    stride = min(features)
    height, width = features[stride].shape[-2:]
    return height * stride, width * stride


def concatenated(
    features: Features, taps: Sequence[int], *, mode: Literal["nearest", "bilinear"], mean_px: int = 1
) -> Tensor:
    """All taps on the grid of the finest one, (N, sum of C, h, w) float32.

    Args:
        features: of the images.
        taps: strides to take.
        mode: how a coarser tap is enlarged.
        mean_px: odd; each tap is averaged over so many of its positions a side first, zeros outside.

    Raises:
        CalibrationError: a tap is not among the features.
    """
    missing = sorted(set(taps) - set(features))
    if missing or not taps:
        raise CalibrationError(
            f"taps: found {sorted(taps)}, expected strides out of {sorted(features)}. Extract the others."
        )
    size = features[min(taps)].shape[-2:]
    levels = []
    for tap in sorted(taps):
        level = F.avg_pool2d(features[tap], mean_px, stride=1, padding=mean_px // 2)
        levels.append(level if level.shape[-2:] == size else F.interpolate(level, size=size, mode=mode))
    return torch.cat(levels, dim=1)


def enlarged(distances: Tensor, size_px: tuple[int, int]) -> Tensor:
    """(N, h, w) -> (N, *size_px), bilinear between the centres of positions."""
    return F.interpolate(distances[:, None], size=size_px, mode="bilinear")[:, 0]


def smoothed(maps: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Gaussian over each map of (N, H, W), cut off at 4 sigma: equal to SciPy's `gaussian_filter`."""
    side = 2 * int(4 * sigma_px + 0.5) + 1
    border = cv2.BORDER_REFLECT
    return np.stack([cv2.GaussianBlur(m, (side, side), sigma_px, borderType=border) for m in maps])
