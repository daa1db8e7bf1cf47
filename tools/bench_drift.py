"""Measures the drift charts on parts that a model judges: rendered ones, or images moved and lit at random.

    python -m tools.bench_drift drifts --png docs/images/drift.png
    python -m tools.bench_drift measures
    python -m tools.bench_drift steady
    python -m tools.bench_drift rejects

Each takes --model, and --parts for a folder of good images. Lines whose neighbouring parts are alike are
simulated by tools.bench_drift_lines.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from calibration.camera_drift import Baselines, CameraDrift, Tolerances
from calibration.drift import CHARTS, LEVELS, REJECTS, level_limit, level_values
from calibration.threshold import beta_quantile
from tools.drift_lines import BASELINE_PARTS, FALSE_ALARM_PARTS, Values, alarms, simulate
from tools.drift_parts import DRIFTS, Judge, Pixels, Seen, Source, lit, look, rendered, varied
from tools.drift_rejects import CONFIDENCE, most_times, tail_times

if TYPE_CHECKING:
    from engines.engine import Engine

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Model = Annotated[Path, typer.Option(help="Folder of the model that judges the parts.")]
Parts = Annotated[Path | None, typer.Option(help="Folder of good images; default: rendered parts.")]
DEMO = Path("models/demo")
LINES = 200
TOLERANCES = Tolerances(0.02, 0.05, 1.0)
SETTLED_PARTS = 200
"""Between the last baseline and a drift."""
OTHERS = 1_000_000
"""Number of the first part on which false rejects are counted: none of a baseline."""
Trace = list[tuple[float, float]]


@app.command()
def drifts(model: Model = DEMO, parts: Parts = None, drifting: int = 1_000, png: Path | None = None) -> None:
    """Say with which part each drift is announced first; draw the charts while the light fades."""
    from engines.load import open_engine

    with open_engine(model, runtime="onnxruntime", threads=1) as engine:
        judge = partial(_score, engine)
        _drift(_source(parts, model), judge, threshold=_threshold(model), drifting=drifting, png=png)


@app.command()
def measures(model: Model = DEMO, parts: Parts = None, drifting: int = 1_000) -> None:
    """The same without the model's scores, much sooner: brightness, sharpness and place alone."""
    _drift(_source(parts, model), lambda _: 0.0, threshold=1.0, drifting=drifting, png=None)


def _drift(source: Source, judge: Judge, *, threshold: float, drifting: int, png: Path | None) -> None:
    known = _learn(judge, source, threshold)
    known += [look(judge, source(len(known) + i)) for i in range(SETTLED_PARTS)]
    for drift in DRIFTS:
        print(f"{drift.name} by {drift.amount:+g} {drift.unit} over {drifting} parts:", flush=True)
        steps = [drift.amount * (i + 1) / drifting for i in range(drifting)]
        seen = [look(judge, drift.change(source(len(known) + i), step)) for i, step in enumerate(steps)]
        traces, warned = _watch(known + seen, threshold)
        for part, chart in warned:
            after = part - len(known)
            where = f"at {steps[after - 1]:+.2f} {drift.unit}" if after > 0 else "while it was steady"
            print(f"  {chart} with part {after}, {where}")
        print(f"  rejected: {sum(one.score >= threshold for one in seen)} of {drifting}", flush=True)
        if png is not None and drift is DRIFTS[0]:
            _draw(png, traces, len(known), f"{drift.name} begins to change")


@app.command()
def steady(model: Model = DEMO, parts: Parts = None, count: int = 20_000) -> None:
    """Count the alarms of steady parts after the baseline, and of parts drawn from them anew on 200 lines."""
    from engines.load import open_engine

    source, threshold = _source(parts, model), _threshold(model)
    with open_engine(model, runtime="onnxruntime", threads=1) as engine:
        judge = partial(_score, engine)
        seen = _learn(judge, source, threshold)
        learned = len(seen)
        seen += [look(judge, source(learned + i)) for i in range(count)]
    warned = _watch(seen, threshold)[1]
    rejected = sum(one.score >= threshold for one in seen)
    print(f"warned in {count} steady parts: {warned or 'none'}; rejected: {rejected} of {len(seen)}")
    print(
        f"drawn anew, alarms of a chart in {FALSE_ALARM_PARTS} parts (stated: at most {1 / len(CHARTS):.3f}):"
    )
    limit = level_limit(FALSE_ALARM_PARTS, BASELINE_PARTS)
    values = [level_values(one.measures, one.score) for one in seen if one.score < threshold]
    for chart in LEVELS:
        known, rng = np.array([value[chart] for value in values]), np.random.default_rng(4)

        lines = simulate(partial(_drawn, rng, known), parts=FALSE_ALARM_PARTS, limit=limit)
        found = alarms(lines)
        print(f"  {chart}: {found.mean():.3f} +- {found.std() / math.sqrt(LINES):.3f}", flush=True)


