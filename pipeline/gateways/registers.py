"""The register block of one bank, 24 words in each direction: where what stands. Pure.

Rules:
1. Words 0 and 23 are the same number in a block that was read or written whole.
2. 32-bit values stand high word first; floats are IEEE 754 singles.
3. A score that does not exist is the largest float, its threshold 0: no comparison in a PLC makes it good.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK_WORDS = 24
MAX_U16 = 0xFFFF
MAX_FLOAT32: float = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]

READY, BUSY, VALID, ACCEPT, REJECT, FAULT, OVERRUN, SIMULATED, RECIPE_OK, TRIGGER_ACK, PLC_HEARD = (
    1 << bit for bit in range(11)
)
TRIGGER, RESET = 1, 2


class Field(msgspec.Struct, frozen=True):
    """A row of the table: first word, number of words, what the words are and what they mean."""

    word: int
    words: int
    kind: str
    meaning: str


STATUS_BITS = (
    "ready: a trigger will be taken",
    "busy: a trigger of this PLC has no result yet",
    "valid: there is a result that was not acknowledged",
    "accept: the part is good; the only bit that lets a part pass",
    "reject: the result is not an accept",
    "fault: no fresh status of the station, or it reports a fault",
    "overrun: a result was lost for this PLC; stays until reset",
    "simulated: the frame was a simulated one",
    "recipe ok: the requested recipe is the active one, or none was requested",
    "trigger ack: the trigger was seen; falls when the trigger bit falls",
    "PLC heard: the PLC's heartbeat moves",
)
CONTROL_BITS = (
    "trigger: rising, with a new trigger id; falling after trigger ack",
    "reset: rising, forgets the trigger under way, the result and overrun",
)
TO_PLC = (
    Field(0, 1, "u16", "number of the result, 1 to 65535 and again 1; 0 before the first"),
    Field(1, 1, "u16", "heartbeat of the gateway, one more every 100 ms"),
    Field(2, 1, "bits", "status"),
    Field(3, 2, "u32", "trigger id of the result"),
    Field(5, 1, "u16", "reason code, 0 with accept"),
    Field(6, 2, "f32", "score; 3.4028235e38 if there is none"),
    Field(8, 2, "f32", "threshold; 0 if there is none"),
    Field(10, 1, "u16", "latency from trigger to publication, 0.1 ms"),
    Field(11, 1, "u16", "number of defect regions"),
    Field(12, 4, "4 x u16", "first region: x, y, width, height in pixels"),
    Field(16, 1, "u16", "active recipe, 0 for none"),
    Field(17, 2, "u32", "triggers since the gateway started = accepts + rejects, and 1 while busy"),
    Field(19, 2, "u32", "accepts"),
    Field(21, 2, "u32", "rejects"),
    Field(23, 1, "u16", "the same as word 0"),
)
FROM_PLC = (
    Field(0, 1, "u16", "number of the command, one more for each block that is written"),
    Field(1, 1, "u16", "heartbeat of the PLC, one more at least every second"),
    Field(2, 1, "bits", "control"),
    Field(3, 2, "u32", "trigger id, a new one for each trigger"),
    Field(5, 1, "u16", "acknowledged: word 0 of the result that was taken over"),
    Field(6, 1, "u16", "requested recipe, 0 for the active one; a new number asks for the changeover"),
    Field(7, 16, "32 bytes", "part id, UTF-8, first character in the high byte, ended by a zero byte"),
    Field(23, 1, "u16", "the same as word 0, written last"),
)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A result as a PLC sees it; `accept` already says reject for what is late or invalid."""

    trigger_id: int
    accept: bool
    reason_code: int
    score: float | None = None
    threshold: float | None = None
    latency_us: int = 0
    region_count: int = 0
    bbox_px: tuple[int, int, int, int] = (0, 0, 0, 0)
    simulated: bool = False


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a PLC has written."""

    heartbeat: int
    trigger: bool
    reset: bool
    trigger_id: int
    acknowledged: int
    recipe: int
    part_id: str | None


def encode_block(
    *,
    seq: int,
    heartbeat: int,
    status: int,
    shown: Shown,
    recipe: int,
    counts: tuple[int, int, int],
) -> tuple[int, ...]:
    """The 24 words to the PLC; `counts` are triggers, accepts and rejects. What does not fit is cut off."""
    words = (
        seq,
        heartbeat,
        status,
        *split_u32(shown.trigger_id),
        _u16(shown.reason_code),
        *split_f32(MAX_FLOAT32 if shown.score is None else shown.score),
        *split_f32(0.0 if shown.threshold is None else shown.threshold),
        _u16(shown.latency_us // 100),
        _u16(shown.region_count),
        *(_u16(value) for value in shown.bbox_px),
        _u16(recipe),
        *(word for count in counts for word in split_u32(count)),
        seq,
    )
    assert len(words) == BLOCK_WORDS
    return words


def decode_command(words: Sequence[int]) -> Command | None:
    """The PLC's command from its 24 words; None if words 0 and 23 differ: it is only half written."""
    if words[0] != words[BLOCK_WORDS - 1]:
        return None
    raw = struct.pack(">16H", *words[7:23]).split(b"\0", 1)[0]
    return Command(
        heartbeat=words[1],
        trigger=bool(words[2] & TRIGGER),
        reset=bool(words[2] & RESET),
        trigger_id=join_u32(words[3], words[4]),
        acknowledged=words[5],
        recipe=words[6],
        part_id=raw.decode("utf-8", "replace") or None,
    )


def split_u32(value: int) -> tuple[int, int]:
    """High and low word; counts wrap as they do in a PLC."""
    return (value >> 16) & MAX_U16, value & MAX_U16


def join_u32(high: int, low: int) -> int:
    """The number of two words."""
    return high << 16 | low


def split_f32(value: float) -> tuple[int, int]:
    """High and low word of a float32; what is too large, or no number, becomes the largest."""
    if math.isnan(value):
        value = MAX_FLOAT32
    high, low = struct.unpack(">HH", struct.pack(">f", max(-MAX_FLOAT32, min(MAX_FLOAT32, value))))
    return high, low


def join_f32(high: int, low: int) -> float:
    """The float32 of two words."""
    value: float = struct.unpack(">f", struct.pack(">HH", high, low))[0]
    return value


def _u16(value: int) -> int:
    return max(0, min(MAX_U16, value))


def markdown_table(fields: Sequence[Field], bits: Sequence[str]) -> str:
    """The table of docs/gateways.md; a test holds the page to it."""
    rows = ["| word | type | meaning |", "|---|---|---|"]
    for field in fields:
        last = field.word + field.words - 1
        span = str(field.word) if field.words == 1 else f"{field.word}-{last}"
        rows.append(f"| {span} | {field.kind} | {field.meaning} |")
        if field.kind == "bits":
            rows += [f"| {span}, bit {bit} | | {meaning} |" for bit, meaning in enumerate(bits)]
    return "\n".join(rows)
