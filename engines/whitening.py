"""Mahalanobis distance to good parts, with their covariance inside the graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

CLAMP = 100.0
"""Standard deviations; keeps every square and mean far inside FP16's range (65504)."""


class Whitening(nn.Module):
    """Distance under one covariance for all positions, or under one for each block of positions.

    `mean` is (1, C, 1, 1) or (1, C, h, w); `root` is (C, C), or (blocks, C, C) in row-major order of blocks
    of `block` x `block` positions. Whitened features are `root` times the features less their mean.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = 1
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("root", torch.eye(channels))

    @property
    def per_position(self) -> bool:
        """Whether positions have covariances of their own."""
        return self.root.dim() == 3

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> distance (N, 1, h, w), about 1 on good parts: root mean square when whitened."""
        centred = features - self.mean
        if not self.per_position:
            z = F.conv2d(centred, self.root[:, :, None, None]).clamp(-CLAMP, CLAMP)
            return torch.sqrt((z * z).mean(dim=1, keepdim=True) + 1e-6)
        z = torch.matmul(in_blocks(centred, self.block), self.root.transpose(1, 2)).clamp(-CLAMP, CLAMP)
        distance = torch.sqrt((z * z).mean(dim=2) + 1e-6)
        return from_blocks(distance, self.block, features.shape[0], features.shape[2:])


def in_blocks(x: Tensor, block: int) -> Tensor:
    """(N, C, h, w) -> (blocks, N * block * block, C); `block` divides h and w."""
    n, channels, height, width = x.shape
    x = x.reshape(n, channels, height // block, block, width // block, block)
    return x.permute(2, 4, 0, 3, 5, 1).reshape(-1, n * block * block, channels)


def from_blocks(x: Tensor, block: int, count: int, shape: torch.Size) -> Tensor:
    """(blocks, count * block * block) -> (count, 1, h, w), the inverse of `in_blocks` for one channel."""
    height, width = shape
    x = x.reshape(height // block, width // block, count, block, block)
    return x.permute(2, 0, 3, 1, 4).reshape(count, 1, height, width)
