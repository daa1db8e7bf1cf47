"""When a picture of a frame is due: seldom enough to cost nothing, rejects apart from accepts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.messages import Disposition


class ImagePace:
    """At most `max_hz` a second for each camera and disposition, and none while nobody listens."""

    def __init__(self, max_hz: float, heard: Callable[[], bool]) -> None:
        """Begin with a picture due at once; `heard` says whether anybody listens."""
        self._period_ns = round(1e9 / max_hz)
        self._heard = heard
        self._due_ns: dict[tuple[str, Disposition], int] = {}

    def due(self, camera: str, disposition: Disposition, now_ns: int) -> bool:
        """Whether to take this frame; if so, the next one is due a period later."""
        key = (camera, disposition)
        if now_ns < self._due_ns.get(key, now_ns) or not self._heard():
            return False
        self._due_ns[key] = now_ns + self._period_ns
        return True
