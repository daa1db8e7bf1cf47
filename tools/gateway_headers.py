"""Headers for `tools.gateway_latency`: a good part, and a station that is ready."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pipeline.messages import CameraStatus, ResultHeader, StatusHeader, Times

if TYPE_CHECKING:
    from pipeline.publisher import Publisher

_COUNTER = itertools.count()


def make_result(publisher: Publisher, trigger_id: int) -> ResultHeader:
    """An accept, decided at once, with a deadline of one second."""
    times = Times(trigger="0", exposure=None, received="1", infer_start="2", infer_end="3", decided="4")
    return ResultHeader(
        **publisher.stamp("result", camera="cam1"),
        result_id=f"bench-{trigger_id}",
        trigger_id=trigger_id,
        trigger_source="line",
        part_id=f"part-{trigger_id}",
        job_id=None,
        disposition="accept",
        verdict="pass",
        result_state=1,
        reason_code=0,
        reason="ok",
        score=0.25,
        threshold=1.0,
        regions=[],
        t=times,
        deadline_ns="1000000000",
        on_time=True,
        latency_us=30_000,
        frame=None,
        model=None,
        recipe=None,
        simulated=True,
        heatmap=None,
    )


def make_status(publisher: Publisher, period_ms: int) -> StatusHeader:
    """Ready, with the truth about the streams."""
    camera = CameraStatus(name="cam1", state="ready", triggers=0, accepts=0, rejects=0, frames_skipped=0)
    return StatusHeader(
        **publisher.stamp("status"),
        counter=next(_COUNTER) & 0xFFFF,
        period_ms=period_ms,
        state="ContinuousExecution",
        ready=True,
        busy=False,
        fault=None,
        last_seq=publisher.last_seq,
        oldest_seq={},
        queue_depth=0,
        dropped=0,
        late=0,
        cameras=[camera],
        engine="ready",
        recipe=None,
    )
