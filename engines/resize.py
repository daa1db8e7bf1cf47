"""Area resize inside the graph, exact for any size, with operators that every runtime has.

ONNX `Resize` with antialiasing does not parse in TensorRT, so the resize is average pooling where an axis
shrinks by an integer, and one small constant matrix product per axis otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines.area import area_weights


def resample_matrix(size_in: int, size_out: int) -> Tensor:
    """Weights (size_out, size_in) float32 of one axis; every row sums to one.

    Shrinking weighs each input pixel by the length that it shares with the output pixel (OpenCV's
    INTER_AREA); enlarging interpolates linearly between pixel centres (INTER_LINEAR).
    """
    if size_out <= size_in:
        return torch.from_numpy(area_weights(size_in, size_out).astype(np.float32))
    scale = size_in / size_out
    out, source = np.arange(size_out)[:, None], np.arange(size_in)[None, :]
    centre = np.clip((out + 0.5) * scale - 0.5, 0, size_in - 1)
    return torch.from_numpy(np.clip(1 - np.abs(source - centre), 0, None).astype(np.float32))


class AxisResize(nn.Module):
    """Resize of one axis of (N, C, H, W).

    With g = gcd(in, out) the boundaries repeat every in/g pixels, so one (out/g, in/g) matrix serves all g
    blocks: 3000 -> 256 costs 32 products per pixel instead of 256.
    """

    matrix: Tensor

    def __init__(self, size_in: int, size_out: int, *, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.blocks = math.gcd(size_in, size_out) if size_out <= size_in else 1
        self.size_in, self.size_out = size_in // self.blocks, size_out // self.blocks
        self.register_buffer("matrix", resample_matrix(self.size_in, self.size_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same with the axis resized."""
        if self.size_in == self.size_out:
            return x
        n, c, height, width = x.shape
        if self.size_out == 1:
            return F.avg_pool2d(x, (self.size_in, 1) if self.axis == 2 else (1, self.size_in))
        if self.axis == 2:
            y = torch.matmul(self.matrix, x.reshape(n * c * self.blocks, self.size_in, width))
            return y.reshape(n, c, self.blocks * self.size_out, width)
        y = torch.matmul(x.reshape(n * c, height * self.blocks, self.size_in), self.matrix.T)
        return y.reshape(n, c, height, self.blocks * self.size_out)


class AreaResize(nn.Module):
    """Resize of an image from one fixed size to another; the axis that shrinks more goes first."""

    def __init__(self, size_in: tuple[int, int], size_out: tuple[int, int]) -> None:
        super().__init__()
        self.factors = (size_in[0] // size_out[0], size_in[1] // size_out[1])
        self.pools = all(i == f * o for i, f, o in zip(size_in, self.factors, size_out, strict=True))
        height = AxisResize(size_in[0], size_out[0], axis=2)
        width = AxisResize(size_in[1], size_out[1], axis=3)
        steps = (height, width) if size_in[0] / size_out[0] >= size_in[1] / size_out[1] else (width, height)
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *size_in) float32 -> (N, C, *size_out) float32."""
        if self.pools:
            return F.avg_pool2d(x, self.factors) if self.factors != (1, 1) else x
        y: Tensor = self.steps(x)
        return y
