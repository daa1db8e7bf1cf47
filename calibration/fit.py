"""Training: good parts in, a fitted HLGFA network out.

1. Features of the frozen backbone, once; clean and with nuisances.
2. Per level the alignment in closed form, then the guidance by gradient on what is left of it.
3. Whitening and scale of every term on all these parts, each part left out in turn.

Fixed schedule, last step. One seed fixes everything: split, nuisances, initial weights, order of batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol

import msgspec
import numpy as np
import torch
from msgspec import Meta

from calibration import closed_form
from calibration.augmentation import NuisanceSettings
from calibration.copies import Copies
from calibration.features import Features, extract, feature_bytes, joined
from calibration.guide import Schedule, train_guidance
from calibration.level_data import LevelData, level_data
from calibration.record import CalibrationError
from calibration.terms import FittedTerm, TermSettings, fit_alignment, fit_view, summed, weigh
from engines.hlgfa import Hlgfa, NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from calibration.checkpoint import Kept
    from calibration.dataset import Split
    from engines.geometry import Geometry
    from engines.level import Level


class Progress(Protocol):
    """What training tells while it works."""

    def step(self, name: str, done: int, total: int) -> None:
        """A step of that name has done so many of its units."""

    def note(self, text: str) -> None:
        """Something that the person who trains should know."""

    def scores(self, scores: NDArray[np.float64], done: int, terms: int) -> None:
        """Image scores of the good parts, left out of the covariances so far, in the units of the whole."""


class FitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that training can be told; the defaults are the same for every part.

    `nuisances` switches their injection into copies of the parts.
    `memory_gib` bounds the features that are held; while a level is fitted, about twice as much is needed.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    nuisances: bool = True
    memory_gib: Annotated[float, Meta(gt=0)] = 4.0
    schedule: Schedule = Schedule()
    network: NetworkSettings = NetworkSettings()
    nuisance: NuisanceSettings = NuisanceSettings()
    terms: TermSettings = TermSettings()

    @property
    def copies(self) -> int:
        """How often each part's features are there: clean, and with nuisances."""
        return 2 if self.nuisances else 1


