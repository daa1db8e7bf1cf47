"""What the drift benchmarks count; their figures are in docs/drift.md."""

import math

import numpy as np
import pytest

from calibration.drift import level_limit
from tools.drift_lines import BASELINE_PARTS, alarms, announced, autoregression, simulate
from tools.drift_parts import DRIFTS, Drift
from tools.drift_rejects import most_times, tail_times


def make_lines(drift: float, parts: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """Alarms and first announcement of eight lines whose last parts drift by so many standard deviations."""
    rng = np.random.default_rng(1)

    def make(count: int) -> np.ndarray:
        values = autoregression(0.5)(rng, count, 8)
        values[-parts:] += np.linspace(0.0, drift, parts)[:, None]
        return values

    lines = simulate(make, parts=parts, limit=level_limit(20_000, BASELINE_PARTS))
    return alarms(lines), announced(lines)


def test_steady_lines_are_silent_and_drifts_are_announced_once() -> None:
    warned, first = make_lines(0.0)
    assert warned.sum() == 0
    assert np.isinf(first).all()
    warned, first = make_lines(10.0)
    assert (warned == 1).all()
    assert (first > 100).all()
    assert (first < 600).all()


def test_an_autoregression_has_its_correlation() -> None:
    values = autoregression(0.8)(np.random.default_rng(2), 5_000, 4)
    assert values.var() == pytest.approx(1.0, abs=0.1)
    assert np.mean(values[1:] * values[:-1]) == pytest.approx(0.8, abs=0.1)


def test_the_bound_of_rejects_is_one_of_their_ratio() -> None:
    assert most_times(0, 20) == pytest.approx(1 / 0.05 ** (1 / 20))
    assert most_times(20, 20) > 2.0
    assert most_times(5, 20) > most_times(0, 20) > most_times(0, 200) > 1.0
    assert math.isinf(most_times(0, 0))


def test_the_tail_says_how_many_times_as_many_are_rejected() -> None:
    """Of exponential scores 1 % lie above 4.6: a tenth more spread makes it exp(0.42) times as many."""
    steady = np.random.default_rng(4).exponential(size=3_000)
    same, more = tail_times(steady, steady, 4.6), tail_times(steady, 1.1 * steady, 4.6)
    assert same == (1.0, 1.0)
    assert more.estimate == pytest.approx(math.exp(0.42), rel=0.15)
    assert more.estimate < more.most < 2.0


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: f"{drift.name} {drift.amount}")
def test_a_drift_begins_with_nothing(drift: Drift) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (40, 50), dtype=np.uint8)
    assert (drift.change(pixels, 0.0) == pixels).all()
    assert (drift.change(pixels, drift.amount) != pixels).any()
