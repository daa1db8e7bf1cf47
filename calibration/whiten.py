"""Fitting a whitening: what good parts, and nuisances on them, do at every position.

The covariance of a position is that of good parts there, with the pooled one of all positions counted as
`PRIOR_PARTS` parts more, and the covariance of what nuisances change anywhere, so many times: a hair may lie
where none of the good parts had one. Leaving a part out of its own covariance has a closed form (Sherman,
Morrison and Woodbury), so every part both fits and tells what an unseen one would look like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from calibration.closed_form import inverse_root, ridged, second_moment
from calibration.copies import Copies
from engines.whitening import from_blocks, in_blocks

if TYPE_CHECKING:
    from engines.whitening import Whitening

PRIOR_PARTS = 5.0
BLOCKS = (1, 2, 4, 8, 16)
ROOT_NUMBERS = 16_000_000
"""Most numbers in the roots of one whitening, 48 MB without zeros; of larger features, positions share."""


def fit_whitening(
    whitening: Whitening, features: Copies, *, nuisance: float = 1.0, per_position: bool = True
) -> Copies:
    """Fill a whitening from the features of good parts.

    Args:
        whitening: gets the result.
        features: (n, C, h, w) each.
        nuisance: how often the covariance of what nuisances change is added.
        per_position: whether positions have covariances of their own.

    Returns:
        Distances (n, 1, h, w) each, of every part under a fit without it.
    """
    clean, disturbed = features
    changed: Tensor | float = 0.0 if disturbed is None else nuisance * second_moment(disturbed - clean)
    block = _block(clean) if per_position else None
    if block is None:  # one part more or less changes nothing then
        mean = clean.mean(dim=(0, 2, 3), keepdim=True)
        root = inverse_root(ridged(second_moment(clean, mean)) + changed).float()
        whitening.set_pooled(mean, root)
        return features.mapped(lambda x: torch.cat([whitening(chunk) for chunk in torch.split(x, 16)]))
    mean = clean.mean(dim=0, keepdim=True)
    pooled = second_moment(clean, mean)
    share = PRIOR_PARTS / (PRIOR_PARTS + len(clean))
    common = share * pooled + (ridged(pooled) - pooled) + changed
    roots, clean_rows, disturbed_rows = [], [], []

    def blocks_of_row(x: Tensor, row: int) -> Tensor:
        rows = slice(row, row + block)
        return in_blocks(x[:, :, rows] - mean[:, :, rows], block)

    for row in range(0, clean.shape[2], block):  # all rows at once would copy the features twice
        fitted = _BlocksFit(blocks_of_row(clean, row), len(clean), share, common)
        roots.append(fitted.root.float())
        clean_rows.append(fitted.left_out(fitted.whitened))
        if disturbed is not None:
            disturbed_rows.append(fitted.left_out(fitted.whiten(blocks_of_row(disturbed, row))))
    whitening.set_positions(mean, torch.cat(roots), block)
    found = Copies(torch.cat(clean_rows), torch.cat(disturbed_rows) if disturbed_rows else None)
    return found.mapped(lambda x: from_blocks(x, block, len(clean), clean.shape[2:]))


def _block(features: Tensor) -> int | None:
    """Side of the smallest blocks of positions whose roots keep to `ROOT_NUMBERS`; None: none does."""
    channels, height, width = features.shape[1:]
    for block in BLOCKS:
        if height % block or width % block:
            return None
        if height * width // block**2 * channels**2 <= ROOT_NUMBERS:
            return block
    return None


class _BlocksFit:
    """Covariances of some blocks, and distances without a part.

    With A the covariance of n samples, k of them, Z, of the part, y = A^(-1/2) z, G = y y^T and
    c = (1 - share) / n, the inverse without the part is A^-1 + c A^-1 Z (I - c G)^-1 Z^T A^-1. The mean
    without it lies z / (parts - 1) further away.
    """

    def __init__(self, centred: Tensor, parts: int, share: float, common: Tensor) -> None:
        """From (blocks, samples, C) less their mean, all samples of one part after the other."""
        samples, channels = centred.shape[1:]
        z = centred.double()
        own = z.transpose(1, 2) @ z / samples
        lower = torch.linalg.cholesky((1 - share) * own + common)
        one = torch.eye(channels, dtype=torch.float64)
        self.root: Tensor = torch.linalg.solve_triangular(lower, one.expand_as(lower), upper=False)
        self.parts, self.weight = parts, (1 - share) / samples
        self.whitened = self.whiten(centred)
        gram = self.whitened @ self.whitened.transpose(2, 3)
        self.inner = torch.linalg.cholesky(torch.eye(gram.shape[2]).double() - self.weight * gram)

    def whiten(self, centred: Tensor) -> Tensor:
        """(blocks, samples, C) -> (blocks, parts, samples of a part, C) float64."""
        blocks, samples, channels = centred.shape
        y = centred.double() @ self.root.transpose(1, 2)
        return y.reshape(blocks, self.parts, samples // self.parts, channels)

    def left_out(self, x: Tensor) -> Tensor:
        """Distances (blocks, samples) of whitened samples, each under a fit without its part."""
        x = x + self.whitened / max(self.parts - 1, 1)
        cross = torch.linalg.solve_triangular(self.inner, self.whitened @ x.transpose(2, 3), upper=False)
        squared = x.square().sum(dim=3) + self.weight * cross.square().sum(dim=2)
        return torch.sqrt(squared.flatten(1).float() / x.shape[3] + 1e-6)
