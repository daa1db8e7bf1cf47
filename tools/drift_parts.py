"""Good parts for measuring drift charts: rendered or of a folder, changed by what drifts on a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.frame_measures import FrameMeasures, measure

if TYPE_CHECKING:
    from pathlib import Path

Pixels = NDArray[np.uint8]
Source = Callable[[int], Pixels]
"""The part with this number, always the same one."""
Judge = Callable[[Pixels], float]
"""The score of a part."""
_MOVED_PX, _LIT = 3, 0.01


class Drift(NamedTuple):
    """What changes on a line: `change` makes a part of `amount`, in `unit`, from one of 0."""

    name: str
    amount: float
    unit: str
    change: Callable[[Pixels, float], Pixels]


class Seen(NamedTuple):
    """What is known of one part."""

    measures: FrameMeasures
    score: float


def lit(pixels: Pixels, percent: float) -> Pixels:
    """Under so much more light."""
    bright = pixels.astype(np.float32) * (1 + percent / 100)
    return np.asarray(np.clip(np.rint(bright), 0, 255), np.uint8)


def blurred(pixels: Pixels, sigma_px: float) -> Pixels:
    """Out of focus."""
    return pixels if sigma_px < 0.05 else np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma_px), np.uint8)


def moved(pixels: Pixels, right_px: float, down_px: float = 0.0) -> Pixels:
    """Further to the right and down; the edges are repeated."""
    height, width = pixels.shape[:2]
    matrix = np.array([[1.0, 0.0, right_px], [0.0, 1.0, down_px]])
    return np.asarray(
        cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


DRIFTS = (
    Drift("brightness", -10.0, "%", lit),
    Drift("brightness", 10.0, "%", lit),
    Drift("blur (sigma)", 2.0, "px", blurred),
    Drift("place", 20.0, "px", moved),
)


def look(judge: Judge, pixels: Pixels) -> Seen:
    """Measures and score."""
    return Seen(measure(pixels), judge(pixels))


def rendered() -> Source:
    """Simulated parts, every seventh: a lamp that wanders by 3 % in waves of 100 and of 33 parts."""
    from pipeline.cameras.part import render_part

    def part(number: int) -> Pixels:
        return render_part(
            9_000, 7 * number, width_px=512, height_px=512, pixel_format="Mono8", defect_rate=0.0
        ).pixels

    return part


def varied(folder: Path, model: Path) -> Source:
    """Images of a folder in random order, each moved by up to 3 px and lit by its own 1 %.

    Raises:
        DatasetError: there are none, or they do not fit the model.
    """
    from calibration.dataset import ImageFiles, good_parts
    from engines.manifest import load_manifest

    images = ImageFiles.for_model(good_parts(folder), load_manifest(model))

    def part(number: int) -> Pixels:
        rng = np.random.default_rng(number)
        image = images[int(rng.integers(len(images)))]
        right_px, down_px = rng.integers(-_MOVED_PX, _MOVED_PX + 1, 2)
        return lit(moved(image, right_px, down_px), 100 * rng.normal(0.0, _LIT))

    return part
