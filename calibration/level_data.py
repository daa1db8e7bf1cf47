"""Standardised features of one level, as alignment, guidance and terms are fitted on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from calibration.features import Features
    from engines.level import Level

_CHUNK = 16


class LevelData(NamedTuple):
    """LR features on the HR grid, and HR features."""

    low: Tensor
    high: Tensor


def level_data(level: Level, features: Features) -> LevelData:
    """The features of a level; its standardisation must be fitted."""
    tap = level.tap
    return LevelData(
        level.low(features.low[tap // 2], features.low[tap]),
        level.standardise_hr(features.high[tap]),
    )


def chunked(function: Callable[[Tensor, Tensor], Tensor], data: LevelData) -> Tensor:
    """Apply to LR and HR features of a few parts at a time, which keeps memory in bounds."""
    chunks = zip(torch.split(data.low, _CHUNK), torch.split(data.high, _CHUNK), strict=True)
    return torch.cat([function(low, high) for low, high in chunks])
