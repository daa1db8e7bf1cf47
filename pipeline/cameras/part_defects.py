"""The known defects of simulated parts, painted on one part before it is turned and photographed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.cameras.part_layers import LIGHT, Array, Box, PartLayers

if TYPE_CHECKING:
    from collections.abc import Callable

Tint = tuple[float, float, float]  # factors of red, green, blue
Point = NDArray[np.float64]  # (2,) x, y, or (N, 2) of them
CONVEYOR_GREY = 30.0
_MIN_CHANGE_GREY = 10.0  # from here on a pixel belongs to the defect
_MIN_CONTRAST_GREY = 17.0  # mean change over the defect, noise has a standard deviation of about 2
_LENS_SIGMA_PX = 0.9  # the blur of `part._expose` and of turning the part
_MIN_AREA_PX = 45.0  # in a 512 x 512 image
_ATTEMPTS = 12


class Canvas(NamedTuple):
    """One part, unturned: what `PartLayers` calls metal and floor, and the brushing that metal has."""

    metal: Array
    floor: Array
    grain: Array


class Defect(NamedTuple):
    """What was painted: name, the changed pixels ((H, W) uint8, 0 or 255) and the colour of the matter."""

    name: str
    mask: NDArray[np.uint8]
    tint: Tint


def paint_defect(rng: np.random.Generator, canvas: Canvas, layers: PartLayers) -> Defect:
    """Paint one random defect into `canvas`; tried again until a careful inspector would see it."""
    name = str(rng.choice(list(_PAINTERS)))
    before = Canvas(canvas.metal.copy(), canvas.floor.copy(), canvas.grain)
    least_px = max(6.0, _MIN_AREA_PX * layers.scale**2)
    for _ in range(_ATTEMPTS):
        tint = _PAINTERS[name](rng, canvas, layers)
        change = _change(canvas, before)
        seen = change > _MIN_CHANGE_GREY
        area_px = np.count_nonzero(seen)
        if area_px >= least_px and change[seen].mean() >= _MIN_CONTRAST_GREY:
            break
        canvas.metal[...], canvas.floor[...] = before.metal, before.floor
    else:
        name, tint = "missing_feature", _remove(canvas, layers, layers.features[4])
        seen = _change(canvas, before) > _MIN_CHANGE_GREY
    size = 2 * round(2 * layers.scale) + 1
    mask = cv2.morphologyEx(seen.astype(np.uint8) * 255, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    return Defect(name, np.asarray(mask, np.uint8), tint)


def _change(after: Canvas, before: Canvas) -> Array:
    """Change in grey levels, as the lens will show it: a hair's width fades."""
    change = after.floor - before.floor
    change *= CONVEYOR_GREY
    change += after.metal
    change -= before.metal
    return np.asarray(np.abs(cv2.GaussianBlur(change, (5, 5), _LENS_SIGMA_PX)), np.float32)


def _scratch(rng: np.random.Generator, canvas: Canvas, layers: PartLayers) -> Tint:
    """A groove across the grain, bright on the flank that faces the lamp and dark on the other."""
    steep = np.deg2rad(rng.uniform(28, 152))  # along the grain it would look like the grain
    length = rng.uniform(0.09, 0.34) * 512 * layers.scale
    start = rng.choice(layers.surface).astype(np.float64)
    t = np.linspace(0, 1, 17)[:, None]
    along, across = np.array([np.cos(steep), np.sin(steep)]), np.array([-np.sin(steep), np.cos(steep)])
    points = start + length * ((t - 0.5) * along + rng.uniform(-0.12, 0.12) * t * (1 - t) * 4 * across)
    box = _box_around(points, 8 * layers.scale + 4, canvas)
    thinnest_px = 1 if layers.scale > 0.7 else 2  # a thinner one would vanish in the lens's blur
    width = max(thinnest_px, round(rng.uniform(1.2, 2.9) * layers.scale))
    core = np.zeros((box.bottom - box.top, box.right - box.left), np.uint8)
    strength = np.clip(np.sin(np.pi * t[:, 0]) ** 0.4 * rng.uniform(0.55, 1, 17), 0, 1) * 255
    for a, b, value in zip(points, points[1:], strength[1:], strict=False):
        cv2.line(core, _sub(a, box), _sub(b, box), float(value), width, cv2.LINE_AA, shift=4)
    flank = max(1, round(layers.scale * width / 2))
    bright = core.astype(np.float32) / 255
    dark = np.roll(bright, (flank, flank), (0, 1)) * (1 - bright)
    depth = rng.uniform(0.4, 0.8)
    if rng.random() < 0.35:
        bright, dark = 0.8 * dark, bright
    canvas.metal[box.slices] *= np.clip(1 + depth * bright - 0.6 * depth * dark, 0.1, None)
    return (1.0, 1.0, 1.0)


