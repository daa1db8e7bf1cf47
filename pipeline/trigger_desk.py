"""Triggers from outside: for which cameras they are, and whether they are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.messages import Reason
from pipeline.requests import TriggerReply, TriggerRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.camera_line import CameraLine
    from pipeline.config import PartsConfig
    from pipeline.flow import Flow
    from pipeline.messages import StationState


class TriggerDesk:
    """Takes the triggers that clients ask for; what is taken gets exactly one result."""

    def __init__(
        self,
        parts: PartsConfig | None,
        *,
        lines: Mapping[str, CameraLine],
        flow: Flow,
        state: Callable[[], StationState],
    ) -> None:
        self._parts = parts
        self._lines = lines
        self._flow = flow
        self._state = state

    def take(self, request: TriggerRequest) -> TriggerReply:
        """Take a trigger, or say why not."""
        names = self._meant(request.camera)
        refusal = self._refusal(names, request.camera)
        if refusal is not None:
            return TriggerReply(
                trigger_id=request.trigger_id,
                taken=False,
                reason_code=int(Reason.RECIPE_NOT_READY),
                reason=refusal,
            )
        self._flow.open_requested([self._lines[name] for name in names], request)
        return TriggerReply(trigger_id=request.trigger_id, taken=True)

    def _meant(self, camera: str | None) -> list[str]:
        """Names of the cameras that a request is for."""
        if camera is not None:
            return [camera]
        return list(self._lines) if self._parts is None else self._parts.cameras

    def _refusal(self, names: list[str], camera: str | None) -> str | None:
        unknown = [name for name in names if name not in self._lines]
        if unknown or (len(names) > 1 and self._parts is None):
            return f"found camera {camera!r}, expected one of: {', '.join(self._lines)}"
        for name in names:
            trigger = self._lines[name].config.trigger
            if trigger.source == "freerun":
                return f"camera {name} runs freely, expected trigger source 'software', 'line' or 'encoder'"
            if trigger.every_frame and trigger.announce_window_ms is None:
                return (
                    f"camera {name} is triggered by {trigger.source!r}, expected 'software', or "
                    "trigger.announce_window_ms to announce its parts"
                )
        if not self._flow.accepting:
            return f"the station takes no triggers: {self._state()}"
        return None
