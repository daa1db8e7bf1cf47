"""The account of a start: every trigger one result, and agreement with the truth where it is known."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from typing import TYPE_CHECKING

from pipeline.history.ordinals import Ordinals, count, ordinal_of
from pipeline.messages import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pipeline.messages import ResultHeader

RECENT = 4096
"""Results whose deadlines are remembered; far more than can be open at once."""


class Audit:
    """Counts over the results of one start, or over those of a period.

    `gaps` are ranges of triggers without a result, `repeated` results beyond the first of a trigger: both
    must be empty, but for `open_at_last` of a start that was killed. `truth` counts (what the part was,
    whether it was called anomalous) for judged simulated parts.
    """

    def __init__(self, ordinals: Ordinals | None = None, *, first: int | None = 1) -> None:
        """Begin an account.

        Args:
            ordinals: what had its result before; None for a start from its beginning.
            first: the first trigger that must have its result; None for that of the first result added.
        """
        self.accepts = 0
        self.rejects: Counter[str] = Counter()
        self.repeated: list[int] = []
        self.truth: Counter[tuple[str, bool]] = Counter()
        self.latencies_us: array[int] = array("Q")
        self._ordinals = ordinals or Ordinals()
        self._first = first
        self._last = 0
        self._deadlines_ns: deque[tuple[int, int]] = deque(maxlen=RECENT)
        self._decided_ns = 0

    @classmethod
    def from_results(cls, results: Iterable[ResultHeader]) -> Audit:
        """Account of these results."""
        audit = cls()
        for result in results:
            audit.add(result)
        return audit

    def add(self, result: ResultHeader) -> None:
        """Note one result."""
        ordinal = ordinal_of(result.result_id)
        if not self._note(result, ordinal):
            self.repeated.append(ordinal)
        self._first = ordinal if self._first is None else min(self._first, ordinal)
        self._last = max(self._last, ordinal)
        self.latencies_us.append(max(0, result.latency_us))
        if result.disposition == "accept":
            self.accepts += 1
        else:
            self.rejects[reason_name(result.reason_code)] += 1
        truth = result.frame.truth if result.frame else None
        if truth is not None and result.verdict != "invalid":
            self.truth[truth, result.verdict == "fail"] += 1

    def add_outside(self, result: ResultHeader) -> None:
        """Note that a trigger has its result, in another period."""
        self._note(result, ordinal_of(result.result_id))

    def _note(self, result: ResultHeader, ordinal: int) -> bool:
        self._deadlines_ns.append((ordinal, int(result.deadline_ns)))
        self._decided_ns = max(self._decided_ns, int(result.t.decided))
        return self._ordinals.note(ordinal)

    def expect(self, triggers: int) -> None:
        """Note how many triggers the start has counted up to its end."""
        if triggers > self._ordinals.highest:
            self._ordinals.missing.append((self._ordinals.highest + 1, triggers))
            self._ordinals.highest = triggers
        self._last = max(self._last, triggers)

    @property
    def results(self) -> int:
        """Results, repeated ones included."""
        return self.accepts + self.rejects.total()

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Ranges of running numbers of triggers without a result."""
        return [] if self._first is None else self._ordinals.missing_within(self._first, self._last)

    @property
    def open_at_last(self) -> list[tuple[int, int]]:
        """The gaps that were still to be decided when the last result was.

        The trigger after such a gap has a result, and had time left to its deadline when the last result was
        decided. After a kill these parts have no result, and whoever waits for one rejects them.
        """
        deadlines_ns = dict(self._deadlines_ns)
        return [gap for gap in self.gaps if deadlines_ns.get(gap[1] + 1, 0) > self._decided_ns]

    @property
    def triggers(self) -> int:
        """Triggers that the journal proves: those with a result, and the gaps between them."""
        return self.results - len(self.repeated) + count(self.gaps)

    def failures(self, *, opened: int | None = None, excused: Collection[tuple[int, int]] = ()) -> list[str]:
        """What does not add up, in words; empty if everything does.

        Args:
            opened: triggers that the station counted, where it is known.
            excused: gaps that need no result.
        """
        found = []
        gaps = [gap for gap in self.gaps if gap not in excused]
        if opened is not None and opened != self.results:
            found.append(f"the station counted {opened} triggers, the journal has {self.results} results")
        if self.triggers - count(excused) != self.results:
            found.append(f"{self.triggers} triggers, {self.accepts} accepts + {self.rejects.total()} rejects")
        if gaps:
            found.append(f"no result for trigger {_some([_range(gap) for gap in gaps])}")
        if self.repeated:
            found.append(f"more than one result for trigger {_some([str(n) for n in self.repeated])}")
        return found

    def agreement(self) -> tuple[int, int, int, int] | None:
        """Defects caught, defects, good parts failed, good parts; None if no truth is known."""
        return agreement_with(self.truth)


def agreement_with(truth: Counter[tuple[str, bool]]) -> tuple[int, int, int, int] | None:
    """Defects caught, defects, good parts failed, good parts; None if no truth is known."""
    if not truth:
        return None
    defects = sum(n for (kind, _), n in truth.items() if kind != "good")
    caught = sum(n for (kind, failed), n in truth.items() if kind != "good" and failed)
    return caught, defects, truth["good", True], truth["good", True] + truth["good", False]


def reason_name(code: int) -> str:
    """Name of a reason code in words, e.g. `no frame`."""
    try:
        return Reason(code).name.replace("_", " ").lower()
    except ValueError:
        return f"site {code}"


def _range(gap: tuple[int, int]) -> str:
    first, last = gap
    return str(first) if first == last else f"{first} .. {last}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
