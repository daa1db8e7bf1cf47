"""The trigger ledger: exactly one terminal result for every trigger, decided before its deadline.

Pure: no clock, no sockets, no processes; time comes in as `now_ns` (host monotonic).

Rules:
1. `open` starts an entry; every entry is decided exactly once: `triggers == accepts + rejects + pending`.
2. `accept` needs all of: a complete frame of the right format, a finite score under the threshold, a station
   whose journal can prove it, the decision before the deadline, and the very recipe that was in force when
   the part was triggered. Everything else is a reject with a reason.
3. What comes for an entry after its decision changes nothing; a late score becomes an `Amendment`.
4. A trigger id that was seen before gets a reject of its own and leaves the first one alone.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline.messages import Disposition, Reason, Region, TriggerSource, Verdict

if TYPE_CHECKING:
    from pipeline.frame import FrameHeader

REMEMBERED_IDS = 1024


class Basis(msgspec.Struct, frozen=True):
    """What a part is judged by: `changes` counts the changeovers of this start, the model is the engine's."""

    changes: int
    model_sha256: str


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One request to inspect a part. `ordinal` is the station's own running number, unique per start.

    `basis` is what was in force when it came.
    """

    ordinal: int
    camera: str
    trigger_id: int
    source: TriggerSource
    triggered_ns: int
    deadline_ns: int
    part_id: str | None = None
    job_id: str | None = None
    basis: Basis | None = None


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine says of one frame; `score` and `threshold` in the same raw units.

    `basis` is what the engine itself says that it has computed the score with.
    """

    score: float
    threshold: float
    regions: list[Region]
    infer_start_ns: int
    infer_end_ns: int
    basis: Basis | None = None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal decision on one trigger."""

    trigger: Trigger
    disposition: Disposition
    verdict: Verdict
    reason: Reason
    text: str
    decided_ns: int
    frame: FrameHeader | None
    prediction: Prediction | None

    @property
    def on_time(self) -> bool:
        """Whether the decision fell before the deadline."""
        return self.decided_ns <= self.trigger.deadline_ns


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """A score that came after its trigger was decided."""

    trigger: Trigger
    prediction: Prediction
    late_ns: int


class _Outcome(NamedTuple):
    """What a trigger's decision says."""

    disposition: Disposition
    verdict: Verdict
    reason: Reason
    text: str


class _Entry:
    """An open trigger and its frame, once there is one."""

    __slots__ = ("frame", "trigger")

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.frame: FrameHeader | None = None


