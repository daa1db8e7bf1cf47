"""Whitening and scale of a level's terms, and what they say of parts that they were not fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from calibration.closed_form import fit_scale
from calibration.level_data import LevelData, chunked
from calibration.whiten import fit_whitening

if TYPE_CHECKING:
    from engines.level import Level, Term


def fit_terms(level: Level, seen: LevelData, unseen: LevelData, *, copies: int) -> list[tuple[int, Tensor]]:
    """Fit the whitening of every term on all parts, its scale on parts that the alignment did not see.

    Args:
        level: its alignment and guidance are fitted.
        seen: parts that these were fitted on; (copies * parts, C, h, w), copy after copy.
        unseen: other parts, in as many copies.
        copies: how often each part is there.

    Returns:
        As `Level.forward` for the first copy of `unseen`, each part under a whitening fitted without it.
    """
    level.reliability.inverse_mean.copy_(1.0 / level.reliability.contrast(unseen.high).mean())
    if level.closed_form:
        fitted, other = (
            chunked(lambda low, high: high - level.aligned(low, high), d) for d in (seen, unseen)
        )
        distance = _whiten(level.alignment, fitted, other, copies)
    else:
        distance = chunked(lambda low, high: level.discrepancy(high, level.aligned(low, high)), unseen)
    found = [(level.tap, level.alignment, level.reliability.weighted(distance, unseen.high))]
    if level.appearance is not None:
        distance = _whiten(level.appearance, seen.high, unseen.high, copies)
        found.append((level.tap, level.appearance, distance))
    if level.layout is not None:
        distance = _whiten(level.layout, seen.coarse, unseen.coarse, copies)
        found.append((2 * level.tap, level.layout, distance))
    maps = []
    for stride, term, distances in found:
        fit_scale(term, distances)
        maps.append((stride, term.scaled(distances[: len(distances) // copies])))
    return maps


def _whiten(term: Term, seen: Tensor, unseen: Tensor, copies: int) -> Tensor:
    """Fit a term's whitening on both; gives the distances of `unseen`, each under a fit without its part."""
    both = [torch.cat(pair) for pair in zip(seen.chunk(copies), unseen.chunk(copies), strict=True)]
    left_out = fit_whitening(term.whitening, torch.cat(both), copies=copies).left_out
    return torch.cat([copy[len(seen) // copies :] for copy in left_out.chunk(copies)])
