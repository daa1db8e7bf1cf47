"""Simulated lines, steady and drifting, before level charts with a baseline each: many at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.drift import LevelChart
from calibration.drift_baseline import LevelBaseline, fit_level, needed
from calibration.run_length import WEIGHT

Values = NDArray[np.float64]
Process = Callable[[np.random.Generator, int, int], Values]
"""(parts, lines) values with mean 0 and variance 1, in the order in which the parts come."""
FALSE_ALARM_PARTS = 20_000
"""As config.yaml states them."""
BASELINE_PARTS, LONGEST = 1_000, 10
"""Of a baseline as config.yaml has it, and how many times as long it may become."""
GAP_PARTS = 500
"""Parts between a baseline and what is counted: the chart's average has forgotten its beginning."""


class Lines(NamedTuple):
    """Charts of as many lines, and the average of the scores of each after its baseline: (parts, lines)."""

    charts: list[LevelChart]
    averages: Values


def autoregression(correlation: float) -> Process:
    """Of first order: that of neighbours is `correlation`."""

    def process(rng: np.random.Generator, parts: int, lines: int) -> Values:
        found = rng.standard_normal((parts, lines))
        for i in range(1, parts):
            found[i] = correlation * found[i - 1] + math.sqrt(1 - correlation**2) * found[i]
        return found

    return process


def under_noise(correlation: float, share: float) -> Process:
    """An autoregression with this share of the variance under what is new with every part."""
    slow = autoregression(correlation)

    def process(rng: np.random.Generator, parts: int, lines: int) -> Values:
        noise = rng.standard_normal((parts, lines))
        return math.sqrt(share) * slow(rng, parts, lines) + math.sqrt(1 - share) * noise

    return process


def cycle(period: int, share: float, rest: Process) -> Process:
    """Cavities or trays in turn, each with a level of its own: they have this share of the variance."""

    def process(rng: np.random.Generator, parts: int, lines: int) -> Values:
        levels = rng.standard_normal((period, lines))
        levels = (levels - levels.mean(axis=0)) / levels.std(axis=0)
        own = levels[np.arange(parts) % period]
        return np.asarray(math.sqrt(share) * own + math.sqrt(1 - share) * rest(rng, parts, lines))

    return process


def simulate(make: Callable[[int], Values], *, parts: int, limit: float) -> Lines:
    """Learn a baseline for each line as the station does, then watch it.

    Args:
        make: (n, lines) values of so many parts; the last `parts` of them are watched.
        parts: watched after the baseline and `GAP_PARTS`.
        limit: of a level chart of independent parts, by `calibration.drift.level_limit`.
    """
    longest = LONGEST * BASELINE_PARTS
    values = make(longest + GAP_PARTS + parts)
    fitted = [learn(column[:longest]) for column in values.T]
    charts = [LevelChart(one, limit=limit, tolerance=0.0) for one in fitted]
    scores = np.stack([one.scale(line) for one, line in zip(fitted, values[longest:].T, strict=True)], axis=1)
    average = np.zeros(scores.shape[1])
    for i, score in enumerate(scores):
        average = average + WEIGHT * (score - average)
        scores[i] = average
    return Lines(charts, scores[GAP_PARTS:])


def learn(values: Values) -> LevelBaseline:
    """The baseline of the first values that are enough for one, as the station learns it."""
    parts = BASELINE_PARTS
    while True:
        found = fit_level(values[:parts].tolist(), finest=1e-6)
        if needed(found.inflation, BASELINE_PARTS) <= parts:
            return found
        parts = needed(found.inflation, BASELINE_PARTS)


def alarms(lines: Lines) -> NDArray[np.int64]:
    """How often each line's chart warns; it warns again only after it was half-way back."""
    limits = np.array([chart.limit for chart in lines.charts])
    found = np.zeros(len(limits), np.int64)
    armed = np.ones(len(limits), np.bool_)
    for average in np.abs(lines.averages):
        hit = armed & (average > limits)
        found += hit
        armed = np.asarray(~hit & (armed | (average < limits / 2)))
    return found


def announced(lines: Lines) -> Values:
    """Parts after which each line's chart is outside its limit for the first time; infinite if never."""
    outside = np.abs(lines.averages) > np.array([chart.limit for chart in lines.charts])
    return np.where(outside.any(axis=0), outside.argmax(axis=0) + 1.0, math.inf)
