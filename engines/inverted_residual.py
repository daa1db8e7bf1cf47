"""Layers of EfficientNet-Lite, BatchNorm folded away: convolution with SAME padding, inverted residual.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, with ReLU6 and without
squeeze-excite. Weights come from a state dict whose names are those of the registry packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

BATCH_NORM_EPS = 1e-3  # TensorFlow's, not torch's 1e-5


class SameConv(nn.Module):
    """Convolution with TensorFlow's SAME padding: at stride 2 the odd pixel goes to the right and bottom."""

    def __init__(self, weight: Tensor, bias: Tensor, *, stride: int, relu6: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.stride = stride
        self.groups = weight.shape[0] if weight.shape[1] == 1 and weight.shape[0] > 1 else 1
        self.relu6 = relu6

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride))."""
        kernel = self.weight.shape[-1]
        pad_y, pad_x = (same_padding(size, kernel, self.stride) for size in x.shape[-2:])
        if pad_y[0] == pad_y[1] and pad_x[0] == pad_x[1]:
            padding = (pad_y[0], pad_x[0])
        else:
            x, padding = F.pad(x, (*pad_x, *pad_y)), (0, 0)
        y = F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=padding, groups=self.groups)
        return F.relu6(y) if self.relu6 else y


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, project (1x1, linear), with a skip where shapes allow it."""

    def __init__(self, layers: list[SameConv], *, skip: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H / stride, W / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after one axis of `size` pixels, so that ceil(size / stride) come out."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def folded(state: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with its BatchNorm folded in: float32, computed in float64."""
    gamma, beta, mean, variance = (
        state[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + BATCH_NORM_EPS)
    weight = state[f"{conv}.weight"].double() * scale[:, None, None, None]
    return weight.float(), (beta - mean * scale).float()


def block_layers(state: Mapping[str, Tensor], prefix: str, *, stride: int, expands: bool) -> list[SameConv]:
    """The two or three convolutions of the block whose names in the state dict start with `prefix`."""
    layers = []
    if expands:
        weight, bias = folded(state, f"{prefix}._expand_conv", f"{prefix}._bn0")
        layers.append(SameConv(weight, bias, stride=1, relu6=True))
    weight, bias = folded(state, f"{prefix}._depthwise_conv", f"{prefix}._bn1")
    layers.append(SameConv(weight, bias, stride=stride, relu6=True))
    weight, bias = folded(state, f"{prefix}._project_conv", f"{prefix}._bn2")
    layers.append(SameConv(weight, bias, stride=1, relu6=False))
    return layers
