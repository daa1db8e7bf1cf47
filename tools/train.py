"""`hlgfa train`: a folder of good parts in, a model folder out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from calibration.fit import Progress
    from calibration.parts import Parts
    from calibration.roi import InspectedArea
    from engines.hlgfa import Geometry

_INPUT_HELP = "Raw camera image, HEIGHTxWIDTH; images are scaled to it. Default: their own size."


def train(  # noqa: PLR0917 - options of a command
    data: Annotated[Path, typer.Option(help="MVTec AD layout, or a plain folder of good images.")],
    out: Annotated[Path, typer.Option(help="Model folder to make, e.g. models/bottle.")],
    seed: Annotated[int, typer.Option(min=0, help="Fixes split, initial weights and nuisances.")] = 0,
    size: Annotated[str, typer.Option(help="HR view: one number, or HEIGHTxWIDTH; multiples of 64.")] = "256",
    input_size: Annotated[str | None, typer.Option("--input", help=_INPUT_HELP)] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3; default: that of the images.")] = None,
    steps: Annotated[int, typer.Option(min=0, help="Guidance steps a level; 0: closed form only.")] = 400,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads; the same number repeats the same bits.")
    ] = (os.cpu_count() or 1),
    force: Annotated[bool, typer.Option("--force", help="Replace the model folder if it exists.")] = False,
    roi: Annotated[Path | None, typer.Option(help="Region of interest, see `hlgfa roi`.")] = None,
) -> None:
    """Learn the model of one part from images of good parts."""
    from calibration.dataset import ImageFiles, good_parts, split_parts
    from calibration.fit import FitSettings
    from engines.guidance import GuidanceSettings
    from engines.hlgfa import Geometry
    from tools.model_folder import TrainingData, new_folder, write_model

    paths = good_parts(data)
    input_px, found = _input(paths, input_size, channels)
    geometry = Geometry(input_px=input_px, hr_px=_pair(size, "--size"), channels=found)
    area = _region(roi, geometry)
    settings = FitSettings(seed=seed, steps=steps, guidance=GuidanceSettings(enabled=steps > 0))
    images = ImageFiles(paths, size_px=input_px, channels=found, resample=input_size is not None)
    training_data = TrainingData.read(data, images, split_parts(len(paths), seed=seed))
    with new_folder(out, force=force) as folder, _progress_bar() as progress:
        parts = write_model(
            folder,
            training_data,
            geometry,
            settings,
            name=out.name,
            threads=threads,
            progress=progress,
            area=area,
        )
    _say(out, parts)


def _region(path: Path | None, geometry: Geometry) -> InspectedArea | None:
    """Read and check the region of interest before the long work begins."""
    from calibration.inspected import map_mask
    from calibration.roi import read_roi

    if path is None:
        return None
    area = read_roi(path, geometry.input_px)
    map_mask(area, geometry.map_shape)
    return area


def _input(paths: list[Path], asked: str | None, channels: int | None) -> tuple[tuple[int, int], int]:
    """Raw size (height, width) and channels: as asked, else what all images have.

    Raises:
        DatasetError: the images differ and nothing was asked for.
    """
    from calibration.dataset import DatasetError, survey

    sizes, found = survey(paths)
    folder = paths[0].parent
    if channels is None and len(found) > 1:
        kinds = _listed({f"{c} channel(s)": n for c, n in found.items()})
        raise DatasetError(f"{folder}: found {kinds}, expected one kind of image. Remove the odd ones.")
    if asked is None and len(sizes) > 1:
        shown = _listed({f"{h}x{w}": n for (h, w), n in sizes.most_common(3)})
        raise DatasetError(
            f"{folder}: found {len(sizes)} image sizes ({shown}, ...), expected one, as a camera has. Add "
            "--input HEIGHTxWIDTH to scale every image to that size, or remove the odd ones."
        )
    size = _pair(asked, "--input") if asked else next(iter(sizes))
    return size, channels or next(iter(found))


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value} in {count} files" for value, count in counts.items())


def _pair(text: str, option: str) -> tuple[int, int]:
    """Parse "256" or "256x384" as (height, width)."""
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text.strip())
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise typer.BadParameter(f"{option}: found {text!r}, expected HEIGHTxWIDTH in pixels, e.g. 512x512.")
    return int(match[1]), int(match[2] or match[1])


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """One line a step of training, on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {step: bar.add_task(step, total=None, visible=False) for step in _STEPS}

        def report(step: str, done: int, total: int) -> None:
            bar.update(tasks[step], completed=done, total=total, visible=True)

        yield report


_STEPS = ("features", "guidance", "export", "hold-out")


def _say(out: Path, parts: Parts) -> None:
    scores = sorted(part.score for part in parts.hold_out)
    typer.echo(
        f"{out}: trained on {len(parts.fit) + len(parts.whiten)} good parts; {len(scores)} others held out "
        f"for the threshold, scores {scores[0]:.3f} to {scores[-1]:.3f}.\n"
        f"Next: hlgfa calibrate --model {out}"
    )