def _dent(rng: np.random.Generator, canvas: Canvas, layers: PartLayers) -> Tint:
    """A smooth pit: the wall that faces the lamp is bright, the other dark, the grain is drawn in."""
    centre = rng.choice(layers.surface).astype(np.float64)
    sigma = rng.uniform(5.0, 13.0) * layers.scale
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.7)
    box = _box_around(centre[None], 3.6 * stretch * sigma + 2, canvas)
    y, x = np.mgrid[box.top : box.bottom, box.left : box.right].astype(np.float32)
    u = ((x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)) / (sigma * stretch)
    v = ((y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)) / sigma
    pit = np.exp(-(u * u + v * v) / 2)
    slope_x = pit * (u * np.cos(turn) / stretch - v * np.sin(turn))
    slope_y = pit * (u * np.sin(turn) / stretch + v * np.cos(turn))
    wall = -(slope_x * LIGHT[0] + slope_y * LIGHT[1]) / 0.6
    patch = canvas.metal[box.slices]
    draw = np.float32(0.35 * sigma)
    column, row = x - box.left + draw * slope_x, y - box.top + draw * slope_y
    moved = cv2.remap(
        patch, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
    )
    depth = rng.uniform(0.5, 1.0)
    canvas.metal[box.slices] = moved * np.clip(1 + depth * wall - 0.12 * pit, 0.15, 1.75)
    return (1.0, 1.0, 1.0)


def _stain(rng: np.random.Generator, canvas: Canvas, layers: PartLayers) -> Tint:
    """A dried drop: an irregular darker patch with a still darker rim."""
    centre = rng.choice(layers.surface).astype(np.float64)
    radius = rng.uniform(13, 40) * layers.scale
    box = _box_around(centre[None], 1.9 * radius + 2, canvas)
    y, x = np.mgrid[box.top : box.bottom, box.left : box.right].astype(np.float32)
    rough = cv2.resize(rng.standard_normal((7, 7), np.float32), x.shape[::-1], interpolation=cv2.INTER_CUBIC)
    distance = np.hypot(x - centre[0], (y - centre[1]) * rng.uniform(0.8, 1.4)) / radius
    level = 1 - distance + 0.24 * rough * np.clip(1.9 - distance, 0, 1)
    wet = np.clip(level / 0.12, 0, 1)
    rim = np.exp(-(((level - 0.10) / 0.09) ** 2))
    depth = rng.uniform(0.2, 0.42)
    canvas.metal[box.slices] *= 1 - depth * wet * (0.75 + 0.45 * rim)
    return (1.10, 0.97, 0.74)


