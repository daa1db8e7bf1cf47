"""Frozen convolutional networks of timm, by name, with their own normalisation inside.

Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models, Apache-2.0. The weights
have licences of their own: see the model's page on its hub before shipping a model learned with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engines.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

PREFIX = "timm:"
PROBE_PX = (96, 64)
"""(height, width) of what is sent through once, to see that it takes any size and gives (N, C, h, w)."""


class TimmBackbone(nn.Module):
    """Frozen features of one view at several strides; a `Backbone`.

    Args:
        name: `timm:` and a name that timm knows, with or without the tag of its weights.
        taps: strides whose features come out, ascending; where several features have one stride, its last.
        channels: 1 (grey, repeated to three) or 3 (RGB).
        weights: state dict of the whole network, as `timm.create_model(NAME).state_dict()`; None downloads
            the pretrained ones, or reads them from the cache of huggingface_hub.

    Raises:
        EngineError: timm is missing, or does not know the name; the network has no feature at a tap or only
            for one image size; the weights cannot be had or are another network's.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        taps: tuple[int, ...],
        *,
        channels: int,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        timm = _timm(name)
        outline = _outline(timm, name)
        reductions = list(outline.feature_info.reduction())
        last = {stride: index for index, stride in enumerate(reductions)}
        if not taps or not set(taps) <= set(last):
            raise EngineError(
                f"backbone {name}: found taps {taps}, expected strides out of {tuple(sorted(last))}. "
                "Choose another network, or taps that it has."
            )
        indices = [outline.feature_info.out_indices[last[tap]] for tap in taps]
        self.name = name
        self.taps = taps
        self.tap_channels = {tap: int(outline.feature_info.channels()[last[tap]]) for tap in taps}
        self.network: nn.Module = _network(timm, name, indices, weights)
        for key in ("mean", "std"):
            values = 255 * torch.tensor(outline.pretrained_cfg[key])
            self.register_buffer(key, values.reshape(1, 3, 1, 1))
        self.requires_grad_(requires_grad=False)
        self.eval()
        self._check_shapes(channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, channels, H, W) float32 in 0..255 -> per tap (N, `tap_channels`, H / stride, W / stride).

        One channel becomes three here: the mean of each colour is taken off the same grey image.
        """
        return list(self.network((image - self.mean) / self.std))

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: BatchNorm of a frozen network must not follow what it is shown."""
        return super().train(False)

    def _check_shapes(self, channels: int) -> None:
        height, width = PROBE_PX
        expected = [(1, self.tap_channels[tap], height // tap, width // tap) for tap in self.taps]
        try:
            with torch.no_grad():
                found = [tuple(f.shape) for f in self(torch.zeros(1, channels, height, width))]
        except (AssertionError, RuntimeError, ValueError) as error:
            raise EngineError(
                f"backbone {self.name}: it does not take an image of {height} x {width} pixels "
                f"({_first_line(error)}); expected one that takes any size. Choose a convolutional network."
            ) from error
        if found != expected:
            raise EngineError(
                f"backbone {self.name}: found features of shapes {found}, expected {expected} from "
                f"{height} x {width} pixels. Choose a convolutional network."
            )


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise EngineError(
            f"backbone {name}: the package timm is not installed ({_first_line(error)}). "
            "Install the extra: pip install 'hlgfa-line[timm]'"
        ) from error
    except RuntimeError as error:  # what torchvision raises when its operators were built for another torch
        raise EngineError(
            f"backbone {name}: cannot import timm beside torch {torch.__version__} ({_first_line(error)}); "
            "expected a torchvision of the same build. Install torch and torchvision from the same index."
        ) from error
    return timm


def _outline(timm: Any, name: str) -> Any:
    """The network without storage for its weights: what features it has."""
    model = name.removeprefix(PREFIX)
    if not timm.is_model(model):
        near = timm.list_models(f"*{model.split('.')[0]}*")[:3] if model else []
        raise EngineError(
            f"backbone {name}: found {model!r}, expected a name that timm {timm.__version__} knows"
            f"{' such as ' + ', '.join(near) if near else ''}. "
            "List them: python -c 'import timm; print(timm.list_models())'"
        )
    try:
        with torch.device("meta"):
            return timm.create_model(model, pretrained=False, features_only=True)
    except Exception as error:
        raise EngineError(
            f"backbone {name}: timm {timm.__version__} refuses it ({_first_line(error)}); expected a network "
            "with features at several strides and, after a dot, a tag of its weights. Try timm:resnet18."
        ) from error


def _network(timm: Any, name: str, indices: list[int], weights: Mapping[str, Tensor] | None) -> nn.Module:
    """The network up to the last of the features `indices`, with its weights."""
    model = name.removeprefix(PREFIX)
    overlay = None
    if weights is not None:
        _check_weights(timm, name, weights)
        overlay = {"state_dict": dict(weights)}
    try:
        network: nn.Module = timm.create_model(
            model, pretrained=True, pretrained_cfg_overlay=overlay, features_only=True, out_indices=indices
        )
    except Exception as error:  # the hub raises what its HTTP client does; the cause goes along
        if weights is not None:
            raise EngineError(
                f"backbone {name}: the weights that were given do not fit ({_first_line(error)}); expected "
                f"those of timm.create_model({model!r}).state_dict()."
            ) from error
        raise EngineError(
            f"backbone {name}: found no pretrained weights ({type(error).__name__}: {_first_line(error)}); "
            "expected them in the cache of huggingface_hub or a network to download them from. Run once with "
            "a network, or copy the folder HF_HOME (~/.cache/huggingface) from a machine that has them."
        ) from error
    return network


def _check_weights(timm: Any, name: str, weights: Mapping[str, Tensor]) -> None:
    """All of them are there: for features, timm itself leaves what is missing at random."""
    with torch.device("meta"):
        whole = timm.create_model(name.removeprefix(PREFIX), pretrained=False, num_classes=0)
    missing = sorted(set(whole.state_dict()) - set(weights))
    if missing:
        raise EngineError(
            f"backbone {name}: the weights given lack {len(missing)} tensors, first {missing[0]!r}; expected "
            f"those of timm.create_model({whole.pretrained_cfg['architecture']!r}).state_dict()."
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
