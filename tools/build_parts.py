"""What `build_engine` builds and certifies on: images of parts, and what a station judges them by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from calibration.calibrated import load_calibrated
from calibration.dataset import ImageFiles, good_parts
from calibration.defects import with_defect
from calibration.inspected import inspected_output
from engines.build import CalibrationParts, Judging
from engines.manifest import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from engines.manifest import Manifest

MOST = 32
"""Good parts that are taken, evenly over the files; each is compared as it is and with a defect.

For INT8 as many others, between them, give the ranges: what an engine is proven on must not have made it.
"""


def build_parts(model: Path, folder: Path | None, precision: str) -> CalibrationParts:
    """Good parts of a folder, or drawn patterns without one; each also with a synthetic defect.

    Raises:
        EngineError: the model cannot be read.
        CalibrationError: the folder has no images, or one of them cannot be used.
    """
    manifest = load_manifest(model)
    ranges: Sequence[NDArray[np.uint8]] = ()
    if folder is None:
        good = _patterns(manifest)
        source = f"{len(good)} drawn patterns, each also with a synthetic defect"
    else:
        files = ImageFiles.for_model(good_parts(folder), manifest)
        step = 2 if precision == "int8" else 1
        picked = sorted({round(i) for i in np.linspace(0, len(files) - 1, min(step * MOST, len(files)))})
        good = [files[index] for index in picked[::step]]
        ranges = _WithDefects(files, picked[1::2] or picked) if precision == "int8" else ()
        source = f"{len(good)} good parts, each also with a synthetic defect"
    defective = [with_defect(image, seed) for seed, image in enumerate(good)]
    return CalibrationParts(good, defective, ranges, source, real=folder is not None)


def judging_of(model: Path) -> Judging:
    """Threshold and region of interest of a model folder.

    Raises:
        EngineError: the model cannot be read.
        CalibrationError: it is not calibrated.
    """
    manifest = load_manifest(model)
    found = load_calibrated(
        model,
        model_sha256=manifest.model_sha256,
        size_px=(manifest.input_height_px, manifest.input_width_px),
        map_shape=(manifest.map_height, manifest.map_width),
    )
    return Judging(
        found.calibration.threshold,
        lambda output: inspected_output(output, found.inspected),
        None if found.area is None else found.area.sha256,
    )


class _WithDefects(Sequence[NDArray[np.uint8]]):
    """Parts and, after each, the same with a synthetic defect; read when asked for: they may be large."""

    def __init__(self, files: ImageFiles, picked: list[int]) -> None:
        self._files, self._picked = files, picked

    def __len__(self) -> int:
        return 2 * len(self._picked)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.uint8]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        part, defective = divmod(range(len(self))[index], 2)
        image = self._files[self._picked[part]]
        return with_defect(image, MOST + part) if defective else image


def _patterns(manifest: Manifest, count: int = 8) -> list[NDArray[np.uint8]]:
    """Flat, smooth and rough images from dark to bright: the ends of the range and what lies between."""
    rng = np.random.default_rng(0)
    shape = manifest.input_shape
    patterns = []
    for number in range(count):
        level = 255 * number / (count - 1)
        noise = rng.normal(0, 8 * number, shape)
        ramp = np.linspace(-number, number, shape[1]).reshape(1, -1, *([1] * (len(shape) - 2)))
        patterns.append(np.clip(level + noise + 8 * ramp, 0, 255).astype(np.uint8))
    return patterns
