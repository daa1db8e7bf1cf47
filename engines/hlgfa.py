"""HLGFA as one network: raw camera image in, anomaly map and image score out.

Zhou, Gao, Du, Zheng, "HLGFA: High-Low Resolution Guided Feature Alignment for Unsupervised Anomaly
Detection", arXiv 2602.09524 (2026). From the paper: two views, one frozen shared backbone, structure and
detail prior, conditional modulation, gated residual correction, reliability weight. Ours: closed-form
alignment below the guidance, whitening of its residual, and every size (docs/decisions/0012).

The parts that hold what was learned are filled by `calibration.fit`; as constructed they are neutral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines.backbone import TAP_CHANNELS, EfficientNetLite0
from engines.engine import EngineError
from engines.guidance import Guidance, GuidanceSettings
from engines.reliability import Reliability
from engines.resize import AreaResize
from engines.whitening import Whitening

if TYPE_CHECKING:
    from collections.abc import Mapping

TAPS = (8, 16)
"""Strides of the HR features that are aligned; each needs LR features of its own and half its stride."""
BACKBONE_TAPS = (4, 8, 16)
SIZE_STEP_PX = 64
"""HR sizes are multiples of this: then strides, half views and quarter-size priors all divide evenly."""
MAP_STRIDE = 4
SMOOTHING_SIGMA = 1.0
"""Gaussian over the anomaly map, in map pixels (4 HR pixels), as PatchCore and PaDiM do at full size."""

RELIABILITY_EXPONENT = 0.2
"""Image AUROC of screw 0.940, 0.953, 0.954 at 0, 0.15, 0.25; pixel AUROC 0.990, 0.989, 0.989."""


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """Fixed sizes of one model: (height, width) in pixels of raw image and HR view, and the channels."""

    input_px: tuple[int, int]
    hr_px: tuple[int, int] = (256, 256)
    channels: int = 1

    def __post_init__(self) -> None:
        if self.channels not in {1, 3}:
            raise EngineError(f"channels: found {self.channels}, expected 1 (grey) or 3 (RGB).")
        if any(size < SIZE_STEP_PX or size % SIZE_STEP_PX for size in self.hr_px):
            raise EngineError(f"HR size: found {self.hr_px}, expected multiples of {SIZE_STEP_PX} pixels.")

    @property
    def lr_px(self) -> tuple[int, int]:
        """The LR view: half the HR view."""
        return self.hr_px[0] // 2, self.hr_px[1] // 2

    @property
    def map_shape(self) -> tuple[int, int]:
        """(height, width) of the anomaly map."""
        return self.hr_px[0] // MAP_STRIDE, self.hr_px[1] // MAP_STRIDE

    def level_shape(self, tap: int) -> tuple[int, int]:
        """(height, width) of the HR features at a stride."""
        return self.hr_px[0] // tap, self.hr_px[1] // tap


class Views(nn.Module):
    """HR and LR view of one raw image, both by area averaging; nothing of the raw image is left out."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.channels = geometry.channels
        self.resize = AreaResize(geometry.input_px, geometry.hr_px)

    def high(self, image: Tensor) -> Tensor:
        """(H, W) or (H, W, 3) uint8 -> (1, channels, *hr_px) float32 in 0..255. Cast first, for TensorRT."""
        x = image.float()
        x = x[None, None] if self.channels == 1 else x.permute(2, 0, 1)[None]
        y: Tensor = self.resize(x)
        return y

    def low(self, high: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2)."""
        return F.avg_pool2d(high, 2)


class Standardise(nn.Module):
    """Per channel to zero mean and unit variance over good parts."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("inverse_std", torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same, standardised."""
        return (x - self.mean) * self.inverse_std


