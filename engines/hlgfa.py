"""HLGFA as one network: raw camera image in, anomaly map and image score out.

Zhou, Gao, Du, Zheng, "HLGFA: High-Low Resolution Guided Feature Alignment for Unsupervised Anomaly
Detection", arXiv 2602.09524 (2026). From the paper: two views, one frozen shared backbone, structure and
detail prior, conditional modulation, gated residual correction, reliability weight. Ours: closed-form
alignment below the guidance, whitening of its residual, the appearance and layout terms beside it, and every
size (docs/decisions/0012).

The parts that hold what was learned are filled by `calibration.fit`; as constructed they are neutral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from msgspec import Meta
from torch import Tensor, nn

from engines.backbone import BACKBONE, open_backbone
from engines.geometry import MAP_STRIDE
from engines.guidance import PRIORS, GuidanceSettings
from engines.level import Level, ViewLevel, enlarged
from engines.resize import AreaResize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engines.geometry import Geometry

AlignedStride = Literal[8, 16, 32]
Stride = Literal[4, 8, 16, 32]

SMOOTHING_SIGMA = 1.0
"""Gaussian over the anomaly map, in map pixels (4 HR pixels), as PatchCore and PaDiM do at full size."""


COARSE_STRIDE = 32
"""HR pixels from which on a term's map is coarse."""
LOCAL_RADIUS = 8
"""Map pixels around one in which the fine map localises the coarse one: a position at stride 32."""
LOCAL_FLOOR = 0.25
"""Added to the fine map before ratios are taken: it is about 0 on good parts, and its noise is no place."""


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network consists of; the defaults are the same for every part.

    `taps` are the strides at which HR features are aligned, `appearance_taps` and `layout_taps` those at
    which HR and LR features are judged by themselves. `reliability` is the exponent of a reliability weight
    made from a part's own contrast, 0 leaves it away; a reliability of positions, from good parts, is in the
    gains of the terms (`calibration.terms`). `background` is the share of a part's own mean response that is
    taken off its map: a good part that is grainy or hazy all over else comes near the threshold everywhere;
    below 1, a part that is bad all over still is. `localise` holds coarse terms to where fine ones peak.
    `closed_form` off is the paper alone.
    """

    backbone: str = BACKBONE
    taps: Annotated[tuple[AlignedStride, ...], Meta(min_length=1)] = (8, 16)
    closed_form: bool = True
    guidance: GuidanceSettings = GuidanceSettings()
    reliability: Annotated[float, Meta(ge=0, le=1)] = 0.0
    background: Annotated[float, Meta(ge=0, le=1)] = 0.25
    localise: bool = True
    appearance_taps: tuple[Stride, ...] = (16, 32)
    layout_taps: tuple[Stride, ...] = (32,)

    def __post_init__(self) -> None:
        for taps in (self.taps, self.appearance_taps, self.layout_taps):
            if list(taps) != sorted(set(taps)):
                raise ValueError(f"Expected strides in ascending order, each once, found {list(taps)}")

    @property
    def hr_taps(self) -> tuple[int, ...]:
        """Strides at which a term needs HR features, ascending."""
        return tuple(sorted({*self.taps, *self.appearance_taps}))

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides at which a term needs either view, ascending; an alignment takes LR at half its own."""
        return tuple(sorted({*self.hr_taps, *self.layout_taps, *(tap // 2 for tap in self.taps)}))


PAPER = NetworkSettings(
    taps=(8, 16, 32),
    closed_form=False,
    guidance=PRIORS,
    reliability=0.2,
    background=0.0,
    localise=False,
    appearance_taps=(),
    layout_taps=(),
)
"""The most faithful reading of the paper: every part that it names, and nothing of ours."""


class Views(nn.Module):
    """HR and LR view of one raw image, both by area averaging; nothing of the raw image is left out."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.resize = AreaResize(geometry.input_px, geometry.hr_px, channels=geometry.channels)

    def high(self, image: Tensor) -> Tensor:
        """(H, W) or (H, W, 3) uint8 -> (1, channels, *hr_px) float32 in 0..255. Cast first, for TensorRT."""
        y: Tensor = self.resize(image.float())
        return y

    def low(self, high: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2)."""
        return F.avg_pool2d(high, 2)


class Hlgfa(nn.Module):
    """The whole network of one model, in evaluation mode.

    Args:
        geometry: fixed sizes.
        settings: which parts exist.
        weights: state dict of the backbone; None reads the installed package.
    """

    def __init__(
        self, geometry: Geometry, settings: NetworkSettings, *, weights: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.geometry, self.settings = geometry, settings
        self.views = Views(geometry)
        self.taps = settings.taps
        self.appearance_taps, self.layout_taps = settings.appearance_taps, settings.layout_taps
        self.hr_taps = settings.hr_taps
        self.backbone = open_backbone(
            settings.backbone, settings.strides, channels=geometry.channels, weights=weights
        )
        channels = self.backbone.tap_channels
        self.levels = nn.ModuleDict(
            {str(tap): Level(tap, geometry.level_shape(tap), channels, settings) for tap in self.taps}
        )
        self.appearance, self.layout = (
            nn.ModuleDict({str(tap): ViewLevel(channels[tap]) for tap in taps})
            for taps in (self.appearance_taps, self.layout_taps)
        )
        self.smoothing = Smoothing(SMOOTHING_SIGMA)
        self.eval()

    def level(self, tap: int) -> Level:
        """The alignment at a stride."""
        level = self.levels[str(tap)]
        assert isinstance(level, Level)
        return level

    def view_level(self, kind: str, tap: int) -> ViewLevel:
        """Features by themselves at a stride; `kind` is "appearance" or "layout"."""
        level = (self.appearance if kind == "appearance" else self.layout)[str(tap)]
        assert isinstance(level, ViewLevel)
        return level

    def features(self, high_view: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Backbone features of HR and LR view by stride, from (N, C, *hr_px) in 0..255."""
        strides = self.backbone.taps
        high = dict(zip(strides, self.backbone(high_view), strict=True))
        low = dict(zip(strides, self.backbone(self.views.low(high_view)), strict=True))
        return high, low

    def maps(self, high: Mapping[int, Tensor], low: Mapping[int, Tensor]) -> list[tuple[int, Tensor]]:
        """Features of both views by stride -> every term's map (N, 1, h, w), with its stride in HR pixels."""
        return [
            *((tap, self.level(tap)(high[tap], low[tap // 2], low[tap])) for tap in self.taps),
            *((tap, self.appearance[str(tap)](high[tap])) for tap in self.appearance_taps),
            *((2 * tap, self.layout[str(tap)](low[tap])) for tap in self.layout_taps),
        ]

    def fuse(self, maps: list[tuple[int, Tensor]]) -> Tensor:
        """Maps of terms with their strides in HR pixels -> anomaly map (N, 1, *map_shape)."""
        fine, coarse = (
            [item for item in maps if (item[0] >= COARSE_STRIDE) is wanted] for wanted in (False, True)
        )
        if not fine or not coarse:
            return self._summed(maps)
        if not self.settings.localise:
            return self._summed(fine) + self._summed(coarse)
        return localised(self._summed(fine), self._summed(coarse))

    def _summed(self, maps: list[tuple[int, Tensor]]) -> Tensor:
        """Sum of maps at the anomaly map's size, smoothed, less its share of the part's own mean."""
        finest = min(self.taps)
        size = self.geometry.level_shape(finest)
        summed = torch.stack([enlarged(m, stride // finest, size) for stride, m in maps]).sum(dim=0)
        smooth: Tensor = self.smoothing(enlarged(summed, finest // MAP_STRIDE, self.geometry.map_shape))
        if self.settings.background:
            smooth = smooth - self.settings.background * smooth.mean(dim=(2, 3), keepdim=True)
        return smooth

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(H, W) or (H, W, 3) uint8 -> anomaly map (h, w) float32 and image score (1,), its maximum."""
        anomaly_map = self.fuse(self.maps(*self.features(self.views.high(image))))[0, 0]
        return anomaly_map, anomaly_map.amax(dim=(0, 1)).reshape(1)


def localised(fine: Tensor, coarse: Tensor) -> Tensor:
    """Sum of two maps (N, 1, h, w), with what the coarse one adds held to where the fine one peaks near by.

    Coarse features respond far around a defect, and a plain sum smears it. Where the fine map is the maximum
    of its surroundings nothing is taken away, so a defect that only the coarse map sees keeps its peak.
    """
    r = LOCAL_RADIUS
    near = F.pad(fine, (r, r, r, r), mode="replicate")
    near = F.max_pool2d(F.max_pool2d(near, (1, 2 * r + 1), stride=1), (2 * r + 1, 1), stride=1)
    gate = ((fine + LOCAL_FLOOR).clamp(min=0.0) / (near + LOCAL_FLOOR).clamp(min=0.1)).clamp(max=1.0)
    return fine + coarse.clamp(max=0.0) + coarse.clamp(min=0.0) * gate * gate


class Smoothing(nn.Module):
    """Gaussian blur of a one-channel map with replicated borders, as two small convolutions."""

    kernel: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.radius = int(4 * sigma + 0.5)
        x = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        kernel = torch.exp(-(x**2) / (2 * sigma**2))
        self.register_buffer("kernel", (kernel / kernel.sum()).float())

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, h, w) -> the same."""
        r = self.radius
        x = F.pad(x, (r, r, r, r), mode="replicate")
        return F.conv2d(F.conv2d(x, self.kernel[None, None, None, :]), self.kernel[None, None, :, None])
