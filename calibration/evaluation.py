"""The report of `hlgfa evaluate`: metrics of one model over a labelled test set, all kinds and each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import cv2
import msgspec
import numpy as np

from calibration.dataset import GOOD
from calibration.metrics import aupro, auroc, f1_at, f1_max
from calibration.record import CalibrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Scored(NamedTuple):
    """One test part: `anomaly_map` float32 and `mask` bool have the same (height, width).

    `outside`: all of its defect lies outside the region of interest.
    """

    kind: str
    score: float
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    infer_ms: float
    outside: bool = False


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a set of parts; null where they are not defined, e.g. pixel metrics without masks."""

    parts: int
    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None
    f1: float
    f1_max: float | None
    false_reject_rate: float
    miss_rate: float
    ms_per_image: float


def measure(
    parts: Sequence[Scored], threshold: float, *, inspected: NDArray[np.bool_] | None = None
) -> Metrics:
    """Metrics of good and defective parts together, at a threshold.

    `inspected` has the maps' (height, width): pixels outside it count in no pixel metric. None: all count.
    """
    scores = np.array([part.score for part in parts], np.float64)
    defect = np.array([part.kind != GOOD for part in parts])
    rejected = scores >= threshold
    masked = [part for part in parts if part.mask is not None]
    masks = [part.mask for part in masked if part.mask is not None]
    maps = [part.anomaly_map for part in masked]
    area = True if inspected is None else inspected
    pixel_auroc = (
        auroc(np.stack([m[area] for m in maps]), np.stack([m[area] for m in masks]))
        if masked
        else float("nan")
    )
    return Metrics(
        parts=len(parts),
        image_auroc=_defined(auroc(scores, defect)),
        pixel_auroc=_defined(pixel_auroc),
        aupro=_defined(aupro(maps, masks, inspected=inspected) if masked else float("nan")),
        f1=f1_at(scores, defect, threshold),
        f1_max=_defined(f1_max(scores, defect)),
        false_reject_rate=float(rejected[~defect].mean()),
        miss_rate=float((~rejected[defect]).mean()),
        ms_per_image=float(np.median([part.infer_ms for part in parts])),
    )


def without_outside(parts: Sequence[Scored]) -> tuple[list[Scored], dict[str, int]]:
    """Parts whose defect touches the region of interest, or that are good; and how many others, by kind.

    A part whose defect lies wholly outside is neither good, for it has a defect, nor to be found.

    Raises:
        CalibrationError: no defective part is left.
    """
    kept = [part for part in parts if not part.outside]
    left_out = Counter(part.kind for part in parts if part.outside)
    if all(part.kind == GOOD for part in kept):
        raise CalibrationError(
            f"region of interest: found all {left_out.total()} defects outside, expected one inside: "
            "there is nothing to measure. Check the region, or evaluate on other parts."
        )
    return kept, dict(sorted(left_out.items()))


def measure_kinds(
    parts: Sequence[Scored], threshold: float, *, inspected: NDArray[np.bool_] | None = None
) -> dict[str, Metrics]:
    """Per defect kind: its parts against all good parts; `inspected` as for `measure`."""
    kinds = sorted({part.kind for part in parts} - {GOOD})
    return {
        kind: measure([p for p in parts if p.kind in {GOOD, kind}], threshold, inspected=inspected)
        for kind in kinds
    }


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
