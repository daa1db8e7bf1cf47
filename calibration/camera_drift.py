"""All charts of one camera: learned from its first parts, then watched. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from calibration.drift import (
    CHARTS,
    LEVELS,
    REJECTS,
    SCORE,
    LevelChart,
    Reading,
    RejectsChart,
    chart_run_length,
    level_limit,
    level_values,
)
from calibration.drift_baseline import LevelBaseline, RejectsBaseline, fit_level, fit_rejects, needed

if TYPE_CHECKING:
    from calibration.frame_measures import FrameMeasures

WINDOW = 4
"""A baseline is learned from at most this many times the parts that pass; if fewer do, it begins anew."""
TRUSTED_INFLATION = 20.0
"""That of an autoregression of 0.95; beyond it no baseline is known to be long enough (docs/drift.md)."""
_FINEST = {SCORE: 1e-6, "brightness": 0.1, "sharpness": 1e-4, "x_px": 0.05, "y_px": 0.05}
"""Spreads below these are the measure's own rounding, in its unit."""


class Tolerances(NamedTuple):
    """Changes of an average that are none: shares of the usual value, and pixels."""

    brightness: float
    sharpness: float
    position_px: float


class Baselines(msgspec.Struct, frozen=True, kw_only=True):
    """What one camera's charts compare with; charts that are missing have still to be learned."""

    levels: dict[str, LevelBaseline] = {}
    rejects: RejectsBaseline | None = None


class Warned(NamedTuple):
    """A chart that has just begun to warn."""

    chart: str
    reading: Reading
    usual: float


