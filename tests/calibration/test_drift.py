"""Charts of a camera: silent on a steady line, loud on one that changes."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calibration.camera_drift import Baselines, CameraDrift, Tolerances
from calibration.drift import CHARTS, LevelChart, RejectsChart, level_limit
from calibration.drift_baseline import HIGHEST_INFLATION, apart, fit_level, fit_rejects, needed
from calibration.frame_measures import FrameMeasures
from calibration.threshold import score_quantiles

PARTS, FALSE_ALARM_PARTS = 400, 20_000
NONE = Tolerances(0.0, 0.0, 0.0)
LIMITS = {PARTS: level_limit(FALSE_ALARM_PARTS, PARTS)}


def make_camera(baselines: Baselines = Baselines(), tolerances: Tolerances = NONE) -> CameraDrift:  # noqa: B008 - frozen
    return CameraDrift(
        baselines,
        baseline_parts=PARTS,
        false_alarm_parts=FALSE_ALARM_PARTS,
        tolerances=tolerances,
        limits=dict(LIMITS),
    )


class Parts:
    """A line's parts, one after another; what is given of them may drift."""

    def __init__(self, camera: CameraDrift, seed: int = 1) -> None:
        self.camera, self.rng, self.number = camera, np.random.default_rng(seed), 0

    def run(self, count: int, *, fail_rate: float = 0.02, **drift: float) -> list[tuple[int, str]]:
        """Part and chart of every warning; `drift` is what a measure gains over these parts."""
        found = []
        for i in range(1, count + 1):
            self.number += 1
            level = {"score": 2.0, "brightness": 120.0, "sharpness": 0.2, "x_px": 256.0, "y_px": 250.0}
            spread = {"score": 0.4, "brightness": 1.0, "sharpness": 0.01, "x_px": 1.0, "y_px": 1.0}
            value = {
                name: self.rng.normal(level[name] + drift.get(name, 0.0) * i / count, spread[name])
                for name in level
            }
            score = value.pop("score")
            failed = self.rng.random() < fail_rate
            warned = self.camera.add(
                FrameMeasures(**value), score + 5 * failed, failed=failed, part=self.number
            )
            found += [(self.number, warning.chart) for warning in warned]
        return found


def learned(seed: int = 2) -> Parts:
    parts = Parts(make_camera(), seed)
    assert parts.run(PARTS + 40) == []
    assert parts.camera.complete
    return parts


def test_a_steady_line_is_as_silent_as_stated() -> None:
    """20,000 parts of eight lines, so one false alarm at most on average; five would come in 4 of 1,000."""
    assert sum(len(learned(seed).run(2_500)) for seed in range(10, 18)) <= 4


@pytest.mark.parametrize(
    ("chart", "gain"),
    [("score", 0.8), ("brightness", -12.0), ("brightness", 12.0), ("sharpness", -0.05), ("x_px", 6.0)],
)
def test_a_drift_is_announced_with_the_part_where_it_began(chart: str, gain: float) -> None:
    parts = learned()
    parts.run(500)
    begin = parts.number
    warned = parts.run(1_000, **{chart: gain})
    assert {name for _, name in warned} == {chart}
    part, _ = warned[0]
    assert part < begin + (900 if chart == "score" else 300)
    stand = parts.camera.readings[chart]
    assert stand is not None
    assert begin - 100 < stand[0].since < part


def test_a_drift_under_which_everything_fails_is_seen() -> None:
    parts = learned()
    warned = parts.run(200, fail_rate=1.0, brightness=-30.0)
    assert {"rejects", "brightness"} <= {chart for _, chart in warned}


def test_a_doubled_reject_rate_is_seen() -> None:
    parts = learned()
    assert "rejects" in {chart for _, chart in parts.run(6_000, fail_rate=0.08)}


def test_what_is_smaller_than_the_tolerance_never_warns() -> None:
    camera = make_camera(learned().camera.baselines, Tolerances(0.2, 0.2, 10.0))
    assert Parts(camera, 2).run(1_000, brightness=12.0, x_px=6.0) == []


def test_it_warns_once_until_it_was_halfway_back() -> None:
    parts = learned()
    first = parts.run(300, brightness=10.0)
    assert [chart for _, chart in first] == ["brightness"]
    parts.run(300)
    assert [chart for _, chart in parts.run(300, brightness=10.0)] == ["brightness"]


def test_baselines_go_through_a_file_and_need_no_learning() -> None:
    baselines = learned().camera.baselines
    again = msgspec.json.decode(msgspec.json.encode(baselines), type=Baselines)
    assert again == baselines
    camera = make_camera(again)
    assert camera.complete
    assert camera.learned == (PARTS, PARTS)
    assert {chart for _, chart in Parts(camera, 3).run(1_000, brightness=12.0)} == {"brightness"}


def test_a_baseline_of_bad_parts_is_not_taken() -> None:
    parts = Parts(make_camera())
    parts.run(6 * PARTS, fail_rate=0.9)
    assert not parts.camera.complete
    assert parts.camera.readings == dict.fromkeys(CHARTS)


