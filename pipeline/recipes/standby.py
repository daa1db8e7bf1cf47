"""The inspection process that loads the next recipe beside the one in force."""

from __future__ import annotations

import contextlib
from time import monotonic_ns
from typing import TYPE_CHECKING

from pipeline import realtime
from pipeline.internal import EngineReady, ProtocolError, StartFailed, decode_from_inspection

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.attendance import Attendance
    from pipeline.child import Child
    from pipeline.config import Config
    from pipeline.inspector import Inspector
    from pipeline.recipes.plan import Setup


class Standby:
    """At most one process that stands by, and those that were in force and are about to end.

    `on_ready` and `on_lost` hear how loading goes.
    """

    def __init__(
        self,
        config: Config,
        *,
        make_child: Callable[..., Child],
        inspector: Inspector,
        attendance: Attendance,
    ) -> None:
        self._config = config
        self._make_child = make_child
        self._inspector = inspector
        self._attendance = attendance
        self.on_ready: Callable[[EngineReady], None] = lambda _ready: None
        self.on_lost: Callable[[str], None] = lambda _text: None
        self._child: Child | None = None
        self._retired: dict[Child, int] = {}

    def start(self, setup: Setup, now_ns: int) -> None:
        """Start to load; `on_ready` or `on_lost` hears how that goes.

        It gets what the line leaves of the cores, unless the system would not let that be taken back.
        """
        may_promote = realtime.may_promote()
        if not may_promote:
            self._attendance.warn(
                [
                    "changeover: the next engine loads at the line's own priority and can slow it, since the "
                    "system lets no priority be taken back. Allow it: LimitNICE=0 of the unit"
                ]
            )
        child = self._make_child(
            f"inspection-{setup.changes}",
            "pipeline.inspection",
            launcher=realtime.LAST_IN_LINE if may_promote else (),
        )
        self._child = child
        self._inspector.start_child(child, setup, now_ns, standby=True)
        self._attendance.attend(child, self._hear, self._lose)

    def check(self, now_ns: int) -> None:
        """Give up a process that says nothing, or takes too long to load."""
        station = self._config.station
        silence_ns, start_ns = station.child_silence_ms * 1_000_000, round(station.start_timeout_s * 1e9)
        if self._child is not None and self._child.overdue(now_ns, silence_ns=silence_ns, start_ns=start_ns):
            self._lose(now_ns, "took too long to load, or has fallen silent")
        for child in [child for child, due_ns in self._retired.items() if now_ns > due_ns]:
            self._bury(child)

    def take(self) -> Child:
        """Hand the loaded process over, with the priority of one at work."""
        child = self._child
        assert child is not None
        assert child.pid is not None
        self._attendance.warn(realtime.promote(child.pid, self._config.realtime))
        self._child = None
        return child

    def retire(self, child: Child) -> None:
        """See to the end of a process that was in force and was told to end."""
        if child.pid is None:
            child.kill()
            return
        self._retired[child] = monotonic_ns() + self._config.station.child_silence_ms * 1_000_000
        self._attendance.watch(child.pidfd, lambda: self._bury(child))

    def drop(self) -> None:
        """End the process that stands by, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            self._attendance.forget(child)
            child.kill()

    def close(self) -> None:
        """End all of them. Idempotent."""
        self.drop()
        for child in list(self._retired):
            self._bury(child)

    def _bury(self, child: Child) -> None:
        self._attendance.forget(child)
        del self._retired[child]
        child.kill()

    def _hear(self) -> None:
        child = self._child
        for parts in child.receive(monotonic_ns()) if child is not None else ():
            message = decode_from_inspection(parts[0])
            if isinstance(message, EngineReady):
                assert child is not None
                child.mark_ready(monotonic_ns())
                self.on_ready(message)
            elif isinstance(message, StartFailed):
                assert child is not None
                child.last_words = message.text

    def _lose(self, _now_ns: int, why: str) -> None:
        child = self._child
        if child is None:
            return
        with contextlib.suppress(ProtocolError):
            self._hear()
        text = child.last_words or f"the process that loads the recipe {why}"
        self.drop()
        self.on_lost(text)
