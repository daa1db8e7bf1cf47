"""What all simulated parts of one image size share: a stamped plate's shape and light, and texture banks.

Grey levels are float32 on the scale 0..255. The plate is drawn once, as a height map (at twice
the resolution in small images), and lit by one lamp from the upper left (Lambert plus a highlight).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MIN_SIDE_PX = 64
LIGHT = np.array([-0.46, -0.55, 0.70], np.float32)  # x right, y down, z to the camera
_WIDTH, _HEIGHT = 1000, 860  # the plate in its own units
_HOLES = ((130, 130, 46), (870, 130, 46), (130, 730, 46), (870, 730, 46), (330, 430, 118))
_SLOT = ((600, 600), (740, 600), 40)
_TEXTS = (("HLGFA", (500, 300), 3.6), ("M8-42", (535, 430), 2.5), ("07", (600, 760), 2.4))
_LOGO = (390, 700, 72)


class Box(NamedTuple):
    """A rectangle of pixels, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index an (H, W) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class PartLayers(NamedTuple):
    """Arrays of shape (H, W) unless said otherwise; the plate lies unturned in the middle."""

    metal: Array
    """Lit, unbrushed plate times its coverage (1 on metal, 0 beside it and in holes)."""
    floor: Array
    """How much of the conveyor is seen, 0..1, its shadow included."""
    plain_metal: Array
    """The same for a plate without holes and stamps."""
    plain_floor: Array
    surface: NDArray[np.int32]
    """(N, 2) points x, y of flat metal, away from edges."""
    features: tuple[Box, ...]
    """Around each hole, slot and stamp."""
    conveyor: Array
    """(H + m, W + m), to be cut at a random place."""
    grain: Array
    """(2, H + m, W + m) brushed texture, mean 0, standard deviation 1."""
    noise: Array
    """(H + m, W + m) white, standard normal."""
    vignette: Array
    margin_px: int
    """m: how far the banks are larger than the image."""
    scale: float
    """Pixels per pixel of a 512 x 512 image."""


@lru_cache(maxsize=2)
def part_layers(width_px: int, height_px: int) -> PartLayers:
    """Everything that does not change from part to part; about 0.3 s for 512 x 512, then cached."""
    rng = np.random.default_rng(20240607)
    scale = min(width_px, height_px) / 512
    margin_px = max(16, round(128 * scale))
    bank = (height_px + margin_px, width_px + margin_px)
    plate = _Plate(width_px, height_px)
    metal, floor, coverage = plate.lit(featured=True)
    plain_metal, plain_floor, _ = plate.lit(featured=False)
    size = 2 * round(11 * scale) + 3
    inside = cv2.erode((coverage > 0.99).astype(np.uint8), np.ones((size, size), np.uint8))
    rows, columns = np.nonzero(inside)
    return PartLayers(
        metal=metal,
        floor=floor,
        plain_metal=plain_metal,
        plain_floor=plain_floor,
        surface=np.stack([columns, rows], axis=1).astype(np.int32),
        features=plate.features(),
        conveyor=_conveyor(rng, bank, scale),
        grain=np.stack([_grain(rng, bank, scale), _grain(rng, bank, scale)]),
        noise=rng.standard_normal(bank, np.float32),
        vignette=_vignette(width_px, height_px),
        margin_px=margin_px,
        scale=scale,
    )


