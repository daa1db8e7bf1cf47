"""Structure-based reliability weight: less where the part's structure makes good parts respond strongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines.guidance import STRUCTURE_POOL

LIMIT = 1.0
"""Natural logarithm of the greatest change: a weight lies in 1/e .. e, so no defect is silenced by it."""


class Reliability(nn.Module):
    """Inverse of the distance that good parts have on such a structure (ours; the paper's form is unknown).

    The logarithm of the distance is predicted linearly from the pooled HR features, at a quarter of the
    resolution, where a small defect has been averaged away.
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(1, channels, 1, 1))

    def expected(self, high: Tensor) -> Tensor:
        """Standardised HR features (N, C, h, w) -> log distance over its mean, (N, 1, h, w)."""
        coarse = F.conv2d(F.avg_pool2d(high, STRUCTURE_POOL), self.weight)
        return F.interpolate(coarse, size=high.shape[-2:], mode="bilinear").clamp(-LIMIT, LIMIT)

    def forward(self, distance: Tensor, high: Tensor) -> Tensor:
        """Weighted distance (N, 1, h, w)."""
        return distance * torch.exp(-self.expected(high))
