"""Run lengths are computed; here they are simulated."""

import numpy as np
import pytest

from calibration.run_length import (
    WEIGHT,
    ewma_limit,
    ewma_run_length,
    rejects_chart,
    rejects_run_length,
    widening,
)


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.2, 1.0), (0.0, 1.2)])
def test_the_average_runs_as_long_as_computed(mean: float, sd: float) -> None:
    """5,000 runs to a limit that is reached after some hundred parts; 4 standard errors."""
    limit, runs = 0.45, 5_000
    rng = np.random.default_rng(1)
    average, length = np.zeros(runs), np.zeros(runs)
    alive = np.ones(runs, bool)
    while alive.any():
        average[alive] += WEIGHT * (rng.normal(mean, sd, int(alive.sum())) - average[alive])
        length[alive] += 1
        alive &= np.abs(average) <= limit
    computed = ewma_run_length(limit, mean=mean, sd=sd)
    assert abs(length.mean() - computed) < 4 * length.std() / np.sqrt(runs) + 0.01 * computed


def dense(limit: int, step: int, rate: float) -> float:
    """The same chain, solved as a matrix."""
    chain = np.eye(limit)
    for state in range(limit):
        chain[state, max(state - 1, 0)] -= 1 - rate
        if state + step < limit:
            chain[state, state + step] -= rate
    return float(np.linalg.solve(chain, np.ones(limit))[0])


@pytest.mark.parametrize(
    ("limit", "step", "rate"), [(13, 1, 0.3), (39, 1, 0.45), (142, 13, 0.05), (20, 40, 0.1), (557, 68, 0.01)]
)
def test_the_sum_of_rejects_runs_exactly_as_long_as_its_chain(limit: int, step: int, rate: float) -> None:
    assert rejects_run_length(limit, step, rate) == pytest.approx(dense(limit, step, rate), rel=1e-6)


@pytest.mark.parametrize("rate", [0.0023, 0.01, 0.05, 0.2, 0.45])
def test_the_chart_of_rejects_keeps_its_run_length_and_finds_twice_the_rate_soon(rate: float) -> None:
    step, limit = rejects_chart(120_000, rate)
    assert rejects_run_length(limit, step, rate) >= 120_000
    assert rejects_run_length(limit - 1, step, rate) < 120_000
    assert rejects_run_length(limit, step, min(2 * rate, 0.9)) < 17 / rate + 20


def test_fewer_parts_and_alike_neighbours_make_wider_limits() -> None:
    limits = [ewma_limit(120_000, parts=parts) for parts in (50, 100, 200, 400, 1_000, 20_000)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] < 1.0
    assert ewma_limit(20_000, parts=100) > ewma_limit(20_000, parts=1_000) > ewma_limit(2_000, parts=1_000)
    assert widening(10.0, parts=1_000) > widening(2.0, parts=1_000) > widening(2.0, parts=10_000) > 2**0.5
    limit = ewma_limit(20_000, parts=1_000)
    assert ewma_run_length(limit) > 20_000
