"""Measures the drift charts: false alarms of steady lines, and whether a drift is announced in time.

    python -m tools.bench_drift rates
    python -m tools.bench_drift brightness --model models/demo --png docs/images/drift.png

`rates` simulates baselines and steady lines of several distributions and correlations. `brightness` shows a
model parts whose brightness changes by 10 % over 1,000 parts, and its false-reject rate before, when
it is announced, and at the end: rendered parts, or with --parts the images of a folder, shifted and lit at
random.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import typer

from calibration.camera_drift import Baselines, CameraDrift, Tolerances
from calibration.drift import CHARTS, LevelChart, level_limit
from calibration.drift_baseline import fit_level
from calibration.frame_measures import FrameMeasures, measure
from calibration.run_length import WEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Marginal = Callable[[NDArray[np.float64]], NDArray[np.float64]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FALSE_ALARM_PARTS, BASELINE_PARTS = 20_000, 1_000
TOLERANCES = Tolerances(0.02, 0.05, 1.0)
BLOCK = 2_000


class Seen(NamedTuple):
    """What is known of one part."""

    measures: FrameMeasures
    score: float


def steady_alarms(
    rng: np.random.Generator, marginal: Marginal, correlation: float, *, lines: int, parts: int
) -> NDArray[np.int64]:
    """False alarms of one level chart on each of many lines, every one with a baseline of its own."""
    innovation = math.sqrt(1 - correlation**2)
    latent = rng.standard_normal(lines)

    def series(count: int) -> NDArray[np.float64]:
        nonlocal latent
        found = np.empty((count, lines))
        for i in range(count):
            latent = correlation * latent + innovation * rng.standard_normal(lines)
            found[i] = latent
        return marginal(found)

    limit = level_limit(FALSE_ALARM_PARTS, BASELINE_PARTS)
    fitted = [fit_level(column.tolist(), finest=1e-6) for column in series(BASELINE_PARTS).T]
    charts = [LevelChart(baseline, limit=limit, tolerance=0.0) for baseline in fitted]
    limits = np.array([chart.limit for chart in charts])
    learned = np.array([baseline.correlation for baseline in fitted])
    scales = [baseline.scale for baseline in fitted]
    average, before = np.zeros(lines), np.zeros(lines)
    alarms = np.zeros(lines, np.int64)
    armed: NDArray[np.bool_] = np.ones(lines, np.bool_)
    for _ in range(parts // BLOCK):
        normal = np.stack([scale(column) for scale, column in zip(scales, series(BLOCK).T, strict=True)])
        for score in normal.T:
            average += WEIGHT * ((score - learned * before) / np.sqrt(1 - learned**2) - average)
            before = score
            hit = armed & (np.abs(average) > limits)
            alarms += hit
            armed = np.asarray(~hit & (armed | (np.abs(average) < limits / 2)))
    return alarms


def _marginals(model: Path) -> dict[str, Marginal]:
    """Distributions by name; that of real scores is smoothed between those of a calibration."""
    from calibration.record import FILE_NAME, Calibration
    from engines.records import read_record

    def normal_cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
        grid = np.linspace(-6, 6, 4_001)
        return np.interp(z, grid, [0.5 * math.erfc(-x / math.sqrt(2)) for x in grid])

    record = read_record(
        model / FILE_NAME, Calibration, None, ValueError, missing="scores", do="Name a model folder."
    )
    counts = np.concatenate([[0], np.cumsum(record.histogram.counts)])
    edges = np.array(record.histogram.edges)
    return {
        "normal": lambda z: z,
        "lognormal": lambda z: np.exp(0.5 * z),
        "exponential": lambda z: -np.log1p(-np.minimum(normal_cdf(z), 1 - 1e-12)),
        f"scores of {model.name}": lambda z: np.interp(normal_cdf(z), counts / counts[-1], edges),
    }


@app.command()
def rates(
    model: Path = Path("models/demo"),
    lines: Annotated[int, typer.Option(help="Baselines of each kind.")] = 300,
    parts: Annotated[int, typer.Option(help="Steady parts after each.")] = 100_000,
) -> None:
    """Print false alarms per 20,000 parts, stated and simulated."""
    stated = 1 / len(CHARTS)
    print(f"stated for a chart: at most {stated:.3f} in {FALSE_ALARM_PARTS} parts; {lines} lines")
    for name, marginal in _marginals(model).items():
        for correlation in (0.0, 0.5, 0.8, 0.9):
            rng = np.random.default_rng(int(correlation * 10))
            alarms = steady_alarms(rng, marginal, correlation, lines=lines, parts=parts)
            rate = alarms * FALSE_ALARM_PARTS / parts
            error = rate.std() / math.sqrt(lines)
            print(f"{name:16} correlation {correlation}: {rate.mean():.3f} +- {error:.3f}", flush=True)


@app.command()
def brightness(
    model: Path = Path("models/demo"),
    parts: Annotated[Path | None, typer.Option(help="Folder of good images; default: rendered.")] = None,
    change: Annotated[float, typer.Option(help="Of brightness, over all drifting parts.")] = -0.1,
    drifting: int = 1_000,
    png: Path | None = None,
) -> None:
    """Say with which part a drift is announced, and the false-reject rate at every stage of it."""
    from calibration.record import FILE_NAME, load_calibration
    from engines.load import open_engine

    source = _rendered() if parts is None else _varied(parts, model)
    with open_engine(model, runtime="onnxruntime", threads=1) as engine:
        threshold = load_calibration(model / FILE_NAME, model_sha256=engine.info.model_sha256).threshold

        def see(number: int, light: float) -> Seen:
            pixels = np.clip(np.rint(source(number).astype(np.float32) * light), 0, 255).astype(np.uint8)
            return Seen(measure(pixels), engine.infer(pixels).score)

        steady = [see(i, 1.0) for i in range(BASELINE_PARTS + 200)]
        drift = [see(len(steady) + i, 1 + change * (i + 1) / drifting) for i in range(drifting)]
        traces, announced = _watch(steady, drift, threshold)
        if png is not None:
            _draw(png, traces, len(steady), change)
        _print_rejects("steady", steady, threshold)
        for share in (0.0, announced / drifting, 0.5, 1.0):  # of the same parts
            light = 1 + change * share
            seen = [see(50_000 + i, light) for i in range(300)]
            _print_rejects(f"brightness {change * share:+.1%}", seen, threshold)


def _print_rejects(name: str, seen: list[Seen], threshold: float) -> None:
    rejected = sum(one.score >= threshold for one in seen)
    print(f"{name}: {rejected} of {len(seen)} good parts rejected, {rejected / len(seen):.2%}", flush=True)


def _watch(
    steady: list[Seen], drift: list[Seen], threshold: float
) -> tuple[dict[str, list[tuple[float, float]]], int]:
    """Statistic and limit of every chart, part by part, and the drift's part that was announced first.

    Prints what is announced.
    """
    first = len(drift)
    camera = CameraDrift(
        Baselines(),
        baseline_parts=BASELINE_PARTS,
        false_alarm_parts=FALSE_ALARM_PARTS,
        tolerances=TOLERANCES,
        limits={},
    )
    traces: dict[str, list[tuple[float, float]]] = {chart: [] for chart in CHARTS}
    for number, seen in enumerate(steady + drift, start=1):
        failed = seen.score >= threshold
        for warned in camera.add(seen.measures, seen.score, failed=failed, part=number):
            after = number - len(steady)
            first = min(first, after) if after > 0 else first
            print(f"{warned.chart} announced {after} parts after the drift began", flush=True)
        for chart, stand in camera.readings.items():
            traces[chart].append((math.nan, math.nan) if stand is None else stand[0][1:3])
    for doubt in camera.doubts:
        print(f"doubt: {doubt}")
    return traces, first


def _draw(path: Path, traces: dict[str, list[tuple[float, float]]], first: int, change: float) -> None:
    from tools.plot import BLUE, GREY, RED, Chart, Span, save_charts

    charts = []
    for name, trace in traces.items():
        known = [(i, *point) for i, point in enumerate(trace, start=1) if math.isfinite(point[0])]
        numbers, statistics, limits = zip(*known, strict=True)
        limit = limits[-1]
        low = 0.0 if name == "rejects" else -2.5 * limit
        chart = Chart(name, Span(numbers[0], len(trace)), Span(low, 2.5 * limit), height_px=170)
        chart.level(limit, RED)
        if low < 0:
            chart.level(-limit, RED)
        chart.mark(first, f"brightness begins to change by {change:.0%}", GREY)
        found = next((n for n, value, _ in known if n > first and abs(value) > limit), None)
        chart.curve(numbers, statistics, BLUE)
        if found is not None:
            chart.mark(found, f"part {found - first}", RED, row=1)
        charts.append(chart)
    save_charts(path, charts)


def _rendered() -> Callable[[int], NDArray[np.uint8]]:
    """Simulated parts, every seventh: neighbours are not alike."""
    from pipeline.cameras.part import render_part

    def part(number: int) -> NDArray[np.uint8]:
        return render_part(
            9_000, 7 * number, width_px=512, height_px=512, pixel_format="Mono8", defect_rate=0.0
        ).pixels

    return part


def _varied(folder: Path, model: Path) -> Callable[[int], NDArray[np.uint8]]:
    """Images of a folder in random order, each moved by up to 3 px and lit by its own 1 %."""
    from calibration.dataset import ImageFiles, good_parts
    from engines.manifest import load_manifest

    images = ImageFiles.for_model(good_parts(folder), load_manifest(model))

    def part(number: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(number)
        image = images[int(rng.integers(len(images)))]
        moved = np.roll(image, tuple(rng.integers(-3, 4, 2)), axis=(0, 1))
        return np.asarray(np.clip(np.rint(moved * rng.normal(1.0, 0.01)), 0, 255), np.uint8)

    return part


if __name__ == "__main__":
    from tools.errors import run_app

    run_app(app)
