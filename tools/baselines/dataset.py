"""One labelled set for the comparison: images of one size, truth at HR pixels, frozen features."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from calibration.dataset import (
    GOOD,
    DatasetError,
    ImageFiles,
    LabelledPart,
    good_parts,
    labelled_parts,
    read_mask,
    survey,
)
from calibration.evaluation import scaled_mask
from engines.backbone import open_backbone
from engines.geometry import Geometry
from engines.hlgfa import Views
from tools.sizes import hr_size, median_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from tools.baselines.maps import Progress


class LabelledSet(NamedTuple):
    """Good parts for training and labelled parts for the test, under the name of their folder."""

    name: str
    geometry: Geometry
    images: ImageFiles
    test_images: ImageFiles
    test_parts: list[LabelledPart]

    @classmethod
    def find(cls, folder: Path, size: str) -> LabelledSet:
        """Find the files of an MVTec AD layout; images of different sizes will all be scaled to their median.

        The HR view is that of `hlgfa train --size`.

        Raises:
            DatasetError: a part of the layout is missing, or grey and colour images are mixed.
        """
        train, test = good_parts(folder), labelled_parts(folder)
        sizes, channels = survey([*train, *(part.path for part in test)])
        if len(channels) > 1:
            kinds = ", ".join(f"{c} channel(s) in {n} files" for c, n in sorted(channels.items()))
            raise DatasetError(f"{folder}: found {kinds}, expected one kind of image. Convert the odd ones.")
        input_px = median_size(survey(train)[0])
        geometry = Geometry(input_px=input_px, hr_px=hr_size(size, input_px), channels=next(iter(channels)))
        images, test_images = (
            ImageFiles(paths, size_px=input_px, channels=geometry.channels, resample=len(sizes) > 1)
            for paths in (train, [part.path for part in test])
        )
        return cls(folder.resolve().name, geometry, images, test_images, test)

    def defective(self) -> NDArray[np.bool_]:
        """(N,) true for the test parts with a defect."""
        return np.array([part.kind != GOOD for part in self.test_parts])

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """Ground truth (HR height, HR width) by index of test part; none for a defect without a mask."""
        hr_px = self.geometry.hr_px
        return {
            index: np.zeros(hr_px, np.bool_)
            if part.mask is None
            else scaled_mask(read_mask(part.mask), hr_px)
            for index, part in enumerate(self.test_parts)
            if part.mask is not None or part.kind == GOOD
        }


class CachedFeatures(NamedTuple):
    """Features by stride of every image, and the median time of one image through view and backbone."""

    features: dict[int, Tensor]
    backbone_ms: float

    @property
    def images(self) -> int:
        """How many images these are of."""
        return len(next(iter(self.features.values())))

    def at(self, indices: Sequence[int]) -> dict[int, Tensor]:
        """Features of some of the images."""
        return {stride: x[list(indices)] for stride, x in self.features.items()}


@torch.no_grad()  # not inference_mode: the student trains on these
def extract(
    images: ImageFiles,
    geometry: Geometry,
    backbone: str,
    strides: Sequence[int],
    *,
    progress: Progress,
    weights: Mapping[str, Tensor] | None = None,
) -> CachedFeatures:
    """Run the frozen backbone over the HR view of every image, one at a time as on a line.

    Args:
        images: read lazily; reading is not timed.
        geometry: sizes and channels.
        backbone: its name.
        strides: whose features are kept, ascending.
        progress: told about every image.
        weights: state dict of the backbone; None reads the installed package.
    """
    views = Views(geometry)
    network = open_backbone(backbone, tuple(strides), channels=geometry.channels, weights=weights)
    kept: dict[int, Tensor] = {}
    times_ms = []
    for index in range(len(images)):
        image = torch.from_numpy(images[index].copy())
        started = time.perf_counter_ns()
        found = network(views.high(image).contiguous(memory_format=torch.channels_last))
        times_ms.append((time.perf_counter_ns() - started) / 1e6)
        for stride, x in zip(strides, found, strict=True):
            if stride not in kept:
                kept[stride] = torch.empty(len(images), *x.shape[1:])
            kept[stride][index] = x[0]
        progress(index + 1, len(images))
    return CachedFeatures(kept, float(np.median(times_ms)))