@app.command()
def rejects(
    model: Model = DEMO,
    parts: Parts = None,
    count: int = 3_000,
    percents: Annotated[str, typer.Option(help="Changes of brightness.")] = "-2,-5,-10,-20,-30,10,20",
) -> None:
    """Print the false-reject rate of the same good parts under each brightness, with its bounds."""
    from engines.load import open_engine

    source, threshold = _source(parts, model), _threshold(model)
    levels = [0.0, *(float(text) for text in percents.split(","))]
    with open_engine(model, runtime="onnxruntime", threads=1) as engine:
        scores = np.array([_scores(engine, source(OTHERS + i), levels) for i in range(count)])
    failed = scores >= threshold
    for level, column, score in zip(levels, failed.T, scores.T, strict=True):
        found = int(column.sum())
        low = beta_quantile(1 - (1 + CONFIDENCE) / 2, found, count) if found else 0.0
        high = beta_quantile((1 + CONFIDENCE) / 2, found + 1, count)
        tail = tail_times(scores[:, 0], score, threshold)
        times = most_times(int((column & ~failed[:, 0]).sum()), int(failed[:, 0].sum()))
        print(
            f"brightness {level:+g} %: {found} of {count} good parts rejected, {low:.2%} .. {high:.2%}, "
            f"at most {times:.2f} times the steady rate; by the tail {tail.estimate:.2f}, at most "
            f"{tail.most:.2f} times; median score {np.median(score) / threshold:.2f} of the threshold"
        )


def _scores(engine: Engine, pixels: Pixels, percents: list[float]) -> list[float]:
    return [engine.infer(lit(pixels, percent)).score for percent in percents]


def _source(parts: Path | None, model: Path) -> Source:
    return rendered() if parts is None else varied(parts, model)


def _threshold(model: Path) -> float:
    from calibration.record import FILE_NAME, load_calibration
    from engines.manifest import load_manifest

    return load_calibration(model / FILE_NAME, model_sha256=load_manifest(model).model_sha256).threshold


def _score(engine: Engine, pixels: Pixels) -> float:
    return engine.infer(pixels).score


def _learn(judge: Judge, source: Source, threshold: float) -> list[Seen]:
    """Steady parts until every chart has its baseline; prints what they say."""
    camera, seen = _camera(), list[Seen]()
    while not camera.complete:
        seen.append(look(judge, source(len(seen))))
        camera.add(seen[-1].measures, seen[-1].score, failed=seen[-1].score >= threshold, part=len(seen))
    for chart, level in camera.baselines.levels.items():
        print(f"{chart}: learned from {level.parts} parts, inflation {level.inflation:.1f}")
    print("\n".join(["doubts:", *camera.doubts]) if camera.doubts else "no doubts", flush=True)
    return seen


def _camera() -> CameraDrift:
    return CameraDrift(
        Baselines(),
        baseline_parts=BASELINE_PARTS,
        false_alarm_parts=FALSE_ALARM_PARTS,
        tolerances=TOLERANCES,
        limits={},
    )


def _drawn(rng: np.random.Generator, known: Values, parts: int) -> Values:
    return rng.choice(known, (parts, LINES))


def _watch(seen: list[Seen], threshold: float) -> tuple[dict[str, Trace], list[tuple[int, str]]]:
    """Statistic and limit of every chart, part by part, and all warnings: part and chart."""
    camera = _camera()
    traces: dict[str, Trace] = {chart: [] for chart in CHARTS}
    warnings = []
    for number, one in enumerate(seen, start=1):
        failed = one.score >= threshold
        warned = camera.add(one.measures, one.score, failed=failed, part=number)
        warnings += [(number, warning.chart) for warning in warned]
        for chart, stand in camera.readings.items():
            traces[chart].append((math.nan, math.nan) if stand is None else stand[0][1:3])
    return traces, warnings


def _draw(path: Path, traces: dict[str, Trace], first: int, text: str) -> None:
    from tools.plot import BLUE, GREY, RED, Chart, Span, save_charts

    charts = []
    for name, trace in traces.items():
        known = [(i, *point) for i, point in enumerate(trace, start=1) if math.isfinite(point[0])]
        numbers, statistics, limits = zip(*known, strict=True)
        limit = limits[-1]
        low = 0.0 if name == REJECTS else -1.8 * limit
        chart = Chart(name, Span(1, len(trace)), Span(low, 1.8 * limit), height_px=170)
        chart.level(limit, RED)
        if low < 0:
            chart.level(-limit, RED)
        chart.mark(first, text, GREY)
        chart.curve(numbers, statistics, BLUE)
        found = next((n for n, value, _ in known if n > first and abs(value) > limit), None)
        if found is not None:
            chart.mark(found, f"part {found - first}", RED, row=1)
        charts.append(chart)
    save_charts(path, charts)


if __name__ == "__main__":
    from tools.errors import run_app

    run_app(app)
