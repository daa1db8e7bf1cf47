"""`hlgfa evaluate`: metrics of a calibrated model on a labelled test set, and overlays to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration.dataset import LabelledPart
    from calibration.evaluation import Metrics, Scored
    from calibration.record import Calibration
    from engines.engine import Engine
    from engines.manifest import Manifest


def evaluate(  # noqa: PLR0917 - options of a command
    model: Annotated[Path, typer.Option(help="Model folder with its calibration.")],
    data: Annotated[Path, typer.Option(help="MVTec AD layout: test/good, test/KIND, ground_truth/KIND.")],
    json: Annotated[Path | None, typer.Option(help="Where to write the figures.")] = None,
    save_heatmaps: Annotated[Path | None, typer.Option(help="Folder for one overlay per image.")] = None,
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino.")] = "onnxruntime",
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Measure a model: image AUROC, pixel AUROC, AUPRO, and the rates at its threshold."""
    from calibration.dataset import labelled_parts
    from calibration.evaluation import measure, measure_kinds
    from calibration.record import FILE_NAME, load_calibration
    from engines.load import open_engine
    from engines.manifest import load_manifest

    manifest = load_manifest(model)
    calibration = load_calibration(model / FILE_NAME, model_sha256=manifest.model_sha256)
    found = labelled_parts(data)
    runtime_name: Literal["onnxruntime", "openvino"] = runtime  # type: ignore[assignment]  # open_engine checks
    with open_engine(model, runtime=runtime_name, threads=threads) as engine:
        parts = _score(engine, manifest, calibration, found, save_heatmaps)
    total, kinds = measure(parts, calibration.threshold), measure_kinds(parts, calibration.threshold)
    if json is not None:
        _write(json, manifest, calibration, total, kinds)
    _say(total, kinds)


def _score(
    engine: Engine,
    manifest: Manifest,
    calibration: Calibration,
    found: list[LabelledPart],
    heatmaps: Path | None,
) -> list[Scored]:
    from rich.console import Console
    from rich.progress import track

    from calibration.dataset import ImageFiles
    from calibration.evaluation import Scored, scaled_map
    from tools.overlay import save_overlay

    images = ImageFiles(
        [part.path for part in found],
        size_px=(manifest.input_height_px, manifest.input_width_px),
        channels=manifest.channels,
        resample=bool(manifest.training.get("input_resampled", False)),
    )
    hr_px = (manifest.hr_height_px, manifest.hr_width_px)
    scored = []
    for index in track(range(len(images)), description="evaluate", console=Console(stderr=True)):
        image = images[index]
        started = time.perf_counter_ns()
        output = engine.infer(image)
        infer_ms = (time.perf_counter_ns() - started) / 1e6
        mask = _mask(found[index], hr_px)
        anomaly_map = scaled_map(output.anomaly_map, hr_px)
        scored.append(Scored(found[index].kind, output.score, anomaly_map, mask, infer_ms))
        if heatmaps is not None:
            name = f"{found[index].kind}/{found[index].path.stem}.png"
            save_overlay(heatmaps / name, image, anomaly_map, mask, calibration)
    return scored


def _mask(part: LabelledPart, size_px: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Ground truth at the HR size; nothing is marked on a good part; None for a defect without a mask."""
    import numpy as np

    from calibration.dataset import GOOD, read_mask
    from calibration.evaluation import scaled_mask

    if part.kind == GOOD:
        return np.zeros(size_px, np.bool_)
    return None if part.mask is None else scaled_mask(read_mask(part.mask), size_px)


def _write(
    path: Path, manifest: Manifest, calibration: Calibration, total: Metrics, kinds: dict[str, Metrics]
) -> None:
    import msgspec

    report = {
        **msgspec.to_builtins(total),
        "kinds": msgspec.to_builtins(kinds),
        "model_id": manifest.model_id,
        "model_sha256": manifest.model_sha256,
        "threshold": calibration.threshold,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def _say(total: Metrics, kinds: dict[str, Metrics]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "kind", "parts", "image AUROC", "pixel AUROC", "AUPRO", "F1", "false rejects", "misses", "ms"
    )
    for kind, m in [*kinds.items(), ("all", total)]:
        areas = ["-" if v is None else f"{v:.4f}" for v in (m.image_auroc, m.pixel_auroc, m.aupro)]
        rates = [f"{m.f1:.3f}", f"{m.false_reject_rate:.1%}", f"{m.miss_rate:.1%}", f"{m.ms_per_image:.1f}"]
        table.add_row(kind, str(m.parts), *areas, *rates)
    Console().print(table)
