"""`hlgfa train`: a folder of good parts in, a model folder out."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections import Counter

    from calibration.dataset import ImageFiles, Split
    from calibration.fit import FitSettings, Progress
    from calibration.parts import Parts
    from engines.engine import Engine
    from engines.hlgfa import Geometry
    from engines.manifest import Manifest


def train(
    data: Annotated[Path, typer.Option(help="MVTec AD layout, or a plain folder of good images.")],
    out: Annotated[Path, typer.Option(help="Model folder to make, e.g. models/bottle.")],
    seed: Annotated[int, typer.Option(min=0, help="Fixes split, initial weights and nuisances.")] = 0,
    size: Annotated[str, typer.Option(help="HR view: one number, or HEIGHTxWIDTH; multiples of 64.")] = "256",
    input_size: Annotated[
        str | None,
        typer.Option("--input", help="Raw camera image, HEIGHTxWIDTH; images are scaled to it. Default: their own size."),
    ] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3; default: that of the images.")] = None,
    steps: Annotated[int, typer.Option(min=0, help="Guidance steps per level; 0: closed form only.")] = 400,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; part of what makes a run repeatable.")] = (
        os.cpu_count() or 1
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the model folder if it exists.")] = False,
) -> None:
    """Learn the model of one part from images of good parts."""
    from calibration.dataset import ImageFiles, good_parts, split_parts
    from calibration.fit import FitSettings
    from engines.guidance import GuidanceSettings
    from engines.hlgfa import Geometry

    paths = good_parts(data)
    input_px, found = _input(paths, input_size, channels)
    geometry = Geometry(input_px=input_px, hr_px=_pair(size, "--size"), channels=found)
    settings = FitSettings(seed=seed, steps=steps, guidance=GuidanceSettings(enabled=steps > 0))
    images = ImageFiles(paths, size_px=input_px, channels=found, resample=input_size is not None)
    split = split_parts(len(paths), seed=seed)
    with _new_folder(out, force=force) as folder:
        parts = _train(folder, data, images, split, geometry, settings, name=out.name, threads=threads)
    _say(out, parts)


def _train(
    folder: Path,
    data: Path,
    images: ImageFiles,
    split: Split,
    geometry: Geometry,
    settings: FitSettings,
    *,
    name: str,
    threads: int,
) -> Parts:
    """Fit, export and score the held-out parts; writes everything of the model folder but its calibration."""
    import torch

    from calibration.dataset import data_hash, file_hash
    from calibration.fit import fit
    from calibration.parts import FILE_NAME, save_parts
    from engines.export import export_onnx
    from engines.load import open_engine
    from engines.manifest import FILE_NAME as MANIFEST
    from engines.manifest import ONNX_NAME, save_manifest

    torch.set_num_threads(threads)
    with _progress_bar() as progress:
        hashes = [file_hash(path) for path in images.paths]
        names = [path.relative_to(data).as_posix() for path in images.paths]
        network = fit(images, split, geometry, settings, progress=progress)
        progress("export", 0, 1)
        onnx = export_onnx(network)
        (folder / ONNX_NAME).write_bytes(onnx)
        progress("export", 1, 1)
        manifest = _manifest(
            onnx, geometry, settings, name=name, data_sha256=data_hash(names, hashes), images=images, threads=threads
        )
        save_manifest(manifest, folder / MANIFEST)
        with open_engine(folder, runtime="onnxruntime", threads=threads) as engine:
            parts = _parts(engine, images, split, names, hashes, progress)
        save_parts(parts, folder / FILE_NAME)
    return parts


def _parts(
    engine: Engine, images: ImageFiles, split: Split, names: list[str], hashes: list[str], progress: Progress
) -> Parts:
    from calibration.parts import HeldOutPart, Part, Parts

    held = []
    for done, index in enumerate(split.hold_out, 1):
        held.append(HeldOutPart(names[index], hashes[index], engine.infer(images[index]).score))
        progress("hold-out", done, len(split.hold_out))
    return Parts(
        model_sha256=engine.info.model_sha256,
        fit=[Part(names[i], hashes[i]) for i in split.fit],
        whiten=[Part(names[i], hashes[i]) for i in split.whiten],
        hold_out=held,
    )


def _manifest(
    onnx: bytes,
    geometry: Geometry,
    settings: FitSettings,
    *,
    name: str,
    data_sha256: str,
    images: ImageFiles,
    threads: int,
) -> Manifest:
    import datetime
    import hashlib
    from importlib.metadata import version

    import msgspec

    from engines.backbone import BACKBONE
    from engines.hlgfa import TAPS
    from engines.manifest import Manifest

    digest = hashlib.sha256(onnx).hexdigest()
    flat = {k: v for k, v in msgspec.to_builtins(settings).items() if not isinstance(v, dict)}
    for group in ("guidance", "nuisance"):
        flat |= {f"{group}.{k}": v for k, v in msgspec.to_builtins(getattr(settings, group)).items()}
    return Manifest(
        model_id=f"{name}-{digest[:8]}",
        model_sha256=digest,
        backbone=BACKBONE,
        taps=list(TAPS),
        input_height_px=geometry.input_px[0],
        input_width_px=geometry.input_px[1],
        channels=geometry.channels,  # type: ignore[arg-type]  # checked by Geometry
        hr_height_px=geometry.hr_px[0],
        hr_width_px=geometry.hr_px[1],
        lr_height_px=geometry.lr_px[0],
        lr_width_px=geometry.lr_px[1],
        map_height=geometry.map_shape[0],
        map_width=geometry.map_shape[1],
        data_sha256=data_sha256,
        data_parts=len(images),
        seed=settings.seed,
        training={**flat, "threads": threads, "input_resampled": images.resample},
        versions={p: version(p) for p in ("hlgfa-line", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")},
        created_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _input(paths: list[Path], asked: str | None, channels: int | None) -> tuple[tuple[int, int], int]:
    """Raw size (height, width) and channels: as asked, else what all images have.

    Raises:
        DatasetError: the images differ and nothing was asked for.
    """
    from calibration.dataset import DatasetError, survey

    sizes, found = survey(paths)
    if channels is None and len(found) > 1:
        raise DatasetError(
            f"{paths[0].parent}: found {_listed(found)} channels, expected one kind of image. Remove the odd ones."
        )
    if asked is None and len(sizes) > 1:
        shown = _listed({f"{h}x{w}": n for (h, w), n in sizes.most_common(3)})
        raise DatasetError(
            f"{paths[0].parent}: found {len(sizes)} image sizes ({shown}, ...), expected one, as a camera has. "
            "Add --input HEIGHTxWIDTH to scale every image to that size, or remove the odd ones."
        )
    size = _pair(asked, "--input") if asked else next(iter(sizes))
    return size, channels or next(iter(found))


def _listed(counts: Counter[int] | dict[str, int]) -> str:
    return ", ".join(f"{value} in {count} files" for value, count in counts.items())


def _pair(text: str, option: str) -> tuple[int, int]:
    """Parse "256" or "256x384" as (height, width)."""
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text.strip())
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise typer.BadParameter(f"{option}: found {text!r}, expected HEIGHTxWIDTH in pixels, e.g. 512x512.")
    return int(match[1]), int(match[2] or match[1])


@contextmanager
def _new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its name only when the block has ended well."""
    from calibration.record import CalibrationError

    if out.exists() and not force:
        raise CalibrationError(f"{out}: exists. Choose another --out, or add --force to replace it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, object] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done)  # type: ignore[arg-type]  # rich's TaskID

        yield report


def _say(out: Path, parts: Parts) -> None:
    scores = sorted(part.score for part in parts.hold_out)
    typer.echo(
        f"{out}: trained on {len(parts.fit)} + {len(parts.whiten)} good parts; {len(scores)} held out, scores "
        f"{scores[0]:.3f} to {scores[-1]:.3f}.\nNext: hlgfa calibrate --model {out}"
    )
