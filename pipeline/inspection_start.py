"""Opens what an inspection process needs, and says what it has opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.calibrated import Calibrated, load_calibrated
from calibration.inspected import inspected_output
from calibration.record import FILE_NAME
from calibration.threshold import calibrate
from engines.affinity import pin
from engines.load import open_engine
from engines.records import file_sha256
from engines.targets import engine_folder, needs_build
from engines.verification import verify_at_start
from pipeline.internal import EngineReady
from pipeline.recipes.fingerprint import file_hashes, fingerprint
from pipeline.recipes.recipe import RecipeError

if TYPE_CHECKING:
    from engines.engine import Engine
    from pipeline.config import EngineConfig
    from pipeline.internal import InspectionStart, RecipeText, StubSpec


def open_inspection(start: InspectionStart, *, refused: list[str]) -> tuple[Engine, Calibrated, EngineReady]:
    """Engine, what its results are judged by, and what the station is told of both.

    The files of a recipe are hashed before and after they are loaded: what was loaded is what has the hash.

    Raises:
        EngineError: the engine cannot be loaded, or does not compute here what its model computes.
        CalibrationError: the model has no calibration that fits.
        RecipeError: a file is missing, or was exchanged meanwhile.
    """
    model_dir = Path(start.engine.model)
    before = None if start.recipe is None else _fingerprint(start.recipe, model_dir)
    engine, calibrated = open_verified(start.engine) if start.stub is None else _stubbed(start.stub)
    calibration = calibrated.calibration
    try:
        if start.recipe is not None and _fingerprint(start.recipe, model_dir) != before:
            raise RecipeError(f"{model_dir}: found files that changed while they were read. Try again.")
        calibration_sha256 = file_sha256(model_dir / FILE_NAME) if start.stub is None else "0" * 64
    except BaseException:
        engine.close()
        raise
    ready = EngineReady(
        info=engine.info,
        threshold=calibration.threshold,
        map_threshold=calibration.map_threshold,
        heatmap_scale=calibration.heatmap_scale,
        heatmap_offset=calibration.heatmap_offset,
        calibration_sha256=calibration_sha256,
        roi_sha256=None if calibrated.area is None else calibrated.area.sha256,
        recipe_sha256=before,
        good_scores=calibration.good_scores,
        review=calibration.review,
        refused=refused,
    )
    return engine, calibrated, ready


def _fingerprint(recipe: RecipeText, model_dir: Path) -> str:
    hashes = file_hashes(Path(recipe.path), model_dir)
    if hashes["recipe"] != recipe.sha256:
        raise RecipeError(f"{recipe.path}: found a text that has changed since it was read. Try again.")
    return fingerprint(hashes)


def open_verified(config: EngineConfig) -> tuple[Engine, Calibrated]:
    """Engine and what its results are judged by; an engine that was built is verified on this very device.

    Raises:
        EngineError: the engine cannot be loaded, or does not compute here what its model computes.
        CalibrationError: the model has no calibration that fits.
    """
    model_dir, runtime, precision = Path(config.model), config.runtime, config.precision
    if config.cores is not None:
        pin(config.cores)  # before the runtime starts its threads
    engine = open_engine(
        model_dir, runtime=runtime, precision=precision, threads=config.threads, spinning=config.spinning
    )
    try:
        info = engine.info
        calibrated = load_calibrated(
            model_dir,
            model_sha256=info.model_sha256,
            size_px=(info.height_px, info.width_px),
            map_shape=(info.map_height, info.map_width),
        )
        if needs_build(runtime, precision):
            verify_at_start(
                engine,
                engine_folder(model_dir, runtime, precision),
                threshold=calibrated.calibration.threshold,
                roi_sha256=None if calibrated.area is None else calibrated.area.sha256,
                judge=lambda output: inspected_output(output, calibrated.inspected),
            )
    except BaseException:
        engine.close()
        raise
    return engine, calibrated


def _stubbed(spec: StubSpec) -> tuple[Engine, Calibrated]:
    """An engine that waits, and a calibration under which it rejects everything."""
    from engines.stub_engine import StubEngine

    engine = StubEngine(
        height_px=spec.height_px, width_px=spec.width_px, channels=spec.channels, wait_ms=spec.wait_ms
    )
    calibration = calibrate(
        np.linspace(0.1, 1.0, 100, dtype=np.float64), rate=0.01, model_sha256=engine.info.model_sha256
    )
    return engine, Calibrated(calibration, None, None, None)
