"""Whitening and scale of the terms of the anomaly map, and what they say of parts that they did not see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import torch
from msgspec import Meta

from calibration.closed_form import fit_standardise
from calibration.copies import Copies
from calibration.level_data import LevelData, chunked
from calibration.whiten import fit_whitening

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from engines.hlgfa import Hlgfa
    from engines.level import Level, Term, ViewLevel

COARSE_STRIDE = 16
"""HR pixels from which on positions have gains of their own.

Below, the flat background of a part varies so little that its dust would be blown up into defects.
"""
NUISANCE_STRIDE = 16
"""HR pixels; the stride that `TermSettings.alignment_nuisance` is for."""
PRIOR_DISTANCES = 10.0
"""Distances that the spread over all positions counts as, beside a position's own."""
LEAST_VARIANCE = 0.25
"""Of the mean one: no position is judged more strictly than by twice the usual gain."""


class TermSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How distances are fitted; the defaults are the same for every part.

    `per_position` gives positions covariances of their own, `even` gains of their own: the structure-based
    reliability weight of the paper, as it works here. `alignment_nuisance`
    and `view_nuisance` are how often the covariance of nuisances is added: for the residual of the alignment
    at stride 16, and for features by themselves. Alignments at other strides add it as often as they have
    more positions than that: of the pooled change, a position that is hit has the larger share the coarser
    the stride.
    """

    per_position: bool = True
    even: bool = True
    alignment_nuisance: Annotated[float, Meta(ge=0)] = 4.0
    view_nuisance: Annotated[float, Meta(ge=0)] = 1.0


class FittedTerm(NamedTuple):
    """A term, its stride in HR pixels, and its maps (n, 1, h, w) of good parts.

    Each part is left out of the covariances; the guidance saw it.
    """

    term: Term
    stride: int
    maps: Tensor


def fit_alignment(level: Level, data: LevelData, settings: TermSettings, *, copies: int) -> FittedTerm:
    """Fit the term of an alignment.

    Args:
        level: its alignment and guidance are fitted.
        data: of good parts, (copies * n, C, h, w), copy after copy.
        settings: how.
        copies: how often each part is there.
    """
    reliability = level.reliability
    reliability.inverse_mean.copy_(1.0 / reliability.contrast(data.high).mean())

    def of_parts(function: Callable[[Tensor, Tensor], Tensor]) -> Copies:
        return Copies.of(chunked(function, data), copies)

    if level.closed_form:
        residual = of_parts(lambda low, high: high - level.aligned(low, high))
        nuisance = settings.alignment_nuisance * (NUISANCE_STRIDE / level.tap) ** 2
        distances = _whitened(level.term, residual, settings, nuisance)
    else:
        distances = of_parts(lambda low, high: level.discrepancy(high, level.aligned(low, high)))
    weights = chunked(lambda _, high: reliability.weighted(torch.ones_like(high[:, :1]), high), data)
    weighted = Copies.of(distances.stacked * weights, copies)
    return _scaled(level.term, level.tap, weighted, even=settings.even and level.closed_form)


def fit_view(level: ViewLevel, stride: int, features: Copies, settings: TermSettings) -> FittedTerm:
    """Fit features of a view by themselves.

    Args:
        level: gets standardisation and term.
        stride: of the features, in HR pixels.
        features: raw ones of the backbone, (n, C, h, w) each.
        settings: how.
    """
    fit_standardise(level.standardise, features.clean)
    distances = _whitened(level.term, features.mapped(level.standardise), settings, settings.view_nuisance)
    return _scaled(level.term, stride, distances, even=settings.even)


def summed(network: Hlgfa, fitted: list[FittedTerm]) -> Tensor:
    """Image scores (n,) float64 of the parts that the terms have maps of; all terms weigh the same."""
    maps = [(f.stride, f.maps / len(fitted)) for f in fitted]
    return network.fuse(maps).amax(dim=(1, 2, 3)).double()


def weigh(fitted: list[FittedTerm]) -> None:
    """Make the sum of the terms their mean."""
    for f in fitted:
        f.term.gain = f.term.gain / len(fitted)


def _whitened(term: Term, features: Copies, settings: TermSettings, nuisance: float) -> Copies:
    return fit_whitening(term.whitening, features, nuisance=nuisance, per_position=settings.per_position)


def _scaled(term: Term, stride: int, distances: Copies, *, even: bool) -> FittedTerm:
    """Bring distances of good parts, with and without nuisances, to mean 0 and deviation 1.

    With `even`, a position where they vary more than elsewhere, such as a border that shifts, gets a smaller
    gain, so that it does not raise the threshold for all others.
    """
    both = distances.stacked.double()
    term.offset = both.mean().reshape(1).float()
    if even and stride >= COARSE_STRIDE:
        own = both.var(dim=0, keepdim=True)
        usual = own.mean()
        variance = (len(both) * own + PRIOR_DISTANCES * usual) / (len(both) + PRIOR_DISTANCES)
        variance = variance.clamp(min=LEAST_VARIANCE * float(usual))
    else:
        variance = both.var().reshape(1)
    term.gain = variance.clamp(min=1e-12).rsqrt().float()
    return FittedTerm(term, stride, term.scaled(distances.clean))