class CameraDrift:
    """The charts of a camera.

    `baselines` is what was learned so far. A baseline begins with the first part and ends with the
    `baseline_parts`-th that passes, or later if its values wander so slowly that it says too little by then;
    a chart is silent until it has one.
    """

    def __init__(
        self,
        baselines: Baselines,
        *,
        baseline_parts: int,
        false_alarm_parts: float,
        tolerances: Tolerances,
        limits: dict[int, float],
    ) -> None:
        """Begin with what is known.

        Args:
            baselines: of an earlier start, empty for none.
            baseline_parts: good parts from which missing ones are learned, at least.
            false_alarm_parts: parts between two false alarms of all charts together.
            tolerances: of the averages.
            limits: by parts of a baseline; filled here, shared by the cameras of a station.
        """
        self.baselines = baselines
        self._parts = baseline_parts
        self._false_alarm_parts = false_alarm_parts
        self._tolerances = tolerances
        self._limits = limits
        for parts in {baseline_parts, *(min(b.parts, baseline_parts) for b in baselines.levels.values())}:
            self._limit(parts)
        self._charts: dict[str, LevelChart] = {}
        self._rejects: RejectsChart | None = None
        self._build()
        self._forget_window()

    @property
    def learned(self) -> tuple[int, int]:
        """Good parts that the missing baselines have seen, and how many they need."""
        wanted = max([self._parts, *self._wanted.values()])
        return (wanted if self.complete else self._passed), wanted

    @property
    def doubts(self) -> list[str]:
        """Why the stated rate of false alarms may not hold, a line a chart."""
        found, levels = [], self.baselines.levels
        for name, baseline in levels.items():
            if baseline.inflation > TRUSTED_INFLATION:
                times = math.sqrt(baseline.inflation)
                found.append(f"{name}: it wanders slowly, its average {times:.1f} times as far as by chance")
        rejects = self.baselines.rejects
        if rejects is not None and SCORE in levels and rejects.block < round(levels[SCORE].inflation):
            found.append(f"{REJECTS}: they are many and come in bunches")
        return found

    @property
    def complete(self) -> bool:
        """Whether every chart has its baseline."""
        return self._rejects is not None and len(self._charts) == len(LEVELS)

    @property
    def readings(self) -> dict[str, tuple[Reading, float] | None]:
        """Reading and usual value of every chart; None for one that is being learned."""
        found: dict[str, tuple[Reading, float] | None] = dict.fromkeys(CHARTS)
        for name, chart in self._charts.items():
            found[name] = chart.reading, chart.baseline.usual
        if self._rejects is not None:
            rejects = self._rejects.baseline
            found[REJECTS] = self._rejects.reading, rejects.failed / rejects.parts
        return found

    def add(self, measures: FrameMeasures, score: float, *, failed: bool, part: int) -> list[Warned]:
        """Take in a part that was judged; the charts that begin to warn with it."""
        values = level_values(measures, None if failed else score)
        warned = [self._add_level(name, value, part) for name, value in values.items()]
        if self._rejects is not None:
            before, now = self._rejects.reading, self._rejects.add(failed, part)
            usual = self._rejects.baseline.failed / self._rejects.baseline.parts
            warned.append(Warned(REJECTS, now, usual) if now.drifting and not before.drifting else None)
        if not self.complete:
            self._learn(values, failed=failed)
        return [found for found in warned if found is not None]

    def restart(self) -> None:
        """Begin all charts anew, with the same baselines."""
        for chart in self._charts.values():
            chart.restart()
        if self._rejects is not None:
            self._rejects.restart()

    def _add_level(self, name: str, value: float, part: int) -> Warned | None:
        chart = self._charts.get(name)
        if chart is None:
            return None
        before, now = chart.reading, chart.add(value, part)
        return Warned(name, now, chart.baseline.usual) if now.drifting and not before.drifting else None

    # Learning

    def _learn(self, values: dict[str, float], *, failed: bool) -> None:
        self._judged += 1
        self._passed += not failed
        self._failures.append(failed)
        for name, value in values.items():
            if name not in self._charts and math.isfinite(value):
                self._window.setdefault(name, []).append(value)
        if self._judged >= WINDOW * max(self._parts, self._passed):
            self._forget_window()
        elif self._passed >= self._parts:
            self._fit_next()

    def _fit_next(self) -> None:
        """Fit one missing baseline a part: all at once would take too long between two results."""
        levels, rejects = self.baselines.levels, self.baselines.rejects
        missing = [name for name in LEVELS if name in self._window and name not in levels]
        ready = [name for name in missing if self._passed >= self._wants(name)]
        if ready:
            levels = levels | self._fitted(ready[0])
        elif rejects is None and SCORE in levels:
            rejects = fit_rejects(self._failures, alike=levels[SCORE].inflation)
        self.baselines = Baselines(levels=levels, rejects=rejects)
        self._build()
        if self.complete:
            self._forget_window()

    def _fitted(self, name: str) -> dict[str, LevelBaseline]:
        """The baseline, unless it shows that it needs more parts."""
        baseline = fit_level(self._window[name], finest=_FINEST[name])
        self._wanted[name] = needed(baseline.inflation, self._parts)
        return {name: baseline} if self._passed >= self._wanted[name] else {}

    def _wants(self, name: str) -> int:
        return self._wanted.get(name, self._parts)

    def _build(self) -> None:
        """Make the charts that have a baseline and are not there yet."""
        for name, baseline in self.baselines.levels.items():
            if name not in self._charts:
                tolerance = self._tolerance(name, baseline.usual)
                limit = self._limit(min(baseline.parts, self._parts))
                self._charts[name] = LevelChart(baseline, limit=limit, tolerance=tolerance)
        if self._rejects is None and self.baselines.rejects is not None:
            run_length = chart_run_length(self._false_alarm_parts)
            self._rejects = RejectsChart(self.baselines.rejects, run_length=run_length)

    def _limit(self, parts: int) -> float:
        if parts not in self._limits:
            self._limits[parts] = level_limit(self._false_alarm_parts, parts)
        return self._limits[parts]

    def _tolerance(self, name: str, usual: float) -> float:
        shares = {"brightness": self._tolerances.brightness, "sharpness": self._tolerances.sharpness}
        if name in shares:
            return shares[name] * abs(usual)
        return 0.0 if name == SCORE else self._tolerances.position_px

    def _forget_window(self) -> None:
        self._judged = self._passed = 0
        self._failures: list[bool] = []
        self._window: dict[str, list[float]] = {}
        self._wanted: dict[str, int] = {}
