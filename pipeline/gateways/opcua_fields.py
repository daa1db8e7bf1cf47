"""A result in the words of OPC 40100-1 (OPC UA Machine Vision, part 1), field by field. Pure.

Pass and fail have no field of their own there; they belong in ResultContent, here JSON. So that a PLC need
not parse it, the same values stand beside it, under our own names.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

import msgspec

from pipeline.messages import PartHeader, Reason, ResultHeader

if TYPE_CHECKING:
    from pipeline.messages import StatusHeader

TypeName = Literal["String", "Int32", "UInt32", "Double", "Boolean", "DateTime"]
Value = str | int | float | bool | datetime | list[float]

RESULT_TYPES: dict[str, TypeName] = {
    # OPC 40100-1
    "ResultId": "String",
    "PartId": "String",
    "JobId": "String",
    "RecipeId": "String",
    "ResultState": "Int32",
    "CreationTime": "DateTime",
    "ProcessingTimes": "Double",
    "IsSimulated": "Boolean",
    "IsPartial": "Boolean",
    "ResultContent": "String",
    # ours
    "TriggerId": "UInt32",
    "Disposition": "String",
    "Accept": "Boolean",
    "Verdict": "String",
    "ReasonCode": "Int32",
    "Reason": "String",
    "Score": "Double",
    "Threshold": "Double",
}
ABORTED = 3


def empty_fields() -> dict[str, Value]:
    """What stands there before the first result: nothing was accepted."""
    return {
        "ResultId": "",
        "PartId": "",
        "JobId": "",
        "RecipeId": "",
        "ResultState": 0,
        "CreationTime": datetime.fromtimestamp(0, timezone.utc),
        "ProcessingTimes": [0.0, 0.0, 0.0],
        "IsSimulated": False,
        "IsPartial": False,
        "ResultContent": "{}",
        "TriggerId": 0,
        "Disposition": "reject",
        "Accept": False,
        "Verdict": "invalid",
        "ReasonCode": 0,
        "Reason": "no result yet",
        "Score": -1.0,
        "Threshold": -1.0,
    }


def result_fields(header: ResultHeader | PartHeader) -> dict[str, Value]:
    """The fields of a result or of a part's disposition; a score that does not exist is -1."""
    fields: dict[str, Value] = empty_fields() | {
        "JobId": header.job_id or "",
        "PartId": header.part_id or "",
        "CreationTime": datetime.fromtimestamp(int(header.published_ns) / 1e9, timezone.utc),
        "ProcessingTimes": _times_ms(header),
        "TriggerId": header.trigger_id,
        "Disposition": header.disposition,
        "Accept": header.disposition == "accept" and header.on_time,
        "ReasonCode": header.reason_code,
        "Reason": header.reason,
    }
    if isinstance(header, PartHeader):
        last = header.members[-1]
        return {**fields, "ResultId": last.result_id, "ResultState": 1, "ResultContent": _content(header)}
    return fields | {
        "ResultId": header.result_id,
        "RecipeId": header.recipe.id if header.recipe else "",
        "ResultState": header.result_state,
        "IsSimulated": header.simulated,
        "Verdict": header.verdict,
        "Score": -1.0 if header.score is None else header.score,
        "Threshold": -1.0 if header.threshold is None else header.threshold,
        "ResultContent": _content(header),
    }


def missing_result(trigger_id: int, reason: Reason, now: datetime) -> dict[str, Value]:
    """The reject of a trigger that has no result of the station."""
    text = "no result in time" if reason is Reason.LATE else "the station is silent"
    return empty_fields() | {
        "ResultState": ABORTED,
        "CreationTime": now,
        "TriggerId": trigger_id,
        "ReasonCode": int(reason),
        "Reason": text,
    }


def _content(header: ResultHeader | PartHeader) -> str:
    """The keys of the wire schema, as JSON."""
    keys = ["disposition", "verdict", "reason_code", "reason", "score", "threshold", "regions", "members"]
    found = {key: getattr(header, key) for key in keys if hasattr(header, key)}
    return msgspec.json.encode(found).decode()


def _times_ms(header: ResultHeader | PartHeader) -> list[float]:
    """Trigger to frame, inference, and trigger to publication, in ms; 0 for what was not reached."""
    total = header.latency_us / 1000
    if isinstance(header, PartHeader):
        return [0.0, 0.0, total]
    t = header.t
    acquisition = 0.0 if t.received is None else (int(t.received) - int(t.trigger)) / 1e6
    inference = 0.0
    if t.infer_start is not None and t.infer_end is not None:
        inference = (int(t.infer_end) - int(t.infer_start)) / 1e6
    return [acquisition, inference, total]


def state_name(status: StatusHeader | None, *, fresh: bool, on_request: bool, open_jobs: bool) -> str:
    """The state of the vision state machine; a camera that waits for jobs is Ready, or in SingleExecution."""
    if status is None or not fresh:
        return "Error"
    if status.state == "ContinuousExecution" and on_request:
        return "SingleExecution" if open_jobs else "Ready"
    return status.state
