from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from calibration.dataset import GOOD
from calibration.evaluation import Scored, measure
from calibration.metrics import aupro, auroc, f1_at, f1_max

SEEDS = st.integers(0, 10_000)


@settings(deadline=None)
@given(seed=SEEDS, count=st.integers(2, 200), levels=st.integers(1, 50))
def test_auroc_equals_scikit_learn(seed: int, count: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, count).astype(np.float32)
    positive = rng.random(count) < 0.4
    positive[:2] = [True, False]
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


@settings(deadline=None)
@given(seed=SEEDS, count=st.integers(2, 60), levels=st.integers(1, 20))
def test_f1_max_is_the_best_of_all_thresholds(seed: int, count: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, count).astype(np.float64)
    positive = rng.random(count) < 0.4
    positive[0] = True
    best = max(f1_score(positive, scores >= value) for value in scores)
    assert f1_max(scores, positive) == pytest.approx(best)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, levels=st.sampled_from([5, 50, 10_000]))
def test_aupro_equals_a_slow_one(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [cv2.GaussianBlur(rng.random((24, 24)), (0, 0), 2) > 0.53 for _ in range(3)]
    masks[0][:4, :4] = True
    maps = [
        np.round((m + cv2.GaussianBlur(rng.random((24, 24)), (0, 0), 1)) * levels).astype(np.float32) / levels
        for m in masks
    ]
    assert aupro(maps, masks) == pytest.approx(_slow_aupro(maps, masks, 0.3), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, left=st.integers(0, 10), right=st.integers(14, 24))
def test_metrics_of_an_inspected_area_are_those_of_the_cut_out(seed: int, left: int, right: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [cv2.GaussianBlur(rng.random((24, 24)), (0, 0), 2) > 0.53 for _ in range(3)]
    masks[0][:4, 8:16] = True
    maps = [rng.random((24, 24)).astype(np.float32) for _ in masks]
    inspected = np.zeros((24, 24), bool)
    inspected[:, left:right] = True
    cut = [[values[:, left:right] for values in arrays] for arrays in (maps, masks)]
    assert aupro(maps, masks, inspected=inspected) == pytest.approx(aupro(*cut), abs=1e-9)
    parts = [Scored("bad" if n else GOOD, n, maps[n], masks[n], 1.0) for n in range(3)]
    cut_parts = [part._replace(anomaly_map=a, mask=m) for part, a, m in zip(parts, *cut, strict=True)]
    whole, alone = measure(parts, 1.0, inspected=inspected), measure(cut_parts, 1.0)
    assert (whole.pixel_auroc, whole.image_auroc) == (alone.pixel_auroc, alone.image_auroc)


def test_a_perfect_map_has_aupro_one() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:8, 5:8] = True
    assert aupro([mask.astype(np.float32)], [mask]) == pytest.approx(1.0)


def test_what_is_not_defined_is_nan() -> None:
    nothing = np.zeros((4, 4), bool)
    assert np.isnan(auroc(np.ones(3), np.zeros(3, bool)))
    assert np.isnan(aupro([np.ones((4, 4))], [nothing]))
    assert np.isnan(aupro([np.ones((4, 4))], [~nothing]))


@pytest.mark.parametrize(("threshold", "expected"), [(0.0, 2 / 3), (2.5, 1.0), (3.5, 2 / 3), (9.0, 0.0)])
def test_f1(threshold: float, expected: float) -> None:
    scores, positive = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])
    assert f1_at(scores, positive, threshold) == pytest.approx(expected)


def _slow_aupro(maps: list[np.ndarray], masks: list[np.ndarray], limit: float) -> float:
    """By its definition: one threshold after the other, one region after the other."""
    regions = []
    for values, mask in zip(maps, masks, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [values[labels == label] for label in range(1, count)]
    normal = np.concatenate([values[~mask] for values, mask in zip(maps, masks, strict=True)])
    points = [(0.0, 0.0)]
    for threshold in np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]:
        overlap = np.mean([(region >= threshold).mean() for region in regions])
        points.append(((normal >= threshold).mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            y_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return (area + (limit - x0) * (y0 + y_limit) / 2) / limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit
