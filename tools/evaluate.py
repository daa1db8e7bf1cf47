"""`hlgfa evaluate`: metrics of a calibrated model on a labelled test set, and overlays to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from calibration.calibrated import Calibrated
    from calibration.dataset import ImageFiles, LabelledPart
    from calibration.evaluation import Metrics, Scored
    from calibration.record import Calibration
    from engines.engine import Engine
    from engines.manifest import Manifest

    Read = Callable[[int], NDArray[np.uint8]]
    """Gives the image of that index, read when it is asked for."""

MOST_NUISANCES = 10.0
_NUISANCES_HELP = (
    "Once more for each of these amounts with points, stripes, hairs and stains on every part, as multiples "
    "of what training injects, e.g. 0.25,0.5,1."
)


def evaluate(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Option(help="Model folder with its calibration.")],
    data: Annotated[Path, typer.Option(help="MVTec AD layout: test/good, test/KIND, ground_truth/KIND.")],
    json: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
    save_heatmaps: Annotated[Path | None, typer.Option(help="Folder for one overlay per image.")] = None,
    nuisances: Annotated[str | None, typer.Option(help=_NUISANCES_HELP)] = None,
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Measure a model: image AUROC, pixel AUROC, AUPRO, and the rates at its threshold.

    Under a region of interest, pixels outside count nowhere, and a part whose defect lies wholly outside is
    left out, since it is neither good nor to be found.
    """
    from calibration.calibrated import load_calibrated
    from calibration.dataset import ImageFiles, labelled_parts
    from calibration.evaluation import measure, measure_kinds, without_outside
    from engines.load import open_engine
    from engines.manifest import load_manifest
    from tools.report import write_report

    amounts = _amounts(nuisances)
    manifest = load_manifest(model)
    calibrated = load_calibrated(
        model,
        model_sha256=manifest.model_sha256,
        size_px=(manifest.input_height_px, manifest.input_width_px),
        map_shape=(manifest.map_height, manifest.map_width),
    )
    found = labelled_parts(data)
    images = ImageFiles.for_model([part.path for part in found], manifest)
    runtime_name: Literal["onnxruntime", "openvino"] = runtime  # type: ignore[assignment]  # open_engine checks
    with open_engine(model, runtime=runtime_name, threads=threads) as engine:
        parts = _score(engine, manifest, calibrated, found, images.__getitem__, heatmaps=save_heatmaps)
        disturbed = {
            amount: _score(engine, manifest, calibrated, found, _disturbed(images, manifest, amount))
            for amount in amounts
        }
    kept, left_out = without_outside(parts)
    threshold, inspected = calibrated.calibration.threshold, _at_hr(calibrated, manifest)
    total = measure(kept, threshold, inspected=inspected)
    kinds = measure_kinds(kept, threshold, inspected=inspected)
    with_nuisances = {
        f"{amount:g}": measure(without_outside(scored)[0], threshold, inspected=inspected)
        for amount, scored in disturbed.items()
    }
    if json is not None:
        report = _report(manifest, calibrated, total, kinds, with_nuisances=with_nuisances, left_out=left_out)
        write_report(report, json)
    _say(calibrated.calibration, total, kinds, with_nuisances)
    if left_out:
        typer.echo(f"left out, defects wholly outside the region of interest: {_listed(left_out)}")


def _score(
    engine: Engine,
    manifest: Manifest,
    calibrated: Calibrated,
    found: list[LabelledPart],
    read: Read,
    *,
    heatmaps: Path | None = None,
) -> list[Scored]:
    from rich.console import Console
    from rich.progress import track

    from calibration.evaluation import Scored, scaled_map
    from calibration.inspected import inspected_output
    from tools.overlay import save_overlay

    hr_px = (manifest.hr_height_px, manifest.hr_width_px)
    scored = []
    for index in track(range(len(found)), description="evaluate", console=Console(stderr=True)):
        image = read(index)
        started = time.perf_counter_ns()
        output = engine.infer(image)
        infer_ms = (time.perf_counter_ns() - started) / 1e6
        output = inspected_output(output, calibrated.inspected)
        mask, outside = _truth(found[index], hr_px, calibrated)
        anomaly_map = scaled_map(output.anomaly_map, hr_px)
        scored.append(Scored(found[index].kind, output.score, anomaly_map, mask, infer_ms, outside))
        if heatmaps is not None:
            name = f"{found[index].kind}/{found[index].path.stem}.png"
            save_overlay(heatmaps / name, image, anomaly_map, mask, calibrated)
    return scored