def test_a_line_that_is_not_steady_is_learned_for_longer_and_doubted() -> None:
    """The warming lamp takes most of the spread; all other charts are there in time."""
    parts = Parts(make_camera())
    parts.run(PARTS + 40, brightness=12.0)
    readings = parts.camera.readings
    assert [chart for chart, stand in readings.items() if stand is None] == ["brightness"]
    assert parts.camera.learned[1] > 3 * PARTS
    parts.run(12 * PARTS, brightness=40.0)
    assert parts.camera.complete
    (doubt,) = parts.camera.doubts
    assert doubt.startswith("brightness: it wanders slowly")


def autoregression(correlation: float, parts: int, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=parts)
    for i in range(1, parts):
        values[i] = correlation * values[i - 1] + math.sqrt(1 - correlation**2) * values[i]
    return values


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8, 0.95])
def test_the_inflation_is_that_of_the_autoregression(correlation: float) -> None:
    found = fit_level(autoregression(correlation, 20_000).tolist(), finest=1e-6).inflation
    assert found == pytest.approx((1 + 0.95 * correlation) / (1 - 0.95 * correlation), rel=0.15)


@pytest.mark.parametrize("period", [2, 3, 16])
def test_a_cycle_of_cavities_inflates_nothing(period: int) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0.0, 3.0, period)[np.arange(1_000) % period] + rng.normal(size=1_000)
    assert fit_level(values.tolist(), finest=1e-6).inflation < 1.3


def test_alike_neighbours_need_more_parts_and_a_wider_limit() -> None:
    """At most ten times as many, so that learning comes to an end."""
    assert [needed(inflation, 1_000) for inflation in (1.0, 4.0, 8.0)] == [1_000, 1_000, 2_000]
    assert needed(HIGHEST_INFLATION, 1_000) < 10_000
    charts = [
        LevelChart(fit_level(autoregression(c, 5_000).tolist(), finest=1e-6), limit=0.7, tolerance=0.0)
        for c in (0.0, 0.5, 0.9)
    ]
    assert charts[0].limit < charts[1].limit < charts[2].limit < 4.0


def test_failures_that_come_in_bunches_are_counted_in_blocks() -> None:
    """50 of 1,000 parts failed: one after another now and then, or in five bunches of ten."""
    alone = fit_rejects([i % 20 == 0 for i in range(1_000)], alike=1.0)
    bunches = [i % 200 < 10 for i in range(1_000)]
    together = fit_rejects(bunches, alike=10.2)
    assert (alone.block, together.block) == (1, 10)
    assert (alone.failed, together.failed) == (50, 50)
    chart = RejectsChart(together, run_length=120_000)
    assert not any(chart.add(failed, part).drifting for part, failed in enumerate(20 * bunches, start=1))
    assert any(chart.add(True, part).drifting for part in range(400))


def test_many_failures_make_the_blocks_shorter() -> None:
    rng = np.random.default_rng(3)
    baseline = fit_rejects((rng.random(2_000) < 0.1).tolist(), alike=20.0)
    assert 1 < baseline.block < 10
    assert baseline.rate <= 0.45
    levels = learned().camera.baselines.levels
    wandering = msgspec.structs.replace(levels["score"], inflation=19.0)
    camera = make_camera(Baselines(levels=levels | {"score": wandering}, rejects=baseline))
    assert camera.doubts == ["rejects: they are many and come in bunches"]


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=80),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40),
)
@example([0.0, 0.0], [1.797693134862316e306])
def test_any_baseline_and_any_values_leave_the_chart_finite(known: list[float], values: list[float]) -> None:
    baseline = fit_level(known, finest=0.01)
    assert baseline.usual == pytest.approx(np.median(known))
    chart = LevelChart(baseline, limit=0.7, tolerance=0.0)
    for part, value in enumerate(values, start=1):
        reading = chart.add(value, part)
        assert math.isfinite(reading.statistic)
        assert 0 <= reading.since <= part


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(51, 400))
def test_the_rate_of_rejects_is_a_bound_of_what_was_seen(failed: int, parts: int) -> None:
    baseline = fit_rejects([i < failed for i in range(parts)], alike=1.0)
    assert min(failed / parts, 0.45) <= baseline.rate <= 0.45
    assert RejectsChart(baseline, run_length=2_000).limit >= 1


@pytest.mark.parametrize(("shift", "told"), [(0.0, False), (0.5, True), (-0.5, True)])
def test_a_line_that_scores_otherwise_than_the_calibration_is_told(shift: float, told: bool) -> None:
    rng = np.random.default_rng(5)
    good = score_quantiles(rng.normal(2.0, 0.4, 300))
    assert good is not None
    line = fit_level((rng.normal(2.0 + shift, 0.4, 600)).tolist(), finest=1e-6)
    found = apart(good, line)
    assert (found is not None) == told
    assert found is None or found * shift > 0
