import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.judge import Amendment, Basis, Judgement, Prediction, Trigger, TriggerLedger
from pipeline.messages import Reason
from support.frames import make_header

DEADLINE_NS = 100
GUARD_NS = 10


def make_trigger(
    ordinal: int, *, trigger_id: int | None = None, at_ns: int = 0, camera: str = "cam1"
) -> Trigger:
    return Trigger(
        ordinal=ordinal,
        camera=camera,
        trigger_id=ordinal if trigger_id is None else trigger_id,
        source="plc",
        triggered_ns=at_ns,
        deadline_ns=at_ns + DEADLINE_NS,
        part_id=f"part-{ordinal}",
    )


def make_prediction(score: float, threshold: float = 1.0) -> Prediction:
    return Prediction(score=score, threshold=threshold, regions=[], infer_start_ns=3, infer_end_ns=4)


def ledger_with_frame(*, complete: bool = True) -> TriggerLedger:
    ledger = TriggerLedger(guard_ns=GUARD_NS)
    assert ledger.open(make_trigger(1), 0) is None
    assert ledger.frame(1, make_header(complete=complete))
    return ledger


def decide(ledger: TriggerLedger, prediction: Prediction, now_ns: int = 50, **options: object) -> Judgement:
    decision = ledger.predict(1, prediction, now_ns, **options)  # type: ignore[arg-type]
    assert isinstance(decision, Judgement)
    return decision


def test_a_score_under_the_threshold_is_accepted() -> None:
    decision = decide(ledger_with_frame(), make_prediction(0.5))
    assert (decision.disposition, decision.verdict, decision.reason) == ("accept", "pass", Reason.OK)
    assert decision.trigger.part_id == "part-1"
    assert decision.on_time


@pytest.mark.parametrize(
    "computed", [None, Basis(1, "a" * 64), Basis(2, "b" * 64)], ids=["unknown", "earlier", "another model"]
)
def test_a_score_of_another_recipe_is_rejected_however_good(computed: Basis | None) -> None:
    ledger = TriggerLedger(guard_ns=GUARD_NS)
    trigger = msgspec.structs.replace(make_trigger(1), basis=Basis(2, "a" * 64))
    assert ledger.open(trigger, 0) is None
    assert ledger.frame(1, make_header(complete=True))
    decision = decide(ledger, msgspec.structs.replace(make_prediction(0.5), basis=computed))
    assert (decision.disposition, decision.verdict, decision.prediction) == ("reject", "invalid", None)
    assert decision.reason == Reason.RECIPE_MISMATCH


@pytest.mark.parametrize("score", [1.0, 1.5, 1e30])
def test_a_score_at_or_over_the_threshold_is_rejected(score: float) -> None:
    decision = decide(ledger_with_frame(), make_prediction(score))
    assert (decision.disposition, decision.verdict, decision.reason) == ("reject", "fail", Reason.ANOMALY)


@pytest.mark.parametrize(
    ("score", "threshold"), [(math.nan, 1), (math.inf, 1), (-math.inf, 1), (0, math.nan), (0, math.inf)]
)
def test_what_is_not_finite_is_rejected(score: float, threshold: float) -> None:
    decision = decide(ledger_with_frame(), make_prediction(score, threshold))
    assert (decision.disposition, decision.verdict) == ("reject", "invalid")
    assert decision.reason == Reason.NON_FINITE_SCORE


def test_an_incomplete_frame_is_rejected_whatever_its_score() -> None:
    decision = decide(ledger_with_frame(complete=False), make_prediction(0.0))
    assert (decision.disposition, decision.reason) == ("reject", Reason.INCOMPLETE_FRAME)


def test_a_score_without_a_frame_is_rejected() -> None:
    ledger = TriggerLedger(guard_ns=GUARD_NS)
    ledger.open(make_trigger(1), 0)
    assert decide(ledger, make_prediction(0.0)).reason == Reason.INCOMPLETE_FRAME


def test_a_good_score_after_the_deadline_is_rejected_as_late() -> None:
    decision = decide(ledger_with_frame(), make_prediction(0.0), now_ns=DEADLINE_NS + 1)
    assert (decision.disposition, decision.reason, decision.on_time) == ("reject", Reason.LATE, False)


def test_a_veto_turns_an_accept_into_a_reject_and_leaves_a_fail() -> None:
    veto = (Reason.SIMULATED_ON_LIVE_OUTPUT, "simulated")
    good = decide(ledger_with_frame(), make_prediction(0.0), veto=veto)
    bad = decide(ledger_with_frame(), make_prediction(2.0), veto=veto)
    assert (good.disposition, good.verdict, good.reason) == ("reject", "pass", veto[0])
    assert bad.reason == Reason.ANOMALY


def test_nothing_expires_before_the_guard() -> None:
    ledger = ledger_with_frame()
    assert ledger.next_expiry_ns() == DEADLINE_NS - GUARD_NS
    assert ledger.expire(DEADLINE_NS - GUARD_NS - 1) == []
    [late] = ledger.expire(DEADLINE_NS - GUARD_NS)
    assert (late.disposition, late.reason, late.on_time) == ("reject", Reason.LATE, True)
    assert ledger.next_expiry_ns() is None


def test_without_a_frame_the_expiry_says_so() -> None:
    ledger = TriggerLedger(guard_ns=GUARD_NS)
    ledger.open(make_trigger(1), 0)
    [judgement] = ledger.expire(DEADLINE_NS)
    assert judgement.reason == Reason.NO_FRAME


