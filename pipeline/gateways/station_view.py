"""What a gateway knows of its station: whether it is fresh and ready, and what a result is worth now. Pure.

Rules:
1. No fresh status: the station is silent, so not ready; three missing in a row, or none yet.
2. What is expired is a reject, whatever it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.gateways.registers import Shown
from pipeline.messages import PartHeader, Reason, ResultHeader, StatusHeader
from pipeline.stream_check import MISSING_STATUSES, is_expired

if TYPE_CHECKING:
    from pipeline.client import Message
    from pipeline.messages import RecipeSummary

MAX_AGE_NS = 500_000_000


class StationView:
    """The station as its last status shows it. Times are monotonic ns, ages by UTC."""

    def __init__(self) -> None:
        self.status: StatusHeader | None = None
        self._fresh_until_ns = 0

    def take(self, status: StatusHeader, *, now_ns: int, age_ns: int) -> None:
        """Take in a status that is not expired."""
        self.status = status
        self._fresh_until_ns = now_ns - max(0, age_ns) + MISSING_STATUSES * status.period_ms * 1_000_000

    def fresh(self, now_ns: int) -> bool:
        """Whether the station was heard lately."""
        return self.status is not None and now_ns <= self._fresh_until_ns

    def ready(self, cameras: list[str], now_ns: int) -> bool:
        """Whether the station takes triggers and these cameras deliver."""
        if self.status is None or not self.fresh(now_ns) or not self.status.ready:
            return False
        states = {camera.name: camera.state for camera in self.status.cameras}
        return all(states.get(name) == "ready" for name in cameras)

    def faulty(self, now_ns: int) -> bool:
        """Whether the station is silent or says that something is wrong."""
        status = self.status
        if status is None or not self.fresh(now_ns):
            return True
        return status.fault is not None or status.state == "Error"

    @property
    def recipe(self) -> int:
        """The active recipe as a number, 0 if there is none or its name is no number."""
        return 0 if self.status is None else _recipe_number(self.status.recipe)


def _recipe_number(recipe: RecipeSummary | None) -> int:
    if recipe is None or not recipe.id.isascii() or not recipe.id.isdecimal():
        return 0
    number = int(recipe.id)
    return number if number <= 0xFFFF else 0


def as_of_now(message: Message, *, now_utc_ns: int, deadline_ns: int) -> Message:
    """The message as it is to be shown now: what is expired by now says reject in its header, too.

    `deadline_ns` is the station's, from trigger to result; it bounds the age of a part's disposition.
    """
    header = message.header
    if not isinstance(header, ResultHeader | PartHeader):
        return message
    expired = message.expired or is_expired(header, now_utc_ns=now_utc_ns, max_age_ns=MAX_AGE_NS)
    if isinstance(header, PartHeader):
        expired = expired or now_utc_ns - int(header.published_ns) > deadline_ns
    if not expired:
        return message
    if header.disposition == "accept":
        header = msgspec.structs.replace(
            header,
            disposition="reject",
            on_time=False,
            reason_code=int(Reason.LATE),
            reason="expired on its way to the gateway",
        )
    if isinstance(header, ResultHeader) and header.verdict == "pass":
        header = msgspec.structs.replace(header, verdict="invalid", result_state=3)
    return msgspec.structs.replace(message, header=header, expired=True)


def shown(header: ResultHeader | PartHeader) -> Shown:
    """A result, as `as_of_now` left it, for a PLC."""
    accept = header.disposition == "accept" and header.on_time
    if isinstance(header, PartHeader):
        return Shown(
            trigger_id=header.trigger_id,
            accept=accept,
            reason_code=header.reason_code,
            latency_us=header.latency_us,
        )
    regions = header.regions
    return Shown(
        trigger_id=header.trigger_id,
        accept=accept,
        reason_code=header.reason_code,
        latency_us=header.latency_us,
        score=header.score,
        threshold=header.threshold,
        region_count=len(regions),
        bbox_px=regions[0].bbox_px if regions else (0, 0, 0, 0),
        simulated=header.simulated,
    )
