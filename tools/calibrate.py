"""`hlgfa calibrate`: the threshold for a stated false-reject rate, from unseen good parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from calibration.parts import Parts
    from calibration.record import Calibration
    from calibration.roi import InspectedArea
    from engines.manifest import Manifest


def calibrate(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Option(help="Model folder, e.g. models/bottle.")],
    good: Annotated[
        Path | None, typer.Option(help="More good parts; default: those that training scored unseen.")
    ] = None,
    false_reject_rate: Annotated[
        float, typer.Option(help="Share of good parts that may be rejected.")
    ] = 0.01,
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino; used with --good.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    roi: Annotated[
        Path | None, typer.Option(help="New region of interest, see `hlgfa roi`; needs --good.")
    ] = None,
    no_roi: Annotated[
        bool, typer.Option("--no-roi", help="Remove the region of interest; needs --good.")
    ] = False,
    nuisances: Annotated[
        bool, typer.Option("--nuisances", help="Keep the rate for parts with hairs, stripes, dust, too.")
    ] = False,
    review: Annotated[
        Path | None,
        typer.Option(help="Propose a threshold from marks of rejected parts (docs/review.md)."),
    ] = None,
    journal: Annotated[Path, typer.Option(help="Past scores, for --review.")] = Path("journal"),
    accept_misses: Annotated[
        int, typer.Option(min=0, help="Parts marked bad that --review may let pass.")
    ] = 0,
    png: Annotated[Path | None, typer.Option(help="Histogram of --review, as a picture.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Take over what --review proposes.")] = False,
    operator: Annotated[str | None, typer.Option(help="Who takes it over.")] = None,
) -> None:
    """Fit the threshold and write calibration.json beside the model, and roi.json if that is new.

    With --review the threshold comes from operators' marks instead; it is only shown unless --apply is given.
    """
    from calibration import threshold
    from calibration.calibrated import save_calibrated
    from calibration.parts import FILE_NAME, load_parts
    from calibration.record import FILE_NAME as CALIBRATION
    from engines.manifest import load_manifest
    from tools.review import ReviewOptions
    from tools.review import review as propose_threshold

    manifest = load_manifest(model)
    parts = load_parts(model / FILE_NAME, model_sha256=manifest.model_sha256)
    area = _region(model, manifest, roi, no_roi=no_roi)
    if good is None:
        scores = _held_out(model, parts, area)
    else:
        scores = _scores(model, manifest, parts, good, area, runtime=runtime, threads=threads)  # type: ignore[arg-type]
    clean, disturbed = _columns(scores)
    if review is not None:
        asked = ReviewOptions(review, journal, accept_misses, png, apply, operator)
        propose_threshold(model, clean, area, manifest.model_sha256, asked)
        return
    calibration = threshold.calibrate(
        clean if not nuisances else _worse(model, clean, disturbed),
        rate=false_reject_rate,
        model_sha256=manifest.model_sha256,
        roi_sha256=None if area is None else area.sha256,
        nuisances=nuisances,
        cross_fitted=good is None and not parts.hold_out,
    )
    save_calibrated(model, area, calibration)
    _say(model / CALIBRATION, calibration, disturbed)


def _columns(
    scores: Sequence[tuple[float, float | None]],
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Scores of parts as they are, and with nuisances if training injected any."""
    import numpy as np

    disturbed = [score for _, score in scores if score is not None]
    clean = np.array([score for score, _ in scores], np.float64)
    return clean, np.array(disturbed, np.float64) if len(disturbed) == len(scores) else None


