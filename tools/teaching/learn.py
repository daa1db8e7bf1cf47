"""Steps 3 to 5 of `hlgfa teach`: train, calibrate, build; and whether what each makes is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.calibrated import load_calibrated
from calibration.dataset import HOLD_OUT, data_hash
from calibration.parts import FILE_NAME, load_parts
from calibration.record import CalibrationError
from engines.engine import EngineError
from engines.manifest import load_manifest
from engines.sidecar import load_sidecar
from engines.targets import needs_build
from tools.build_engine import build_engine
from tools.train import TrainingJob, plan_training, run_training
from tools.training_settings import training_settings

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.parts import HeldOutPart, Parts
    from calibration.record import Calibration
    from pipeline.config import EngineConfig
    from tools.teaching.progress import Wish


def job_of(good: Path, model: Path, wish: Wish, *, threads: int) -> TrainingJob:
    """The training as it is wished for; only beside a guidance parts are held out."""
    settings = training_settings("hlgfa", None, steps=wish.steps)
    hold_out = HOLD_OUT if settings.network.guidance.enabled else 0.0
    return plan_training(good, model, settings, size=wish.size, threads=threads, hold_out=hold_out)


def is_trained(job: TrainingJob) -> bool:
    """Whether the model folder holds what this training makes: the same parts, sizes and settings."""
    try:
        manifest = load_manifest(job.out)
    except EngineError:
        return False
    schedule, guidance = job.settings.schedule, job.settings.network.guidance
    return (
        manifest.data_sha256 == data_hash(job.data.names, job.data.hashes)
        and (manifest.hr_height_px, manifest.hr_width_px) == job.geometry.hr_px
        and manifest.training.get("schedule.steps") == schedule.steps
        and manifest.training.get("network.guidance.enabled") == guidance.enabled
    )


def train(job: TrainingJob) -> Parts:
    """Train, from where a stopped training was."""
    return run_training(job, resume=job.was_stopped, force=True)


def is_calibrated(model: Path) -> bool:
    """Whether the model has a threshold that can be used."""
    try:
        calibration_of(model)
    except CalibrationError:
        return False
    return True


def calibration_of(model: Path) -> Calibration:
    """The calibration of a model.

    Raises:
        CalibrationError: it has none that can be used.
    """
    manifest = load_manifest(model)
    return load_calibrated(
        model,
        model_sha256=manifest.model_sha256,
        size_px=(manifest.input_height_px, manifest.input_width_px),
        map_shape=(manifest.map_height, manifest.map_width),
    ).calibration


def scored_parts(model: Path) -> list[HeldOutPart]:
    """The parts that the threshold was taken from."""
    return load_parts(model / FILE_NAME, model_sha256=load_manifest(model).model_sha256).scored


def is_built(model: Path, engine: EngineConfig) -> bool:
    """Whether the files are there that the station's runtime loads beside model.onnx."""
    sha256 = load_manifest(model).model_sha256
    try:
        load_sidecar(model, target=engine.runtime, precision=engine.precision, model_sha256=sha256)
    except EngineError:
        return False
    return True


def build(model: Path, good: Path, engine: EngineConfig) -> str:
    """Build the engine if the runtime needs one, certified on the parts; says what was done."""
    name = f"{engine.runtime} {engine.precision}"
    if not needs_build(engine.runtime, engine.precision):
        return f"{name} runs model.onnx itself"
    if is_built(model, engine):
        return f"{name} is there"
    build_engine(model, engine.runtime, engine.precision, images=good, threads=engine.threads)
    return f"{name} is built"
