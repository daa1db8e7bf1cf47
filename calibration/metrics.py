"""Image and pixel metrics of anomaly detection, exact and equal to the field's own definitions.

AUROC equals scikit-learn's `roc_auc_score`; AUPRO is Bergmann et al., "The MVTec Anomaly Detection Dataset"
(IJCV 2021, 5.2.2): per-region overlap against false-positive rate, integrated to 0.3 and divided by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FPR_LIMIT = 0.3


def auroc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counted half.

    Args:
        scores: any shape, higher is worse.
        positive: the same shape, true for defects.

    Returns:
        0..1, or nan if one of the two classes is empty.
    """
    positives, negatives = scores[positive], np.sort(scores[~positive], axis=None)
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.float64)
    not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(positives) / len(negatives))


def f1_at(scores: NDArray[np.floating], positive: NDArray[np.bool_], threshold: float) -> float:
    """F1 of calling everything at or above the threshold a defect; 0 if nothing is found."""
    called = scores >= threshold
    hits = int((called & positive).sum())
    return 2 * hits / (int(called.sum()) + int(positive.sum())) if hits else 0.0


def f1_max(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """The greatest F1 over all thresholds; nan if there is no positive."""
    total = int(positive.sum())
    if not total:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    ordered = scores[order]
    last_of_value = np.append(ordered[1:] != ordered[:-1], True)  # equal values are called together
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + total)
    return float(f1[last_of_value].max())


def aupro(
    maps: Sequence[NDArray[np.floating]],
    masks: Sequence[NDArray[np.bool_]],
    *,
    limit: float = FPR_LIMIT,
    inspected: NDArray[np.bool_] | None = None,
) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate of `limit`, divided by `limit`.

    A region is an 8-connected component of a mask. Every defect pixel adds 1 / (regions * its region's area)
    to the overlap when the threshold falls to its value, every normal pixel adds to the false-positive rate;
    so one sort of all pixels gives the whole curve. Pixels outside `inspected`, a (h, w) bool mask of all
    maps, count nowhere; of a region only what lies inside counts.

    Returns:
        0..1, or nan if there is no region or no normal pixel.
    """
    area = True if inspected is None else inspected
    weights = [_region_weights(mask & area) for mask in masks]
    regions = sum(count for _, count in weights)
    weight = np.concatenate([w[area].ravel() for w, _ in weights])
    normal = weight == 0
    if not regions or not normal.any():
        return float("nan")
    values = np.concatenate([np.asarray(m, np.float32)[area].ravel() for m in maps])
    order = np.argsort(-values, kind="stable")
    values = values[order]
    last_of_value = np.append(values[1:] != values[:-1], True)  # equal values cross the threshold together
    overlap = (np.cumsum(weight[order], dtype=np.float64) / regions)[last_of_value]
    false_positive = (np.cumsum(normal[order], dtype=np.float64) / normal.sum())[last_of_value]
    return _area_to(np.append(0.0, false_positive), np.append(0.0, overlap), limit) / limit


def _region_weights(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], int]:
    """Per pixel one over its region's area, 0 outside; and the number of regions."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    inverse = 1.0 / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    inverse[0] = 0.0  # the background
    return inverse[labels].astype(np.float32), count - 1


def _area_to(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Trapezoid area under y(x) for x up to `limit`; x ascends from 0 to at least `limit`."""
    inside = int(np.searchsorted(x, limit, side="right"))
    y_limit = float(np.interp(limit, x, y))
    x, y = np.append(x[:inside], limit), np.append(y[:inside], y_limit)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
