"""Fitting the whitening: how far the covariance of good parts is taken per position, from good parts alone.

Parts in a fixture vary little at one position, parts that turn vary the same everywhere. The share of the
global covariance in each position's own is chosen by two-fold cross-validation of the Gaussian likelihood of
residuals; defects play no part in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from calibration.closed_form import covariance, inverse_root

if TYPE_CHECKING:
    from engines.whitening import Whitening

SHARES = (1.0, 0.95, 0.9, 0.8, 0.6)
"""Share of the global covariance in a position's own; the first, 1, is one covariance for all."""
RANK = 8
"""Directions kept per position; 8, 16 and the full inverse gave the same accuracy."""


class PositionModel(NamedTuple):
    """Per position (P = h * w), globally whitened: noise variance, and directions of more variance."""

    noise: Tensor  # (P,)
    variances: Tensor  # (P, rank)
    vectors: Tensor  # (P, C, rank)


def fit_whitening(whitening: Whitening, residual: Tensor, *, copies: int = 1) -> float:
    """Fill a whitening from residuals that the alignment was not fitted on.

    Args:
        whitening: gets the result.
        residual: (copies * parts, C, h, w), all parts, then all parts again with nuisances.
        copies: how often each part is in it; its copies stay together in the cross-validation.

    Returns:
        The share of the global covariance that was chosen.
    """
    share = choose_share(residual, copies=copies)
    _fit_global(whitening, residual, per_position=share < 1)
    if share < 1:
        model = position_model(*spectrum(whitening.whitened(residual)), share)
        _install(whitening, model, residual.shape[-2:])
    return share


def choose_share(residual: Tensor, *, copies: int = 1) -> float:
    """The share with the greatest likelihood of one half of the parts under a fit on the other half."""
    part = torch.arange(len(residual)) % (len(residual) // copies)
    halves = residual[part % 2 == 0], residual[part % 2 == 1]
    losses = torch.zeros(len(SHARES), dtype=torch.float64)
    for fitted, judged in (halves, halves[::-1]):
        losses += torch.tensor(_losses(fitted, judged), dtype=torch.float64)
    return SHARES[int(losses.argmin())]


def spectrum(z: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (P, C), ascending, and vectors (P, C, C) per position, of whitened (N, C, h, w)."""
    n, channels = z.shape[:2]
    by_position = z.permute(2, 3, 1, 0).reshape(-1, channels, n)
    values, vectors = torch.linalg.eigh(by_position @ by_position.transpose(1, 2) / n)
    return values, vectors


def position_model(values: Tensor, vectors: Tensor, share: float, rank: int = RANK) -> PositionModel:
    """Probabilistic PCA of (1 - share) S_p + share I, from the `spectrum` of S_p: only its values change."""
    mixed = (1 - share) * values + share
    split = values.shape[1] - rank
    return PositionModel(mixed[:, :split].mean(dim=1), mixed[:, split:], vectors[:, :, split:])


def _fit_global(whitening: Whitening, residual: Tensor, *, per_position: bool) -> None:
    whitening.mean = _mean(residual, per_position=per_position)
    root = inverse_root(covariance(residual - whitening.mean))
    whitening.whiten.copy_(root[:, :, None, None])


def _install(whitening: Whitening, model: PositionModel, shape: torch.Size) -> None:
    whitening.inverse_noise = (1 / model.noise).reshape(1, 1, *shape)
    more = (1 / model.noise[:, None] - 1 / model.variances).clamp(min=0)
    whitening.directions = (model.vectors * more.sqrt()[:, None, :]).contiguous()


def _losses(fitted: Tensor, judged: Tensor) -> list[float]:
    """Twice the negative log likelihood of a position of `judged` under a fit on `fitted`, for each share."""
    losses = []
    for per_position in (False, True):
        mean = _mean(fitted, per_position=per_position)
        root = inverse_root(covariance(fitted - mean))
        volume = -2 * float(torch.linalg.slogdet(root).logabsdet)
        z, z_fitted = (torch.einsum("dc,nchw->ndhw", root.float(), x - mean) for x in (judged, fitted))
        if per_position:
            found = spectrum(z_fitted)
            losses += [volume + _loss(z, position_model(*found, share)) for share in SHARES[1:]]
        else:
            losses.append(volume + float((z * z).sum(dim=1).mean()))
    return losses


def _loss(z: Tensor, model: PositionModel) -> float:
    """Mean of d^2 + log det C_p over parts and positions; z (N, C, h, w) in the space of the model."""
    n, channels = z.shape[:2]
    by_position = z.permute(2, 3, 0, 1).reshape(-1, n, channels)
    along = (by_position @ model.vectors) ** 2
    across = (by_position**2).sum(dim=2) - along.sum(dim=2)
    squared = across / model.noise[:, None] + (along / model.variances[:, None, :]).sum(dim=2)
    rest = channels - model.variances.shape[1]
    log_volume = model.variances.log().sum(dim=1) + rest * model.noise.log()
    return float(squared.mean()) + float(log_volume.mean())


def _mean(residual: Tensor, *, per_position: bool) -> Tensor:
    return residual.mean(dim=0 if per_position else (0, 2, 3), keepdim=True)
