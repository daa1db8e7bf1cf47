"""Whitening and scale of a level's terms, and what they say of parts that they were not fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from calibration.closed_form import fit_scale
from calibration.level_data import LevelData, chunked
from calibration.whiten import fit_whitening

if TYPE_CHECKING:
    from engines.hlgfa import Hlgfa
    from engines.level import Level, Term

FEW_PARTS = 10
"""Fewer say nothing about the spread of their image scores; all terms then weigh the same."""


class FittedTerm(NamedTuple):
    """A term, its stride in HR pixels, and its maps (n, 1, h, w) of parts that it did not see."""

    term: Term
    stride: int
    maps: Tensor


def weights(network: Hlgfa, fitted: list[FittedTerm], *, spread: bool = True) -> list[float]:
    """Weights of terms in their sum, adding to 1: the inverse spread of image scores over good parts.

    A term that varies from one good part to the next, as appearance does on parts that turn, drives good
    parts towards the threshold, whatever it sees of defects. The paper alone weighs its levels the same.
    """
    if not spread or len(fitted[0].maps) < FEW_PARTS or not network.settings.closed_form:
        return [1.0 / len(fitted)] * len(fitted)
    scores = [network.fuse([(f.stride, f.maps)]).amax(dim=(1, 2, 3)).double() for f in fitted]
    inverse = [1.0 / max(float(s.std()), 1e-6) for s in scores]
    return [value / sum(inverse) for value in inverse]


def summed(network: Hlgfa, fitted: list[FittedTerm], *, spread: bool = True) -> Tensor:
    """Image scores (n,) float64 of the parts that the terms did not see, under their `weights`."""
    shares = weights(network, fitted, spread=spread)
    maps = [(f.stride, f.maps * share) for f, share in zip(fitted, shares, strict=True)]
    return network.fuse(maps).amax(dim=(1, 2, 3)).double()


def weigh(network: Hlgfa, fitted: list[FittedTerm], *, spread: bool = True) -> None:
    """Put its weight into the gain of each term."""
    for f, share in zip(fitted, weights(network, fitted, spread=spread), strict=True):
        f.term.gain.mul_(share)


def fit_terms(
    level: Level, seen: LevelData, unseen: LevelData, *, copies: int, per_position: bool = True
) -> list[FittedTerm]:
    """Fit the whitening of every term on all parts, its scale on parts that the alignment did not see.

    Args:
        level: its alignment and guidance are fitted.
        seen: parts that these were fitted on; (copies * parts, C, h, w), copy after copy.
        unseen: other parts, in as many copies.
        copies: how often each part is there.
        per_position: whether positions may have covariances of their own.

    Returns:
        The terms in the order of `Level.forward`, with the maps of the first copy of `unseen`, each part
        under a whitening fitted without it, with mean 0 and deviation 1.
    """
    level.reliability.inverse_mean.copy_(1.0 / level.reliability.contrast(unseen.high).mean())
    if level.closed_form:
        before, after = (
            chunked(lambda low, high: high - level.aligned(low, high), d) for d in (seen, unseen)
        )
        distance = _whiten(level.alignment, before, after, copies, per_position)
    else:
        distance = chunked(lambda low, high: level.discrepancy(high, level.aligned(low, high)), unseen)
    found = [(level.alignment, level.tap, level.reliability.weighted(distance, unseen.high))]
    if level.appearance is not None:
        distance = _whiten(level.appearance, seen.high, unseen.high, copies, per_position)
        found.append((level.appearance, level.tap, distance))
    if level.layout is not None:
        distance = _whiten(level.layout, seen.coarse, unseen.coarse, copies, per_position)
        found.append((level.layout, 2 * level.tap, distance))
    fitted = []
    for term, stride, distances in found:
        fit_scale(term, distances)
        fitted.append(FittedTerm(term, stride, term.scaled(distances[: len(distances) // copies])))
    return fitted


def _whiten(term: Term, seen: Tensor, unseen: Tensor, copies: int, per_position: bool) -> Tensor:
    """Fit a term's whitening on both; gives the distances of `unseen`, each under a fit without its part."""
    both = [torch.cat(pair) for pair in zip(seen.chunk(copies), unseen.chunk(copies), strict=True)]
    left_out = fit_whitening(
        term.whitening, torch.cat(both), copies=copies, per_position=per_position
    ).left_out
    return torch.cat([copy[len(seen) // copies :] for copy in left_out.chunk(copies)])
