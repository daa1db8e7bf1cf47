"""One changeover, from the request to its end. Pure: no clock, no sockets, no processes.

    idle -> loading -> draining -> settling -> recording -> idle       switched
               |           |           |           |
               +-----------+-----------+-----------+-> [restoring] -> idle      failed, rolled_back

Rules:
1. The old recipe is in force until `switch`, and again, unchanged, after any failure.
2. `hold` comes before anything of the line is touched, `release` when one recipe is valid again.
3. `switch` comes only after the new engine was verified, no part is open, every camera has taken its new
   settings and the disk has the record.
4. Whatever happens, a changeover ends with one of: switched; failed, the line was not touched; rolled_back,
   parts were rejected while it was tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

Phase = Literal["idle", "loading", "draining", "settling", "recording", "restoring"]
Said = Literal["loading", "verified", "switched", "rolled_back", "failed"]
Action = Literal[
    "start_standby",
    "hold",
    "set_cameras",
    "record",
    "switch",
    "restore_cameras",
    "drop_standby",
    "release",
]


class Tell(NamedTuple):
    """Announce that the changeover has come so far; `text` says why it has ended badly."""

    state: Said
    text: str = ""


Step = Action | Tell


class Changeover:
    """The state of the one changeover that may be under way; each call returns what to do, in order."""

    def __init__(self) -> None:
        self.phase: Phase = "idle"
        self._cameras: frozenset[str] = frozenset()
        self._waiting: set[str] = set()
        self._why = ""

    def begin(self, cameras: Collection[str]) -> list[Step]:
        """Start; `cameras` are those whose settings differ between the two recipes.

        Raises:
            ValueError: one is under way.
        """
        if self.phase != "idle":
            raise ValueError(f"changeover: found one that is {self.phase}, expected none under way")
        self.phase = "loading"
        self._cameras = frozenset(cameras)
        return [Tell("loading"), "start_standby"]

    def verified(self) -> list[Step]:
        """The new engine is loaded, warm and what it should be."""
        if self.phase != "loading":
            return []
        self.phase = "draining"
        return [Tell("verified"), "hold"]

    def drained(self) -> list[Step]:
        """No part is open and no frame is at the engine."""
        if self.phase != "draining":
            return []
        if not self._cameras:
            return self._record()
        self.phase = "settling"
        self._waiting = set(self._cameras)
        return ["set_cameras"]

    def camera_ready(self, name: str) -> list[Step]:
        """A camera was opened with the settings it was last given."""
        if self.phase not in {"settling", "restoring"} or name not in self._waiting:
            return []
        self._waiting.discard(name)
        if self._waiting:
            return []
        return self._record() if self.phase == "settling" else self._restored("")

    def recorded(self) -> list[Step]:
        """The disk has it."""
        if self.phase != "recording":
            return []
        self.phase = "idle"
        return ["switch", "release", Tell("switched")]

    def fail(self, text: str) -> list[Step]:
        """Something went wrong: back to the old recipe."""
        if self.phase == "loading":
            self.phase = "idle"
            return ["drop_standby", Tell("failed", text)]
        if self.phase in {"draining", "settling", "recording"}:
            touched = self._cameras if self.phase != "draining" else frozenset()
            self._why = text
            if not touched:
                return self._restored("")
            self.phase = "restoring"
            self._waiting = set(touched)
            return ["drop_standby", "restore_cameras"]
        return []

    def give_up(self) -> list[Step]:
        """The old settings were not taken in time: what is missing is a lost camera like any other."""
        if self.phase != "restoring":
            return []
        return self._restored(f"; not back with their old settings yet: {', '.join(sorted(self._waiting))}")

    def _record(self) -> list[Step]:
        self.phase = "recording"
        return ["record"]

    def _restored(self, beside: str) -> list[Step]:
        self.phase = "idle"
        self._waiting = set()
        return ["drop_standby", "release", Tell("rolled_back", self._why + beside)]
