"""Any bytes into any decoder: the documented error or a value, at once. At length: `make fuzz`."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.decoders import DECODERS, SPLIT

LONGEST_S = 5.0
TOKENS = [
    SPLIT,
    b"\x00",
    b"\xff" * 8,
    b"{",
    b"[" * 300,
    b"null",
    b"1e999",
    b"NaN",
    b"-1",
    b'"',
    b"&a *a",
    b"\n",
]


def mutated(seeds):
    """Bytes of a seed with some pieces replaced."""
    piece = st.tuples(
        st.floats(0, 1), st.integers(0, 40), st.one_of(st.binary(max_size=12), st.sampled_from(TOKENS))
    )

    def apply(seed, pieces):
        for place, length, new in pieces:
            start = int(place * len(seed))
            seed = seed[:start] + new + seed[start + length :]
        return seed

    return st.builds(apply, st.sampled_from(seeds), st.lists(piece, min_size=1, max_size=4))


def error_of(decoder, data):
    """The text of the documented error, empty if there is none."""
    try:
        decoder.decode(data)
    except decoder.errors as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", DECODERS)
def test_any_bytes_give_a_value_or_the_documented_error(name):
    decoder = DECODERS[name]

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=300), mutated(decoder.seeds)))
    def any_bytes(data):
        begin_s = time.perf_counter()
        assert len(error_of(decoder, data)) < 5_000
        assert time.perf_counter() - begin_s < LONGEST_S

    any_bytes()


@pytest.mark.parametrize("name", DECODERS)
def test_seeds_get_past_the_first_line_of_a_decoder(name):
    decoder = DECODERS[name]
    said = [error_of(decoder, seed) for seed in decoder.seeds]
    late = ("model.onnx: not found", "x.png: cannot be read", "engine.xml: cannot be read", "of model")
    assert all(not text or any(words in text for words in late) for text in said), said


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    "deep", [b'{"x":' + b"[" * 200_000, b"[" * 200_000, b"\x81\xa1x" + b"\x91" * 200_000]
)
def test_nesting_without_end_is_no_crash(name, deep):
    assert len(error_of(DECODERS[name], deep)) < 5_000
