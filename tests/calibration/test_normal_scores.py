"""Normal scores of a sample, whatever its distribution."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.normal_scores import FARTHEST, KNOTS, Scale, quantiles


@pytest.mark.parametrize("shape", [lambda z: z, np.exp, lambda z: -np.exp(-2 * z)])
def test_scores_are_normal_whatever_the_values_are(
    shape: Callable[[np.ndarray], np.ndarray],
) -> None:
    values = shape(np.random.default_rng(1).normal(size=4_000))
    knots, scores = quantiles(values)
    found = Scale.of(knots, scores, float(values.std()))(values)
    assert len(knots) == KNOTS
    assert (found.mean(), found.std()) == pytest.approx((0.0, 1.0), abs=0.01)


@settings(deadline=None)
@given(st.lists(st.integers(-10, 10), min_size=1, max_size=200))
def test_equal_values_take_no_mean_away(values: list[int]) -> None:
    series = np.array(values, np.float64)
    knots, scores = quantiles(series)
    assert (np.diff(knots) > 0).all()
    assert (np.diff(scores) > 0).all()
    assert Scale.of(knots, scores, 1.0)(series).mean() == pytest.approx(0.0, abs=1e-9)


def test_beyond_the_sample_scores_go_on_to_an_end() -> None:
    values = np.random.default_rng(2).normal(size=1_000)
    scale = Scale.of(*quantiles(values), float(values.std()))
    outside = scale(np.array([-1e9, values.min() - 1, values.max() + 1, 1e9]))
    assert outside[0] == -FARTHEST < outside[1] < -3.5
    assert outside[3] == FARTHEST > outside[2] > 3.5
