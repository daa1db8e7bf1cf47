"""A model folder: made beside its place, filled by training, and moved there only when it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch

from calibration.checkpoint import Checkpoint
from calibration.cross_fit import cross_fit
from calibration.dataset import ImageFiles, Split, data_hash
from calibration.fit import FitSettings, Progress, fit
from calibration.inspected import map_mask
from calibration.parts import FILE_NAME, HeldOutPart, Part, Parts, save_parts
from calibration.roi import FILE_NAME as ROI_NAME
from calibration.roi import InspectedArea, save_roi
from engines.engine import Engine
from engines.export import export_onnx
from engines.folders import whole_folder
from engines.geometry import Geometry
from engines.hlgfa import Hlgfa
from engines.load import open_engine
from engines.manifest import FILE_NAME as MANIFEST_NAME
from engines.manifest import ONNX_NAME, Manifest, save_manifest
from engines.records import file_sha256, now_utc
from tools.errors import check_free
from tools.part_scores import part_scores

_PACKAGES = ("hlgfa-line", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


class TrainingData(NamedTuple):
    """Good parts of one training: `names` are below the data folder, `hashes` are of the files' bytes."""

    images: ImageFiles
    split: Split
    names: list[str]
    hashes: list[str]

    @classmethod
    def read(cls, folder: Path, images: ImageFiles, split: Split) -> TrainingData:
        """Hash every file; paths above `folder` are not kept."""
        names = [path.relative_to(folder).as_posix() for path in images.paths]
        return cls(images, split, names, [file_sha256(path) for path in images.paths])


def identity(data: TrainingData, geometry: Geometry, settings: FitSettings, *, threads: int) -> bytes:
    """Bytes that are the same only for a training that would give the same model."""
    versions = [version(package) for package in _PACKAGES]
    what = [data.names, data.hashes, data.split, data.images.resample, geometry, settings, threads, versions]
    return msgspec.json.encode(what)


@contextmanager
def new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its name only when the block has ended well.

    Raises:
        CalibrationError: `out` exists and may not be replaced.
    """
    check_free(out, force=force)
    with whole_folder(out) as folder:
        yield folder


def write_model(
    folder: Path,
    data: TrainingData,
    geometry: Geometry,
    settings: FitSettings,
    *,
    name: str,
    threads: int,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
    area: InspectedArea | None = None,
) -> Parts:
    """Fit, export and score the held-out parts, under a region of interest if there is one.

    If none is held out, all are scored by fits that leave them out. Writes everything of the folder but its
    calibration.
    """
    torch.set_num_threads(threads)
    network, left_out = _fitted(data, geometry, settings, progress, checkpoint, area)
    progress.step("export", 0, 1)
    onnx = export_onnx(network)
    (folder / ONNX_NAME).write_bytes(onnx)
    manifest = _manifest(onnx, data, geometry, settings, name=name, threads=threads)
    save_manifest(manifest, folder / MANIFEST_NAME)
    progress.step("export", 1, 1)
    with open_engine(folder, runtime="onnxruntime", threads=threads) as engine:
        parts = _parts(engine, data, progress, area, settings, geometry.hr_px)
    parts = msgspec.structs.replace(parts, left_out=left_out)
    if area is not None:
        save_roi(area, folder / ROI_NAME)
    save_parts(parts, folder / FILE_NAME)
    return parts


def _fitted(  # noqa: PLR0917 - told apart by type
    data: TrainingData,
    geometry: Geometry,
    settings: FitSettings,
    progress: Progress,
    checkpoint: Checkpoint | None,
    area: InspectedArea | None,
) -> tuple[Hlgfa, list[HeldOutPart]]:
    """The network, and the scores of its own parts if none is held out."""
    if data.split.hold_out:
        network = fit(data.images, data.split, geometry, settings, progress=progress, checkpoint=checkpoint)
        return network, []
    inspected = None if area is None else map_mask(area, geometry.map_shape)
    found = cross_fit(
        data.images,
        data.split.fit,
        geometry,
        settings,
        progress=progress,
        checkpoint=checkpoint,
        inspected=inspected,
    )
    left_out = [
        HeldOutPart(data.names[index], data.hashes[index], *scores)
        for index, scores in zip(found.parts, found.scores.T.tolist(), strict=True)
    ]
    return found.network, left_out


def _parts(  # noqa: PLR0917 - told apart by type
    engine: Engine,
    data: TrainingData,
    progress: Progress,
    area: InspectedArea | None,
    settings: FitSettings,
    hr_px: tuple[int, int],
) -> Parts:
    """Use of every part, and scores of those held out, with nuisances if training injects any."""
    info = engine.info
    inspected = None if area is None else map_mask(area, (info.map_height, info.map_width))
    nuisance = settings.nuisance if settings.nuisances else None
    held = []
    for done, index in enumerate(data.split.hold_out, 1):
        seed = (settings.seed, index)
        scores = part_scores(engine, data.images[index], inspected, nuisance=nuisance, hr_px=hr_px, seed=seed)
        held.append(HeldOutPart(data.names[index], data.hashes[index], *scores))
        progress.step("hold-out", done, len(data.split.hold_out))
    return Parts(
        model_sha256=engine.info.model_sha256,
        fit=[Part(data.names[i], data.hashes[i]) for i in data.split.fit],
        hold_out=held,
        roi_sha256=None if area is None else area.sha256,
    )


def _manifest(
    onnx: bytes, data: TrainingData, geometry: Geometry, settings: FitSettings, *, name: str, threads: int
) -> Manifest:
    digest = hashlib.sha256(onnx).hexdigest()
    return Manifest(
        model_id=f"{name}-{digest[:8]}",
        model_sha256=digest,
        backbone=settings.network.backbone,
        taps=list(settings.network.taps),
        input_height_px=geometry.input_px[0],
        input_width_px=geometry.input_px[1],
        channels=3 if geometry.channels == 3 else 1,
        hr_height_px=geometry.hr_px[0],
        hr_width_px=geometry.hr_px[1],
        lr_height_px=geometry.lr_px[0],
        lr_width_px=geometry.lr_px[1],
        map_height=geometry.map_shape[0],
        map_width=geometry.map_shape[1],
        data_sha256=data_hash(data.names, data.hashes),
        data_parts=len(data.images),
        seed=settings.seed,
        training={**_flat(settings), "threads": threads, "input_resampled": data.images.resample},
        versions={package: version(package) for package in _PACKAGES},
        created_utc=now_utc(),
    )


def _flat(settings: FitSettings) -> dict[str, bool | int | float | str]:
    """Settings as one level of keys: `network.guidance.hidden` and so on; lists as text."""
    flat: dict[str, bool | int | float | str] = {}

    def add(prefix: str, values: dict[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                add(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    add("", msgspec.to_builtins(settings))
    return flat