class TriggerLedger:
    """All triggers of a station. `guard_ns` before a deadline an undecided trigger is rejected."""

    def __init__(self, *, guard_ns: int) -> None:
        self._guard_ns = guard_ns
        self._open: dict[int, _Entry] = {}
        self._decided: dict[int, Trigger] = {}
        self._recent_ids: dict[str, deque[int]] = {}
        self.triggers: Counter[str] = Counter()
        self.accepts: Counter[str] = Counter()
        self.rejects: Counter[tuple[str, Reason]] = Counter()

    def open(self, trigger: Trigger, now_ns: int) -> Judgement | None:
        """Enter a trigger; a trigger id seen before on this camera is rejected at once.

        Raises:
            ValueError: the ordinal is in use; it must be unique.
        """
        if trigger.ordinal in self._open or trigger.ordinal in self._decided:
            raise ValueError(f"trigger ledger: ordinal {trigger.ordinal} is already in use")
        self.triggers[trigger.camera] += 1
        self._open[trigger.ordinal] = _Entry(trigger)
        recent = self._recent_ids.setdefault(trigger.camera, deque(maxlen=REMEMBERED_IDS))
        if trigger.trigger_id in recent:
            text = f"trigger id {trigger.trigger_id} was already used"
            return self.reject(trigger.ordinal, Reason.DUPLICATE_TRIGGER, text, now_ns)
        recent.append(trigger.trigger_id)
        return None

    def frame(self, ordinal: int, header: FrameHeader) -> bool:
        """Note the frame of a trigger; False if the trigger is decided already."""
        entry = self._open.get(ordinal)
        if entry is None:
            return False
        entry.frame = header
        return True

    def reject(self, ordinal: int, reason: Reason, text: str, now_ns: int) -> Judgement | None:
        """Decide an open trigger as reject; None if it is decided already."""
        outcome = _Outcome("reject", "invalid", reason, text)
        return self._decide(ordinal, outcome, now_ns, None)

    def predict(
        self, ordinal: int, prediction: Prediction, now_ns: int, *, veto: tuple[Reason, str] | None = None
    ) -> Judgement | Amendment | None:
        """Decide by a prediction. `veto` is a reason of the station's own not to accept anything now.

        An amendment comes back if the trigger was decided before, None if it is unknown.
        """
        entry = self._open.get(ordinal)
        if entry is None:
            trigger = self._decided.get(ordinal)
            if trigger is None:
                return None
            return Amendment(trigger=trigger, prediction=prediction, late_ns=now_ns - trigger.deadline_ns)
        if prediction.basis != entry.trigger.basis:
            text = "the score is of another recipe's engine"
            return self._decide(
                ordinal, _Outcome("reject", "invalid", Reason.RECIPE_MISMATCH, text), now_ns, None
            )
        return self._decide(ordinal, _dispose(entry, prediction, now_ns, veto), now_ns, prediction)

    def revoke(self, accepted: Judgement, reason: Reason, text: str) -> Judgement:
        """Turn an accept that was not published yet into a reject.

        Raises:
            ValueError: it is not an accept.
        """
        if accepted.disposition != "accept":
            raise ValueError(f"trigger ledger: trigger {accepted.trigger.ordinal} is no accept")
        camera = accepted.trigger.camera
        self.accepts[camera] -= 1
        self.rejects[camera, reason] += 1
        return msgspec.structs.replace(accepted, disposition="reject", reason=reason, text=text)

    def expire(self, now_ns: int) -> list[Judgement]:
        """Reject every open trigger whose deadline, less the guard, has come."""
        due = [e for e in self._open.values() if e.trigger.deadline_ns - self._guard_ns <= now_ns]
        judgements = []
        for entry in due:
            reason, text = _expiry(entry)
            judgement = self.reject(entry.trigger.ordinal, reason, text, now_ns)
            if judgement is not None:
                judgements.append(judgement)
        return judgements

    def next_expiry_ns(self) -> int | None:
        """When `expire` has something to do next; None if nothing is open."""
        if not self._open:
            return None
        return min(entry.trigger.deadline_ns for entry in self._open.values()) - self._guard_ns

    def pending(self, camera: str | None = None) -> list[int]:
        """Ordinals of the open triggers, oldest first."""
        return [o for o, e in self._open.items() if camera is None or e.trigger.camera == camera]

    def awaiting_frame(self, camera: str) -> list[int]:
        """Ordinals of this camera's open triggers that have no frame yet, oldest first."""
        return [o for o, e in self._open.items() if e.trigger.camera == camera and e.frame is None]

    def total(self) -> int:
        """Triggers so far, over all cameras."""
        return self.triggers.total()

    def is_open(self, ordinal: int) -> bool:
        """Whether a trigger still waits for its decision."""
        return ordinal in self._open

    def _decide(
        self,
        ordinal: int,
        outcome: _Outcome,
        now_ns: int,
        prediction: Prediction | None,
    ) -> Judgement | None:
        entry = self._open.pop(ordinal, None)
        if entry is None:
            return None
        self._decided[ordinal] = entry.trigger
        if len(self._decided) > REMEMBERED_IDS:
            del self._decided[next(iter(self._decided))]
        camera = entry.trigger.camera
        if outcome.disposition == "accept":
            self.accepts[camera] += 1
        else:
            self.rejects[camera, outcome.reason] += 1
        return Judgement(
            trigger=entry.trigger,
            disposition=outcome.disposition,
            verdict=outcome.verdict,
            reason=outcome.reason,
            text=outcome.text,
            decided_ns=now_ns,
            frame=entry.frame,
            prediction=prediction,
        )


def _dispose(entry: _Entry, prediction: Prediction, now_ns: int, veto: tuple[Reason, str] | None) -> _Outcome:
    """The one place where `accept` is given."""
    frame, score, threshold = entry.frame, prediction.score, prediction.threshold
    if frame is None or not frame.complete:
        return _Outcome("reject", "invalid", Reason.INCOMPLETE_FRAME, "the frame is incomplete")
    if not (math.isfinite(score) and math.isfinite(threshold)):
        return _Outcome("reject", "invalid", Reason.NON_FINITE_SCORE, f"score {score}, threshold {threshold}")
    verdict: Verdict = "pass" if score < threshold else "fail"
    if now_ns > entry.trigger.deadline_ns:
        return _Outcome("reject", verdict, Reason.LATE, "the score came after the deadline")
    if verdict == "fail":
        return _Outcome("reject", verdict, Reason.ANOMALY, "the score is not under the threshold")
    if veto is not None:
        return _Outcome("reject", verdict, *veto)
    return _Outcome("accept", "pass", Reason.OK, "ok")


def _expiry(entry: _Entry) -> tuple[Reason, str]:
    if entry.frame is None:
        return Reason.NO_FRAME, "no frame before the deadline"
    return Reason.LATE, "no score before the deadline"
