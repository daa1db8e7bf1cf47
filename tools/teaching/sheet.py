"""The contact sheet: every collected image small, with its number, and what stands out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

COLUMNS = 8
THUMB_PX = 192
CAPTION_PX = 26
MARGIN_PX = 10
HEAD_PX = 60
BACKGROUND, TEXT, QUIET, OUT = (24, 26, 30), (236, 238, 240), (150, 156, 164), (255, 84, 72)


def draw_sheet(
    path: Path, images: Sequence[NDArray[np.uint8]], left_out: Mapping[int, str], *, title: str
) -> None:
    """Write a PNG.

    Args:
        path: of the file.
        images: (H, W) or (H, W, 3) uint8; read one after the other.
        left_out: by number from 1, why an image does not teach; it is framed and crossed.
        title: the first line.
    """
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    cell_width, cell_height = THUMB_PX + MARGIN_PX, THUMB_PX + CAPTION_PX + MARGIN_PX
    size = max(columns, 4) * cell_width + MARGIN_PX, HEAD_PX + rows * cell_height + MARGIN_PX
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN_PX, 8), title, TEXT, font=_font(20))
    draw.text((MARGIN_PX, 34), _summary(len(images), left_out), QUIET, font=_font(15))
    for index in range(len(images)):
        row, column = divmod(index, columns)
        corner = MARGIN_PX + column * cell_width, HEAD_PX + row * cell_height
        _draw_cell(sheet, draw, corner, images[index], index + 1, left_out.get(index + 1))
    sheet.save(path)


def _summary(count: int, left_out: Mapping[int, str]) -> str:
    out = f"{len(left_out)} left out, framed in red" if left_out else "none left out"
    return f"{count} images, {out}. A part that is not good: --resume --exclude NUMBER,NUMBER"


def _draw_cell(  # noqa: PLR0917 - told apart by type
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    pixels: NDArray[np.uint8],
    number: int,
    why: str | None,
) -> None:
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.BOX)
    x, y = corner
    left, top = x + (THUMB_PX - image.width) // 2, y + (THUMB_PX - image.height) // 2
    sheet.paste(image, (left, top))
    draw.text((x, y + THUMB_PX + 3), str(number), TEXT if why is None else OUT, font=_font(18))
    if why is None:
        return
    box = (left, top, left + image.width - 1, top + image.height - 1)
    draw.rectangle(box, outline=OUT, width=4)
    draw.line((box[0], box[3], box[2], box[1]), OUT, 2)
    draw.text((x + 40, y + THUMB_PX + 5), _fitted(draw, why, THUMB_PX - 40), OUT, font=_font(14))


def _fitted(draw: ImageDraw.ImageDraw, text: str, width_px: int) -> str:
    """The text, cut where it would run into the next picture."""
    if draw.textlength(text, font=_font(14)) <= width_px:
        return text
    while text and draw.textlength(text + "…", font=_font(14)) > width_px:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
