"""The loop that `hlgfa bench` and `make bench-peers` time with."""

import time

from tools.benchmark.times import times_ns


def test_each_run_is_timed_by_itself() -> None:
    seen = []

    def infer(image: str) -> None:
        seen.append(image)
        end_ns = time.perf_counter_ns() + 1_000_000 * len(seen)
        while time.perf_counter_ns() < end_ns:
            pass

    before_ns = time.perf_counter_ns()
    taken = times_ns(infer, "part", 3)
    all_ns = time.perf_counter_ns() - before_ns
    assert seen == ["part"] * 3
    assert [ns >= 1_000_000 * run for run, ns in enumerate(taken, 1)] == [True] * 3
    assert sum(taken) <= all_ns