def test_a_late_score_amends_and_never_flips() -> None:
    ledger = ledger_with_frame()
    ledger.expire(DEADLINE_NS)
    amendment = ledger.predict(1, make_prediction(0.0), DEADLINE_NS + 7)
    assert isinstance(amendment, Amendment)
    assert amendment.late_ns == 7
    assert ledger.accepts.total() == 0
    assert ledger.rejects.total() == 1


def test_a_used_trigger_id_gets_a_reject_of_its_own() -> None:
    ledger = ledger_with_frame()
    second = ledger.open(make_trigger(2, trigger_id=1), 5)
    assert second is not None
    assert second.reason == Reason.DUPLICATE_TRIGGER
    assert decide(ledger, make_prediction(0.0)).disposition == "accept"


def test_the_same_trigger_id_on_another_camera_is_no_duplicate() -> None:
    ledger = ledger_with_frame()
    assert ledger.open(make_trigger(2, trigger_id=1, camera="cam2"), 5) is None


def test_an_ordinal_is_used_once() -> None:
    ledger = ledger_with_frame()
    with pytest.raises(ValueError, match="ordinal 1"):
        ledger.open(make_trigger(1, trigger_id=9), 0)
    assert ledger.total() == 1


def test_revoke_moves_an_accept_to_the_rejects() -> None:
    ledger = ledger_with_frame()
    accepted = decide(ledger, make_prediction(0.0))
    revoked = ledger.revoke(accepted, Reason.JOURNAL_FAILED, "disk full")
    assert revoked.disposition == "reject"
    assert (ledger.accepts.total(), ledger.rejects.total()) == (0, 1)
    with pytest.raises(ValueError, match="no accept"):
        ledger.revoke(revoked, Reason.JOURNAL_FAILED, "again")


def test_a_prediction_for_an_unknown_trigger_changes_nothing() -> None:
    ledger = TriggerLedger(guard_ns=0)
    assert ledger.predict(7, make_prediction(0.0), 0) is None
    assert ledger.total() == 0


@given(score=st.floats(), low=st.floats(0, 1e6), more=st.floats(0, 1e6))
def test_raising_the_threshold_never_makes_a_good_part_bad(score: float, low: float, more: float) -> None:
    strict = decide(ledger_with_frame(), make_prediction(score, low))
    lenient = decide(ledger_with_frame(), make_prediction(score, low + more))
    if strict.disposition == "accept":
        assert lenient.disposition == "accept"


@given(
    score=st.floats(),
    threshold=st.floats(),
    now_ns=st.integers(0, 2 * DEADLINE_NS),
    complete=st.booleans(),
    vetoed=st.booleans(),
)
def test_accept_needs_everything(
    score: float, threshold: float, now_ns: int, complete: bool, vetoed: bool
) -> None:
    veto = (Reason.MAINTENANCE, "maintenance") if vetoed else None
    prediction = make_prediction(score, threshold)
    decision = decide(ledger_with_frame(complete=complete), prediction, now_ns, veto=veto)
    may = (
        complete
        and not vetoed
        and math.isfinite(score)
        and math.isfinite(threshold)
        and score < threshold
        and now_ns <= DEADLINE_NS
    )
    assert (decision.disposition == "accept") == may
    assert (decision.reason == Reason.OK) == may


class LedgerMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: one terminal result per trigger, and the sums add up."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = TriggerLedger(guard_ns=GUARD_NS)
        self.now_ns = 0
        self.opened = 0
        self.results: list[int] = []

    def note(self, decision: Judgement | Amendment | None) -> None:
        if isinstance(decision, Judgement):
            self.results.append(decision.trigger.ordinal)

    @rule(trigger_id=st.integers(0, 5), camera=st.sampled_from(["cam1", "cam2"]))
    def trigger(self, trigger_id: int, camera: str) -> None:
        self.opened += 1
        trigger = make_trigger(self.opened, trigger_id=trigger_id, at_ns=self.now_ns, camera=camera)
        self.note(self.ledger.open(trigger, self.now_ns))

    @rule(ordinal=st.integers(0, 30), complete=st.booleans())
    def frame(self, ordinal: int, complete: bool) -> None:
        self.ledger.frame(ordinal, make_header(complete=complete))

    @rule(ordinal=st.integers(0, 30), score=st.sampled_from([0.0, 2.0, math.nan]))
    def predict(self, ordinal: int, score: float) -> None:
        self.note(self.ledger.predict(ordinal, make_prediction(score), self.now_ns))

    @rule(ordinal=st.integers(0, 30))
    def reject(self, ordinal: int) -> None:
        self.note(self.ledger.reject(ordinal, Reason.CAMERA_LOST, "lost", self.now_ns))

    @rule(step_ns=st.integers(0, 60))
    def wait(self, step_ns: int) -> None:
        self.now_ns += step_ns
        for judgement in self.ledger.expire(self.now_ns):
            assert judgement.disposition == "reject"
            self.note(judgement)

    @invariant()
    def one_result_each(self) -> None:
        assert len(self.results) == len(set(self.results))
        pending = self.ledger.pending()
        decided = self.ledger.accepts.total() + self.ledger.rejects.total()
        assert self.ledger.total() == self.opened == decided + len(pending)
        assert sorted(self.results + pending) == list(range(1, self.opened + 1))


TestLedgerMachine = LedgerMachine.TestCase
