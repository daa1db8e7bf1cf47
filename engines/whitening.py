"""Mahalanobis distance to good parts, with their covariance inside the graph."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

BANDS = 2
"""In which the rows of a triangular root are kept: 3/4 of its numbers.

Four would keep 5/8 and save 2 % of the time on a CPU, but each band costs a GPU's engine kernels of its own:
an FP16 plan would be more than 0.6 times the FP32 one.
"""
CLAMP = 100.0
"""Standard deviations; keeps every square and mean far inside FP16's range (65504)."""


class Whitening(nn.Module):
    """Distance under one covariance for all positions, or under one for each block of positions.

    `mean` is (1, C, 1, 1) or (1, C, h, w). Whitened features are a root times the features less their mean:
    `root` (C, C), or with `set_positions` one for each block of positions.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = 1
        self.per_position = False
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("root", torch.eye(channels))

    def set_pooled(self, mean: Tensor, root: Tensor) -> None:
        """Give all positions one mean (1, C, 1, 1) and one root (C, C)."""
        self.mean, self.root, self.block, self.per_position = mean, root, 1, False

    def set_positions(self, mean: Tensor, roots: Tensor, block: int) -> None:
        """Give positions means and roots of their own.

        The roots are kept in bands of their rows without most of the zeros: reading them is what a distance
        costs.

        Args:
            mean: (1, C, h, w).
            roots: (blocks, C, C) lower triangular, in row-major order of blocks of positions.
            block: positions a side of a block; divides h and w.

        Raises:
            ValueError: a root is not lower triangular.
        """
        if torch.triu(roots, diagonal=1).any():
            raise ValueError(
                "roots of positions: found numbers above the diagonal, expected lower triangular"
            )
        self.mean, self.block, self.per_position = mean, block, True
        for number, (start, stop) in enumerate(self._edges()):
            band = roots[:, start:stop, :stop].transpose(1, 2).contiguous()
            self.register_buffer(f"band_{number}", band)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) -> distance (N, 1, h, w), about 1 on good parts: root mean square when whitened."""
        centred = features - self.mean
        if not self.per_position:
            z = F.conv2d(centred, self.root[:, :, None, None]).clamp(-CLAMP, CLAMP)
            return torch.sqrt((z * z).mean(dim=1, keepdim=True) + 1e-6)
        x = in_blocks(centred, self.block)
        squares = []
        for number, (_, stop) in enumerate(self._edges()):
            z = torch.matmul(x[:, :, :stop], self.get_buffer(f"band_{number}")).clamp(-CLAMP, CLAMP)
            squares.append((z * z).sum(dim=2))
        distance = torch.sqrt(torch.stack(squares).sum(dim=0) / features.shape[1] + 1e-6)
        return from_blocks(distance, self.block, features.shape[0], features.shape[2:])

    def _edges(self) -> list[tuple[int, int]]:
        """First row of each band, and the row after its last."""
        channels = self.mean.shape[1]
        edges = [round(channels * number / BANDS) for number in range(BANDS + 1)]
        return [(start, stop) for start, stop in pairwise(edges) if start < stop]


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
