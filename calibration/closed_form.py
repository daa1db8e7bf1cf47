"""What has a closed form: standardisation, ridge alignment, second moments. All from good parts.

Sums run in float64 and in a fixed order, so the same features give the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

if TYPE_CHECKING:
    from engines.level import Level, Standardise

RIDGE = 0.01
"""Of the inputs' unit variance; 0.001 to 0.1 gave the same accuracy."""
COVARIANCE_RIDGE = 0.01
"""Of the mean variance of a channel; 0.0001 to 0.1 gave the same accuracy."""
_CHUNK = 16


def fit_standardise(target: Standardise, features: Tensor) -> None:
    """Mean and standard deviation per channel of (N, C, h, w)."""
    count = features.numel() // features.shape[1]
    mean = features.sum(dim=(0, 2, 3), dtype=torch.float64) / count
    square = sum((chunk.double() ** 2).sum(dim=(0, 2, 3)) for chunk in torch.split(features, _CHUNK))
    variance = torch.as_tensor(square) / count - mean**2
    target.mean.copy_(mean[None, :, None, None])
    target.inverse_std.copy_(1.0 / variance.clamp(min=1e-6).sqrt()[None, :, None, None])


def fit_ridge(level: Level, low: Tensor, high: Tensor) -> None:
    """The linear alignment LR 3x3 neighbourhood -> HR with the least squared error plus `RIDGE` |W|^2.

    Args:
        level: gets the solution.
        low: (N, C_low, h, w) standardised LR features on the HR grid.
        high: (N, C, h, w) standardised HR features.
    """
    inputs = low.shape[1] * 9
    gram = torch.zeros(inputs, inputs, dtype=torch.float64)
    cross = torch.zeros(inputs, high.shape[1], dtype=torch.float64)
    for x, y in zip(torch.split(low, _CHUNK), torch.split(high, _CHUNK), strict=True):
        patches = F.unfold(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2).reshape(-1, inputs)
        gram += patches.T @ patches
        cross += patches.T @ y.permute(0, 2, 3, 1).reshape(-1, high.shape[1])
    count = high.numel() // high.shape[1]
    penalty = RIDGE * torch.eye(inputs, dtype=torch.float64)
    solution = torch.linalg.solve(gram / count + penalty, cross / count)
    level.ridge.copy_(solution.T.reshape(level.ridge.shape))


def second_moment(features: Tensor, mean: Tensor | None = None) -> Tensor:
    """(C, C) float64 of (N, C, h, w), about `mean` if there is one."""
    channels = features.shape[1]
    total = torch.zeros(channels, channels, dtype=torch.float64)
    for chunk in torch.split(features, _CHUNK):
        centred = chunk if mean is None else chunk - mean
        x = centred.permute(0, 2, 3, 1).reshape(-1, channels)
        total += x.T @ x
    return total / (features.numel() // channels)


def ridged(matrix: Tensor) -> Tensor:
    """A covariance (C, C) with `COVARIANCE_RIDGE` of its mean variance added to its diagonal."""
    return matrix + COVARIANCE_RIDGE * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype)


def inverse_root(matrix: Tensor, power: float = 0.5) -> Tensor:
    """Symmetric matrix to the power of minus `power`, float64; with its sign and order free, it is unique."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=1e-12) ** -power) @ vectors.T
    return root
