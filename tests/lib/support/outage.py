"""What a line must do while something of it is gone: say so, accept nothing, and come back by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from pipeline.messages import Reason, ResultHeader
from support.lines import Line

AGAIN = 3
"""Accepts in a row that show that the line runs again."""


class Outage(NamedTuple):
    """How a line took a fault; `results` are those of the triggers between its beginning and its end."""

    noticed_s: float
    ready_s: float
    results: list[ResultHeader]

    @property
    def reasons(self) -> set[Reason]:
        return {Reason(result.reason_code) for result in self.results}


def go_through(
    line: Line, *, begin: Callable[[], object], end: Callable[[], object] | None = None, seconds: float = 0.0
) -> Outage:
    """Break a line that runs, for `seconds` and until it has noticed; mend it and wait for its recovery.

    `end` mends it; None: the station does that, too. Times to notice and to accept again, from either.
    """
    line.wait_for(lambda: _accepts_again(line, 0), "the first accepts")
    begin()
    begun_ns = time.monotonic_ns()
    line.wait_for(lambda: any(event.severity == "error" for event in line.events), "the fault's event")
    noticed_s = (time.monotonic_ns() - begun_ns) / 1e9
    line.wait_for(lambda: not line.statuses[-1].ready and bool(line.statuses[-1].fault), "not ready")
    if end is not None:
        line.listen_for(seconds - noticed_s)
        end()
    ended_ns, before = time.monotonic_ns(), len(line.results)
    line.wait_for(lambda: line.statuses[-1].ready and _accepts_again(line, before), "ready again")
    assert line.statuses[-1].fault is None
    ready_s = (time.monotonic_ns() - ended_ns) / 1e9
    meanwhile = [result for result in line.results if begun_ns < int(result.t.trigger) < ended_ns]
    return Outage(noticed_s, ready_s, meanwhile)


def _accepts_again(line: Line, since: int) -> bool:
    last = line.results[since:][-AGAIN:]
    return len(last) == AGAIN and all(result.disposition == "accept" for result in last)
