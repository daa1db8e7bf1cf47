"""Fitting a whitening: how far the covariance of good parts is taken per position, from good parts alone.

Parts in a fixture vary little at one position, parts that turn vary the same everywhere. So each position's
covariance is (1 - share) of its own and `share` of the pooled one. The share is the one under which parts
that were left out are most likely; leaving a part out has a closed form (Sherman, Morrison and Woodbury), so
every part both fits and judges. Defects play no part in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from calibration.closed_form import covariance, inverse_root
from engines.whitening import from_blocks, in_blocks

if TYPE_CHECKING:
    from engines.whitening import Whitening

SHARES = (0.9, 0.6, 0.3, 0.1, 0.03)
"""Share of the pooled covariance in a position's own, tried beside one covariance for all positions."""
BLOCKS = (1, 2, 4, 8, 16)
ROOT_NUMBERS = 4_000_000
"""Most numbers in the roots of one whitening; larger features share a covariance between positions."""


class Choice(NamedTuple):
    """A fitted whitening: the share (1 is one covariance for all positions), and (n, 1, h, w) distances.

    Each part's distances are those under a fit without it.
    """

    share: float
    left_out: Tensor


class _Spectra(NamedTuple):
    """Pooled root (C, C) float64 and its log volume; per block the own covariance after it, and coordinates.

    `values` (blocks, C), `vectors` (blocks, C, C), `along` (blocks, parts, samples of a part, C).
    """

    mean: Tensor
    root: Tensor
    log_volume: float
    values: Tensor
    vectors: Tensor
    along: Tensor


def fit_whitening(
    whitening: Whitening, features: Tensor, *, copies: int = 1, per_position: bool = True
) -> Choice:
    """Fill a whitening from the features of good parts.

    Args:
        whitening: gets the result.
        features: (copies * parts, C, h, w): all parts, then all parts again in their second copy, ...
        copies: how often each part is in it; copies of a part are left out together.
        per_position: whether positions may have covariances of their own.
    """
    mean, root, log_volume = _pooled(features, per_position=False)
    flat = _distances(whitening, features, mean, root)
    best = _typical(flat.square() * features.shape[1], copies) + log_volume
    choice = Choice(1.0, flat)
    block = _block(features) if per_position else None
    if block is None:
        return choice
    spectra = _spectra(features, block, copies)
    for share in SHARES:
        squared, surprise = _left_out(spectra, share)
        if surprise < best:
            best, choice = surprise, Choice(share, _in_order(squared, features, block, copies))
    if choice.share < 1:
        whitening.mean, whitening.block = spectra.mean, block
        scale = _mixed(spectra.values, choice.share).rsqrt()[:, :, None]
        whitening.root = (scale * spectra.vectors.transpose(1, 2) @ spectra.root.float()).contiguous()
    return choice


def _pooled(features: Tensor, *, per_position: bool) -> tuple[Tensor, Tensor, float]:
    """Mean, inverse root of the covariance of all positions together, and log of its determinant."""
    mean = features.mean(dim=0 if per_position else (0, 2, 3), keepdim=True)
    root = inverse_root(covariance(features, mean))
    return mean, root, -2 * float(torch.linalg.slogdet(root).logabsdet)


def _distances(whitening: Whitening, features: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """Distances under one covariance; one part more or less changes nothing there."""
    whitening.mean = mean
    whitening.root = root.float()
    return torch.cat([whitening(chunk) for chunk in torch.split(features, 16)])


def _block(features: Tensor) -> int | None:
    """Side of the smallest blocks of positions whose roots keep to `ROOT_NUMBERS`; None: none does."""
    channels, height, width = features.shape[1:]
    for block in BLOCKS:
        if height % block or width % block:
            return None
        if height * width // block**2 * channels**2 <= ROOT_NUMBERS:
            return block
    return None


def _spectra(features: Tensor, block: int, copies: int) -> _Spectra:
    mean, root, log_volume = _pooled(features, per_position=True)
    values, vectors, along = [], [], []
    parts = len(features) // copies
    single = root.float()
    # One row of blocks at a time: the features of all positions at once would be copied twice.
    for row in range(0, features.shape[2], block):
        band = features[:, :, row : row + block] - mean[:, :, row : row + block]
        z = in_blocks(band, block) @ single.T
        own = z.transpose(1, 2) @ z / z.shape[1]
        found, directions = torch.linalg.eigh(own)
        values.append(found.clamp(min=0))
        vectors.append(directions)
        coordinates = (z @ directions).reshape(len(z), copies, parts, block * block, -1)
        along.append(coordinates.transpose(1, 2).reshape(len(z), parts, copies * block * block, -1))
    return _Spectra(mean, root, log_volume, torch.cat(values), torch.cat(vectors), torch.cat(along))


def _mixed(values: Tensor, share: float) -> Tensor:
    return (1 - share) * values + share


def _left_out(spectra: _Spectra, share: float) -> tuple[Tensor, float]:
    """Squared distances (blocks, parts, samples) of each part without itself, and the typical surprise.

    With A the covariance of n samples, of which k belong to the part, G = Z A^-1 Z^T of those k and
    c = (1 - share) / n, the part's distances without it are the diagonal of G (I - c G)^-1, and the
    determinant is that of A times det(I - c G). Surprise is d^2 + log det, the mean over positions; its
    median over parts is robust against a few odd ones among the good.
    """
    parts, samples = spectra.along.shape[1:3]
    variance = _mixed(spectra.values, share)
    gram = torch.einsum("bikc,bilc->bikl", spectra.along / variance[:, None, None, :], spectra.along).double()
    inner = torch.eye(samples, dtype=torch.float64) - (1 - share) / (parts * samples) * gram
    lower = torch.linalg.cholesky(inner)
    squared = torch.cholesky_solve(gram, lower).diagonal(dim1=-2, dim2=-1)
    squared = squared * (parts / max(parts - 1, 1)) ** 2  # the mean without the part
    volume = (
        2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1) + variance.double().log().sum(dim=1)[:, None]
    )
    surprise = (squared.mean(dim=2) + volume).mean(dim=0).median()
    return squared, float(surprise) + spectra.log_volume


def _typical(squared: Tensor, copies: int) -> float:
    """Median over parts of the mean squared distance, from (copies * parts, 1, h, w)."""
    return float(squared.double().mean(dim=(1, 2, 3)).reshape(copies, -1).mean(dim=0).median())


def _in_order(squared: Tensor, features: Tensor, block: int, copies: int) -> Tensor:
    """Squared (blocks, parts, copies * block^2) -> distances (copies * parts, 1, h, w), as `Whitening`."""
    blocks, parts = squared.shape[:2]
    by_copy = squared.reshape(blocks, parts, copies, block * block).transpose(1, 2)
    distance = torch.sqrt(by_copy.float() / features.shape[1] + 1e-6)
    return from_blocks(distance.reshape(blocks, -1), block, copies * parts, features.shape[2:])
