from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cameras.counters import FIT_NS, FrameCounter, HostClock, lower_line


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


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**8)), min_size=2, max_size=40))
def test_the_line_lies_below_all_points_and_touches_two(steps: list[tuple[int, int]]) -> None:
    points, x = [], 0
    for step, y in steps:
        x += step
        points.append((x, y))
    slope, height = lower_line(points)
    above = [y - (height + slope * (x - points[0][0])) for x, y in points]
    assert min(above) >= -1.0
    assert sum(value < 1.0 for value in above) >= 2


@pytest.mark.parametrize("period_ns", [33_000_000, 7_000_000_000])
@pytest.mark.parametrize("drift_ppm", [-80.0, 0.0, 250.0])
def test_drift_is_found_under_queues_and_taken_off(period_ns: int, drift_ppm: float) -> None:
    """Frames wait up to 50 ms now and then; the host's clock runs faster than the device's by the drift."""
    rng = random.Random(3)
    clock = HostClock()
    worst = 0
    for number in range(4 * FIT_NS // period_ns + 64):
        device_ns = 5_000_000_000 + number * period_ns
        exposed_ns = 900_000_000_000 + round(device_ns * (1 + drift_ppm * 1e-6))
        received_ns = exposed_ns + 2_000_000 + (0 if rng.random() < 0.3 else rng.randrange(50_000_000))
        found = clock.to_host_ns(device_ns, received_ns)
        if clock.drift_ppm is not None and number * period_ns > 3 * FIT_NS:
            worst = max(worst, abs(found - exposed_ns - 2_000_000))
    assert clock.drift_ppm == pytest.approx(drift_ppm, abs=5.0)
    assert worst < 5_000_000  # of the 50 ms that frames waited


def test_a_short_history_makes_no_drift() -> None:
    clock = HostClock()
    for number in range(200):
        clock.to_host_ns(number * 33_000_000, number * 33_000_000 + 1_000_000 + number % 7 * 10_000)
    assert clock.drift_ppm is None


def test_the_wrap_is_seen_behind_a_frame_without_a_number() -> None:
    counter = FrameCounter()
    assert [counter.advance(raw) for raw in (65_535, None, 2, 3)] == [0, 1, 2, 3]
