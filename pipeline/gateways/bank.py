"""One bank of a PLC: the handshake of one camera, or of the part that several cameras see. Pure: no sockets.

Rules:
1. The accept bit is set only for a valid result that says accept, while the station is fresh and the recipe
   is the requested one. Within one result it can fall, never rise.
2. A trigger that was seen gets exactly one result with its id: the station's, or a reject made here when
   the station is silent, refuses or is late. What comes for it after that is not shown.
3. The words of a result change only together with its number, which stands at both ends of the block.
4. A result is valid until the PLC acknowledges its number, triggers again or resets.
5. While a trigger of this PLC is under way, or its result not acknowledged, results of others are not shown.
6. A trigger counts only after the bit was seen low: what stood there at the start triggers nothing.
7. A requested recipe that is new in its word and not the active one is asked of the station, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.gateways import registers
from pipeline.gateways.registers import MAX_U16, Command, Shown, decode_command, encode_block
from pipeline.messages import Reason
from pipeline.requests import ChangeoverRequest, TriggerRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.gateways.station_view import StationView

HEARTBEAT_NS = 100_000_000
_NOTHING = Shown(trigger_id=0, accept=False, reason_code=0)
_SILENT_PLC = Command(
    heartbeat=0, trigger=True, reset=False, trigger_id=0, acknowledged=0, recipe=0, part_id=None
)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank is of: `camera`, or None for the part that all `cameras` see. Times in ns."""

    camera: str | None
    cameras: list[str]
    result_timeout_ns: int
    plc_timeout_ns: int


