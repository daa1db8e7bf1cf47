"""A first look at what was taught: the station's own engine on good parts, as they are and with a defect."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from calibration.dataset import ImageFiles
from calibration.defects import with_defect
from calibration.parts import FILE_NAME, load_parts
from engines.load import open_engine
from engines.manifest import load_manifest
from tools.build_parts import judging_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config import EngineConfig


MOST = 32
"""Parts that are judged, evenly over those that there are."""


class Proof(msgspec.Struct, frozen=True):
    """Of `parts` good parts `passed` pass; of as many with a drawn defect `caught` fail.

    `unseen` says that training did not see them. `inference_ms` is the median.
    """

    parts: int
    unseen: bool
    passed: int
    caught: int
    inference_ms: float


def prove(model: Path, good: Path, engine: EngineConfig) -> Proof:
    """Judge good parts, those held out if there are any, as they are and with a synthetic defect each."""
    manifest = load_manifest(model)
    parts = load_parts(model / FILE_NAME, model_sha256=manifest.model_sha256)
    picked = np.linspace(0, len(parts.scored) - 1, min(MOST, len(parts.scored))).round().astype(int)
    images = ImageFiles.for_model([good / parts.scored[index].name for index in picked], manifest)
    judging = judging_of(model)
    times_ms, fails = [], []
    with open_engine(
        model, runtime=engine.runtime, precision=engine.precision, threads=engine.threads
    ) as runner:
        for number, image in enumerate(images):
            for shown in (image, with_defect(image, number)):
                begin_s = time.perf_counter()
                score = judging.judge(runner.infer(shown)).score
                times_ms.append((time.perf_counter() - begin_s) * 1e3)
                fails.append(score >= judging.threshold)
    return Proof(
        parts=len(images),
        unseen=bool(parts.hold_out),
        passed=len(images) - sum(fails[::2]),
        caught=sum(fails[1::2]),
        inference_ms=float(np.median(times_ms)),
    )