def _contamination(rng: np.random.Generator, canvas: Canvas, layers: PartLayers) -> Tint:
    """Something that lies on the part: a hair, a curled chip, or debris; it throws a small shadow."""
    kind = rng.choice(["hair", "chip", "debris"])
    cover = np.zeros(canvas.metal.shape, np.uint8)
    centre = rng.choice(layers.surface).astype(np.float64)
    scale = layers.scale
    if kind == "hair":
        _draw_hair(rng, cover, centre, scale)
    elif kind == "chip":
        _draw_chip(rng, cover, centre, scale)
    else:
        for _ in range(rng.integers(5, 15)):
            at = centre + rng.normal(0, 11 * scale, 2)
            corners = at + rng.uniform(0.9, 3.6) * scale * rng.normal(0, 1, (6, 2))
            cv2.fillConvexPoly(
                cover, cv2.convexHull(np.round(corners * 16).astype(np.int32)), 255, cv2.LINE_AA, 4
            )
    value = rng.choice([225.0, 238.0]) if kind == "chip" and rng.random() < 0.6 else rng.uniform(14, 40)
    _lay(canvas, cover.astype(np.float32) / np.float32(255), float(value), shift=max(1, round(2.2 * scale)))
    return (1.0, 0.9, 0.8) if value < 60 else (1.0, 0.98, 0.9)


def _draw_hair(rng: np.random.Generator, cover: NDArray[np.uint8], centre: Point, scale: float) -> None:
    length = rng.uniform(55, 150) * scale
    controls = centre + length * rng.normal(0, 0.42, (4, 2))
    t = np.linspace(0, 1, 40)[:, None]
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    points = sum(w * p for w, p in zip(weights, controls, strict=True))
    width = max(1, round(rng.uniform(1.0, 2.3) * scale))
    cv2.polylines(cover, [np.round(points * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)


def _draw_chip(rng: np.random.Generator, cover: NDArray[np.uint8], centre: Point, scale: float) -> None:
    """A curl of swarf: a spiral seen at a slant."""
    t = np.linspace(0, 1, 40)
    angle = rng.uniform(0, 2 * np.pi) + t * rng.uniform(1.2, 2.2) * np.pi
    radius = rng.uniform(8, 15) * scale * (1 - rng.uniform(0.3, 0.7) * t)
    slant = rng.uniform(0.45, 0.9)
    points = centre + np.stack([radius * np.cos(angle), slant * radius * np.sin(angle)], axis=1)
    width = max(2, round(rng.uniform(2.4, 4.2) * scale))
    cv2.polylines(cover, [np.round(points * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)


def _lay(canvas: Canvas, cover: Array, grey: float, *, shift: int) -> None:
    """Put matter of one grey level over metal and conveyor alike, with its shadow below."""
    shadow = cv2.GaussianBlur(np.roll(cover, (shift, shift), (0, 1)), (0, 0), max(0.6, shift / 2))
    dim = 1 - 0.45 * shadow
    canvas.metal[...] = canvas.metal * dim * (1 - cover) + grey * cover
    canvas.floor[...] *= dim * (1 - cover)


def _missing_feature(rng: np.random.Generator, canvas: Canvas, layers: PartLayers) -> Tint:
    """A hole that was not drilled, or a stamp that was not struck."""
    return _remove(canvas, layers, layers.features[rng.integers(len(layers.features))])


def _remove(canvas: Canvas, layers: PartLayers, box: Box) -> Tint:
    at = box.slices
    canvas.metal[at] = layers.plain_metal[at] * canvas.grain[at]
    canvas.floor[at] = layers.plain_floor[at]
    return (1.0, 1.0, 1.0)


def _box_around(points: Point, margin: float, canvas: Canvas) -> Box:
    height, width = canvas.metal.shape
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    left, right = np.clip([low[0], high[0] + 1], 0, width).astype(int)
    top, bottom = np.clip([low[1], high[1] + 1], 0, height).astype(int)
    return Box(int(top), int(bottom), int(left), int(right))


def _sub(point: Point, box: Box) -> tuple[int, int]:
    """A point in a box, in sixteenths of a pixel."""
    return round((point[0] - box.left) * 16), round((point[1] - box.top) * 16)


_PAINTERS: dict[str, Callable[[np.random.Generator, Canvas, PartLayers], Tint]] = {
    "scratch": _scratch,
    "dent": _dent,
    "missing_feature": _missing_feature,
    "stain": _stain,
    "contamination": _contamination,
}
DEFECTS = tuple(_PAINTERS)
