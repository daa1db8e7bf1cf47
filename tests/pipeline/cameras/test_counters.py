from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cameras.counters import FrameCounter, HostClock


@given(first=st.integers(1, 65_535), steps=st.lists(st.integers(1, 30_000), max_size=50))
def test_a_16_bit_counter_is_unwrapped(first: int, steps: list[int]) -> None:
    counter, raw, frame_id = FrameCounter(), first, 0
    assert counter.advance(raw) == 0
    for step in steps:
        raw = (raw - 1 + step) % 65_535 + 1
        frame_id += step
        assert counter.advance(raw) == frame_id


def test_a_64_bit_counter_goes_on() -> None:
    counter = FrameCounter()
    assert [counter.advance(raw) for raw in (65_534, 65_535, 65_536, 2**40)] == [0, 1, 2, 2**40 - 65_534]


def test_a_frame_without_a_number_follows_its_predecessor() -> None:
    counter = FrameCounter()
    assert [counter.advance(raw) for raw in (None, 4, None, 6, 8)] == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("raw", [100, 99, 3])
def test_a_counter_that_does_not_advance_is_an_error(raw: int) -> None:
    counter = FrameCounter()
    counter.advance(100)
    with pytest.raises(ValueError, match=f"from 100 to {raw}"):
        counter.advance(raw)


def test_a_frame_that_waited_keeps_its_age() -> None:
    clock = HostClock()
    assert clock.to_host_ns(1_000, 501_000) == 501_000
    assert clock.to_host_ns(2_000, 572_000) == 502_000


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1))
def test_no_frame_is_exposed_after_it_was_received(pairs: list[tuple[int, int]]) -> None:
    clock = HostClock(window=4)
    assert all(clock.to_host_ns(device, received) <= received for device, received in pairs)


def test_the_wrap_is_seen_behind_a_frame_without_a_number() -> None:
    counter = FrameCounter()
    assert [counter.advance(raw) for raw in (65_535, None, 2, 3)] == [0, 1, 2, 3]
