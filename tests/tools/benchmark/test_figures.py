import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.benchmark.figures import Figures, Round, figures

times = st.lists(st.integers(100_000, 10_000_000), min_size=1, max_size=20)


def _rounds(*times_ms: float, energy_j: float | None = None, rss_bytes: int = 2**20) -> list[Round]:
    return [Round([int(t * 1e6)] * 4, rss_bytes, energy_j) for t in times_ms]


def _figures(rounds: list[Round], first: list[Round], peak: list[Round] | None = None) -> Figures:
    return figures(
        rounds,
        first,
        peak,
        target="a fp32",
        device="CPU",
        load_s=0.5,
        multiply_adds=500_000_000,
        peak_multiply_adds=5_000_000_000,
    )


def test_a_ratio_holds_when_the_machine_is_slow_for_a_while() -> None:
    """Both are three times as slow in one round; the ratio of all times would be wrong by that."""
    found = _figures(_rounds(2, 6, 2), _rounds(1, 3, 1))
    assert found.ratio == pytest.approx(2)
    assert found.p50_ms == pytest.approx(2)
    assert found.max_ms == pytest.approx(6)
    assert found.images_per_s == pytest.approx(300)


def test_the_roofline_is_the_work_at_the_peak_of_the_same_round() -> None:
    found = _figures(_rounds(20, 40), _rounds(20, 40), _rounds(100, 200))
    assert found.peak_gflops == pytest.approx(75)  # 1e10 operations in 100 ms and in 200 ms
    assert found.roofline_ms == pytest.approx(15)
    assert found.roofline_ratio == pytest.approx(2)  # 20 over 10, 40 over 20


def test_what_cannot_be_read_is_left_open() -> None:
    found = _figures(_rounds(1), _rounds(1))
    assert (found.energy_mj, found.peak_gflops, found.roofline_ratio) == (None, None, None)
    assert _figures(_rounds(1, 1, energy_j=0.2), _rounds(1, 1)).energy_mj == pytest.approx(50)
    mixed = [*_rounds(1, energy_j=0.2), *_rounds(1)]
    assert _figures(mixed, _rounds(1, 1)).energy_mj is None


def test_memory_is_the_most_seen() -> None:
    assert _figures([*_rounds(1), *_rounds(1, rss_bytes=5 * 2**20)], _rounds(1, 1)).rss_mib == 5


@given(st.lists(times, min_size=1, max_size=8))
def test_latencies_are_ordered_and_an_engine_is_as_fast_as_itself(turns: list[list[int]]) -> None:
    rounds = [Round(turn, 1, None) for turn in turns]
    found = _figures(rounds, rounds)
    assert found.p50_ms <= found.p99_ms <= found.max_ms
    assert found.ratio == 1.0