def _worse(
    model: Path, clean: NDArray[np.float64], disturbed: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """The higher score of each part, which keeps parts independent of each other.

    Raises:
        CalibrationError: training injected no nuisances.
    """
    import numpy as np

    from calibration.record import CalibrationError

    if disturbed is None:
        raise CalibrationError(
            f"{model}: found a model trained without nuisances, expected one with scores of parts with them. "
            "Calibrate without --nuisances, or train again."
        )
    return np.maximum(clean, disturbed)


def _region(model: Path, manifest: Manifest, roi: Path | None, *, no_roi: bool) -> InspectedArea | None:
    """The region of interest that the threshold is for: the new one, none, or that of the folder."""
    from calibration.roi import load_roi, read_roi

    if roi is not None and no_roi:
        raise typer.BadParameter("--roi and --no-roi: found both, expected one of them.")
    if no_roi:
        return None
    size_px = (manifest.input_height_px, manifest.input_width_px)
    return load_roi(model, size_px) if roi is None else read_roi(roi, size_px)


def _held_out(model: Path, parts: Parts, area: InspectedArea | None) -> list[tuple[float, float | None]]:
    """Scores that training took of parts held out, or left out in turn, without and with nuisances.

    Raises:
        CalibrationError: they were taken under another region of interest.
    """
    from calibration.record import CalibrationError, region_name

    sha256 = None if area is None else area.sha256
    if parts.roi_sha256 != sha256:
        raise CalibrationError(
            f"{model / 'parts.json'}: found scores of held-out parts under {region_name(parts.roi_sha256)}, "
            f"expected {region_name(sha256)}. Add --good DIR with good parts to score; the training "
            "folder serves, what training saw is left out."
        )
    return [(part.score, part.disturbed_score) for part in parts.scored]


def _scores(
    model: Path,
    manifest: Manifest,
    parts: Parts,
    good: Path,
    area: InspectedArea | None,
    *,
    runtime: Literal["onnxruntime", "openvino"],
    threads: int,
) -> list[tuple[float, float | None]]:
    """Image scores under a region of interest of a folder's parts, without those that training saw.

    Each without and with nuisances, if training injected any.

    Raises:
        CalibrationError: training saw all of them.
    """
    from rich.console import Console
    from rich.progress import track

    from calibration.augmentation import NuisanceSettings
    from calibration.dataset import ImageFiles, good_parts
    from calibration.inspected import map_mask
    from calibration.record import CalibrationError
    from engines.load import open_engine
    from engines.records import file_sha256
    from tools.part_scores import part_scores

    inspected = None if area is None else map_mask(area, (manifest.map_height, manifest.map_width))
    found = good_parts(good)
    unseen = [path for path in found if file_sha256(path) not in parts.seen]
    if not unseen:
        raise CalibrationError(
            f"{good}: training saw all {len(found)} parts; expected parts that it did not see."
        )
    if len(unseen) < len(found):
        typer.echo(f"{good}: left out {len(found) - len(unseen)} of {len(found)} parts, training saw them.")
    images = ImageFiles.for_model(unseen, manifest)
    console = Console(stderr=True)
    hr_px = manifest.hr_height_px, manifest.hr_width_px
    nuisance = NuisanceSettings() if manifest.training.get("nuisances", False) else None
    with open_engine(model, runtime=runtime, threads=threads) as engine:
        return [
            part_scores(engine, images[i], inspected, nuisance=nuisance, hr_px=hr_px, seed=(manifest.seed, i))
            for i in track(range(len(images)), description="scores", console=console)
        ]


def _say(path: Path, calibration: Calibration, disturbed: NDArray[np.float64] | None) -> None:
    typer.echo(
        f"{path}: threshold {calibration.threshold:.4f} for a false-reject rate of "
        f"{calibration.false_reject_rate:.2%}, from {calibration.parts} good parts"
        f"{', each scored by a fit without it' if calibration.cross_fitted else ''}; true rate in "
        f"{calibration.false_reject_lower:.2%} .. {calibration.false_reject_upper:.2%} at "
        f"{calibration.confidence:.0%} confidence."
    )
    if calibration.warning is not None:
        typer.echo(f"warning: {calibration.warning}", err=True)
    if disturbed is not None and not calibration.nuisances:
        rejected = int((disturbed >= calibration.threshold).sum())
        typer.echo(
            f"With hairs, stripes and dust as training injects them, {rejected} of these parts would be "
            "rejected; --nuisances sets the threshold above them, and misses more."
        )
