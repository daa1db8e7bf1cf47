"""One disposition for a part that several cameras see. Pure: no clock, no sockets.

Rules:
1. A part is accepted only if every camera's trigger of it was; one reject is enough.
2. It is decided with the last of its triggers, so by the deadline: each of them is decided by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.messages import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.judge import Judgement
    from pipeline.messages import Disposition


class PartJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """What all cameras say of one part; `reason` and `text` are those of the first camera that rejects it."""

    disposition: Disposition
    reason: Reason
    text: str
    members: list[Judgement]

    @property
    def on_time(self) -> bool:
        """Whether every camera's decision fell before the deadline."""
        return all(member.on_time for member in self.members)


class PartLedger:
    """Parts whose cameras have not all decided yet."""

    def __init__(self) -> None:
        self._part_of: dict[int, tuple[int, ...]] = {}
        self._decided: dict[int, Judgement] = {}

    def open(self, ordinals: Sequence[int]) -> None:
        """Note that these triggers, in the order of the cameras, are of one part."""
        for ordinal in ordinals:
            self._part_of[ordinal] = tuple(ordinals)

    def note(self, judgement: Judgement) -> PartJudgement | None:
        """Note a terminal decision; the part's, if it was the last one of a part."""
        ordinals = self._part_of.get(judgement.trigger.ordinal)
        if ordinals is None:
            return None
        self._decided[judgement.trigger.ordinal] = judgement
        if any(ordinal not in self._decided for ordinal in ordinals):
            return None
        members = [self._decided.pop(ordinal) for ordinal in ordinals]
        for ordinal in ordinals:
            del self._part_of[ordinal]
        return _combined(members)


def _combined(members: list[Judgement]) -> PartJudgement:
    rejected = next((member for member in members if member.disposition != "accept"), None)
    if rejected is None:
        return PartJudgement(disposition="accept", reason=Reason.OK, text="ok", members=members)
    text = f"camera {rejected.trigger.camera}: {rejected.text}"
    return PartJudgement(disposition="reject", reason=rejected.reason, text=text, members=members)
