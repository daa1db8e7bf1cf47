"""Step 2 of `hlgfa teach`: what stands out, the contact sheet, and the folder of what teaches."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from calibration.dataset import ImageFiles
from calibration.images import list_images
from calibration.looks import look_at
from calibration.record import CalibrationError
from tools.teaching.bars import bars
from tools.teaching.collect import FEWEST
from tools.teaching.sheet import draw_sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from calibration.looks import Flag, Look

BY_HAND = "left out by you"


def excluded(text: str) -> tuple[int, ...]:
    """The numbers of "3,7-9", sorted.

    Raises:
        typer.BadParameter: it is no list of numbers.
    """
    numbers: set[int] = set()
    for item in filter(None, text.replace(" ", "").split(",")):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", item)
        if match is None:
            raise typer.BadParameter(
                f"--exclude: found {item!r}, expected numbers of the contact sheet such as 3,7 or 3-5."
            )
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(numbers))


def look_through(images: ImageFiles) -> list[Look]:
    """Measure every image."""
    with bars() as progress:
        return [look_at(images[index]) for index in progress.track(range(len(images)), description="look")]


def left_out(flags: Sequence[Sequence[Flag]], exclude: Sequence[int], *, keep: bool) -> dict[int, str]:
    """By number from 1, why an image does not teach.

    Raises:
        CalibrationError: a number that there is none of, or too few images are left.
    """
    count = len(flags)
    unknown = [number for number in exclude if not 1 <= number <= count]
    if unknown:
        raise CalibrationError(f"--exclude: found {unknown[0]}, expected numbers from 1 to {count}.")
    out = {} if keep else {n: ", ".join(f.text for f in found) for n, found in enumerate(flags, 1) if found}
    out |= dict.fromkeys(exclude, BY_HAND)
    if count - len(out) < FEWEST:
        raise CalibrationError(
            f"found {count - len(out)} images that can teach of {count}, expected at least {FEWEST}: "
            f"{_reasons(out)}. Look at the contact sheet; put different parts before the camera, one for "
            "each image (a part at rest is taken again and again where nothing triggers), then --force; or, "
            "if the parts are right as they are, --keep."
        )
    return dict(sorted(out.items()))


def _reasons(out: Mapping[int, str]) -> str:
    """The first few of them."""
    named = [f"{number} {why}" for number, why in list(out.items())[:3]]
    return "; ".join(named) + ("; and others" if len(out) > len(named) else "")


def show(looks: Sequence[Look], flags: Sequence[Sequence[Flag]], out: Mapping[int, str]) -> None:
    """Print a line for each image that stands out or was left out, beside the median."""
    import numpy as np

    shown = sorted(set(out) | {number for number, found in enumerate(flags, 1) if found})
    table = Table("image", "sharpness", "mean", "black/white", "what", "teaches", box=None)
    medians = np.median([look[1:4] for look in looks], axis=0)
    table.add_row("median", *_numbers(*medians), "", "")
    for number in shown:
        look, found = looks[number - 1], flags[number - 1]
        why = ", ".join(one.text for one in found) or out[number]
        teaches = "no" if number in out else "yes (--keep)"
        table.add_row(str(number), *_numbers(*look[1:4]), why, teaches)
    if shown:
        Console(soft_wrap=True, highlight=False).print(table)


def _numbers(sharpness: float, mean: float, clipped: float) -> tuple[str, str, str]:
    return f"{sharpness:.2f}", f"{mean:.0f}", f"{clipped:.1%}"


def write_sheet(path: Path, images: ImageFiles, out: Mapping[int, str], title: str) -> None:
    """Draw the contact sheet."""
    draw_sheet(path, images, out, title=title)


def choose(frames: Path, good: Path, out: Mapping[int, str]) -> list[Path]:
    """Make `good` the folder of the images that teach: links to those of `frames`, nothing else."""
    chosen = [path for number, path in enumerate(list_images(frames), 1) if number not in out]
    if good.is_dir() and [path.name for path in list_images(good)] == [path.name for path in chosen]:
        return chosen
    shutil.rmtree(good, ignore_errors=True)
    good.mkdir()
    for path in chosen:
        (good / path.name).hardlink_to(path)
    return chosen
