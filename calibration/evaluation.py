"""The report of `hlgfa evaluate`: metrics of one model over a labelled test set, all kinds and each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import msgspec
import numpy as np

from calibration.dataset import GOOD
from calibration.metrics import aupro, auroc, f1_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Scored(NamedTuple):
    """One test part: `anomaly_map` float32 and `mask` bool have the same (height, width)."""

    kind: str
    score: float
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    infer_ms: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a set of parts; null where they are not defined, e.g. pixel metrics without masks."""

    parts: int
    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None
    f1: float
    false_reject_rate: float
    miss_rate: float
    ms_per_image: float


def measure(parts: Sequence[Scored], threshold: float) -> Metrics:
    """Metrics of good and defective parts together, at a threshold."""
    scores = np.array([part.score for part in parts], np.float64)
    defect = np.array([part.kind != GOOD for part in parts])
    rejected = scores >= threshold
    masked = [part for part in parts if part.mask is not None]
    masks = [part.mask for part in masked if part.mask is not None]
    maps = [part.anomaly_map for part in masked]
    pixel_auroc = auroc(np.stack(maps), np.stack(masks)) if masked else float("nan")
    return Metrics(
        parts=len(parts),
        image_auroc=_defined(auroc(scores, defect)),
        pixel_auroc=_defined(pixel_auroc),
        aupro=_defined(aupro(maps, masks) if masked else float("nan")),
        f1=f1_at(scores, defect, threshold),
        false_reject_rate=float(rejected[~defect].mean()),
        miss_rate=float((~rejected[defect]).mean()),
        ms_per_image=float(np.median([part.infer_ms for part in parts])),
    )


def measure_kinds(parts: Sequence[Scored], threshold: float) -> dict[str, Metrics]:
    """Per defect kind: its parts against all good parts."""
    kinds = sorted({part.kind for part in parts} - {GOOD})
    return {kind: measure([p for p in parts if p.kind in {GOOD, kind}], threshold) for kind in kinds}


def scaled_map(anomaly_map: NDArray[np.float32], size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge an anomaly map linearly to (height, width)."""
    return np.asarray(cv2.resize(anomaly_map, size_px[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def scaled_mask(mask: NDArray[np.bool_], size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Bring a ground truth to (height, width): defect where at least half the area is.

    A defect too thin to fill half a pixel anywhere keeps every pixel that it touches, so none vanishes.
    """
    covered = cv2.resize(mask.astype(np.float32), size_px[::-1], interpolation=cv2.INTER_AREA)
    half = np.asarray(covered >= 0.5)
    return half if half.any() else np.asarray(covered > 0)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
