"""The account of a run, from its journal: every trigger one result, and agreement with the truth if known."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.messages import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.messages import ResultHeader


class Audit:
    """Counts over the results of one epoch.

    `missing` are triggers without a result, `repeated` results beyond the first of a trigger: both must
    be empty. `truth` counts (what the part was, whether it was called anomalous) for judged simulated parts.
    """

    def __init__(self) -> None:
        self.accepts = 0
        self.rejects: Counter[str] = Counter()
        self.repeated: list[int] = []
        self.truth: Counter[tuple[str, bool]] = Counter()
        self._seen: set[int] = set()

    @classmethod
    def from_results(cls, results: Iterable[ResultHeader]) -> Audit:
        """Account of these results."""
        audit = cls()
        for result in results:
            audit.add(result)
        return audit

    def add(self, result: ResultHeader) -> None:
        """Note one result."""
        ordinal = int(result.result_id.rpartition("-")[2])
        if ordinal in self._seen:
            self.repeated.append(ordinal)
        self._seen.add(ordinal)
        if result.disposition == "accept":
            self.accepts += 1
        else:
            self.rejects[reason_name(result.reason_code)] += 1
        truth = result.frame.truth if result.frame else None
        if truth is not None and result.verdict != "invalid":
            self.truth[truth, result.verdict == "fail"] += 1

    @property
    def triggers(self) -> int:
        """Triggers that the journal proves: their running numbers start at 1."""
        return max(self._seen, default=0)

    @property
    def missing(self) -> list[int]:
        """Running numbers of triggers without a result."""
        return [ordinal for ordinal in range(1, self.triggers + 1) if ordinal not in self._seen]

    def failures(self, *, opened: int | None = None) -> list[str]:
        """What does not add up, in words; empty if everything does.

        Args:
            opened: triggers that the station counted, where it is known.
        """
        found = []
        results = self.accepts + self.rejects.total()
        if opened is not None and opened != results:
            found.append(f"the station counted {opened} triggers, the journal has {results} results")
        if self.triggers != results:
            found.append(f"{self.triggers} triggers, {self.accepts} accepts + {self.rejects.total()} rejects")
        if self.missing:
            found.append(f"no result for trigger {_some(self.missing)}")
        if self.repeated:
            found.append(f"more than one result for trigger {_some(self.repeated)}")
        return found

    def agreement(self) -> tuple[int, int, int, int] | None:
        """Defects caught, defects, good parts failed, good parts; None if no truth is known."""
        if not self.truth:
            return None
        defects = sum(n for (kind, _), n in self.truth.items() if kind != "good")
        caught = sum(n for (kind, failed), n in self.truth.items() if kind != "good" and failed)
        good = self.truth["good", True] + self.truth["good", False]
        return caught, defects, self.truth["good", True], good


def reason_name(code: int) -> str:
    """Name of a reason code in words, e.g. `no frame`."""
    try:
        return Reason(code).name.replace("_", " ").lower()
    except ValueError:
        return f"site {code}"


def _some(ordinals: list[int]) -> str:
    shown = ", ".join(str(ordinal) for ordinal in ordinals[:10])
    return shown + (f" and {len(ordinals) - 10} more" if len(ordinals) > 10 else "")
