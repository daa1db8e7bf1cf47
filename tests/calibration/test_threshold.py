import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from calibration.record import CalibrationError
from calibration.threshold import (
    HEATMAP_AT_THRESHOLD,
    beta_quantile,
    calibrate,
    fit_threshold,
    parts_needed,
    parts_to_prove,
)

RATES = st.floats(0.001, 0.5)
SCORES = st.lists(st.floats(0.1, 100), min_size=2, max_size=300)


@settings(deadline=None)
@given(p=st.floats(0.01, 0.99), count=st.integers(2, 500), data=st.data())
def test_beta_quantile_equals_scipy(p: float, count: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, min(count, 40)))
    assert beta_quantile(p, rank, count) == pytest.approx(beta.ppf(p, rank, count + 1 - rank), abs=1e-9)


@settings(deadline=None)
@given(scores=SCORES, rate=RATES)
def test_a_lower_rate_never_lowers_the_threshold(scores: list[float], rate: float) -> None:
    values = np.array(scores)
    assert fit_threshold(values, rate / 2).value >= fit_threshold(values, rate).value - 1e-9


@settings(deadline=None)
@given(scores=SCORES, rate=RATES)
def test_no_more_of_the_sample_is_rejected_than_asked_for(scores: list[float], rate: float) -> None:
    values = np.unique(scores)
    if len(values) < 2:
        return
    threshold = fit_threshold(values, rate)
    assert (values >= threshold.value).mean() <= rate * (len(values) + 1) / len(values) + 1e-9
    assert 0 <= threshold.lower < threshold.upper <= 1


@settings(deadline=None)
@given(scores=SCORES, low=st.floats(0, 200), more=st.floats(0, 50))
def test_raising_the_threshold_never_makes_a_good_part_bad(
    scores: list[float], low: float, more: float
) -> None:
    values = np.array(scores)
    assert set(np.flatnonzero(values >= low + more)) <= set(np.flatnonzero(values >= low))


@pytest.mark.parametrize(("rate", "parts"), [(0.01, 99), (0.05, 19), (0.5, 1), (0.001, 999)])
def test_how_many_parts_a_rate_needs(rate: float, parts: int) -> None:
    assert parts_needed(rate) == parts
    scores = np.arange(1.0, max(parts, 2) + 1)
    assert fit_threshold(scores, rate).warning is None


@pytest.mark.parametrize(("rate", "parts"), [(0.01, 299), (0.05, 59), (0.5, 5)])
def test_how_many_parts_prove_a_rate_with_the_threshold_above_all_of_them(rate: float, parts: int) -> None:
    assert parts_to_prove(rate) == parts
    above_all = rate / 10
    assert fit_threshold(np.arange(1.0, parts + 1), above_all).upper <= rate
    assert fit_threshold(np.arange(1.0, parts), above_all).upper > rate


@pytest.mark.parametrize("count", [2, 5, 20, 98])
def test_with_too_few_parts_the_threshold_lies_above_all_and_says_so(count: int) -> None:
    scores = np.random.default_rng(count).exponential(1.0, count) + 3
    threshold = fit_threshold(scores, 0.01)
    assert threshold.value > scores.max()
    assert threshold.warning is not None
    assert f"{count} good parts are too few" in threshold.warning
    assert "needs 99" in threshold.warning
    assert threshold.upper == pytest.approx(1 - 0.05 ** (1 / count))


@pytest.mark.parametrize("count", [40, 400])
@pytest.mark.parametrize("draw", ["exponential", "gumbel", "normal"])
def test_the_true_rate_lies_in_the_bounds_as_often_as_stated(count: int, draw: str) -> None:
    rng = np.random.default_rng(count)
    population = getattr(rng, draw)(size=200_000)
    inside = []
    for _ in range(300):
        threshold = fit_threshold(rng.choice(population, count), 0.01)
        inside.append(threshold.lower <= (population >= threshold.value).mean() <= threshold.upper)
    assert np.mean(inside) >= 0.92  # 0.95 less three standard errors


def test_identical_scores_still_give_a_threshold_above_them() -> None:
    assert fit_threshold(np.full(10, 2.0), 0.01).value > 2.0


@pytest.mark.parametrize("scores", [[1.0], [], [1.0, float("nan")], [1.0, float("inf")]])
def test_scores_that_are_no_sample_are_refused(scores: list[float]) -> None:
    with pytest.raises(CalibrationError, match="expected at least 2, all of them finite"):
        fit_threshold(np.array(scores), 0.01)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_outside_0_1_is_refused(rate: float) -> None:
    with pytest.raises(CalibrationError, match="expected a number between 0 and 1"):
        fit_threshold(np.arange(10.0), rate)


def test_the_record_places_the_threshold_on_the_heatmap() -> None:
    record = calibrate(np.linspace(1, 5, 200), rate=0.01, model_sha256="ab" * 32)
    assert record.threshold == record.map_threshold
    assert record.threshold * record.heatmap_scale + record.heatmap_offset == pytest.approx(
        HEATMAP_AT_THRESHOLD
    )
    assert sum(record.histogram.counts) == record.parts == 200
    assert record.warning is None


def test_scores_below_the_mean_pixel_are_refused() -> None:
    with pytest.raises(CalibrationError, match="expected above 0"):
        calibrate(np.linspace(-5, -4, 200), rate=0.01, model_sha256="ab" * 32)
