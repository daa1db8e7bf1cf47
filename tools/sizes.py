"""Sizes as options of a command give them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections import Counter


def size_pair(text: str, option: str) -> tuple[int, int]:
    """Parse "256" or "256x384" as (height, width) in pixels.

    Raises:
        typer.BadParameter: it is neither.
    """
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text.strip())
    if match is None or int(match[1]) == 0 or match[2] == "0":
        raise typer.BadParameter(f"{option}: found {text!r}, expected HEIGHTxWIDTH in pixels, e.g. 512x512.")
    return int(match[1]), int(match[2] or match[1])


def hr_size(text: str, input_px: tuple[int, int]) -> tuple[int, int]:
    """HR view as --size asks: "384x256" as it is; "256" an area, in the shape of the images.

    Raises:
        typer.BadParameter: it is neither.
    """
    from engines.geometry import hr_like

    asked = size_pair(text, "--size")
    return hr_like(input_px, asked[0]) if text.strip().isdigit() else asked


def median_size(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """The median height and the median width of images, counted by (height, width)."""
    heights, widths = (sorted(pair[axis] for pair in sizes.elements()) for axis in (0, 1))
    return heights[len(heights) // 2], widths[len(widths) // 2]
