"""`hlgfa simulate`: the simulated part as a data set of image files, to try training and evaluation with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cameras.part import RenderedPart
    from pipeline.frame import PixelFormat


def simulate(
    out: Annotated[Path, typer.Option(help="New directory for the data set.")],
    *,
    train: Annotated[int, typer.Option(min=1, help="Good parts to train on.")] = 240,
    test: Annotated[int, typer.Option(min=0, help="Good parts to test on, and as many bad ones.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the parts; each has its own sequence.")] = 1000,
    every: Annotated[
        int, typer.Option(min=1, help="Take every n-th part that passes: the lamp drifts over hundreds.")
    ] = 7,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Width and height in pixels.")] = 512,
) -> None:
    """Write simulated parts in the layout of MVTec AD: train/good, test/<kind>, ground_truth/<kind>."""
    from rich.progress import track

    from pipeline.config import ConfigError

    if out.exists():
        raise ConfigError(f"--out: found {out}, expected a directory that does not exist yet.")
    parts = _parts(train=train, test=test, seed=seed, every=every, size=size)
    for folder, number, part in track(parts, "rendering", total=train + 2 * test, transient=True):
        write_part(out, folder, number, part)
    print(f"{out}: {train} good parts to train on, {test} good and {test} defective ones to test on")


def _parts(
    *, train: int, test: int, seed: int, every: int, size: int
) -> Iterator[tuple[str, int, RenderedPart]]:
    """Folder, running number and part; three seeds, so that no part is in two places."""
    from pipeline.cameras.part import render_part

    pixel_format: PixelFormat = "Mono8"
    counts = (("train", train, 0.0), ("test", test, 0.0), ("test", test, 1.0))
    for offset, (folder, count, defect_rate) in enumerate(counts):
        for index in range(count):
            part = render_part(
                seed + offset,
                index * every,
                width_px=size,
                height_px=size,
                pixel_format=pixel_format,
                defect_rate=defect_rate,
            )
            yield folder, index, part


def write_part(out: Path, folder: str, number: int, part: RenderedPart) -> None:
    """Its image under the kind that it is, and its mask if it is defective, in the layout of MVTec AD."""
    from PIL import Image

    directory = out / folder / part.truth
    directory.mkdir(parents=True, exist_ok=True)
    Image.fromarray(part.pixels).save(directory / f"{number:04}.png")
    if part.truth != "good":
        masks = out / "ground_truth" / part.truth
        masks.mkdir(parents=True, exist_ok=True)
        Image.fromarray(part.mask).save(masks / f"{number:04}_mask.png")
