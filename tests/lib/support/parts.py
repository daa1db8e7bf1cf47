"""Small synthetic parts: a bright disc with a fixed texture; a defect is a dark scratch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE_PX = 96


def good_part(seed: int, *, size_px: int = SIZE_PX, channels: int = 1) -> np.ndarray:
    """(size, size) or (size, size, 3) uint8; seeds differ in brightness, position and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size_px, :size_px] / size_px
    centre = 0.5 + rng.uniform(-0.01, 0.01, 2)
    disc = (np.hypot(y - centre[0], x - centre[1]) < 0.35) * 90.0
    image = 60 + disc + 12 * np.sin(40 * x) * np.cos(30 * y) + rng.normal(0, 2, y.shape) + rng.uniform(-3, 3)
    grey = np.clip(image, 0, 255).astype(np.uint8)
    return grey if channels == 1 else np.stack([grey, grey // 2 + 40, 255 - grey], axis=2)


def defective_part(seed: int, *, size_px: int = SIZE_PX, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A good part with a dark scratch, and its mask (size, size) bool."""
    image = good_part(seed, size_px=size_px, channels=channels)
    row = size_px // 3 + np.random.default_rng(seed).integers(0, size_px // 4)
    mask = np.zeros((size_px, size_px), bool)
    mask[row : row + size_px // 16, size_px // 3 : 2 * size_px // 3] = True
    image[mask] = 20
    return image, mask


def write_parts(root: Path, *, train: int = 20, good: int = 4, bad: int = 4, channels: int = 1) -> Path:
    """An MVTec AD layout with one defect kind, "scratch"; returns its folder."""
    for folder in ("train/good", "test/good", "test/scratch", "ground_truth/scratch"):
        (root / folder).mkdir(parents=True)
    for index in range(train):
        Image.fromarray(good_part(index, channels=channels)).save(root / f"train/good/{index:03}.png")
    for index in range(good):
        Image.fromarray(good_part(900 + index, channels=channels)).save(root / f"test/good/{index:03}.png")
    for index in range(bad):
        image, mask = defective_part(950 + index, channels=channels)
        Image.fromarray(image).save(root / f"test/scratch/{index:03}.png")
        truth = Image.fromarray(mask.astype(np.uint8) * 255)
        truth.save(root / f"ground_truth/scratch/{index:03}_mask.png")
    return root
