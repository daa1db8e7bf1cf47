"""`hlgfa calibrate`: the threshold for a stated false-reject rate, from unseen good parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from calibration.parts import Parts
    from calibration.record import Calibration
    from engines.manifest import Manifest


def calibrate(
    model: Annotated[Path, typer.Option(help="Model folder, e.g. models/bottle.")],
    good: Annotated[
        Path | None, typer.Option(help="More good parts; default: those that training held out.")
    ] = None,
    false_reject_rate: Annotated[
        float, typer.Option(help="Share of good parts that may be rejected.")
    ] = 0.01,
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino; used with --good.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Fit the threshold and write calibration.json beside the model."""
    import numpy as np

    from calibration import threshold
    from calibration.parts import FILE_NAME, load_parts
    from calibration.record import FILE_NAME as CALIBRATION
    from calibration.record import save_calibration
    from engines.manifest import load_manifest

    manifest = load_manifest(model)
    parts = load_parts(model / FILE_NAME, model_sha256=manifest.model_sha256)
    if good is None:
        scores = [part.score for part in parts.hold_out]
    else:
        scores = _scores(model, manifest, parts, good, runtime=runtime, threads=threads)  # type: ignore[arg-type]
    calibration = threshold.calibrate(
        np.asarray(scores, np.float64), rate=false_reject_rate, model_sha256=manifest.model_sha256
    )
    save_calibration(calibration, model / CALIBRATION)
    _say(model / CALIBRATION, calibration)


def _scores(
    model: Path,
    manifest: Manifest,
    parts: Parts,
    good: Path,
    *,
    runtime: Literal["onnxruntime", "openvino"],
    threads: int,
) -> list[float]:
    """Image scores of the parts of a folder, without those that training saw.

    Raises:
        CalibrationError: training saw all of them.
    """
    from rich.console import Console
    from rich.progress import track

    from calibration.dataset import ImageFiles, good_parts
    from calibration.record import CalibrationError
    from engines.load import open_engine
    from engines.records import file_sha256

    found = good_parts(good)
    unseen = [path for path in found if file_sha256(path) not in parts.seen]
    if not unseen:
        raise CalibrationError(
            f"{good}: training saw all {len(found)} parts; expected parts that it did not see."
        )
    if len(unseen) < len(found):
        typer.echo(f"{good}: left out {len(found) - len(unseen)} of {len(found)} parts, training saw them.")
    images = ImageFiles(
        unseen,
        size_px=(manifest.input_height_px, manifest.input_width_px),
        channels=manifest.channels,
        resample=bool(manifest.training.get("input_resampled", False)),
    )
    console = Console(stderr=True)
    with open_engine(model, runtime=runtime, threads=threads) as engine:
        indices = track(range(len(images)), description="scores", console=console)
        return [engine.infer(images[index]).score for index in indices]


def _say(path: Path, calibration: Calibration) -> None:
    typer.echo(
        f"{path}: threshold {calibration.threshold:.4f} for a false-reject rate of "
        f"{calibration.false_reject_rate:.2%}, from {calibration.parts} good parts; true rate in "
        f"{calibration.false_reject_lower:.2%} .. {calibration.false_reject_upper:.2%} at "
        f"{calibration.confidence:.0%} confidence."
    )
    if calibration.warning is not None:
        typer.echo(f"warning: {calibration.warning}", err=True)