def fit(
    images: Sequence[NDArray[np.uint8]],
    split: Split,
    geometry: Geometry,
    settings: FitSettings,
    *,
    progress: Progress,
    checkpoint: Kept | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Hlgfa:
    """Train one network on good parts; the parts of `split.hold_out` are never read.

    Args:
        images: raw camera images, all of the geometry's size and channels; read lazily.
        split: which of them train.
        geometry: fixed sizes.
        settings: schedule and switches.
        progress: told about every image and step.
        checkpoint: where to keep what a stopped training goes on from; the result has the same bits.
        weights: state dict of the backbone; None reads the installed package.
    """
    network = new_network(geometry, settings, weights=weights)
    parts = parts_that_fit(network, split.fit, settings, progress)
    features = part_features(network, images, parts, settings, progress=progress, checkpoint=checkpoint)
    fit_features(network, features, settings, progress=progress, checkpoint=checkpoint)
    return network


def new_network(
    geometry: Geometry, settings: FitSettings, *, weights: Mapping[str, Tensor] | None = None
) -> Hlgfa:
    """A network that has learned nothing yet; the same for the same seed."""
    torch.manual_seed(settings.seed)
    return Hlgfa(geometry, settings.network, weights=weights)


def fit_features(
    network: Hlgfa,
    features: Features,
    settings: FitSettings,
    *,
    progress: Progress,
    checkpoint: Kept | None = None,
) -> None:
    """Fit a new network to features of good parts, copy after copy."""
    fitted: list[FittedTerm] = []
    views = [
        *(("appearance", tap) for tap in network.appearance_taps),
        *(("layout", tap) for tap in network.layout_taps),
    ]
    total = len(network.taps) + len(views)

    def fitted_one(term: FittedTerm) -> None:
        fitted.append(term)
        progress.step("scoring", len(fitted), total)
        progress.scores(summed(network, fitted).numpy(), len(fitted), total)

    with torch.no_grad():  # first, since they take seconds and give a first estimate of the threshold
        for kind, tap in views:
            fitted_one(_fit_view(network, kind, tap, features, settings))
    for number, tap in enumerate(network.taps):
        level = network.level(tap)
        with torch.no_grad():
            data = _align(level, features)
        if level.guidance is not None:
            told = _Told(progress, "guidance", settings.schedule.steps, number, len(network.taps))
            train_guidance(
                level, data, settings.schedule, seed=settings.seed, on_step=told, checkpoint=checkpoint
            )
        with torch.no_grad():
            fitted_one(fit_alignment(level, data, settings.terms, copies=settings.copies))
    with torch.no_grad():
        weigh(fitted)
    network.eval()


def _fit_view(network: Hlgfa, kind: str, tap: int, features: Features, settings: FitSettings) -> FittedTerm:
    """Fit one term of features by themselves."""
    high = kind == "appearance"
    copies = Copies.of((features.high if high else features.low)[tap], settings.copies)
    return fit_view(network.view_level(kind, tap), tap if high else 2 * tap, copies, settings.terms)


def parts_that_fit(
    network: Hlgfa, parts: Sequence[int], settings: FitSettings, progress: Progress
) -> Sequence[int]:
    """The parts, or evenly drawn ones of them whose features keep to the memory allowed.

    Raises:
        CalibrationError: not even ten parts do.
    """
    each = feature_bytes(network) * settings.copies
    most = int(settings.memory_gib * 2**30 / each)
    if len(parts) <= most:
        return parts
    if most < min(10, len(parts)):
        raise CalibrationError(
            f"features of one part take {each / 2**30:.2f} GiB, and {settings.memory_gib:g} GiB are allowed; "
            "expected room for 10 parts. Allow more with --memory-gib, or train at a smaller --size."
        )
    progress.note(
        f"features of {most} of {len(parts)} parts fit into {settings.memory_gib:g} GiB; the others do not "
        "train. Allow more with --memory-gib, or train at a smaller --size."
    )
    return [parts[i] for i in np.linspace(0, len(parts) - 1, most).round().astype(int)]


class _Told:
    """Counts units for one line of the progress, over several levels."""

    def __init__(self, progress: Progress, name: str, units: int, level: int, levels: int) -> None:
        self.progress, self.name, self.done, self.total = progress, name, units * level, units * levels

    def __call__(self) -> None:
        self.done += 1
        self.progress.step(self.name, self.done, self.total)


@torch.no_grad()
def part_features(
    network: Hlgfa,
    images: Sequence[NDArray[np.uint8]],
    parts: Sequence[int],
    settings: FitSettings,
    *,
    progress: Progress,
    checkpoint: Kept | None,
) -> Features:
    """Features of the parts, copy after copy; those of a stopped training where it kept them."""
    kept = None if checkpoint is None else checkpoint.load_features()
    if kept is not None:
        return kept
    kinds = [None, settings.nuisance] if settings.nuisances else [None]
    told = _Told(progress, "features", len(parts) * len(kinds), 0, 1)
    rng = np.random.default_rng(settings.seed)
    features = joined([extract(network, images, parts, nuisances=n, rng=rng, on_image=told) for n in kinds])
    if checkpoint is not None:
        checkpoint.save_features(features)
    return features


def _align(level: Level, features: Features) -> LevelData:
    """Standardise, fit the closed-form alignment if there is one; gives the level's training data."""
    tap = level.tap
    closed_form.fit_standardise(level.standardise_hr, features.high[tap])
    closed_form.fit_standardise(level.standardise_fine, features.low[tap // 2])
    closed_form.fit_standardise(level.standardise_coarse, features.low[tap])
    data = level_data(level, features)
    if level.closed_form:
        closed_form.fit_ridge(level, data.low, data.high)
    return data
