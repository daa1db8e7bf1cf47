"""Structure-based reliability weight: less where the part has no structure to align, more where it has.

The paper says what the weight is for (spurious responses in structurally unstable regions), not how it is
made. Ours, by trial: the contrast of the pooled HR features. Dividing by what good parts respond on such a
structure, the obvious reading, lost 3 to 10 points on parts that turn, since a defect is itself an unusual
structure (docs/decisions/0012).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines.guidance import structure_pool

RANGE = (0.1, 10.0)
"""Contrast over its mean on good parts is held in this range, so no place is ever silenced."""


class Reliability(nn.Module):
    """Weight (contrast / mean contrast of good parts) ** exponent; none for the exponent 0."""

    inverse_mean: Tensor

    def __init__(self, exponent: float) -> None:
        super().__init__()
        self.exponent = exponent
        self.register_buffer("inverse_mean", torch.ones(1))

    def contrast(self, high: Tensor) -> Tensor:
        """Standardised HR features (N, C, h, w) -> root mean square of their gradient, (N, 1, h, w)."""
        coarse = F.avg_pool2d(high, structure_pool(high))
        x = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
        across = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]
        down = x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
        contrast = torch.sqrt((across * across + down * down).mean(dim=1, keepdim=True) + 1e-6)
        return F.interpolate(contrast, size=high.shape[-2:], mode="bilinear")

    def weighted(self, distance: Tensor, high: Tensor) -> Tensor:
        """Distance (N, 1, h, w) times the weight at standardised HR features (N, C, h, w)."""
        if self.exponent == 0:
            return distance
        relative = (self.contrast(high) * self.inverse_mean).clamp(*RANGE)
        return distance * torch.exp(self.exponent * torch.log(relative))
