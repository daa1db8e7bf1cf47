"""One disposition for a part that several cameras see."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.judge import Judgement, Trigger
from pipeline.messages import Reason
from pipeline.parts import PartLedger


def judgement(ordinal: int, reason: Reason = Reason.OK, *, decided_ns: int = 10) -> Judgement:
    trigger = Trigger(
        ordinal=ordinal,
        camera=f"cam{ordinal}",
        trigger_id=7,
        source="plc",
        triggered_ns=0,
        deadline_ns=100,
        part_id="P7",
    )
    return Judgement(
        trigger=trigger,
        disposition="accept" if reason == Reason.OK else "reject",
        verdict="pass" if reason == Reason.OK else "fail",
        reason=reason,
        text=reason.name,
        decided_ns=decided_ns,
        frame=None,
        prediction=None,
    )


@given(
    reasons=st.lists(st.sampled_from([Reason.OK, Reason.ANOMALY, Reason.LATE]), min_size=2), data=st.data()
)
def test_a_part_is_accepted_only_if_every_camera_accepts(reasons: list[Reason], data: st.DataObject) -> None:
    """In whatever order the cameras decide, and once, with the last of them."""
    ledger = PartLedger()
    ordinals = list(range(1, len(reasons) + 1))
    ledger.open(ordinals)
    order = data.draw(st.permutations(ordinals))
    found = [ledger.note(judgement(ordinal, reasons[ordinal - 1])) for ordinal in order]
    assert found[:-1] == [None] * (len(reasons) - 1)
    part = found[-1]
    assert part is not None
    assert [member.trigger.ordinal for member in part.members] == ordinals
    assert (part.disposition == "accept") == all(reason == Reason.OK for reason in reasons)
    first = next((reason for reason in reasons if reason != Reason.OK), Reason.OK)
    assert part.reason == first


def test_triggers_of_no_part_are_none_of_its_business() -> None:
    ledger = PartLedger()
    ledger.open([1, 2])
    assert ledger.note(judgement(9)) is None
    assert ledger.note(judgement(1)) is None
    part = ledger.note(judgement(2, decided_ns=101))
    assert part is not None
    assert not part.on_time
    assert ledger.note(judgement(2)) is None
