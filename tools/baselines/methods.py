"""Every method of the comparison: labelled images, split and seed in; maps, scores and times out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from torch import Tensor

from calibration.evaluation import scaled_map
from calibration.fit import FitSettings, fit
from calibration.record import CalibrationError
from calibration.terms import TermSettings
from engines.guidance import GuidanceSettings
from engines.hlgfa import PAPER, NetworkSettings
from tools.baselines.maps import AnomalyScores, Baseline, Features
from tools.baselines.padim import Padim
from tools.baselines.patchcore import PatchCore
from tools.baselines.student import START_STRIDE, Student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.dataset import Split
    from engines.geometry import Geometry
    from tools.baselines.cache import FitCache
    from tools.baselines.dataset import CachedFeatures
    from tools.baselines.results import Settings

BASELINES = ("padim", "patchcore", "student")
_FULL, _GUIDED = NetworkSettings(), GuidanceSettings()
_replace = msgspec.structs.replace
OURS = {
    "hlgfa": FitSettings(),
    "paper": FitSettings(network=PAPER),
    # One thing less than hlgfa, one more, or another:
    "no-guidance": FitSettings(network=_replace(_FULL, guidance=_replace(_GUIDED, enabled=False))),
    "structure-24": FitSettings(network=_replace(_FULL, guidance=_replace(_GUIDED, structure_channels=24))),
    "gate": FitSettings(network=_replace(_FULL, guidance=_replace(_GUIDED, gate=True))),
    "detail-8": FitSettings(network=_replace(_FULL, guidance=_replace(_GUIDED, detail_channels=8))),
    "contrast-weight": FitSettings(network=_replace(_FULL, reliability=0.2)),
    "no-background": FitSettings(network=_replace(_FULL, background=0.0)),
    "no-localisation": FitSettings(network=_replace(_FULL, localise=False)),
    "no-appearance": FitSettings(network=_replace(_FULL, appearance_taps=())),
    "no-layout": FitSettings(network=_replace(_FULL, layout_taps=())),
    "alignment": FitSettings(network=_replace(_FULL, appearance_taps=(), layout_taps=())),
    "alignment-32": FitSettings(network=_replace(_FULL, taps=(8, 16, 32))),
    "one-covariance": FitSettings(terms=TermSettings(per_position=False)),
    "one-gain": FitSettings(terms=TermSettings(even=False)),
    "no-nuisance-covariance": FitSettings(terms=TermSettings(alignment_nuisance=0.0, view_nuisance=0.0)),
    "no-nuisances": FitSettings(nuisances=False),
}
"""Settings of our method and of its ablations, by the name that the table gives them."""
METHODS = (*BASELINES, *OURS)

StepProgress = Callable[[str, int, int], None]
"""Called with the name of the step, units done and units in all."""

_Item = TypeVar("_Item")


class Outcome(NamedTuple):
    """Of one method: anomaly scores at HR pixels, seconds to fit, median milliseconds of one test image."""

    scores: AnomalyScores
    fit_s: float
    score_ms: float


def strides_of(settings: Settings) -> tuple[int, ...]:
    """Strides whose features the baselines need, ascending."""
    return tuple(sorted({START_STRIDE, *settings.taps}))


def baseline_method(
    name: str,
    train: CachedFeatures,
    test: CachedFeatures,
    split: Split,
    settings: Settings,
    *,
    seed: int,
    progress: StepProgress,
) -> Outcome:
    """Fit a baseline on the parts of `split.fit`; score the test images one at a time.

    Both times include the backbone: what it took for the cached features.
    """
    features = train.at(split.fit)
    started = time.perf_counter()
    baseline = _fitted(name, features, settings, seed, progress)
    fit_s = time.perf_counter() - started + len(split.fit) * train.backbone_ms / 1e3
    scores, score_ms = _scored((test.at([i]) for i in range(test.images)), baseline.score)
    return Outcome(scores, fit_s, score_ms + test.backbone_ms)


def hlgfa_method(
    images: Sequence[NDArray[np.uint8]],
    test_images: Sequence[NDArray[np.uint8]],
    split: Split,
    geometry: Geometry,
    settings: FitSettings,
    *,
    progress: StepProgress,
    cache: FitCache | None = None,
) -> Outcome:
    """Ours: fit on the split, run the network on each test image, enlarge its map to HR pixels.

    Fitting reads its images itself, so its time includes that. With `cache` it begins with what earlier fits
    on the same images and split left there, and the time that this took is added.
    """
    started = time.perf_counter()
    if cache is not None:
        cache.begin(settings)
    network = fit(images, split, geometry, settings, progress=_Told(progress), checkpoint=cache)
    fit_s = time.perf_counter() - started + (0.0 if cache is None else cache.read_s)

    @torch.inference_mode()
    def score(image: Tensor) -> AnomalyScores:
        anomaly_map, image_score = network(image)
        return AnomalyScores(scaled_map(anomaly_map.numpy(), geometry.hr_px)[None], image_score.numpy())

    scores, score_ms = _scored((torch.from_numpy(i.copy()) for i in _each(test_images)), score)
    return Outcome(scores, fit_s, score_ms)


class _Told:
    """A `calibration.fit.Progress` that hands steps on and keeps scores to itself."""

    def __init__(self, progress: StepProgress) -> None:
        self.step = progress

    def note(self, text: str) -> None:
        """A comparison on fewer parts than the others had would be none."""
        raise CalibrationError(text)

    def scores(self, scores: NDArray[np.float64], done: int, terms: int) -> None:
        """Nothing: the comparison measures on test parts."""


def _fitted(name: str, features: Features, settings: Settings, seed: int, progress: StepProgress) -> Baseline:
    def told(done: int, total: int) -> None:
        progress(name, done, total)

    taps = settings.taps
    if name == "padim":
        return Padim.fit(features, taps, settings.padim, seed=seed, progress=told)
    if name == "patchcore":
        return PatchCore.fit(features, taps, settings.patchcore, seed=seed, progress=told)
    assert name == "student", name
    return Student.fit(features, taps, settings.student, seed=seed, progress=told)


def _scored(items: Iterable[_Item], score: Callable[[_Item], AnomalyScores]) -> tuple[AnomalyScores, float]:
    """Score items one at a time; making an item is not timed. Also the median milliseconds."""
    found, times_ms = [], []
    for item in items:
        started = time.perf_counter_ns()
        found.append(score(item))
        times_ms.append((time.perf_counter_ns() - started) / 1e6)
    maps, images = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return AnomalyScores(maps, images), float(np.median(times_ms))


def _each(images: Sequence[NDArray[np.uint8]]) -> Iterable[NDArray[np.uint8]]:
    return (images[index] for index in range(len(images)))
