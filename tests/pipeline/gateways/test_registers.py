"""The block's words, and that the page of its tables is the code's."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateways import registers
from pipeline.gateways.opcua_fields import RESULT_TYPES
from pipeline.gateways.opcua_vision import NOT_SUPPORTED, STATE_TYPES
from pipeline.gateways.registers import (
    BLOCK_WORDS,
    MAX_FLOAT32,
    Shown,
    decode_command,
    encode_block,
    join_f32,
    join_u32,
    markdown_table,
    split_f32,
    split_u32,
)
from support.block_plc import command, parse

PAGE = Path(__file__).parents[3] / "docs" / "gateways.md"
WORD = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_come_back(value: float) -> None:
    assert join_f32(*split_f32(value)) == value


@given(st.floats())
def test_every_float_becomes_a_finite_one(value: float) -> None:
    found = join_f32(*split_f32(value))
    assert abs(found) <= MAX_FLOAT32
    if value != value or value > MAX_FLOAT32:
        assert found == MAX_FLOAT32


@given(U32)
def test_numbers_come_back(value: int) -> None:
    assert join_u32(*split_u32(value)) == value


def test_the_high_word_is_first() -> None:
    assert split_u32(0x00010002) == (1, 2)
    assert split_f32(1.0) == (0x3F80, 0)


@given(
    seq=WORD,
    status=WORD,
    shown=st.builds(
        Shown,
        trigger_id=U32,
        accept=st.booleans(),
        reason_code=st.integers(-1, 1 << 40),
        score=st.none() | st.floats(),
        threshold=st.none() | st.floats(),
        latency_us=st.integers(-1, 1 << 40),
        region_count=st.integers(0, 1 << 20),
        bbox_px=st.tuples(*[st.integers(-5, 1 << 20)] * 4),
    ),
)
def test_a_block_is_whole_whatever_it_shows(seq: int, status: int, shown: Shown) -> None:
    words = encode_block(seq=seq, heartbeat=1, status=status, shown=shown, recipe=0, counts=(1 << 40, 2, 3))
    assert len(words) == BLOCK_WORDS
    assert all(0 <= word <= 0xFFFF for word in words)
    seen = parse(words)
    assert (seen.seq, seen.torn, seen.trigger_id) == (seq, False, shown.trigger_id)
    struct.pack(">24H", *words)


def test_a_missing_score_is_worse_than_every_threshold() -> None:
    shown = Shown(trigger_id=1, accept=False, reason_code=11)
    seen = parse(encode_block(seq=1, heartbeat=0, status=0, shown=shown, recipe=0, counts=(0, 0, 0)))
    assert seen.score > seen.threshold
    assert (seen.score, seen.threshold) == (MAX_FLOAT32, 0.0)


@given(st.lists(WORD, min_size=BLOCK_WORDS, max_size=BLOCK_WORDS))
def test_any_words_are_a_command_or_none(words: list[int]) -> None:
    found = decode_command(words)
    assert (found is None) == (words[0] != words[23])


@pytest.mark.parametrize("part_id", ["", "A", "part-0000017", "Teil-Ü", "x" * 32])
def test_part_ids_come_back(part_id: str) -> None:
    found = decode_command(command(number=3, control=1, trigger_id=70_000, part_id=part_id, recipe=4))
    assert found is not None
    assert (found.part_id, found.trigger_id) == (part_id or None, 70_000)
    assert (found.trigger, found.reset) == (True, False)


def test_the_tables_have_every_word_and_bit_once() -> None:
    for fields in (registers.TO_PLC, registers.FROM_PLC):
        words = [field.word + offset for field in fields for offset in range(field.words)]
        assert words == list(range(BLOCK_WORDS))
    for bits in (registers.STATUS_BITS, registers.CONTROL_BITS):
        names = [meaning.split(":")[0].upper().replace(" ", "_") for meaning in bits]
        assert [getattr(registers, name) for name in names] == [1 << bit for bit in range(len(bits))]


def test_the_page_shows_the_tables_of_the_code() -> None:
    page = PAGE.read_text()
    assert markdown_table(registers.TO_PLC, registers.STATUS_BITS) in page
    assert markdown_table(registers.FROM_PLC, registers.CONTROL_BITS) in page


def test_the_page_names_every_field_of_opc_ua() -> None:
    page = PAGE.read_text()
    missing = [name for name in (*RESULT_TYPES, *STATE_TYPES, *NOT_SUPPORTED) if name not in page]
    assert not missing
