"""A first look at what was taught: the station's own engine on parts that training did not see."""

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


class Proof(msgspec.Struct, frozen=True):
    """Of `parts` held-out good parts `passed` pass; of as many with a drawn defect `caught` fail.

    `inference_ms` is the median.
    """

    parts: int
    passed: int
    caught: int
    inference_ms: float


def prove(model: Path, good: Path, engine: EngineConfig) -> Proof:
    """Judge the held-out parts, as they are and with a synthetic defect each."""
    manifest = load_manifest(model)
    held = load_parts(model / FILE_NAME, model_sha256=manifest.model_sha256).hold_out
    images = ImageFiles.for_model([good / part.name for part in held], manifest)
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
        parts=len(held),
        passed=len(held) - sum(fails[::2]),
        caught=sum(fails[1::2]),
        inference_ms=float(np.median(times_ms)),
    )
