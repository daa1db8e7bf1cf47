"""PaDiM: one Gaussian per position of the feature grid.

Defard, Setkov, Loesch, Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and
Localization", ICPR 2021 workshops, arXiv 2011.08785. As published: random choice of dimensions, full
covariance + 0.01 I, Mahalanobis distance, bilinear enlargement, Gaussian of sigma 4, image score = maximum;
coarser taps are repeated (nearest). Ours: the backbone, so 100 of 152 dimensions instead of ResNet-18's 448.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor

from calibration.record import CalibrationError
from tools.baselines.maps import AnomalyScores, Features, Progress, concatenated, enlarged, hr_size, smoothed

_POSITIONS = 64  # at a time: float64 covariances of 64 positions are 5 MB


class PadimSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the paper; all dimensions are taken where there are fewer."""

    dimensions: int = 100
    regularisation: float = 0.01
    sigma_px: float = 4.0


class Padim:
    """Mean (P, D, 1) and inverse Cholesky factor of the covariance (P, D, D) at P positions, float32."""

    def __init__(
        self, taps: Sequence[int], chosen: Tensor, mean: Tensor, whitener: Tensor, *, sigma_px: float
    ) -> None:
        self.taps, self.chosen, self.mean, self.whitener = tuple(taps), chosen, mean, whitener
        self.sigma_px = sigma_px

    @classmethod
    @torch.inference_mode()
    def fit(
        cls,
        features: Features,
        taps: Sequence[int],
        settings: PadimSettings,
        *,
        seed: int,
        progress: Progress,
    ) -> Padim:
        """Learn from features of good parts; the seed chooses the dimensions.

        Raises:
            CalibrationError: a tap is missing, or there are fewer than two parts.
        """
        x = concatenated(features, taps, mode="nearest")
        if len(x) < 2:
            raise CalibrationError(f"PaDiM: found {len(x)} good part(s), expected two at least. Add images.")
        order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(seed))
        chosen = order[: settings.dimensions].sort().values
        x = _positions(x[:, chosen])
        means, whiteners = [], []
        for start in range(0, len(x), _POSITIONS):
            part = x[start : start + _POSITIONS].double()
            mean = part.mean(dim=2, keepdim=True)
            means.append(mean.float())
            whiteners.append(_whitener(part - mean, settings.regularisation).float())
            progress(min(start + _POSITIONS, len(x)), len(x))
        return cls(taps, chosen, torch.cat(means), torch.cat(whiteners), sigma_px=settings.sigma_px)

    @torch.inference_mode()
    def distances(self, features: Features) -> Tensor:
        """Mahalanobis distance per position, (N, h, w) float32."""
        x = concatenated(features, self.taps, mode="nearest")[:, self.chosen]
        whitened = torch.bmm(self.whitener, _positions(x) - self.mean)
        distances: Tensor = torch.linalg.vector_norm(whitened, dim=1)
        return distances.T.reshape(len(x), *x.shape[-2:])

    def score(self, features: Features) -> AnomalyScores:
        """Anomaly maps and image scores of the images whose features these are."""
        maps = smoothed(enlarged(self.distances(features), hr_size(features)).numpy(), self.sigma_px)
        return AnomalyScores(maps, maps.max(axis=(1, 2)))


def _positions(x: Tensor) -> Tensor:
    """(N, D, h, w) -> (h * w, D, N)."""
    return x.flatten(2).permute(2, 1, 0).contiguous()


def _whitener(centred: Tensor, regularisation: float) -> Tensor:
    """(P, D, N) float64 with mean 0 -> (P, D, D), the inverse of L; L L^T is the regularised covariance."""
    identity = torch.eye(centred.shape[1], dtype=centred.dtype)
    covariance = centred @ centred.mT / (centred.shape[2] - 1) + regularisation * identity
    factor = torch.linalg.cholesky(covariance)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    return inverse
