"""Mahalanobis distance of the alignment residual, with the covariance of good parts inside the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLAMP = 100.0
"""Standard deviations; keeps every square and sum far inside FP16's range (65504)."""


class Whitening(nn.Module):
    """Distance under one covariance for all positions, or one per position shrunk to it.

    Per position p the covariance is (1 - s) S_p + s S. In the space whitened by S that is a multiple of the
    identity plus the few directions in which the good parts vary at p, so by Woodbury's identity
    d^2 = (|z|^2 - |V_p z|^2) / s, with V_p of `rank` rows: a tenth of the numbers of a full inverse per position.
    """

    mean: Tensor
    whiten: Tensor
    directions: Tensor
    gain: Tensor

    def __init__(self, channels: int, *, positions: tuple[int, int] | None = None, rank: int = 0) -> None:
        super().__init__()
        self.channels, self.positions, self.rank = channels, positions, rank
        self.register_buffer("mean", torch.zeros(1, channels, *(positions or (1, 1))))
        self.register_buffer("whiten", torch.eye(channels)[:, :, None, None])
        count = positions[0] * positions[1] if positions else 0
        self.register_buffer("directions", torch.zeros(count, channels, rank))
        self.register_buffer("gain", torch.ones(1))

    def forward(self, residual: Tensor) -> Tensor:
        """(N, C, h, w) -> distance (N, 1, h, w), scaled by `gain` (good parts: standard deviation 1)."""
        z = torch.nn.functional.conv2d(residual - self.mean, self.whiten).clamp(-CLAMP, CLAMP)
        squared = (z * z).mean(dim=1, keepdim=True)
        if self.rank:
            squared = (squared - self._explained(z)).clamp(min=0.0)
        return torch.sqrt(squared + 1e-6) * self.gain

    def _explained(self, z: Tensor) -> Tensor:
        n, channels, height, width = z.shape
        by_position = z.permute(2, 3, 0, 1).reshape(height * width, n, channels)
        along = torch.matmul(by_position, self.directions)
        explained = (along * along).sum(dim=2) / self.channels
        return explained.T.reshape(n, 1, height, width)
