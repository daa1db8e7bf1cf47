"""A PLC for tests: the other side of the register block, over whatever reads and writes 24 words."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.gateways import registers
from pipeline.gateways.registers import join_f32, join_u32
from support.gateways import wait_for

Read = Callable[[], Sequence[int]]
Write = Callable[[Sequence[int]], None]


class Seen(NamedTuple):
    """The block to the PLC, taken apart as its table says."""

    seq: int
    status: int
    trigger_id: int
    reason: int
    score: float
    threshold: float
    regions: int
    bbox: tuple[int, ...]
    recipe: int
    counts: tuple[int, int, int]
    torn: bool

    def has(self, *bits: int) -> bool:
        return all(self.status & bit for bit in bits)


def parse(words: Sequence[int]) -> Seen:
    return Seen(
        seq=words[0],
        status=words[2],
        trigger_id=join_u32(words[3], words[4]),
        reason=words[5],
        score=join_f32(words[6], words[7]),
        threshold=join_f32(words[8], words[9]),
        regions=words[11],
        bbox=tuple(words[12:16]),
        recipe=words[16],
        counts=(join_u32(*words[17:19]), join_u32(*words[19:21]), join_u32(*words[21:23])),
        torn=words[0] != words[23],
    )


def command(
    *,
    number: int,
    heartbeat: int = 0,
    control: int = 0,
    trigger_id: int = 0,
    acknowledged: int = 0,
    recipe: int = 0,
    part_id: str = "",
) -> list[int]:
    part = struct.unpack(">16H", part_id.encode()[:32].ljust(32, b"\0"))
    ids = (trigger_id >> 16, trigger_id & 0xFFFF)
    return [number, heartbeat & 0xFFFF, control, *ids, acknowledged, recipe, *part, number]


class Plc:
    """Follows the handshake as docs/gateways.md draws it."""

    def __init__(self, read: Read, write: Write) -> None:
        self._read, self._write = read, write
        self._number = 0
        self._state: dict[str, int | str] = {}

    def look(self) -> Seen:
        seen = parse(self._read())
        assert not seen.torn
        return seen

    def say(self, **changes: int | str) -> None:
        """Write the whole block, with the last values of what is not named."""
        self._state |= changes
        self._number = self._number % 0xFFFF + 1
        self._write(command(number=self._number, heartbeat=self._number, **self._state))  # type: ignore[arg-type]

    def wait(self, *bits: int) -> Seen:
        def seen() -> Seen | None:
            self.say()
            found = self.look()
            return found if found.has(*bits) else None

        found: Seen = wait_for(seen, f"bits {bits} of {self.look()}")
        return found

    def inspect(self, trigger_id: int, part_id: str = "") -> Seen:
        """One part from trigger ready to the cleared result."""
        self.say(control=0)
        self.wait(registers.READY)
        self.say(control=registers.TRIGGER, trigger_id=trigger_id, part_id=part_id)
        self.wait(registers.TRIGGER_ACK)
        self.say(control=0)
        result = self.wait(registers.VALID)
        assert result.trigger_id == trigger_id
        self.say(acknowledged=result.seq)
        assert not self.look().has(registers.VALID)
        return result