class Bank:
    """The handshake with one PLC over one bank. Not for several threads at once; times are monotonic ns."""

    def __init__(self, layout: Layout, station: StationView) -> None:
        self.layout = layout
        self._station = station
        self._seq = 0
        self._shown = _NOTHING
        self._valid = False
        self._own = False
        self._overrun = False
        self._accepts = self._rejects = 0
        self._pending: tuple[int, int] | None = None
        self._given_up: dict[int, int] = {}
        self._command = _SILENT_PLC
        self._acknowledging = False
        self._beaten_ns: int | None = None

    def take(self, result: Shown, now_ns: int) -> None:
        """Show a result of the station, if it is for this PLC to see."""
        self._tick(now_ns)
        if self._pending is not None and result.trigger_id == self._pending[0]:
            self._pending = None
            self._show(result, own=True)
        elif result.trigger_id in self._given_up:
            del self._given_up[result.trigger_id]
        elif self._pending is not None or (self._valid and self._own):
            self._overrun = True
        else:
            self._show(result, own=False)

    def refuse(self, trigger_id: int, reason_code: int, now_ns: int) -> None:
        """The station has not taken this trigger; nothing happens if it is decided already."""
        if self._pending is not None and self._pending[0] == trigger_id:
            self._give_up(reason_code, now_ns)

    def station_restarted(self, now_ns: int) -> None:
        """The station has forgotten the trigger that is under way."""
        if self._pending is not None:
            self._give_up(Reason.STATION_SILENT, now_ns)

    def command(self, words: Sequence[int], now_ns: int) -> TriggerRequest | ChangeoverRequest | None:
        """Take in the 24 words that the PLC has written; returns what is to be asked of the station, if any.

        A trigger and a changeover at once: the trigger is of a recipe that is not active, so it is refused.
        """
        command = decode_command(words)
        if command is None:
            return None
        self._tick(now_ns)
        last, self._command = self._command, command
        if self._beaten_ns is None or command.heartbeat != last.heartbeat:
            self._beaten_ns = now_ns
        if command.reset and not last.reset:
            self._reset(now_ns)
        if command.acknowledged != last.acknowledged and command.acknowledged == self._seq:
            self._valid = False
        if not command.trigger:
            self._acknowledging = False
        elif not last.trigger:
            trigger = self._trigger(command, now_ns)
            if trigger is not None:
                return trigger
        if command.recipe != last.recipe and not self._recipe_ok:
            return ChangeoverRequest(recipe=command.recipe, operator="PLC")
        return None

    def words(self, now_ns: int) -> tuple[int, ...]:
        """The block to the PLC as of now."""
        self._tick(now_ns)
        decided = self._accepts + self._rejects
        return encode_block(
            seq=self._seq,
            heartbeat=now_ns // HEARTBEAT_NS & MAX_U16,
            status=self._status(now_ns),
            shown=self._shown,
            recipe=self._station.recipe,
            counts=(decided + (self._pending is not None), self._accepts, self._rejects),
        )

    # What follows changes or reads the state; the clock has been looked at before.

    def _trigger(self, command: Command, now_ns: int) -> TriggerRequest | None:
        self._acknowledging = True
        if self._pending is not None and self._pending[0] == command.trigger_id:
            return None  # the same trigger again; its result follows
        refusal = self._refusal(command.trigger_id, now_ns)
        if refusal is not None:
            self._valid = False
            self._show(Shown(trigger_id=command.trigger_id, accept=False, reason_code=int(refusal)), own=True)
            return None
        self._valid = False
        self._pending = (command.trigger_id, now_ns + self.layout.result_timeout_ns)
        return TriggerRequest(
            trigger_id=command.trigger_id,
            part_id=command.part_id,
            camera=self.layout.camera,
            recipe=command.recipe or None,
        )

    def _refusal(self, trigger_id: int, now_ns: int) -> Reason | None:
        """Why a trigger cannot be handed to the station."""
        if trigger_id in self._given_up:
            return Reason.DUPLICATE_TRIGGER  # the result of the part before may still come under this id
        if self._pending is not None:
            return Reason.TRIGGER_WHILE_BUSY
        if not self._station.fresh(now_ns):
            return Reason.STATION_SILENT
        return None if self._recipe_ok else Reason.RECIPE_MISMATCH

    def _tick(self, now_ns: int) -> None:
        """What happens by time alone: an accept that does not hold any more, a trigger without a result."""
        fresh = self._station.fresh(now_ns)
        if self._shown.accept and not (fresh and self._recipe_ok):
            reason = Reason.RECIPE_MISMATCH if fresh else Reason.STATION_SILENT
            self._shown = msgspec.structs.replace(self._shown, accept=False, reason_code=int(reason))
        self._given_up = {key: until for key, until in self._given_up.items() if now_ns <= until}
        if self._pending is not None and (not fresh or now_ns > self._pending[1]):
            reason = Reason.LATE if fresh else Reason.STATION_SILENT
            self._give_up(reason, now_ns)
        if self._beaten_ns is not None and not self._plc_heard(now_ns):
            self._command = msgspec.structs.replace(self._command, trigger=True)

    def _give_up(self, reason_code: int, now_ns: int) -> None:
        """Reject the trigger under way; a result of the station that may still come for it is not shown."""
        assert self._pending is not None
        trigger_id, _ = self._pending
        self._pending = None
        self._given_up[trigger_id] = now_ns + self.layout.result_timeout_ns
        self._show(Shown(trigger_id=trigger_id, accept=False, reason_code=int(reason_code)), own=True)

    def _show(self, result: Shown, *, own: bool) -> None:
        self._overrun = self._overrun or self._valid
        self._seq = self._seq % MAX_U16 + 1
        self._shown, self._own, self._valid = result, own, True
        if result.accept:
            self._accepts += 1
        else:
            self._rejects += 1

    def _reset(self, now_ns: int) -> None:
        if self._pending is not None:
            self._give_up(Reason.LATE, now_ns)
        self._valid = self._overrun = False

    @property
    def _recipe_ok(self) -> bool:
        return self._command.recipe in (0, self._station.recipe)

    def _plc_heard(self, now_ns: int) -> bool:
        return self._beaten_ns is not None and now_ns - self._beaten_ns <= self.layout.plc_timeout_ns

    def _ready(self, now_ns: int) -> bool:
        plc_lost = self._beaten_ns is not None and not self._plc_heard(now_ns)
        waiting = self._pending is not None or self._acknowledging or plc_lost or not self._recipe_ok
        return not waiting and self._station.ready(self.layout.cameras, now_ns)

    def _status(self, now_ns: int) -> int:
        shown = self._shown
        bits = {
            registers.READY: self._ready(now_ns),
            registers.BUSY: self._pending is not None,
            registers.VALID: self._valid,
            registers.ACCEPT: self._valid and shown.accept,
            registers.REJECT: self._valid and not shown.accept,
            registers.FAULT: self._station.faulty(now_ns),
            registers.OVERRUN: self._overrun,
            registers.SIMULATED: self._valid and shown.simulated,
            registers.RECIPE_OK: self._recipe_ok,
            registers.TRIGGER_ACK: self._acknowledging,
            registers.PLC_HEARD: self._plc_heard(now_ns),
        }
        return sum(bit for bit, is_set in bits.items() if is_set)
