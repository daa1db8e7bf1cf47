"""Has a line changed since it was steady? One chart a measure; pure: no clock, no files.

Rules:
1. A value becomes its normal score under the baseline, so that its own distribution does not matter. The
   limit goes by how much the average of these scores varied, so that neighbours may be alike.
2. A chart warns when the exponentially weighted average of that leaves its limit and the average of the
   values themselves is off by more than the tolerance. The chart of rejects is a CUSUM of blocks of parts
   in which any failed.
3. The limits of all charts together give one false alarm in the stated number of parts, or fewer.
4. Scores are those of parts that passed; every part that was judged counts for the other charts, so that a
   drift under which all parts fail is seen, too.
5. A chart that has warned warns again only after it was half-way back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from calibration.drift_baseline import LevelBaseline, RejectsBaseline
from calibration.run_length import WEIGHT, ewma_limit, rejects_chart, widening

if TYPE_CHECKING:
    from calibration.frame_measures import FrameMeasures

SCORE = "score"
REJECTS = "rejects"
LEVELS = (SCORE, "brightness", "sharpness", "x_px", "y_px")
CHARTS = (*LEVELS, REJECTS)


class Reading(NamedTuple):
    """A chart after a part: `average` of the values, `statistic` to be held against `limit`.

    `since` is the part since which the statistic has been on this side of 0: about where a drift began.
    """

    average: float
    statistic: float
    limit: float
    drifting: bool
    since: int


class LevelChart:
    """The chart of one measure. `tolerance`, in the measure's unit, is how far its average may go anyway."""

    def __init__(self, baseline: LevelBaseline, *, limit: float, tolerance: float) -> None:
        self.baseline = baseline
        self.limit = limit * widening(baseline.inflation, parts=baseline.parts)
        self._tolerance = tolerance
        self._scale = baseline.scale
        self.restart()

    def restart(self) -> None:
        """Begin anew with the same baseline."""
        self.reading = Reading(self.baseline.usual, 0.0, self.limit, drifting=False, since=0)

    def add(self, value: float, part: int) -> Reading:
        """Take in the value of a part; one that is not finite changes nothing."""
        if not math.isfinite(value):
            return self.reading
        old = self.reading
        average = old.average + WEIGHT * (value - old.average)
        statistic = old.statistic + WEIGHT * (float(self._scale(value)) - old.statistic)
        outside = abs(statistic) > self.limit and abs(average - self.baseline.usual) > self._tolerance
        drifting = outside or (old.drifting and abs(statistic) > self.limit / 2)
        crossed = old.since == 0 or (statistic > 0) != (old.statistic > 0)
        since = part if crossed else old.since
        self.reading = Reading(average, statistic, self.limit, drifting, since)
        return self.reading


class RejectsChart:
    """The chart of blocks in which a part failed: a sum near 0 while there are no more than usual."""

    def __init__(self, baseline: RejectsBaseline, *, run_length: float) -> None:
        self.baseline = baseline
        # As many blocks as are asked of parts: that makes up for blocks that are not quite independent.
        self._step, self.limit = rejects_chart(run_length, baseline.rate)
        self.restart()

    def restart(self) -> None:
        """Begin anew with the same baseline."""
        usual = self.baseline.failed / self.baseline.parts
        self._seen, self._hit = 0, False
        self.reading = Reading(usual, 0.0, float(self.limit), drifting=False, since=0)

    def add(self, failed: bool, part: int) -> Reading:
        """Take in whether a part failed. The sum is kept at twice the limit, so that it comes back."""
        self._seen, self._hit = self._seen + 1, self._hit or failed
        old = self.reading
        average = old.average + WEIGHT * (failed - old.average)
        if self._seen < self.baseline.block:
            self.reading = old._replace(average=average)
            return self.reading
        grown = old.statistic + (self._step if self._hit else -1)
        self._seen, self._hit = 0, False
        statistic = min(2.0 * self.limit, max(0.0, grown))
        since = part if old.statistic == 0.0 else old.since
        drifting = statistic >= self.limit or (old.drifting and statistic > self.limit / 2)
        self.reading = Reading(average, statistic, float(self.limit), drifting, since)
        return self.reading


def chart_run_length(false_alarm_parts: float) -> float:
    """Run length of each chart, if all of a camera's together are to alarm once in so many parts."""
    return false_alarm_parts * len(CHARTS)


def level_limit(false_alarm_parts: float, baseline_parts: int) -> float:
    """Limit of every level chart of a camera; takes 0.1 s, so that it is computed once."""
    return ewma_limit(chart_run_length(false_alarm_parts), parts=baseline_parts)


def level_values(measures: FrameMeasures, score: float | None) -> dict[str, float]:
    """What a part says to which level chart; `score` is None if it failed."""
    values = {
        "brightness": measures.brightness,
        "sharpness": measures.sharpness,
        "x_px": measures.x_px,
        "y_px": measures.y_px,
    }
    return values if score is None else values | {SCORE: score}
