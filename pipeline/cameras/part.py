"""One simulated part, photographed: a stamped and brushed plate on a dark conveyor, good or defective."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.cameras.part_defects import DEFECTS, Canvas, Defect, paint_defect
from pipeline.cameras.part_layers import Array, PartLayers, part_layers

if TYPE_CHECKING:
    from pipeline.frame import PixelFormat

__all__ = ["DEFECTS", "RenderedPart", "render_part"]

_METAL_TINT = np.array([1.0, 0.985, 0.955], np.float32)
_CONVEYOR_TINT = np.array([0.90, 1.0, 1.10], np.float32)


class RenderedPart(NamedTuple):
    """A picture and what it shows.

    pixels: uint8, (H, W) for Mono8, (H, W, 3) for RGB8. truth: "good" or one of `DEFECTS`.
    mask: bool (H, W), the pixels that the defect changes by 10 grey levels or more, gaps closed.
    """

    pixels: NDArray[np.uint8]
    truth: str
    mask: NDArray[np.bool_]


class _Pose(NamedTuple):
    matrix: NDArray[np.float64]
    size: tuple[int, int]


def render_part(
    seed: int,
    index: int,
    *,
    width_px: int,
    height_px: int,
    pixel_format: PixelFormat,
    defect_rate: float,
) -> RenderedPart:
    """Render part number `index` of the line `seed`; nothing else decides what it looks like.

    Grain, pose, dust and light come from a random stream of their own, so that the same seed and index
    with `defect_rate` 0 gives the same part without its defect. What varies on good parts: brushing,
    shift by up to 5 px (at 512 px) and turn by up to 2 degrees, lamp drift over hundreds of parts, focus,
    dust specks of at most 9 %, shot and read noise. A good 512 x 512 Mono8 part costs 6 ms of one core,
    8 ms beside busy neighbours (median on a 2-core server); a defect adds 3 ms, RGB8 another 4 ms.
    """
    layers = part_layers(width_px, height_px)
    rng = np.random.default_rng((seed, index, 0))
    fate = np.random.default_rng((seed, index, 1))
    canvas = _fresh(rng, layers)
    pose = _pose(rng, layers)
    defect: Defect | None = None
    mask: NDArray[np.bool_] = np.zeros((height_px, width_px), np.bool_)
    if fate.random() < defect_rate:
        canvas = canvas._replace(floor=canvas.floor.copy())  # the cached one stays as it is
        defect = paint_defect(fate, canvas, layers)
        mask = np.asarray(cv2.warpAffine(defect.mask, *pose, flags=cv2.INTER_NEAREST)) > 0
    floor, metal = _warp(canvas.floor, pose), _warp(canvas.metal, pose)
    floor *= _cut(rng, layers.conveyor, layers)
    light = _light(seed, index, rng, layers)
    sigma_px = rng.uniform(0.5, 0.75)
    if pixel_format == "Mono8":
        metal += floor
        pixels = _expose(rng, metal, light, sigma_px, layers)
    else:
        pixels = np.empty((height_px, width_px, 3), np.uint8)
        for channel, layer in enumerate(_colours(metal, floor, defect, pose)):
            pixels[..., channel] = _expose(rng, layer, light, sigma_px, layers)
    return RenderedPart(pixels, defect.name if defect else "good", mask)


def _fresh(rng: np.random.Generator, layers: PartLayers) -> Canvas:
    """A good part with its own brushing and dust."""
    strength = rng.uniform(0.028, 0.042)
    first, second = _cut(rng, layers.grain[0], layers), _cut(rng, layers.grain[1], layers)
    grain = np.asarray(cv2.addWeighted(first, strength, second, strength, 1.0), np.float32)
    metal = grain * layers.metal
    for _ in range(rng.integers(0, 6)):
        x, y = rng.choice(layers.surface)
        metal[y, x] *= rng.uniform(0.91, 0.97)
    return Canvas(metal, layers.floor, grain)


def _cut(rng: np.random.Generator, bank: Array, layers: PartLayers) -> Array:
    """A random window of the image's size, mirrored at random."""
    height, width = layers.metal.shape
    top, left = rng.integers(0, layers.margin_px + 1, 2)
    window = bank[top : top + height, left : left + width]
    flip = int(rng.integers(0, 4))
    return window if flip == 3 else np.asarray(cv2.flip(window, flip - 1), np.float32)


def _pose(rng: np.random.Generator, layers: PartLayers) -> _Pose:
    height, width = layers.metal.shape
    degrees = float(np.clip(rng.normal(0, 0.8), -2, 2))
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    matrix[:, 2] += np.clip(rng.normal(0, 2, 2), -5, 5) * layers.scale
    return _Pose(matrix, (width, height))


def _warp(layer: Array, pose: _Pose) -> Array:
    return np.asarray(cv2.warpAffine(layer, *pose, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _light(seed: int, index: int, rng: np.random.Generator, layers: PartLayers) -> Array:
    """Light on the scene, (H, W): a lamp that drifts over hundreds of parts, and the lens's fall-off."""
    height, width = layers.metal.shape
    drift = np.sin(2 * np.pi * (index / 700 + (seed % 97) / 97)) + 0.5 * np.sin(2 * np.pi * index / 231)
    level = 1 + 0.022 * drift + rng.normal(0, 0.004)
    tilt_x, tilt_y = rng.normal(0.015 * drift, 0.006), rng.normal(-0.01, 0.006)
    x = np.linspace(-tilt_x, tilt_x, width, dtype=np.float32)
    y = np.linspace(level - tilt_y, level + tilt_y, height, dtype=np.float32)
    return layers.vignette * (x[None, :] + y[:, None])


def _colours(metal: Array, floor: Array, defect: Defect | None, pose: _Pose) -> list[Array]:
    """The three colour channels, red first, of metal and conveyor."""
    amount: Array | None = None
    if defect is not None and defect.tint != (1.0, 1.0, 1.0):
        soft = np.asarray(cv2.GaussianBlur(defect.mask, (0, 0), 1.5), np.float32) / np.float32(255)
        amount = _warp(soft, pose)
    channels = []
    for index in range(3):
        channel = metal * _METAL_TINT[index]
        if defect is not None and amount is not None:
            channel *= 1 + (defect.tint[index] - 1) * amount
        channels.append(channel + floor * _CONVEYOR_TINT[index])
    return channels


def _expose(
    rng: np.random.Generator, scene: Array, light: Array, sigma_px: float, layers: PartLayers
) -> NDArray[np.uint8]:
    """Through the lens onto the sensor: blur, light, shot and read noise, 8 bits."""
    blurred = np.asarray(cv2.GaussianBlur(scene, (5, 5), sigma_px), np.float32)
    blurred *= light
    noise = np.sqrt(blurred * np.float32(0.022) + np.float32(0.9))
    noise *= _cut(rng, layers.noise, layers)
    blurred += noise
    return np.asarray(cv2.convertScaleAbs(np.maximum(blurred, 0, out=blurred)), np.uint8)