class Level(nn.Module):
    """Cross-resolution alignment at one stride: HR features against what the LR view says they should be."""

    ridge: Tensor
    offset: Tensor
    gain: Tensor

    def __init__(
        self, tap: int, geometry: Geometry, settings: GuidanceSettings, *, reliability: float
    ) -> None:
        super().__init__()
        self.tap, self.shape = tap, geometry.level_shape(tap)
        self.channels = TAP_CHANNELS[tap]
        fine = TAP_CHANNELS[tap // 2]
        self.standardise_hr = Standardise(self.channels)
        self.standardise_fine, self.standardise_coarse = Standardise(fine), Standardise(self.channels)
        self.register_buffer("ridge", torch.zeros(self.channels, fine + self.channels, 3, 3))
        self.guidance = Guidance(fine + self.channels, self.channels, settings) if settings.enabled else None
        self.whitening = Whitening(self.channels)
        self.reliability = Reliability(reliability)
        self.register_buffer("offset", torch.zeros(1))
        self.register_buffer("gain", torch.ones(1))

    def low(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """LR features at strides tap / 2 and tap on the HR grid: (N, C_fine + C, h, w).

        The LR view at stride tap / 2 has as many positions as the HR view at stride tap.
        """
        coarse = F.interpolate(self.standardise_coarse(coarse), size=self.shape, mode="bilinear")
        return torch.cat([self.standardise_fine(fine), coarse], dim=1)

    def linear(self, low: Tensor) -> Tensor:
        """Closed-form part of the alignment: ridge regression on 3x3 LR neighbourhoods, (N, C, h, w)."""
        return F.conv2d(F.pad(low, (1, 1, 1, 1), mode="replicate"), self.ridge)

    def residual(self, high: Tensor, low: Tensor) -> Tensor:
        """Standardised HR features minus their alignment from LR, (N, C, h, w)."""
        aligned = self.linear(low)
        if self.guidance is not None:
            aligned = aligned + self.guidance(low, high)
        return high - aligned

    def discrepancy(self, residual: Tensor, high: Tensor) -> Tensor:
        """Weighted distance (N, 1, h, w), before `offset` and `gain`."""
        weighted: Tensor = self.reliability(self.whitening(residual), high)
        return weighted

    def forward(self, high: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """Raw features of both views -> alignment map (N, 1, h, w): mean 0 and deviation 1 on good parts."""
        high = self.standardise_hr(high)
        distance = self.discrepancy(self.residual(high, self.low(fine, coarse)), high)
        return (distance - self.offset) * self.gain


class Hlgfa(nn.Module):
    """The whole network of one model, in evaluation mode.

    Args:
        geometry: fixed sizes.
        settings: which parts of the guidance exist.
        reliability: exponent of the reliability weight; 0 leaves it away.
        weights: state dict of the backbone; None reads the installed package.
    """

    def __init__(
        self,
        geometry: Geometry,
        settings: GuidanceSettings,
        *,
        reliability: float = RELIABILITY_EXPONENT,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.views = Views(geometry)
        self.backbone = EfficientNetLite0(BACKBONE_TAPS, channels=geometry.channels, weights=weights)
        self.levels = nn.ModuleDict(
            {str(tap): Level(tap, geometry, settings, reliability=reliability) for tap in TAPS}
        )
        self.smoothing = Smoothing(SMOOTHING_SIGMA)
        self.eval()

    def level(self, tap: int) -> Level:
        """The alignment at a stride."""
        level = self.levels[str(tap)]
        assert isinstance(level, Level)
        return level

    def features(self, high_view: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Backbone features of HR and LR view by stride, from (N, C, *hr_px) in 0..255."""
        high = dict(zip(BACKBONE_TAPS, self.backbone(high_view), strict=True))
        low = dict(zip(BACKBONE_TAPS, self.backbone(self.views.low(high_view)), strict=True))
        return high, low

    def fuse(self, maps: list[Tensor]) -> Tensor:
        """Discrepancies of all levels -> anomaly map (N, 1, *map_shape): their mean, smoothed."""
        size = self.geometry.level_shape(TAPS[0])
        fused = torch.stack([_enlarged(m, size) for m in maps]).mean(dim=0)
        smooth: Tensor = self.smoothing(_enlarged(fused, self.geometry.map_shape))
        return smooth

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(H, W) or (H, W, 3) uint8 -> anomaly map (h, w) float32 and image score (1,), its maximum."""
        high, low = self.features(self.views.high(image))
        maps = [self.level(tap)(high[tap], low[tap // 2], low[tap]) for tap in TAPS]
        anomaly_map = self.fuse(maps)[0, 0]
        return anomaly_map, anomaly_map.amax(dim=(0, 1)).reshape(1)


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


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if tuple(x.shape[-2:]) == size else F.interpolate(x, size=size, mode="bilinear")
