"""The account of a whole journal, or of any period of it: over all files and all starts.

A result belongs to the period in which it was published. A trigger between two results of the period that
has no result anywhere in its start is a gap of the period. Reading begins with the last file that was opened
well before the period, whose head says what had come before, and ends well after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from pipeline.audit import Audit
from pipeline.history.journal_files import (
    END,
    Damage,
    End,
    JournalError,
    decode_result,
    head_of,
    journal_files,
    lines_of,
)
from pipeline.history.ordinals import Ordinals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.history.journal_files import Head, JournalFile
    from pipeline.messages import ResultHeader

MARGIN_NS = 120_000_000_000
"""Results come at most a deadline (60 s) out of order; the clock may have been corrected a little."""


class Period(NamedTuple):
    """From and to, UTC; None for open. The end is not part of it."""

    from_ns: int | None = None
    to_ns: int | None = None

    def holds(self, published_ns: int) -> bool:
        """Whether this time is in the period."""
        after = self.from_ns is None or published_ns >= self.from_ns
        return after and (self.to_ns is None or published_ns < self.to_ns)

    def over(self, published_ns: int) -> bool:
        """Whether nothing of the period can come after a result of this time."""
        return self.to_ns is not None and published_ns >= self.to_ns + MARGIN_NS


class StartAudit(NamedTuple):
    """One start: its account in the period, and how it ended, None if it was killed or still runs."""

    epoch: str
    opened_ns: int
    account: Audit
    ended: End | None
    damage: list[Damage]

    @property
    def failures(self) -> list[str]:
        """What does not add up, in words."""
        damaged = [f"{path}: line {number} {text}" for path, number, text in self.damage]
        return damaged + self.account.failures(excused=self.open_at_end)

    @property
    def open_at_end(self) -> list[tuple[int, int]]:
        """Triggers that a start had still to decide when it was killed, or has now if it runs."""
        return self.account.open_at_last if self.ended is None else []


def audit_starts(directory: Path, period: Period = Period()) -> Iterator[StartAudit]:  # noqa: B008 - frozen
    """Accounts of all starts that have a result or an end in the period, oldest first."""
    by_start: dict[tuple[int, str], list[JournalFile]] = {}
    for file in journal_files(directory):
        by_start.setdefault((file.start, file.epoch), []).append(file)
    for files in by_start.values():
        found = _audit_start(files, period)
        if found.account.results or found.damage or (found.ended and found.ended.triggers):
            yield found


def read_judged(directory: Path, model_sha256: str) -> tuple[NDArray[np.float64], int]:
    """Scores of the parts that this model judged, (n,) over all starts, and how many lines are damaged."""
    scores: list[float] = []
    damaged = 0
    for item in _items(journal_files(directory)):
        if isinstance(item, Damage):
            damaged += 1
        elif not isinstance(item, End) and _judged_by(item, model_sha256) and item.score is not None:
            scores.append(item.score)
    return np.array(scores, np.float64), damaged


def _judged_by(result: ResultHeader, model_sha256: str) -> bool:
    return result.verdict != "invalid" and result.model is not None and result.model.sha256 == model_sha256


def _audit_start(files: list[JournalFile], period: Period) -> StartAudit:
    heads = [head_of(file.path) for file in files]
    begin = _first_to_read(heads, period)
    head = heads[begin]
    if head is not None:
        ordinals = Ordinals(head.highest, head.missing)
        first = 1 if period.from_ns is None and head.part == 1 else None
    else:
        ordinals, first = Ordinals(), None
    account = Audit(ordinals, first=first)
    ended, damage = None, []
    for item in _items(files[begin:]):
        if isinstance(item, Damage):
            damage.append(item)
        elif isinstance(item, End):
            if period.holds(item.ended_ns):
                ended = item
                account.expect(item.triggers)
        elif period.holds(int(item.published_ns)):
            account.add(item)
        elif period.over(int(item.published_ns)):
            break
        else:
            account.add_outside(item)
    opened_ns = next((found.opened_ns for found in heads if found is not None), 0)
    return StartAudit(files[0].epoch, opened_ns, account, ended, damage)


def _first_to_read(heads: list[Head | None], period: Period) -> int:
    begin = 0
    for index, head in enumerate(heads):
        if head is None or period.from_ns is None or head.opened_ns > period.from_ns - MARGIN_NS:
            break
        begin = index
    return begin


def _items(files: list[JournalFile]) -> Iterator[ResultHeader | End | Damage]:
    for file in files:
        for number, line in enumerate(lines_of(file.path), start=1):
            if isinstance(line, Damage):
                yield line
            elif line.stream == END:
                try:
                    yield msgspec.json.decode(line.record, type=End)
                except (ValueError, RecursionError) as error:
                    yield Damage(file.path, number, f"cannot be read: {error}")
            elif line.stream.startswith("result/"):
                try:
                    yield decode_result(line, file.path)
                except JournalError as error:
                    yield Damage(file.path, number, str(error))
