"""Training: good parts in, a fitted HLGFA network out.

1. Features of the frozen backbone, once; clean and with nuisances.
2. Per level the alignment in closed form, then the guidance by gradient on what is left of it.
3. Whitening, reliability and scale on parts that step 2 did not see.

Fixed schedule, last step. One seed fixes everything: split, nuisances, initial weights, order of batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from calibration import closed_form
from calibration.augmentation import NuisanceSettings
from calibration.features import Features, extract, joined
from calibration.whiten import fit_whitening
from engines.guidance import GuidanceSettings
from engines.hlgfa import RELIABILITY_EXPONENT, TAPS, Geometry, Hlgfa, Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from calibration.dataset import Split

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, units done and units in all."""


class FitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that training can be told; the defaults are the same for every part."""

    seed: int = 0
    steps: int = 400
    batch: int = 8
    learning_rate: float = 2e-3
    nuisances: bool = True
    reliability: float = RELIABILITY_EXPONENT
    guidance: GuidanceSettings = GuidanceSettings()
    nuisance: NuisanceSettings = NuisanceSettings()


class LevelData(NamedTuple):
    """Standardised features of one level: LR on the HR grid, and HR."""

    low: Tensor
    high: Tensor


def fit(
    images: Sequence[NDArray[np.uint8]],
    split: Split,
    geometry: Geometry,
    settings: FitSettings,
    *,
    progress: Progress,
    weights: Mapping[str, Tensor] | None = None,
) -> Hlgfa:
    """Train one network on good parts; the parts of `split.hold_out` are never read.

    Args:
        images: raw camera images, all of the geometry's size and channels; read lazily.
        split: which of them fit the alignment, and which its whitening.
        geometry: fixed sizes.
        settings: schedule and switches.
        progress: told about every image and step.
        weights: state dict of the backbone; None reads the installed package.
    """
    torch.manual_seed(settings.seed)
    network = Hlgfa(geometry, settings.guidance, reliability=settings.reliability, weights=weights)
    with torch.no_grad():
        seen, unseen = _features(network, images, split, settings, progress)
    for number, tap in enumerate(TAPS):
        level = network.level(tap)
        with torch.no_grad():
            train = _align(level, seen)
        if level.guidance is not None:
            told = _Told(progress, "guidance", number * settings.steps, len(TAPS) * settings.steps)
            train_guidance(level, train, settings, on_step=told)
        with torch.no_grad():
            copies = len(unseen.high[tap]) // len(split.whiten)
            _fit_scoring(level, level_data(level, unseen), copies=copies)
    return network.eval()


class _Told:
    """Counts units for one line of the progress."""

    def __init__(self, progress: Progress, step: str, done: int, total: int) -> None:
        self.progress, self.step, self.done, self.total = progress, step, done, total

    def __call__(self) -> None:
        self.done += 1
        self.progress(self.step, self.done, self.total)


def level_data(level: Level, features: Features) -> LevelData:
    """Standardised features of a level; its standardisation must be fitted."""
    tap = level.tap
    return LevelData(
        level.low(features.low[tap // 2], features.low[tap]), level.standardise_hr(features.high[tap])
    )


def train_guidance(
    level: Level, data: LevelData, settings: FitSettings, *, on_step: Callable[[], None]
) -> None:
    """Fit the guidance to what the closed form leaves, in the metric of its half-whitened residual.

    Full whitening would spend the capacity on channels that are mostly noise, none at all on those that
    already align; half-way was best on held-out parts.
    """
    assert level.guidance is not None
    network = level.guidance.train()
    with torch.no_grad():
        target = data.high - level.linear(data.low)
        metric = closed_form.inverse_root(closed_form.covariance(target), 0.25).float()[:, :, None, None]
        metric /= nn.functional.conv2d(target[:16], metric).std()
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    for _ in range(settings.steps):
        chosen = torch.randint(len(target), (settings.batch,), generator=generator)
        error = target[chosen] - network(data.low[chosen], data.high[chosen])
        loss = nn.functional.conv2d(error, metric).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        on_step()
    network.eval().requires_grad_(requires_grad=False)


def _features(
    network: Hlgfa,
    images: Sequence[NDArray[np.uint8]],
    split: Split,
    settings: FitSettings,
    progress: Progress,
) -> tuple[Features, Features]:
    """Features of the parts that fit the alignment, and of those that it is judged on."""
    rng = np.random.default_rng(settings.seed)
    copies = [None, settings.nuisance] if settings.nuisances else [None]
    total = (len(split.fit) + len(split.whiten)) * len(copies)
    told = _Told(progress, "features", 0, total)
    seen, unseen = (
        joined([extract(network, images, part, nuisances=n, rng=rng, on_image=told) for n in copies])
        for part in (split.fit, split.whiten)
    )
    return seen, unseen


def _align(level: Level, features: Features) -> LevelData:
    """Standardise and fit the closed-form alignment; gives the level's training data."""
    tap = level.tap
    closed_form.fit_standardise(level.standardise_hr, features.high[tap])
    closed_form.fit_standardise(level.standardise_fine, features.low[tap // 2])
    closed_form.fit_standardise(level.standardise_coarse, features.low[tap])
    data = level_data(level, features)
    closed_form.fit_ridge(level, data.low, data.high)
    return data


def _fit_scoring(level: Level, data: LevelData, *, copies: int) -> None:
    """Whitening, reliability and scale from parts that the alignment did not see."""
    residual = torch.cat(
        [
            level.residual(high, low)
            for high, low in zip(torch.split(data.high, 16), torch.split(data.low, 16), strict=True)
        ]
    )
    fit_whitening(level.whitening, residual, copies=copies)
    level.reliability.inverse_mean.copy_(1.0 / level.reliability.contrast(data.high).mean())
    closed_form.fit_scale(level, residual, data.high)
