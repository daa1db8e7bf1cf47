"""The station is killed (-9) under load at random moments: every reader still gets everything, once."""

from pathlib import Path

import pytest

from tools.delivery_readers import check
from tools.delivery_test import Plan, run_test


class _Got:
    def __init__(self, got: list[tuple[str, int]], name: str = "quick", lost: int = 0) -> None:
        self.got, self.name, self.lost = got, name, lost


def test_kills_cost_no_reader_a_result_and_the_audit_holds(tmp_path: Path) -> None:
    assert run_test(tmp_path, Plan(triggers=300, rate_hz=100.0, kills=3)) == []


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ([("a", 1), ("a", 3)], "differs from the journal at result 1 of 3"),
        ([("a", 1), ("a", 2)], "differs from the journal at result 2 of 3"),
        ([("a", 1), ("a", 2), ("a", 3), ("a", 3)], "got results twice"),
        ([], "got nothing"),
    ],
)
def test_the_check_finds_what_is_wrong(got: list[tuple[str, int]], words: str) -> None:
    journal = [("a", 1), ("a", 2), ("a", 3)]
    [found] = check(_Got(got), journal, ("a", 3))  # type: ignore[arg-type]
    assert words in found
    assert check(_Got(journal), journal, ("a", 3)) == []  # type: ignore[arg-type]
