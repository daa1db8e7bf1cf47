"""Which running numbers have come, in memory that grows with the gaps only. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Ordinals:
    """Numbers from 1 on, in almost any order: the highest one, and the ranges below it that have not come."""

    def __init__(self, highest: int = 0, missing: Iterable[tuple[int, int]] = ()) -> None:
        self.highest = highest
        self.missing = list(missing)

    def note(self, ordinal: int) -> bool:
        """Take in a number; False if it has come before."""
        if ordinal > self.highest:
            if ordinal > self.highest + 1:
                self.missing.append((self.highest + 1, ordinal - 1))
            self.highest = ordinal
            return True
        for index in range(len(self.missing) - 1, -1, -1):
            first, last = self.missing[index]
            if first <= ordinal <= last:
                left = [(first, ordinal - 1), (ordinal + 1, last)]
                self.missing[index : index + 1] = [(a, b) for a, b in left if a <= b]
                return True
        return False

    def missing_within(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges that have not come, cut to `first` .. `last`."""
        cut = ((max(a, first), min(b, last)) for a, b in self.missing)
        return [(a, b) for a, b in cut if a <= b]


def count(ranges: Iterable[tuple[int, int]]) -> int:
    """How many numbers are in these ranges."""
    return sum(last - first + 1 for first, last in ranges)


def ordinal_of(result_id: str) -> int:
    """Running number of a result's trigger in its start, the tail of its `result_id`.

    Raises:
        ValueError: the id is none that a station has made.
    """
    return int(result_id.rpartition("-")[2])
