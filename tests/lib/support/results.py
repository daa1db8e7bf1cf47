"""Result headers for tests that need some and do not care which."""

from pipeline.messages import FrameSummary, Reason, ResultHeader, Times


def make_result(ordinal: int, *, reason: Reason = Reason.OK, truth: str | None = None) -> ResultHeader:
    judged = reason in (Reason.OK, Reason.ANOMALY)
    times = Times(trigger="1", exposure="1", received="2", infer_start="3", infer_end="4", decided="5")
    frame = FrameSummary(
        id=ordinal,
        raw_id=ordinal,
        camera_epoch=1,
        camera_timestamp="0",
        trigger_counter=None,
        complete=True,
        width=4,
        height=4,
        pixel_format="Mono8",
        truth=truth,
    )
    return ResultHeader(
        schema="hlgfa.result/1.0",
        epoch="epoch",
        stream="result/cam1",
        seq=ordinal,
        line="demo",
        station="station1",
        camera="cam1",
        published_ns="6",
        clock="free",
        result_id=f"epoch-{ordinal}",
        trigger_id=ordinal,
        trigger_source="line",
        part_id=None,
        job_id=None,
        disposition="accept" if reason == Reason.OK else "reject",
        verdict=("pass" if reason == Reason.OK else "fail") if judged else "invalid",
        result_state=1 if judged else 4,
        reason_code=int(reason),
        reason=reason.name,
        score=0.5,
        threshold=1.0,
        regions=[],
        t=times,
        deadline_ns="9",
        on_time=True,
        latency_us=5,
        frame=frame,
        model=None,
        recipe=None,
        simulated=False,
        heatmap=None,
    )
