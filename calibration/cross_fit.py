"""Scores of every part by a fit that did not see it, so that no part need be kept from training.

The parts are dealt into folds; each fold is scored by a network fitted to all others, and the network of the
model is fitted to all (Stone, "Cross-validatory choice and assessment of statistical predictions", 1974).
Only without guidance: what has a closed form is fitted again in seconds, and changes little by a tenth of the
parts. What that costs in exactness: docs/decisions/0016.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from calibration.features import Features
from calibration.fit import fit_features, new_network, part_features, parts_that_fit
from calibration.record import CalibrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.checkpoint import Kept
    from calibration.fit import FitSettings, Progress
    from engines.geometry import Geometry
    from engines.hlgfa import Hlgfa

FOLDS = 10
_CHUNK = 16


class CrossFit(NamedTuple):
    """A network fitted to all `parts`, and the scores (copies, parts) float64 of each when it was left out.

    The first row is of the parts as they are, the second, where training injects nuisances, with these.
    """

    network: Hlgfa
    parts: list[int]
    scores: NDArray[np.float64]


def cross_fit(
    images: Sequence[NDArray[np.uint8]],
    parts: Sequence[int],
    geometry: Geometry,
    settings: FitSettings,
    *,
    progress: Progress,
    checkpoint: Kept | None = None,
    inspected: NDArray[np.bool_] | None = None,
) -> CrossFit:
    """Fit a network to all parts, and one to the others for each fold.

    Args:
        images: raw camera images, all of the geometry's size and channels; read lazily.
        parts: which of them train.
        geometry: fixed sizes.
        settings: switches, as of `fit`.
        progress: told about every image and every fit.
        checkpoint: where to keep features that a stopped training goes on from.
        inspected: (map_height, map_width) bool, where scores are taken; None: everywhere.

    Raises:
        CalibrationError: the network has a guidance, or memory is too small.
    """
    if settings.network.guidance.enabled:
        raise CalibrationError("cross-fit: found a guidance, expected a closed form. Train with --steps 0.")
    network = new_network(geometry, settings)
    used = list(parts_that_fit(network, parts, settings, progress))
    features = part_features(network, images, used, settings, progress=progress, checkpoint=checkpoint)
    held = folds(len(used), seed=settings.seed)
    scores = np.empty((settings.copies, len(used)))
    for number, fold in enumerate(held):
        progress.step("fits", number, len(held) + 1)
        others = np.setdiff1d(np.arange(len(used)), fold)
        left_out = copy.deepcopy(network)
        fit_features(left_out, _of(features, others, len(used)), settings, progress=_Silent())
        scores[:, fold] = _scores(left_out, _of(features, fold, len(used)), inspected).reshape(-1, len(fold))
    progress.step("fits", len(held), len(held) + 1)
    fit_features(network, features, settings, progress=_Silent())
    progress.step("fits", len(held) + 1, len(held) + 1)
    return CrossFit(network, used, scores)


def folds(count: int, *, seed: int) -> list[NDArray[np.intp]]:
    """Numbers 0 to count - 1 dealt into `FOLDS` groups of nearly one size, the same way for the same seed."""
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(group) for group in np.array_split(order, min(FOLDS, count))]


def _of(features: Features, parts: NDArray[np.intp], count: int) -> Features:
    """Features of some of `count` parts, copy after copy."""

    def chosen(x: torch.Tensor) -> torch.Tensor:
        rows = [parts + start for start in range(0, len(x), count)]
        return x[torch.from_numpy(np.concatenate(rows))]

    return Features(*({tap: chosen(x) for tap, x in view.items()} for view in features))


@torch.no_grad()
def _scores(network: Hlgfa, features: Features, inspected: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Image scores (n,) of parts with these features."""
    count = len(next(iter(features.low.values())))
    scores = np.empty(count)
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        high, low = ({tap: x[rows] for tap, x in view.items()} for view in features)
        maps = network.fuse(network.maps(high, low))[:, 0].numpy()
        pixels = maps.reshape(len(maps), -1) if inspected is None else maps[:, inspected]
        scores[rows] = pixels.max(axis=1)
    return scores


class _Silent:
    """A `calibration.fit.Progress` of fits that are one step of another."""

    def step(self, name: str, done: int, total: int) -> None:
        """Nothing: the fits are counted."""

    def note(self, text: str) -> None:
        """Nothing: it was said of all parts."""

    def scores(self, scores: NDArray[np.float64], done: int, terms: int) -> None:
        """Nothing: those of parts left out of the covariances alone are too low for a threshold."""
