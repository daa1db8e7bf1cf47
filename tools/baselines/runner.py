"""Runs methods on one labelled set and measures them; features are extracted once, for all of them."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch

from calibration.dataset import split_parts
from calibration.evaluation import Scored, measure
from tools.baselines.cache import FitCache
from tools.baselines.dataset import CachedFeatures, LabelledSet, extract
from tools.baselines.methods import BASELINES, OURS, baseline_method, hlgfa_method, strides_of
from tools.baselines.results import Result
from tools.machine import machine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.dataset import ImageFiles
    from calibration.evaluation import Metrics
    from tools.baselines.maps import AnomalyScores
    from tools.baselines.methods import Outcome, StepProgress
    from tools.baselines.results import Settings


class Runner:
    """One set under fixed settings; holds all features once a baseline has asked for them."""

    def __init__(self, labelled: LabelledSet, settings: Settings, progress: StepProgress) -> None:
        self.labelled, self.settings, self.progress = labelled, settings, progress
        self._cache = FitCache()

    def result(self, method: str, seed: int) -> Result:
        """Fit one method with one seed and measure it on the test parts.

        Raises:
            CalibrationError: an image or the taps cannot be used, or the method is not there yet.
        """
        outcome = self._outcome(method, seed)
        metrics = self._metrics(outcome.scores)
        split = split_parts(len(self.labelled.images), seed=seed)
        return Result(
            data=self.labelled.name,
            method=method,
            seed=seed,
            image_auroc=metrics.image_auroc,
            pixel_auroc=metrics.pixel_auroc,
            aupro=metrics.aupro,
            fit_s=round(outcome.fit_s, 2),
            score_ms=round(outcome.score_ms, 2),
            fit_parts=len(split.fit),
            test_parts=len(self.labelled.test_parts),
            threads=torch.get_num_threads(),
            machine=machine(),
        )

    def _outcome(self, method: str, seed: int) -> Outcome:
        labelled = self.labelled
        split = split_parts(len(labelled.images), seed=seed)
        if method in BASELINES:
            pair = self._train_features, self._test_features
            return baseline_method(method, *pair, split, self.settings, seed=seed, progress=self.progress)
        images = labelled.images, labelled.test_images
        settings = msgspec.structs.replace(OURS[method], seed=seed)
        return hlgfa_method(
            *images, split, labelled.geometry, settings, progress=self.progress, cache=self._cache
        )

    def _metrics(self, scores: AnomalyScores) -> Metrics:
        """Those of `hlgfa evaluate`; nothing is rejected, since no method has a threshold here."""
        parts = [
            Scored(part.kind, float(score), anomaly_map, self._masks.get(index), 0.0)
            for index, (part, score, anomaly_map) in enumerate(
                zip(self.labelled.test_parts, scores.images, scores.maps, strict=True)
            )
        ]
        return measure(parts, math.inf)

    @cached_property
    def _masks(self) -> dict[int, NDArray[np.bool_]]:
        return self.labelled.masks()

    @cached_property
    def _train_features(self) -> CachedFeatures:
        return self._extract(self.labelled.images, "train features")

    @cached_property
    def _test_features(self) -> CachedFeatures:
        return self._extract(self.labelled.test_images, "test features")

    def _extract(self, images: ImageFiles, step: str) -> CachedFeatures:
        def told(done: int, total: int) -> None:
            self.progress(step, done, total)

        geometry, backbone = self.labelled.geometry, self.settings.backbone
        return extract(images, geometry, backbone, strides_of(self.settings), progress=told)