class _Plate:
    """Draws the plate of one image size."""

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = (width_px, height_px)
        self._oversample = 2 if min(width_px, height_px) < 1_000 else 1
        self._fine = (width_px * self._oversample, height_px * self._oversample)
        self._unit = 0.84 * min(self._fine[0] / _WIDTH, self._fine[1] / _HEIGHT)  # fine px a unit
        self._zero = (
            (self._fine[0] - _WIDTH * self._unit) / 2,
            (self._fine[1] - _HEIGHT * self._unit) / 2,
        )

    def features(self) -> tuple[Box, ...]:
        """One box around each hole, slot and stamp."""
        boxes = [self._box(x - r, y - r, x + r, y + r) for x, y, r in (*_HOLES, _LOGO)]
        (x0, y0), (x1, y1), r = _SLOT
        boxes.append(self._box(x0 - r, y0 - r, x1 + r, y1 + r))
        for text, (x, y), size in _TEXTS:
            (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 16)
            boxes.append(self._box(x, y - h, x + w, y))
        return tuple(boxes)

    def lit(self, *, featured: bool) -> tuple[Array, Array, Array]:
        """Lit metal times coverage, visible conveyor, coverage; each (H, W)."""
        solid, stamps = self._masks(featured=featured)
        chamfer = 13 * self._unit
        edge = np.minimum(_distance(solid), chamfer)
        depth = np.minimum(_distance(stamps), 7 * self._unit)
        height = np.asarray(0.6 * edge - 1.1 * depth, np.float32)
        grey = _shade(_blur(height, max(0.6, 1.6 * self._unit))) * np.where(
            stamps > 0, np.float32(0.74), np.float32(1)
        )
        coverage = solid.astype(np.float32) / np.float32(255)
        shift = round(16 * self._unit)
        shadow = _blur(np.roll(coverage, (shift, shift), (0, 1)), 12 * self._unit)
        floor = np.asarray((1 - coverage) * (1 - 0.7 * shadow), np.float32)
        return self._down(grey * coverage), self._down(floor), self._down(coverage)

    def _masks(self, *, featured: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        solid = np.zeros(self._fine[::-1], np.uint8)
        stamps = np.zeros_like(solid)
        outline = [(60, 0), (1000, 0), (1000, 640), (1000, 800), (940, 860), (0, 860), (0, 60)]
        cv2.fillPoly(solid, [np.array([self._at(*p) for p in outline], np.int32)], 255)
        if not featured:
            return solid, stamps
        for x, y, r in _HOLES:
            cv2.circle(solid, self._at(x, y), round(r * self._unit), 0, -1)
        cv2.line(solid, self._at(*_SLOT[0]), self._at(*_SLOT[1]), 0, round(2 * _SLOT[2] * self._unit))
        for text, (x, y), size in _TEXTS:
            stroke = max(1, round(15 * self._unit))
            cv2.putText(
                stamps, text, self._at(x, y), cv2.FONT_HERSHEY_SIMPLEX, size * self._unit, 255, stroke
            )
        self._stamp_logo(stamps)
        return solid, stamps

    def _stamp_logo(self, stamps: NDArray[np.uint8]) -> None:
        x, y, r = _LOGO
        stroke = max(1, round(13 * self._unit))
        cv2.circle(stamps, self._at(x, y), round((r - 7) * self._unit), 255, stroke)
        triangle = [(x, y - 36), (x + 34, y + 26), (x - 34, y + 26)]
        cv2.fillPoly(stamps, [np.array([self._at(*p) for p in triangle], np.int32)], 255)

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(self._zero[0] + x * self._unit), round(self._zero[1] + y * self._unit)

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        pad = 40  # the chamfer and the shadow belong to the feature
        left, top = self._at(x0 - pad, y0 - pad)
        right, bottom = self._at(x1 + pad, y1 + pad)
        fine = self._oversample
        return Box(
            max(0, top // fine),
            min(self._size[1], bottom // fine + 1),
            max(0, left // fine),
            min(self._size[0], right // fine + 1),
        )

    def _down(self, fine: Array) -> Array:
        return np.asarray(cv2.resize(fine, self._size, interpolation=cv2.INTER_AREA), np.float32)


def _blur(image: Array, sigma_px: float) -> Array:
    """Gaussian blur; a wide one as three box blurs, whose cost does not grow with the width."""
    if sigma_px < 3:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)
    side_px = 2 * round((np.sqrt(4 * sigma_px**2 + 1) - 1) / 2) + 1
    for _ in range(3):
        image = np.asarray(cv2.blur(image, (side_px, side_px)), np.float32)
    return image


def _distance(mask: NDArray[np.uint8]) -> Array:
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32)


def _shade(height: Array) -> Array:
    """Grey levels of a surface from its height in pixels: ambient, Lambert and highlight."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    norm = np.sqrt(dx * dx + dy * dy + 1)
    light = LIGHT / np.linalg.norm(LIGHT)
    lambert = np.maximum(0, (-dx * light[0] - dy * light[1] + light[2]) / norm)
    half = light + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    shine = np.maximum(0, (-dx * half[0] - dy * half[1] + half[2]) / norm) ** 24
    return np.asarray(36 + 144 * lambert + 60 * shine, np.float32)


def _grain(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Array:
    """Brushed metal: white noise smeared along x over several lengths; mean 0, standard deviation 1."""
    total = np.zeros(shape, np.float32)
    for length_px, weight in ((9, 0.45), (45, 0.8), (180, 0.9)):
        smear = (max(1, round(length_px * scale)), 1)
        layer = cv2.blur(rng.standard_normal(shape, np.float32), smear, borderType=cv2.BORDER_REFLECT)
        total += np.float32(weight) * layer / layer.std()
    return np.asarray((total - total.mean()) / total.std(), np.float32)


def _conveyor(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Array:
    """A dark woven belt, mean about 30 grey levels."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    pitch = max(3.0, 6 * scale)
    weave = np.sin(2 * np.pi * (x + y) / pitch) * np.sin(2 * np.pi * (x - y) / pitch)
    dirt = _blur(rng.standard_normal(shape, np.float32), max(1.0, 7 * scale))
    return np.asarray(30 + 4.0 * weave + 2.2 * dirt / dirt.std(), np.float32)


def _vignette(width_px: int, height_px: int) -> Array:
    """Lens fall-off: 1 in the middle, 0.84 in the corners."""
    y = np.linspace(-1, 1, height_px, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width_px, dtype=np.float32)[None, :]
    return np.asarray(1 - 0.08 * (x * x + y * y), np.float32)
