"""Latencies: how long each stage of each result took, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.messages import StageLatency

if TYPE_CHECKING:
    from pipeline.judge import Judgement

KEPT = 100_000
STAGES = (
    "exposure",
    "transfer",
    "queue",
    "inference",
    "decision",
    "publication",
    "trigger to published",
    "overhead",
)
"""`overhead` is trigger to published less the engine's inference."""


class LatencyRecorder:
    """The last `kept` durations of each stage. Memory is allocated and touched once: it does not grow."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._durations_ns = {stage: np.full(kept, -1, np.int64) for stage in STAGES}
        self._counts = dict.fromkeys(STAGES, 0)

    def add(self, judgement: Judgement, published_ns: int) -> None:
        """Note a published result; a stage that it did not reach is left out."""
        for stage, duration_ns in durations_ns(judgement, published_ns).items():
            self._durations_ns[stage][self._counts[stage] % self._kept] = duration_ns
            self._counts[stage] += 1

    def summary(self) -> list[StageLatency]:
        """Median, 99th and 99.9th percentile and maximum of every stage that has any."""
        rows = []
        for stage in STAGES:
            count = min(self._counts[stage], self._kept)
            if count:
                values = self._durations_ns[stage][:count] / 1000
                p50, p99, p999 = np.percentile(values, [50, 99, 99.9])
                row = StageLatency(
                    stage=stage,
                    count=self._counts[stage],
                    p50_us=float(p50),
                    p99_us=float(p99),
                    p999_us=float(p999),
                    max_us=float(values.max()),
                )
                rows.append(row)
        return rows

    def reset(self) -> None:
        """Forget what was noted."""
        self._counts = dict.fromkeys(STAGES, 0)


def durations_ns(judgement: Judgement, published_ns: int) -> dict[str, int]:
    """Nanoseconds of every stage that this result went through."""
    trigger, frame, prediction = judgement.trigger, judgement.frame, judgement.prediction
    spans = {"trigger to published": published_ns - trigger.triggered_ns}
    spans["publication"] = published_ns - judgement.decided_ns
    if frame is not None:
        spans["exposure"] = frame.exposed_ns - trigger.triggered_ns
        spans["transfer"] = frame.received_ns - frame.exposed_ns
    if frame is not None and prediction is not None:
        spans["queue"] = prediction.infer_start_ns - frame.received_ns
        spans["inference"] = prediction.infer_end_ns - prediction.infer_start_ns
        spans["decision"] = judgement.decided_ns - prediction.infer_end_ns
        spans["overhead"] = spans["trigger to published"] - spans["inference"]
    return spans
