"""Judgements and states as wire headers. Pure."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Literal

from pipeline.messages import (
    AmendHeader,
    CameraStatus,
    FrameSummary,
    HeatmapHeader,
    PartHeader,
    PartMember,
    Reason,
    RecipeSummary,
    ResultHeader,
    Times,
)

if TYPE_CHECKING:
    from calibration.record import Review
    from pipeline.camera_line import CameraLine
    from pipeline.frame import FrameHeader
    from pipeline.internal import EngineReady, PackedHeatmap
    from pipeline.judge import Amendment, Judgement, TriggerLedger
    from pipeline.messages import Common, HeatmapNote, ModelSummary
    from pipeline.parts import PartJudgement
    from pipeline.recipes.recipe import RecipeFile

ABORTED = (Reason.LATE, Reason.NO_FRAME, Reason.CAMERA_LOST)


def finite(value: float | None) -> float | None:
    """The value, or None if it is not finite: JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def result_header(
    common: Common,
    judgement: Judgement,
    *,
    result_id: str,
    now_ns: int,
    model: ModelSummary | None,
    recipe: RecipeSummary | None,
    threshold: float | None,
    heatmap: HeatmapNote | None,
) -> ResultHeader:
    """The result of one judgement; `now_ns`, host monotonic, is taken as the time of publication."""
    trigger, prediction, frame = judgement.trigger, judgement.prediction, judgement.frame
    return ResultHeader(
        **common,
        result_id=result_id,
        trigger_id=trigger.trigger_id,
        trigger_source=trigger.source,
        part_id=trigger.part_id,
        job_id=trigger.job_id,
        disposition=judgement.disposition,
        verdict=judgement.verdict,
        result_state=_result_state(judgement),
        reason_code=int(judgement.reason),
        reason=judgement.text,
        score=finite(prediction.score) if prediction else None,
        threshold=finite(threshold),
        regions=prediction.regions if prediction else [],
        t=_times(judgement),
        deadline_ns=str(trigger.deadline_ns),
        on_time=judgement.on_time,
        latency_us=(now_ns - trigger.triggered_ns) // 1000,
        frame=_frame_summary(frame) if frame else None,
        model=model,
        recipe=recipe,
        simulated=frame is not None and frame.simulated,
        heatmap=heatmap,
    )


def part_header(common: Common, part: PartJudgement, *, result_ids: list[str], now_ns: int) -> PartHeader:
    """The disposition of a part; `result_ids` are its members', in their order."""
    trigger = part.members[0].trigger
    return PartHeader(
        **common,
        trigger_id=trigger.trigger_id,
        part_id=trigger.part_id,
        job_id=trigger.job_id,
        disposition=part.disposition,
        reason_code=int(part.reason),
        reason=part.text,
        members=[
            PartMember(
                camera=member.trigger.camera,
                result_id=result_id,
                disposition=member.disposition,
                reason_code=int(member.reason),
            )
            for member, result_id in zip(part.members, result_ids, strict=True)
        ],
        deadline_ns=str(trigger.deadline_ns),
        on_time=part.on_time,
        latency_us=(now_ns - trigger.triggered_ns) // 1000,
    )


def amend_header(common: Common, amendment: Amendment, *, result_id: str) -> AmendHeader:
    """The late score of a trigger that was decided without it."""
    return AmendHeader(
        **common,
        result_id=result_id,
        trigger_id=amendment.trigger.trigger_id,
        score=finite(amendment.prediction.score),
        threshold=finite(amendment.prediction.threshold),
        late_us=amendment.late_ns // 1000,
    )


def heatmap_header(
    common: Common,
    packed: PackedHeatmap,
    codec: Literal["none", "zstd"],
    *,
    result_id: str,
    engine: EngineReady,
) -> HeatmapHeader:
    """What a reader needs to make raw scores of the payload, and to lay them over the image."""
    rows, columns = packed.shape
    scale_x, scale_y = engine.info.width_px / columns, engine.info.height_px / rows
    # Pixel centres: the middle of map pixel 0 is at scale/2 - 0.5 of the image.
    to_image = ((scale_x, 0.0, scale_x / 2 - 0.5), (0.0, scale_y, scale_y / 2 - 0.5))
    return HeatmapHeader(
        **common,
        result_id=result_id,
        dtype="u8",
        shape=packed.shape,
        # The wire says how to come back: score = value * scale + offset.
        scale=1.0 / engine.heatmap_scale,
        offset=-engine.heatmap_offset / engine.heatmap_scale,
        codec=codec,
        raw_bytes=packed.raw_bytes,
        crc32=packed.crc32,
        to_image=to_image,
        threshold=engine.map_threshold,
        roi_sha256=None,
    )


def recipe_summary(engine: EngineReady, found: RecipeFile | None) -> RecipeSummary:
    """What an engine judges by: its recipe, or, where there is none, its model and calibration."""
    if found is not None and engine.recipe_sha256 is not None:
        recipe = found.recipe
        return RecipeSummary(id=str(recipe.id), version=recipe.version, sha256=engine.recipe_sha256)
    text = f"{engine.info.model_sha256} {engine.calibration_sha256}"
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return RecipeSummary(id=engine.info.model_id, version=1, sha256=sha256)


def camera_status(line: CameraLine, ledger: TriggerLedger, *, held: bool) -> CameraStatus:
    """One camera's state and account."""
    return CameraStatus(
        name=line.name,
        state=line.state,
        triggers=ledger.triggers[line.name],
        accepts=ledger.accepts[line.name],
        rejects=sum(n for (camera, _), n in ledger.rejects.items() if camera == line.name),
        frames_skipped=line.frames_skipped,
        frames_lost=line.frames_lost,
        held=held,
    )


def reviewed(review: Review, threshold: float) -> str:
    """What an event says of a threshold that came from operators' marks."""
    return (
        f"threshold {threshold:.4f} from a review by {review.operator}, {review.applied_utc}: {review.bad} "
        f"bad, {review.false_rejects} false rejects marked; it was {review.old_threshold:.4f}"
    )


def _result_state(judgement: Judgement) -> Literal[1, 3, 4]:
    """ResultState of OPC 40100-1: completed, aborted or failed."""
    if judgement.verdict != "invalid":
        return 1
    return 3 if judgement.reason in ABORTED else 4


def _times(judgement: Judgement) -> Times:
    trigger, frame, prediction = judgement.trigger, judgement.frame, judgement.prediction
    return Times(
        trigger=str(trigger.triggered_ns),
        exposure=str(frame.exposed_ns) if frame else None,
        received=str(frame.received_ns) if frame else None,
        infer_start=str(prediction.infer_start_ns) if prediction else None,
        infer_end=str(prediction.infer_end_ns) if prediction else None,
        decided=str(judgement.decided_ns),
    )


def _frame_summary(frame: FrameHeader) -> FrameSummary:
    return FrameSummary(
        id=frame.frame_id,
        raw_id=frame.raw_frame_id,
        camera_epoch=frame.camera_epoch,
        camera_timestamp=str(frame.camera_timestamp_ns),
        trigger_counter=frame.trigger_count,
        complete=frame.complete,
        width=frame.width_px,
        height=frame.height_px,
        pixel_format=frame.pixel_format,
        encoder_count=frame.encoder_count,
        source=frame.source,
        truth=frame.truth,
    )
