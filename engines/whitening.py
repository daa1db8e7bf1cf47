"""Mahalanobis distance of the alignment residual, with the covariance of good parts inside the graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

CLAMP = 100.0
"""Standard deviations; keeps every square and sum far inside FP16's range (65504)."""


class Whitening(nn.Module):
    """Distance under one covariance for all positions, or under one per position shrunk to it.

    Everything happens in the space whitened by the global covariance. There a position's covariance is its
    `rank` strongest directions plus one noise variance for all others (probabilistic PCA, Tipping and Bishop
    1999), so d^2 = |z|^2 / noise - |V^T z|^2: a tenth of the numbers that a full inverse per position takes.
    """

    mean: Tensor
    whiten: Tensor
    inverse_noise: Tensor
    directions: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("whiten", torch.eye(channels)[:, :, None, None])
        self.register_buffer("inverse_noise", torch.ones(1, 1, 1, 1))
        self.register_buffer("directions", torch.zeros(0, channels, 0))

    @property
    def per_position(self) -> bool:
        """Whether every position has its own covariance."""
        return self.directions.shape[0] > 0

    def whitened(self, residual: Tensor) -> Tensor:
        """(N, C, h, w) -> the same with zero mean and unit covariance over good parts."""
        return F.conv2d(residual - self.mean, self.whiten).clamp(-CLAMP, CLAMP)

    def forward(self, residual: Tensor) -> Tensor:
        """(N, C, h, w) -> distance (N, 1, h, w), about 1 on good parts: the root of d^2 / C."""
        z = self.whitened(residual)
        squared = (z * z).mean(dim=1, keepdim=True) * self.inverse_noise
        if self.per_position:
            squared = (squared - self._explained(z)).clamp(min=0.0)
        return torch.sqrt(squared + 1e-6)

    def _explained(self, z: Tensor) -> Tensor:
        n, channels, height, width = z.shape
        by_position = z.permute(2, 3, 0, 1).reshape(height * width, n, channels)
        along = torch.matmul(by_position, self.directions)
        explained = (along * along).sum(dim=2) / self.channels
        return explained.T.reshape(n, 1, height, width)
