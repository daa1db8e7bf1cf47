"""Image files of good and defective parts: found, read strictly, split and hashed the same way every time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calibration.images import SUFFIXES, decode_image, image_format, list_images
from calibration.record import CalibrationError

if TYPE_CHECKING:
    from engines.manifest import Manifest

GOOD = "good"
HOLD_OUT = 0.2
"""Share of the good parts that is held out for the threshold."""


class DatasetError(CalibrationError):
    """A folder or a file in it cannot be used as it is; the message says what, found, expected, do."""


class LabelledPart(NamedTuple):
    """One image of the test set: `kind` is its defect or "good"; `mask` its ground truth, if there is one."""

    path: Path
    kind: str
    mask: Path | None


class Split(msgspec.Struct, frozen=True):
    """Good parts by use: `fit` trains, `hold_out` gives the threshold.

    Where none is held out, those of `fit` give the threshold, too (`calibration.cross_fit`).
    """

    fit: list[int]
    hold_out: list[int]


class ImageFiles(Sequence[NDArray[np.uint8]]):
    """Images read when they are asked for, all of one size and channel count.

    With `resample` an image of another size is scaled to it (area when it shrinks, linear when it grows);
    without, it is an error.
    """

    def __init__(
        self, paths: Sequence[Path], *, size_px: tuple[int, int], channels: int, resample: bool = False
    ) -> None:
        self.paths, self.size_px, self.channels, self.resample = list(paths), size_px, channels, resample

    @classmethod
    def for_model(cls, paths: Sequence[Path], manifest: Manifest) -> ImageFiles:
        """As the model's training read its own: scaled if those were, strict if they were not."""
        return cls(
            paths,
            size_px=(manifest.input_height_px, manifest.input_width_px),
            channels=manifest.channels,
            resample=bool(manifest.training.get("input_resampled", False)),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:  # type: ignore[override]  # no slices
        """(height, width) or (height, width, 3) uint8.

        Raises:
            DatasetError: as `read_image`, or the size is another and may not be changed.
        """
        path = self.paths[index]
        image = read_image(path, self.channels)
        if image.shape[:2] == self.size_px:
            return image
        if not self.resample:
            raise DatasetError(
                f"{path}: found {_size(image.shape)} pixels, expected {_size(self.size_px)} (height x width)."
                " Remove it, or train with --input HxW, which scales every image to that size."
            )
        return resized(image, self.size_px)


def read_image(path: Path, channels: int) -> NDArray[np.uint8]:
    """Read an 8-bit image: (H, W) for one channel, (H, W, 3) RGB for three.

    A colour file read as one channel is refused, and so is a grey file read as three: which one the camera
    delivers is part of the model.

    Raises:
        ImageFileError: missing, cut off, not an image, or not 8-bit grey or RGB.
        DatasetError: another number of channels.
    """
    image = decode_image(path)
    found = 1 if image.ndim == 2 else image.shape[2]
    if found != channels:
        raise DatasetError(
            f"{path}: found {found} channel(s), expected {channels}. Convert the file, or use a model "
            f"that was trained on images with {found}."
        )
    return image


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a ground truth of any kind of pixels: (H, W), true where it is above half of its largest value.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: cannot be decoded ({error}), expected a mask. Copy it again.") from error
    return np.asarray(values * 2.0 > max(int(values.max()), 1))


def resized(image: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale to (height, width): by area where the image shrinks, linearly where it grows."""
    shrinks = image.shape[0] >= size_px[0] and image.shape[1] >= size_px[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_px[::-1], interpolation=how), dtype=np.uint8)


def image_paths(folder: Path) -> list[Path]:
    """Image files of a folder and its subfolders, sorted.

    Raises:
        DatasetError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; expected one with images of parts.")
    paths = list_images(folder)
    if not paths:
        raise DatasetError(f"{folder}: holds no image; expected files of {', '.join(SUFFIXES)}.")
    return paths


def good_parts(data: Path) -> list[Path]:
    """Training images: `train/good` of an MVTec AD layout, else every image of a plain folder of good parts.

    Raises:
        DatasetError: there are none, or the folder looks like an MVTec AD layout without `train/good`.
    """
    train = data / "train" / GOOD
    if train.is_dir():
        return image_paths(train)
    if (data / "test").is_dir() or (data / "train").is_dir():
        raise DatasetError(f"{data}: found train/ or test/ but no train/good; expected the MVTec AD layout.")
    return image_paths(data)


def labelled_parts(data: Path) -> list[LabelledPart]:
    """Test images of an MVTec AD layout, by kind, each with its mask where the data has one.

    Raises:
        DatasetError: there is no `test` folder, or it holds no good or no defective part.
    """
    parts = []
    for path in image_paths(data / "test"):
        kind = path.relative_to(data / "test").parts[0]
        mask = data / "ground_truth" / kind / f"{path.stem}_mask.png"
        parts.append(LabelledPart(path, kind, mask if mask.is_file() else None))
    kinds = Counter(part.kind for part in parts)
    if not kinds[GOOD] or len(kinds) < 2:
        raise DatasetError(
            f"{data / 'test'}: found kinds {dict(kinds)}, expected good and one defect at least."
        )
    return parts


def survey(paths: Sequence[Path]) -> tuple[Counter[tuple[int, int]], Counter[int]]:
    """Sizes (height, width) and channel counts of the files, from their headers only.

    Raises:
        ImageFileError: a header cannot be read, or says that the file is not 8-bit grey or RGB.
    """
    found = [image_format(path) for path in paths]
    return Counter((height, width) for height, width, _ in found), Counter(c for *_, c in found)


def split_parts(count: int, *, seed: int, hold_out: float = HOLD_OUT) -> Split:
    """Deal good parts into the two uses at random, the same way for the same count and seed.

    `hold_out` is the share of those held out, of which there are at least two; 0 holds none out.

    Raises:
        DatasetError: fewer than ten parts.
    """
    if count < 10:
        raise DatasetError(f"found {count} good parts, expected at least 10 (better 200). Add images.")
    order = np.random.default_rng(seed).permutation(count)
    most = max(2, round(count * hold_out)) if hold_out > 0 else 0
    held, fit = (sorted(int(i) for i in group) for group in np.split(order, [most]))
    return Split(fit=fit, hold_out=held)


def data_hash(names: Sequence[str], hashes: Sequence[str]) -> str:
    """One hash over the names and contents of a set of files, in the order given."""
    digest = hashlib.sha256()
    for name, content in zip(names, hashes, strict=True):
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]}x{shape[1]}"
