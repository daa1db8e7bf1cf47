"""Frozen features of good parts, computed once; training then never runs the backbone again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from calibration.augmentation import NuisanceSettings, inject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from engines.hlgfa import Hlgfa

_BATCH = 8


class Features(NamedTuple):
    """Backbone features by stride, each (N, C, h, w) float32: HR view at those aligned, LR view at all."""

    high: dict[int, Tensor]
    low: dict[int, Tensor]


def extract(
    network: Hlgfa,
    images: Sequence[NDArray[np.uint8]],
    indices: Sequence[int],
    *,
    nuisances: NuisanceSettings | None,
    rng: np.random.Generator,
    on_image: Callable[[], None],
) -> Features:
    """Features of the images at `indices`, with nuisances injected into the HR view where they are given.

    Images are read one batch at a time, so memory holds features only.
    """
    high: dict[int, list[Tensor]] = {tap: [] for tap in network.hr_taps}
    low: dict[int, list[Tensor]] = {tap: [] for tap in network.backbone.taps}
    for start in range(0, len(indices), _BATCH):
        views = []
        for index in indices[start : start + _BATCH]:
            view = network.views.high(torch.from_numpy(images[index].copy()))[0]
            if nuisances is not None:
                view = torch.from_numpy(inject(view.numpy(), nuisances, rng))
            views.append(view)
            on_image()
        batch = torch.stack(views).contiguous(memory_format=torch.channels_last)
        for store, features in zip((high, low), network.features(batch), strict=True):
            for tap, kept in store.items():
                kept.append(features[tap].contiguous())
    return Features(
        {tap: torch.cat(kept) for tap, kept in high.items()},
        {tap: torch.cat(kept) for tap, kept in low.items()},
    )


def feature_bytes(network: Hlgfa) -> int:
    """Bytes of one part's features in one copy."""
    height, width = network.geometry.hr_px
    channels = network.backbone.tap_channels
    high = sum(channels[tap] * (height // tap) * (width // tap) for tap in network.hr_taps)
    low = sum(c * -(-height // (2 * tap)) * -(-width // (2 * tap)) for tap, c in channels.items())
    return 4 * (high + low)


def joined(parts: Sequence[Features]) -> Features:
    """Several sets of features as one."""
    return Features(
        {tap: torch.cat([part.high[tap] for part in parts]) for tap in parts[0].high},
        {tap: torch.cat([part.low[tap] for part in parts]) for tap in parts[0].low},
    )
