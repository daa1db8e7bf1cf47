"""What a proposal from marks must keep, whatever was marked."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.marks import Mark, MarkKind
from calibration.record import CalibrationError, Review
from calibration.review import effect, lowest_for, propose, reviewed, sort_marks
from calibration.threshold import calibrate

MODEL = "a" * 64
GOOD = np.random.default_rng(3).gumbel(2.0, 0.4, 400)
RATE = 0.01
OLD = calibrate(GOOD, rate=RATE, model_sha256=MODEL)
SCORES = st.floats(0.05, 50.0)


def mark(kind: MarkKind, score: float | None, number: int = 1, model: str | None = MODEL) -> Mark:
    return Mark(
        result_id=f"e-{number}",
        mark=kind,
        who="Ada",
        marked_ns="1",
        camera="cam1",
        entry="x",
        score=score,
        threshold=OLD.threshold,
        model_sha256=model,
    )


def marked(bad: list[float], false_rejects: list[float]):
    marks = [mark("really_bad", score) for score in bad]
    return sort_marks(marks + [mark("false_reject", score) for score in false_rejects], MODEL)


@settings(deadline=None)  # the bounds of 400 parts take 50 ms on a busy core
@given(st.lists(SCORES, min_size=1, max_size=30), st.lists(SCORES, max_size=30), st.integers(0, 5))
def test_no_part_marked_bad_passes_but_those_that_may(
    bad: list[float], false_rejects: list[float], misses: int
) -> None:
    found = marked(bad, false_rejects)
    proposal = propose(found, GOOD, old=OLD.threshold, rate=RATE, accepted_misses=misses)
    assert effect(proposal.value, found, GOOD, GOOD).bad_missed <= misses
    if misses == 0:
        assert proposal.value <= min(bad)


@settings(deadline=None)  # the bounds of 400 parts take 50 ms on a busy core
@given(st.lists(SCORES, min_size=1, max_size=30), st.lists(SCORES, max_size=30))
def test_it_is_lowered_only_for_a_bad_part_and_never_silently(
    bad: list[float], false_rejects: list[float]
) -> None:
    proposal = propose(marked(bad, false_rejects), GOOD, old=OLD.threshold, rate=RATE)
    assert proposal.value >= OLD.threshold or proposal.value == min(bad)
    if proposal.value < lowest_for(GOOD, RATE):
        assert any("good parts need" in text for text in proposal.warnings)


@settings(deadline=None)  # the bounds of 400 parts take 50 ms on a busy core
@given(st.lists(SCORES, min_size=1, max_size=30), st.lists(SCORES, min_size=1, max_size=30))
def test_every_false_reject_below_the_bad_parts_passes(bad: list[float], false_rejects: list[float]) -> None:
    found = marked(bad, false_rejects)
    value = propose(found, GOOD, old=OLD.threshold, rate=RATE).value
    assert all(score < value for score in false_rejects if score < min(bad))
    left = effect(value, found, GOOD, GOOD).false_rejects_left
    assert left == sum(score >= min(bad) for score in false_rejects)


@settings(deadline=None)  # the bounds of 400 parts take 50 ms on a busy core
@given(st.lists(SCORES, min_size=1, max_size=9), SCORES)
def test_the_bounds_hold_what_was_counted(bad: list[float], threshold: float) -> None:
    found = effect(threshold, marked(bad, []), GOOD, GOOD)
    assert 0 <= found.lower <= found.good_rejected / found.good <= found.upper <= 1


def test_nothing_marked_bad_is_no_ground_for_a_threshold() -> None:
    with pytest.raises(CalibrationError, match="really bad, expected at least one"):
        propose(marked([], [4.0, 5.0]), GOOD, old=OLD.threshold, rate=RATE)


def test_marks_that_say_nothing_of_this_model_are_left_out_by_name() -> None:
    found = sort_marks(
        [mark("really_bad", 9.0, 1), mark("really_bad", 9.0, 2, "b" * 64), mark("false_reject", None, 3)],
        MODEL,
    )
    assert found.bad.tolist() == [9.0]
    assert [text.split(":")[0] for text in found.left_out] == ["e-2", "e-3"]
    assert "bbbbbbbbbbbb" in found.left_out[0]


def test_the_lower_bound_has_the_confidence_that_it_says() -> None:
    """Of 400 samples 2.5 % may have a bound above the true quantile."""
    rng = np.random.default_rng(11)
    true = -math.log(0.05)
    above = sum(lowest_for(rng.exponential(size=200), 0.05) > true for _ in range(400))
    assert above <= 20


def test_a_calibration_says_where_its_threshold_comes_from() -> None:
    found = effect(4.5, marked([6.0], [4.4]), GOOD, GOOD)
    review = Review(
        operator="Ada",
        applied_utc="2026-01-01T00:00:00+00:00",
        marks_sha256="c" * 64,
        bad=1,
        false_rejects=1,
        accepted_misses=0,
        old_threshold=OLD.threshold,
    )
    record = reviewed(OLD, found, GOOD, review)
    assert (record.threshold, record.map_threshold, record.review) == (4.5, 4.5, review)
    assert record.heatmap_scale * 4.5 == pytest.approx(OLD.heatmap_scale * OLD.threshold)
    assert record.false_reject_upper == found.upper
