"""`hlgfa train`: a folder of good parts in, a model folder out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tools.errors import check_free
from tools.sizes import hr_size, median_size, size_pair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calibration.dataset import ImageFiles
    from calibration.fit import FitSettings
    from calibration.parts import Parts
    from calibration.roi import InspectedArea
    from engines.geometry import Geometry
    from tools.model_folder import TrainingData

_SIZE_HELP = "HR view: the side of a square of equal area, or HEIGHTxWIDTH; multiples of 32."
_INPUT_HELP = "Raw camera image, HEIGHTxWIDTH; images are scaled to it. Default: their own size."
_SETTINGS_HELP = "YAML with keys of the settings that model.json records, e.g. network: {localise: false}."
_METHOD_HELP = "hlgfa, or paper: guidance and cosine distance alone, without what we add."


def train(  # noqa: PLR0917 - options of a command
    data: Annotated[Path, typer.Option(help="MVTec AD layout, or a plain folder of good images.")],
    out: Annotated[Path, typer.Option(help="Model folder to make, e.g. models/bottle.")],
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fixes split, initial weights and nuisances; default 0.")
    ] = None,
    size: Annotated[str, typer.Option(help=_SIZE_HELP)] = "256",
    input_size: Annotated[str | None, typer.Option("--input", help=_INPUT_HELP)] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3; default: that of the images.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Guidance steps a level; 0: closed form only; default 800.")
    ] = None,
    method: Annotated[str, typer.Option(help=_METHOD_HELP)] = "hlgfa",
    backbone: Annotated[
        str | None, typer.Option(help="efficientnet_lite0 (default), _lite1, _lite2, or timm:NAME.")
    ] = None,
    settings_file: Annotated[Path | None, typer.Option("--settings", help=_SETTINGS_HELP)] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads; the same number repeats the same bits.")
    ] = (os.cpu_count() or 1),
    force: Annotated[bool, typer.Option("--force", help="Replace the model folder if it exists.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was stopped; same options.")
    ] = False,
    memory_gib: Annotated[
        float | None,
        typer.Option("--memory-gib", min=0.01, help="For features; about twice that is needed; default 4."),
    ] = None,
    roi: Annotated[Path | None, typer.Option(help="Region of interest, see `hlgfa roi`.")] = None,
) -> None:
    """Learn the model of one part from images of good parts."""
    from tools.training_settings import training_settings

    check_free(out, force=force)
    settings = training_settings(
        method, settings_file, seed=seed, steps=steps, backbone=backbone, memory_gib=memory_gib
    )
    job = plan_training(
        data, out, settings, size=size, input_size=input_size, channels=channels, threads=threads, roi=roi
    )
    _say(out, run_training(job, resume=resume, force=force))


class TrainingJob(NamedTuple):
    """A training that was checked and can run; `out` is the model folder that it makes."""

    data: TrainingData
    out: Path
    geometry: Geometry
    settings: FitSettings
    area: InspectedArea | None
    threads: int

    @property
    def identity(self) -> bytes:
        """Bytes that are the same only for a training that would give the same model."""
        from tools.model_folder import identity

        return identity(self.data, self.geometry, self.settings, threads=self.threads)

    @property
    def checkpoint_folder(self) -> Path:
        """Where it keeps what it goes on from after a stop."""
        return self.out.parent / f".{self.out.name}.resume"

    @property
    def was_stopped(self) -> bool:
        """Whether this very training has been begun and can go on."""
        from calibration.checkpoint import Checkpoint

        return Checkpoint.holds(self.checkpoint_folder, self.identity)


def plan_training(
    data: Path,
    out: Path,
    settings: FitSettings,
    *,
    size: str = "256",
    input_size: str | None = None,
    channels: int | None = None,
    threads: int,
    roi: Path | None = None,
    hold_out: float = 0.2,
) -> TrainingJob:
    """Read and check what the long work needs; `hold_out` is that of `calibration.dataset.split_parts`.

    Raises:
        CalibrationError: the images, their number or the region of interest cannot be used.
    """
    from calibration.dataset import good_parts, split_parts
    from tools.model_folder import TrainingData

    images = _images(good_parts(data), input_size, channels)
    geometry = _geometry(images, size)
    area = _region(roi, geometry, out)
    training_data = TrainingData.read(
        data, images, split_parts(len(images), seed=settings.seed, hold_out=hold_out)
    )
    return TrainingJob(training_data, out, geometry, settings, area, threads)


def run_training(job: TrainingJob, *, resume: bool, force: bool) -> Parts:
    """Train and write the model folder; returns which parts trained, and the scores of those held out.

    Raises:
        CalibrationError: there is nothing to go on from, or the folder exists and may not be replaced.
    """
    from calibration.checkpoint import Checkpoint
    from tools.model_folder import new_folder, write_model
    from tools.train_view import TrainView

    checkpoint = Checkpoint(job.checkpoint_folder, job.identity, resume=resume)
    with _stoppable(job.out), new_folder(job.out, force=force) as folder, TrainView() as view:
        parts = write_model(
            folder,
            job.data,
            job.geometry,
            job.settings,
            name=job.out.name,
            threads=job.threads,
            progress=view,
            checkpoint=checkpoint,
            area=job.area,
        )
    checkpoint.remove()
    return parts


@contextmanager
def _stoppable(out: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"stopped; {out} is as it was. Go on with the same options and --resume.", err=True)
        raise typer.Exit(130) from None


def _geometry(images: ImageFiles, size: str) -> Geometry:
    from engines.geometry import Geometry

    hr_px = hr_size(size, images.size_px)
    return Geometry(input_px=images.size_px, hr_px=hr_px, channels=images.channels)


def _region(path: Path | None, geometry: Geometry, out: Path) -> InspectedArea | None:
    """Read and check the region of interest before the long work begins.

    Raises:
        CalibrationError: there is none, and the model that is to be replaced has one.
    """
    from calibration.inspected import map_mask
    from calibration.record import CalibrationError
    from calibration.roi import FILE_NAME, read_roi

    if path is None:
        if (out / FILE_NAME).exists():
            raise CalibrationError(
                f"{out / FILE_NAME}: found a region of interest in the model to replace, expected --roi. Add "
                f"--roi {out / FILE_NAME}, or delete it first if the whole image is to be inspected."
            )
        return None
    area = read_roi(path, geometry.input_px)
    map_mask(area, geometry.map_shape)
    return area


def _images(paths: list[Path], asked: str | None, channels: int | None) -> ImageFiles:
    """The images at their own size, or scaled to the size asked for; of several sizes, to their median.

    Raises:
        DatasetError: some are grey and some in colour.
    """
    from calibration.dataset import DatasetError, ImageFiles, survey

    sizes, found = survey(paths)
    folder = paths[0].parent
    if channels is None and len(found) > 1:
        kinds = _listed({f"{c} channel(s)": n for c, n in found.items()})
        raise DatasetError(f"{folder}: found {kinds}, expected one kind of image. Remove the odd ones.")
    if asked is not None:
        size = size_pair(asked, "--input")
    elif len(sizes) == 1:
        size = next(iter(sizes))
    else:
        size = median_size(sizes)
        typer.echo(
            f"warning: {folder}: found {len(sizes)} image sizes, where a camera has one. All are scaled to "
            f"their median {size[0]}x{size[1]}; a station takes frames of that size only; see --input.",
            err=True,
        )
    resample = asked is not None or len(sizes) > 1
    return ImageFiles(paths, size_px=size, channels=channels or next(iter(found)), resample=resample)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value} in {count} files" for value, count in counts.items())


def _say(out: Path, parts: Parts) -> None:
    scores = sorted(part.score for part in parts.hold_out)
    typer.echo(
        f"{out}: trained on {len(parts.fit)} good parts; {len(scores)} others held out "
        f"for the threshold, scores {scores[0]:.3f} to {scores[-1]:.3f}.\n"
        f"Next: hlgfa calibrate --model {out}"
    )
