from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cameras.belt import BACKLOG_PARTS, Belt, Exposure, TriggerSource

MS = 1_000_000
gaps_ns = st.lists(st.integers(0, 500 * MS), min_size=1, max_size=40)


def _drain(belt: Belt, now_ns: int) -> list[Exposure]:
    taken = []
    while (exposure := belt.take(now_ns)) is not None:
        taken.append(exposure)
    return taken


@given(rate_hz=st.floats(0.5, 500), n=st.integers(1, 50))
def test_line_exposes_part_n_at_its_time_and_not_before(rate_hz: float, n: int) -> None:
    belt = Belt("line", rate_hz)
    assert belt.take(1_000) == Exposure(0, 1_000, 1)
    for index in range(1, n):
        next_ns = belt.next_ns
        assert next_ns == 1_000 + round(index * 1e9 / rate_hz)
        assert belt.take(next_ns - 1) is None
        assert belt.take(next_ns) == Exposure(index, next_ns, index + 1)


@given(gaps=gaps_ns)
def test_line_loses_nothing_within_the_backlog(gaps: list[int]) -> None:
    belt, now_ns, taken = Belt("line", 10.0), 0, [0]
    belt.take(0)
    for gap in gaps:  # at most 5 parts a gap
        now_ns += gap
        taken += [exposure.index for exposure in _drain(belt, now_ns)]
    assert taken == list(range(now_ns // (100 * MS) + 1))


def test_line_loses_what_passes_while_the_backlog_is_full() -> None:
    belt = Belt("line", 10.0)
    belt.take(0)
    late = _drain(belt, 2_000 * MS)
    assert [exposure.index for exposure in late] == list(range(1, 1 + BACKLOG_PARTS))
    following = belt.take(2_100 * MS)
    assert following == Exposure(21, 2_100 * MS, 22)


@given(gaps=gaps_ns)
def test_freerun_gives_the_newest_only(gaps: list[int]) -> None:
    belt, now_ns = Belt("freerun", 100.0), 0
    for gap in gaps:
        now_ns += gap
        taken = _drain(belt, now_ns)
        assert len(taken) <= 1
        assert all(now_ns - exposure.exposed_ns <= 10 * MS for exposure in taken)


def test_a_software_trigger_while_one_is_pending_is_counted() -> None:
    belt = Belt("software", 10.0)
    assert belt.take(0) is None
    assert belt.next_ns is None
    for now_ns in (1, 2, 3):
        belt.trigger(now_ns)
    assert _drain(belt, 9) == [Exposure(0, 1, 1)]
    belt.trigger(11)
    assert _drain(belt, 12) == [Exposure(1, 11, 4)]


@pytest.mark.parametrize("source", ["line", "freerun"])
def test_a_belt_ends_after_its_last_part(source: TriggerSource) -> None:
    belt = Belt(source, 10.0, parts=3)
    taken = [exposure.index for now_ms in range(0, 1_000, 50) for exposure in _drain(belt, now_ms * MS)]
    assert taken == [0, 1, 2]
    assert belt.ended
    assert belt.next_ns is None


def test_software_ends_too() -> None:
    belt = Belt("software", 10.0, parts=1)
    belt.trigger(1)
    assert belt.take(2) == Exposure(0, 1, 1)
    belt.trigger(3)
    assert belt.ended
    assert belt.take(4) is None
