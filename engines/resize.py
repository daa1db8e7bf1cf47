"""Area resize inside the graph, exact for any size, with operators that every runtime has.

ONNX `Resize` with antialiasing does not parse in TensorRT, so each axis is a mean where it shrinks by an
integer, and one small constant matrix product otherwise. Rows go first, on the image as the camera lays it
out: moving channels apart, or pooling three of them that a runtime pads to 16, cost OpenVINO a fifth of the
whole network's time at 512x512 (docs/measured.md).
"""

from __future__ import annotations

import math

import numpy as np
import torch
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


class Axis(nn.Module):
    """How one axis of an image shrinks or grows.

    With g = gcd(in, out) the boundaries repeat every in/g pixels, so one (out/g, in/g) matrix serves all g
    blocks: 3000 -> 256 costs 32 products per pixel instead of 256.
    """

    matrix: Tensor

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        self.size_out = size_out
        self.blocks = math.gcd(size_in, size_out) if size_out <= size_in else 1
        self.block_in, self.block_out = size_in // self.blocks, size_out // self.blocks
        self.register_buffer("matrix", resample_matrix(self.block_in, self.block_out))


class AreaResize(nn.Module):
    """Resize of a raw image from one fixed size to another, and its channels moved to the front."""

    shares: Tensor

    def __init__(self, size_in: tuple[int, int], size_out: tuple[int, int], *, channels: int) -> None:
        super().__init__()
        self.width, self.channels = size_in[1], channels
        self.rows, self.columns = Axis(size_in[0], size_out[0]), Axis(size_in[1], size_out[1])
        pixels = self.columns.block_in
        self.register_buffer("shares", torch.eye(channels).repeat(pixels, 1) / pixels)

    def forward(self, image: Tensor) -> Tensor:
        """(H, W) or (H, W, C) float32 -> (1, C, *size_out) float32."""
        return self._columns(self._rows(image))

    def _rows(self, image: Tensor) -> Tensor:
        """(H, W) or (H, W, C) -> (h, W * C)."""
        axis = self.rows
        x = image.reshape(axis.blocks, axis.block_in, self.width * self.channels)
        if axis.block_out == 1:
            x = x.mean(dim=1) if axis.block_in > 1 else x
        else:
            x = torch.matmul(axis.matrix, x)
        return x.reshape(axis.size_out, self.width * self.channels)

    def _columns(self, x: Tensor) -> Tensor:
        """(h, W * C) -> (1, C, h, w)."""
        axis, channels = self.columns, self.channels
        if axis.block_out == 1:
            if axis.block_in > 1:  # the mean of each channel over a block, as one product of three columns
                x = torch.matmul(x.reshape(-1, axis.block_in * channels), self.shares)
            return x.reshape(-1, axis.size_out, channels).permute(2, 0, 1)[None]
        x = x.reshape(-1, self.width, channels).permute(2, 0, 1)
        x = torch.matmul(x.reshape(-1, axis.block_in), axis.matrix.T)
        return x.reshape(1, channels, -1, axis.size_out)
