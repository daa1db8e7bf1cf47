from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cameras.live import Arrival, Selection, Steps, StreamClock, Wholeness

MS = 1_000_000
STEP = 40 * MS


def _lags_ms(clock: StreamClock, arrivals_ms: list[tuple[float, float]]) -> list[float]:
    """Lags of pictures that are told by (timestamp, arrival); each was waited for."""
    lags = []
    for pts_ms, arrived_ms in arrivals_ms:
        arrived_ns = round(arrived_ms * MS)
        lags.append((arrived_ns - clock.to_host_ns(round(pts_ms * MS), arrived_ns, STEP)) / MS)
    return lags


def test_lag_is_counted_from_the_least_delayed_picture() -> None:
    lags = _lags_ms(StreamClock(), [(0, 500), (40, 535), (80, 595), (120, 615)])
    assert lags == pytest.approx([0, 0, 20 - 0.6, 0], abs=1)


def test_a_long_backlog_does_not_become_normal() -> None:
    steady = [(40.0 * n, 40.0 * n + 10) for n in range(50)]
    backlog = [(40.0 * n, 40 * 200 + 10 + (n - 50)) for n in range(50, 201)]
    lags = _lags_ms(StreamClock(), steady + backlog)[50:]
    true_lags = [arrived - pts - 10 for pts, arrived in backlog]
    assert all(lag >= true - 0.01 * 6_200 for lag, true in zip(lags, true_lags, strict=True))


@pytest.mark.parametrize("rate", [0.995, 1.0, 1.005])
def test_a_clock_that_runs_half_a_percent_wrong_is_followed(rate: float) -> None:
    lags = _lags_ms(StreamClock(), [(40 * n * rate, 40.0 * n) for n in range(2_000)])
    assert max(lags) < 1


def test_nothing_of_an_opening_burst_counts() -> None:
    clock = StreamClock()
    for number in range(10):
        clock.to_host_ns(number * STEP, 1_000 * MS, 0)
        assert not clock.settled
    clock.to_host_ns(10 * STEP, 1_030 * MS, 30 * MS)
    assert clock.settled


def test_a_clock_that_steps_back_starts_anew() -> None:
    clock = StreamClock()
    for number in range(3):
        clock.to_host_ns(number * STEP, number * STEP, STEP)
    assert clock.settled
    assert clock.to_host_ns(0, 3 * STEP, STEP) == 3 * STEP
    assert not clock.settled


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), min_size=1))
def test_no_picture_is_dated_after_its_arrival(steps: list[tuple[int, int]]) -> None:
    clock, pts_ns, arrived_ns = StreamClock(), 0, 0
    for pts_step, arrival_step in steps:
        pts_ns += pts_step
        arrived_ns += arrival_step
        assert clock.to_host_ns(pts_ns, arrived_ns, 0) <= arrived_ns


def test_missing_pictures_are_counted_by_the_usual_step() -> None:
    steps = Steps()
    times_ms = [0, 40, 81, 119, 160, 240, 280, 441, 480]
    assert [steps.missing(time * MS) for time in times_ms] == [0, 0, 0, 0, 0, 1, 0, 3, 0]


@pytest.mark.parametrize(
    ("story", "whole"),
    [
        ("pppKppK", "...WWWW"),
        ("Kpcpp Kp", "WW...WW"),
        ("KpmppKp", "WW...WW"),
        ("KpCpKp", "WW..WW"),
        ("KpMpp", "WWWWW"),
        ("KKcKMK", "WW.WWW"),
    ],
)
def test_nothing_is_whole_from_a_fault_to_the_next_key_frame(story: str, whole: str) -> None:
    """K: key frame, p: predicted; c and C: corrupt, m and M: after a missing one; in capitals a key frame."""
    wholeness = Wholeness()
    told = [
        wholeness.advance(key_frame=kind in "KCM", corrupt=kind in "cC", missing=kind in "mM")
        for kind in story.replace(" ", "")
    ]
    assert told == [mark == "W" for mark in whole]


def _arrival(number: int, exposed_ns: int) -> Arrival:
    return Arrival(
        picture=None, number=number, pts_ns=0, exposed_ns=exposed_ns, arrived_ns=exposed_ns, whole=True
    )


def test_freerun_gives_the_newest_once() -> None:
    selection = Selection("freerun")
    for number in range(3):
        selection.offer(_arrival(number, number))
    taken = selection.take()
    assert taken is not None
    assert (taken[0].number, taken[1]) == (2, None)
    assert selection.take() is None


def test_software_gives_the_first_after_the_trigger_and_counts_lost_triggers() -> None:
    selection = Selection("software")
    selection.offer(_arrival(0, 0))
    assert selection.take() is None
    for now_ns in (10, 11):
        selection.trigger(now_ns)
    for number, exposed_ns in ((1, 9), (2, 10), (3, 50)):
        selection.offer(_arrival(number, exposed_ns))
    taken = selection.take()
    assert taken is not None
    assert (taken[0].number, taken[1]) == (2, 1)
    selection.trigger(60)
    selection.offer(_arrival(4, 61))
    again = selection.take()
    assert again is not None
    assert (again[0].number, again[1]) == (4, 3)
