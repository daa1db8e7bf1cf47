"""Structure-detail decoupled guidance: the learned correction of one level's closed-form alignment.

The names are the paper's; forms and sizes are ours. Only LR features are refined. The HR features enter as
two priors that must not carry the answer through: the structure prior has lost its detail (a quarter of the
resolution), the detail prior is a few bounded channels.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from msgspec import Meta
from torch import Tensor, nn

STRUCTURE_POOL = 4
"""The structure prior sees HR features at a quarter of their resolution, or at what there is of it."""
STRUCTURE_KERNELS = (3, 5, 7)


class GuidanceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which parts of the guidance exist, and their channels; 0 leaves a prior away.

    On top of the closed form neither the priors nor the gate add anything that outlasts a change of seed, so
    the default has none (docs/accuracy.md); `PRIORS` has all, as the paper does.
    """

    enabled: bool = True
    hidden: Annotated[int, Meta(ge=1)] = 96
    structure_channels: Annotated[int, Meta(ge=0)] = 0
    detail_channels: Annotated[int, Meta(ge=0)] = 0
    gate: bool = False


PRIORS = GuidanceSettings(structure_channels=24, detail_channels=8, gate=True)


def structure_pool(high: Tensor) -> tuple[int, int]:
    """Pooling (height, width) of HR features (N, C, h, w) that takes their detail away."""
    return min(STRUCTURE_POOL, high.shape[2]), min(STRUCTURE_POOL, high.shape[3])


class StructurePrior(nn.Module):
    """Stable layout of the part: pooled HR features, narrowed, then depthwise convolutions of many sizes."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, 1)
        self.scales = nn.ModuleList(
            nn.Conv2d(width, width, k, padding=k // 2, groups=width) for k in STRUCTURE_KERNELS
        )

    def forward(self, high: Tensor) -> Tensor:
        """HR features (N, C, h, w) -> (N, scales * width, h / 4, w / 4)."""
        x = F.relu(self.project(F.avg_pool2d(high, structure_pool(high))))
        return F.relu(torch.cat([scale(x) for scale in self.scales], dim=1))


class ConditionalModulation(nn.Module):
    """Scale and shift of the LR features by the structure prior; neutral at the start."""

    def __init__(self, prior_channels: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(prior_channels, 2 * hidden, 1)
        _zero(self.project)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        """(N, hidden, h, w) and the prior at a quarter of that -> modulated (N, hidden, h, w)."""
        both = F.interpolate(self.project(prior), size=x.shape[-2:], mode="bilinear")
        scale, shift = both.chunk(2, dim=1)
        return x * (1 + scale) + shift


class DetailPrior(nn.Module):
    """Local cues of the HR features: a few bounded channels, spatially aligned by a depthwise convolution."""

    def __init__(self, channels: int, width: int, hidden: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, width, 1)
        self.align = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.project = nn.Conv2d(width, hidden, 1)
        _zero(self.project)

    def forward(self, high: Tensor) -> Tensor:
        """HR features (N, C, h, w) -> (N, hidden, h, w)."""
        cues: Tensor = self.project(self.align(torch.tanh(self.narrow(high))))
        return cues


class ResidualCorrection(nn.Module):
    """What is added to the closed-form alignment; zero at the start. A gate, if any, scales it by 0..1."""

    def __init__(self, hidden: int, channels: int, *, gate: bool) -> None:
        super().__init__()
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.out = nn.Conv2d(hidden, channels, 1)
        _zero(self.out)
        self.gate = nn.Conv2d(hidden, channels, 1) if gate else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, hidden, h, w) -> (N, C, h, w)."""
        x = F.relu(self.mix(F.relu(x)))
        y: Tensor = self.out(x)
        return y if self.gate is None else y * torch.sigmoid(self.gate(x))


class Guidance(nn.Module):
    """Refines the LR features of one level under the HR priors; gives the correction of the alignment."""

    def __init__(self, low_channels: int, channels: int, settings: GuidanceSettings) -> None:
        super().__init__()
        hidden = settings.hidden
        self.refine = nn.Conv2d(low_channels, hidden, 3)
        self.structure: StructurePrior | None = None
        self.detail: DetailPrior | None = None
        if settings.structure_channels:
            self.structure = StructurePrior(channels, settings.structure_channels)
            prior_channels = settings.structure_channels * len(STRUCTURE_KERNELS)
            self.modulation = ConditionalModulation(prior_channels, hidden)
        if settings.detail_channels:
            self.detail = DetailPrior(channels, settings.detail_channels, hidden)
        self.correction = ResidualCorrection(hidden, channels, gate=settings.gate)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Standardised LR (N, C_low, h, w) and HR (N, C, h, w) features -> correction (N, C, h, w)."""
        x = self.refine(F.pad(low, (1, 1, 1, 1), mode="replicate"))
        if self.structure is not None:
            x = self.modulation(x, self.structure(high))
        if self.detail is not None:
            x = x + self.detail(high)
        y: Tensor = self.correction(x)
        return y


def _zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
