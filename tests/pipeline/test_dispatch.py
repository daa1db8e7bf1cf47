import pytest

from pipeline.dispatch import InspectionQueue, SlotAccount, Waiting
from pipeline.internal import ProtocolError
from support.frames import make_header


def waiting(ordinal: int) -> Waiting:
    return Waiting(ordinal=ordinal, camera="cam1", slot=ordinal, header=make_header())


def test_one_frame_at_the_engine_in_order() -> None:
    queue = InspectionQueue()
    for ordinal in (1, 2, 3):
        queue.put(waiting(ordinal))
    assert queue.next() == waiting(1)
    assert queue.next() is None
    assert len(queue) == 2
    assert queue.done(1) == waiting(1)
    assert queue.next() == waiting(2)


@pytest.mark.parametrize("answered", [1, 3])
def test_an_answer_to_another_question_is_refused(answered: int) -> None:
    queue = InspectionQueue()
    queue.put(waiting(2))
    with pytest.raises(ProtocolError, match=str(answered)):
        queue.done(answered)
    queue.next()
    with pytest.raises(ProtocolError, match=str(answered)):
        queue.done(answered)
    assert queue.in_flight == waiting(2)


def test_clear_takes_out_everything() -> None:
    queue = InspectionQueue()
    queue.put(waiting(1))
    queue.put(waiting(2))
    queue.next()
    assert queue.clear() == [waiting(1), waiting(2)]
    assert queue.next() is None
    assert len(queue) == 0


def test_slots_go_round() -> None:
    slots = SlotAccount(3)
    slots.take(1)
    assert slots.with_capture == [0, 2]
    slots.release(1)
    assert slots.with_capture == [0, 1, 2]


@pytest.mark.parametrize("slot", [-1, 3, 1])
def test_a_slot_that_capture_does_not_have_is_refused(slot: int) -> None:
    slots = SlotAccount(3)
    slots.take(1)
    with pytest.raises(ProtocolError, match=str(slot)):
        slots.take(slot)
    assert slots.with_capture == [0, 2]