def _amounts(text: str | None) -> list[float]:
    try:
        amounts = [float(amount) for amount in (text or "").split(",") if text]
    except ValueError:
        amounts = [0.0]
    if any(not 0 < amount <= MOST_NUISANCES for amount in amounts):
        raise typer.BadParameter(
            f"--nuisances: found {text!r}, expected numbers above 0, at most {MOST_NUISANCES:g}, and commas, "
            "e.g. 0.25,0.5,1."
        )
    return amounts


def _disturbed(images: ImageFiles, manifest: Manifest, amount: float) -> Read:
    """The images with nuisances, in multiples of what training injects; the same ones for every model."""
    import numpy as np

    from calibration.augmentation import NuisanceSettings, inject_raw

    hr_px, settings = (manifest.hr_height_px, manifest.hr_width_px), NuisanceSettings().times(amount)
    return lambda index: inject_raw(images[index], hr_px, settings, np.random.default_rng(index))


def _truth(
    part: LabelledPart, size_px: tuple[int, int], calibrated: Calibrated
) -> tuple[NDArray[np.bool_] | None, bool]:
    """Ground truth at the HR size, and whether all of the defect lies outside the region of interest.

    Nothing is marked on a good part; a defect without a mask has no truth, and counts as inside.
    """
    import numpy as np

    from calibration.dataset import GOOD, read_mask
    from calibration.evaluation import scaled_mask
    from calibration.inspected import enlarged

    if part.kind == GOOD:
        return np.zeros(size_px, np.bool_), False
    if part.mask is None:
        return None, False
    truth = read_mask(part.mask)
    if calibrated.inspected is None:
        return scaled_mask(truth, size_px), False
    outside = not (truth & enlarged(calibrated.inspected, truth.shape[:2])).any()  # type: ignore[arg-type]
    return scaled_mask(truth, size_px), outside


def _at_hr(calibrated: Calibrated, manifest: Manifest) -> NDArray[np.bool_] | None:
    from calibration.inspected import enlarged

    if calibrated.inspected is None:
        return None
    return enlarged(calibrated.inspected, (manifest.hr_height_px, manifest.hr_width_px))


def _listed(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count} of {kind}" for kind, count in left_out.items())


def _report(
    manifest: Manifest,
    calibrated: Calibrated,
    total: Metrics,
    kinds: dict[str, Metrics],
    *,
    with_nuisances: dict[str, Metrics],
    left_out: dict[str, int],
) -> dict[str, object]:
    import msgspec

    return {
        **msgspec.to_builtins(total),
        "kinds": msgspec.to_builtins(kinds),
        "model_id": manifest.model_id,
        "model_sha256": manifest.model_sha256,
        "threshold": calibrated.calibration.threshold,
        "roi_sha256": calibrated.calibration.roi_sha256,
        "left_out": left_out,
        "nuisances": msgspec.to_builtins(with_nuisances),
        "false_reject_stated": calibrated.calibration.false_reject_rate,
        "false_reject_lower": calibrated.calibration.false_reject_lower,
        "false_reject_upper": calibrated.calibration.false_reject_upper,
    }


def _say(
    calibration: Calibration, total: Metrics, kinds: dict[str, Metrics], with_nuisances: dict[str, Metrics]
) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    names = ("parts", "image", "pixel", "AUPRO", "F1", "false\nrejects", "misses", "ms")
    columns = [Column("kind", no_wrap=True), *(Column(name, justify="right", no_wrap=True) for name in names)]
    title = "AUROC of images and pixels"
    table = Table(*columns, title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    disturbed = {f"nuisances x{amount}": metrics for amount, metrics in with_nuisances.items()}
    for kind, m in [*kinds.items(), ("all", total), *disturbed.items()]:
        areas = ["-" if v is None else f"{v:.4f}" for v in (m.image_auroc, m.pixel_auroc, m.aupro)]
        rates = [f"{m.f1:.3f}", f"{m.false_reject_rate:.1%}", f"{m.miss_rate:.1%}", f"{m.ms_per_image:.1f}"]
        table.add_row(kind, str(m.parts), *areas, *rates)
    Console().print(table)
    typer.echo(
        f"best F1 {total.f1_max:.3f}; false rejects {total.false_reject_rate:.2%}, stated "
        f"{calibration.false_reject_rate:.2%} in {calibration.false_reject_lower:.2%} .. "
        f"{calibration.false_reject_upper:.2%} at {calibration.confidence:.0%} confidence"
    )
