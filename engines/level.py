"""One stride of HLGFA: cross-resolution alignment, and the distances that it is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from engines.guidance import Guidance
from engines.reliability import Reliability
from engines.whitening import Whitening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engines.hlgfa import NetworkSettings


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


class Term(nn.Module):
    """One summand of the anomaly map: a distance to good parts, from its mean over them, times a gain.

    `gain` is (1,), or (1, 1, h, w) where positions have gains of their own.
    """

    offset: Tensor
    gain: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.whitening = Whitening(channels)
        self.register_buffer("offset", torch.zeros(1))
        self.register_buffer("gain", torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) -> (N, 1, h, w), 0 on average over good parts."""
        return self.scaled(self.whitening(features))

    def scaled(self, distance: Tensor) -> Tensor:
        """Distance (N, 1, h, w) -> the term's share of the anomaly map."""
        return (distance - self.offset) * self.gain


class Level(nn.Module):
    """Alignment at one stride: HR features against what the LR view says they should be.

    With `closed_form` off it is the paper alone: the LR features of the stride refined by the guidance, and
    the cosine distance; no ridge alignment, no whitening.
    """

    ridge: Tensor

    def __init__(
        self, tap: int, shape: tuple[int, int], channels: Mapping[int, int], settings: NetworkSettings
    ) -> None:
        super().__init__()
        self.tap, self.shape, self.closed_form = tap, shape, settings.closed_form
        own, fine = channels[tap], channels[tap // 2]
        self.standardise_hr = Standardise(own)
        self.standardise_fine, self.standardise_coarse = Standardise(fine), Standardise(own)
        self.register_buffer("ridge", torch.zeros(own, fine + own, 3, 3))
        self.guidance = Guidance(fine + own, own, settings.guidance) if settings.guidance.enabled else None
        self.reliability = Reliability(settings.reliability)
        self.term = Term(own)

    def low(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """LR features at strides tap / 2 and tap on the HR grid: (N, C_fine + C, h, w).

        The LR view at stride tap / 2 has as many positions as the HR view at stride tap.
        """
        coarse = enlarged(self.standardise_coarse(coarse), 2, self.shape)
        return torch.cat([self.standardise_fine(fine), coarse], dim=1)

    def base(self, low: Tensor) -> Tensor:
        """What the guidance corrects, (N, C, h, w): ridge regression on 3x3 LR neighbourhoods in closed form.

        Without the closed form: the LR features of the stride.
        """
        if not self.closed_form:
            return low[:, -self.standardise_hr.mean.shape[1] :]
        return F.conv2d(F.pad(low, (1, 1, 1, 1), mode="replicate"), self.ridge)

    def aligned(self, low: Tensor, high: Tensor) -> Tensor:
        """What the LR view says the standardised HR features are, (N, C, h, w)."""
        base = self.base(low)
        return base if self.guidance is None else base + self.guidance(low, high)

    def discrepancy(self, high: Tensor, aligned: Tensor) -> Tensor:
        """Distance of HR features from their alignment before reliability and scale, (N, 1, h, w)."""
        if not self.closed_form:
            return 1.0 - F.cosine_similarity(high, aligned, dim=1).unsqueeze(1)
        distance: Tensor = self.term.whitening(high - aligned)
        return distance

    def forward(self, high: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """Raw features of both views -> the term's map (N, 1, h, w)."""
        high = self.standardise_hr(high)
        distance = self.discrepancy(high, self.aligned(self.low(fine, coarse), high))
        return self.term.scaled(self.reliability.weighted(distance, high))


class ViewLevel(nn.Module):
    """Features of one view at one stride by themselves, against those of good parts.

    A defect so large that the LR view shows it too breaks no alignment; it is left to these terms: the
    appearance, of the HR view, and the layout, of the LR view.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.standardise = Standardise(channels)
        self.term = Term(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Raw features (N, C, h, w) -> the term's map (N, 1, h, w)."""
        y: Tensor = self.term(self.standardise(features))
        return y


def enlarged(x: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """(N, C, h, w) bilinearly by an integer factor, cut at the right and bottom to (height, width).

    A view whose side is no multiple of the stride has features beyond its edge; they are what is cut.
    """
    if factor > 1:
        x = F.interpolate(x, size=(x.shape[2] * factor, x.shape[3] * factor), mode="bilinear")
    return x if tuple(x.shape[2:]) == size else x[:, :, : size[0], : size[1]]
