"""Measures drift charts on simulated lines whose neighbouring parts are alike: false alarms, and delays.

python -m tools.bench_drift_lines rates
python -m tools.bench_drift_lines delays
python -m tools.bench_drift_lines rejects
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import typer

from calibration.drift import CHARTS, RejectsChart, chart_run_length, level_limit
from calibration.drift_baseline import fit_rejects
from tools.drift_lines import (
    BASELINE_PARTS,
    FALSE_ALARM_PARTS,
    Process,
    Values,
    alarms,
    announced,
    autoregression,
    cycle,
    learn,
    simulate,
    under_noise,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Marginal = Callable[[Values], Values]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def processes() -> dict[str, Process]:
    """How neighbouring parts of a line may be alike."""
    found = {f"autoregression {c}": autoregression(c) for c in (0.0, 0.5, 0.8, 0.9, 0.95)}
    found |= {f"{c} under noise": under_noise(c, 0.3) for c in (0.9, 0.98)}
    found |= {f"cycle of {p}": cycle(p, 0.8, autoregression(0.0)) for p in (2, 4, 8, 16)}
    return found | {"cycle of 5 over 0.9": cycle(5, 0.5, autoregression(0.9))}


def marginals() -> dict[str, Marginal]:
    """Distributions by name, made of normal values."""
    grid = np.linspace(-6, 6, 4_001)
    below = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in grid])
    return {
        "normal": lambda z: z,
        "lognormal": lambda z: np.exp(0.5 * z),
        "exponential": lambda z: -np.log1p(-np.minimum(np.interp(z, grid, below), 1 - 1e-9)),
    }


@app.command()
def rates(lines: int = 150, parts: int = 60_000) -> None:
    """Print false alarms of a level chart in 20,000 parts, stated and simulated."""
    limit = level_limit(FALSE_ALARM_PARTS, BASELINE_PARTS)
    print(f"stated for a chart: at most {1 / len(CHARTS):.3f} in {FALSE_ALARM_PARTS} parts; {lines} lines")
    for name, process in processes().items():
        for kind, marginal in marginals().items():
            make = partial(_steady, np.random.default_rng(1), process, marginal, lines)
            steady = simulate(make, parts=parts, limit=limit)
            found = alarms(steady) * FALSE_ALARM_PARTS / parts
            learned = np.median([chart.baseline.parts for chart in steady.charts])
            error = found.std() / math.sqrt(lines)
            text = f"{name:20} {kind:12} {found.mean():.2f} +- {error:.2f}"
            print(f"{text}, learned from {learned:.0f}", flush=True)


def _steady(rng: np.random.Generator, process: Process, marginal: Marginal, lines: int, count: int) -> Values:
    return marginal(process(rng, count, lines))


@app.command()
def delays(lines: int = 200, percent: float = -10.0, drifting: int = 1_000) -> None:
    """Print with which part a drift of brightness is announced: the median line, and nine of ten."""
    limit = level_limit(FALSE_ALARM_PARTS, BASELINE_PARTS)
    for spread in (0.5, 1.0, 2.0):
        for name, process in processes().items():
            make = partial(_fading, np.random.default_rng(2), process, spread, percent / drifting, lines)
            found = announced(simulate(partial(make, drifting), parts=drifting, limit=limit))
            middle, late = np.quantile(found, [0.5, 0.9], method="higher")
            print(f"spread {spread} % {name:20} part {middle:.0f}, 9 of 10 by {late:.0f}", flush=True)


def _fading(  # noqa: PLR0917 - bound one by one
    rng: np.random.Generator,
    process: Process,
    spread: float,
    slope: float,
    lines: int,
    drifting: int,
    count: int,
) -> Values:
    values = spread * process(rng, count, lines)
    values[-drifting:] += slope * np.arange(1, drifting + 1)[:, None]
    return values


@app.command()
def rejects(lines: int = 40, parts: int = 20_000) -> None:
    """Print false alarms of the chart of rejects in 20,000 parts, where scores are an autoregression."""
    for rate in (0.003, 0.01, 0.03, 0.1):
        for correlation in (0.0, 0.5, 0.8, 0.9, 0.95):
            rng = np.random.default_rng(3)
            scores = autoregression(correlation)(rng, 10 * BASELINE_PARTS + parts, lines)
            above = float(np.quantile(scores, 1 - rate))
            found = np.array([_reject_alarms(column, above, parts) for column in scores.T])
            mean, error = found.mean(), found.std() / math.sqrt(lines)
            scale = FALSE_ALARM_PARTS / parts
            print(f"{rate:.1%} {correlation}: {mean * scale:.2f} +- {error * scale:.2f}", flush=True)


def _reject_alarms(scores: Values, threshold: float, parts: int) -> int:
    level = learn(scores[:-parts])
    failed = (scores >= threshold).tolist()
    baseline = fit_rejects(failed[: level.parts], alike=level.inflation)
    chart = RejectsChart(baseline, run_length=chart_run_length(FALSE_ALARM_PARTS))
    found = 0
    for number, one in enumerate(failed[-parts:]):
        before = chart.reading.drifting
        found += chart.add(one, number).drifting and not before
    return found


if __name__ == "__main__":
    from tools.errors import run_app

    run_app(app)
