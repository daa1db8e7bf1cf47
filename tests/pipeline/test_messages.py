"""The wire: every header survives, and no bytes from outside do harm."""

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import requests
from pipeline.heatmaps import pack_heatmap, to_image, unpack_heatmap
from pipeline.messages import Common, EventHeader, MapHeader, ResultHeader
from pipeline.wire import (
    EVENT_KINDS,
    HEADERS,
    SCHEMAS,
    MessageError,
    decode,
    encode,
    kind_of,
    stream_name,
    topic,
    topic_of,
)
from support.messages import example

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
NS = st.integers(-(10**19), 10**19).map(str)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def values(kind):
    """Strategy for one msgspec type, its constraints included."""
    info = msgspec.inspect
    if isinstance(kind, info.Metadata):
        return values(kind.type)
    if isinstance(kind, info.UnionType):
        return st.one_of([values(one) for one in kind.types])
    if isinstance(kind, info.StructType):
        return st.builds(kind.cls, **{field.name: values(field.type) for field in kind.fields})
    if isinstance(kind, info.IntType):
        low = -(2**63) if kind.ge is None else kind.ge
        return st.integers(low, 2**63 - 1 if kind.le is None else kind.le)
    if isinstance(kind, info.ListType):
        least = kind.min_length or 0
        return st.lists(
            values(kind.item_type), min_size=least, max_size=max(least, min(3, kind.max_length or 3))
        )
    if isinstance(kind, info.TupleType):
        return st.tuples(*map(values, kind.item_types))
    if isinstance(kind, info.DictType):
        return st.dictionaries(st.text(), values(kind.value_type), max_size=3)
    if isinstance(kind, info.StrType):
        return NS if kind.pattern else st.text()
    if isinstance(kind, info.LiteralType):
        return st.sampled_from(kind.values)
    simple = {info.FloatType: FLOATS, info.BoolType: st.booleans(), info.NoneType: st.none()}
    return simple[type(kind)]


@st.composite
def headers(draw, kind):
    header = draw(values(msgspec.inspect.type_info(HEADERS[kind])))
    camera = None if kind in ("status", "stats", "part") else draw(NAMES)
    event = header.kind if isinstance(header, EventHeader) else None
    return msgspec.structs.replace(
        header,
        schema=SCHEMAS[kind],
        line=draw(NAMES),
        station=draw(NAMES),
        camera=camera,
        stream=stream_name(kind, camera=camera, event=event),
    )


def frames_of(header):
    payload = [b""] if isinstance(header, MapHeader) else []
    return [encode(header), *payload]


@pytest.mark.parametrize("kind", HEADERS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_header_comes_back_as_it_was(kind, data):
    header = data.draw(headers(kind))
    assert kind_of(header) == kind
    assert decode(topic_of(header), frames_of(header)) == header


def test_common_is_exactly_what_every_header_has():
    for header in HEADERS.values():
        assert header.__struct_fields__[: len(Common.__annotations__)] == tuple(Common.__annotations__)


def test_topics_end_with_a_slash_so_that_cam1_does_not_match_cam10():
    assert topic("l", "s", "result", camera="cam1") == b"hlgfa/1/l/s/result/cam1/"
    assert topic("l", "s", "status") == b"hlgfa/1/l/s/status/"
    assert {topic("l", "s", "event", event=kind) for kind in EVENT_KINDS} >= {b"hlgfa/1/l/s/event/fault/"}
    assert not topic("l", "s", "result", camera="cam10").startswith(topic("l", "s", "result", camera="cam1"))


@pytest.mark.parametrize(
    ("line", "camera", "message"),
    [("a/b", "cam1", "'a/b'"), ("", "cam1", "''"), ("l", "x" * 33, "1 to 32"), ("l", None, "a camera")],
)
def test_a_topic_with_an_impossible_name_is_refused(line, camera, message):
    with pytest.raises(MessageError, match=message):
        topic(line, "s", "result", camera=camera)


TOPICS = st.sampled_from([topic("l", "s", kind, camera="c", event="fault") for kind in HEADERS])
ATOMS = st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers()
FLAT = st.lists(ATOMS, max_size=4) | st.dictionaries(st.text(max_size=8), ATOMS, max_size=4)
JSON = (ATOMS | FLAT | st.lists(FLAT, max_size=3)).map(msgspec.json.encode)


@settings(max_examples=300, deadline=None)
@given(topic=TOPICS | st.binary(), frames=st.lists(JSON | st.binary(), max_size=3))
def test_any_bytes_are_a_message_error(topic, frames):
    with pytest.raises(MessageError):
        decode(topic, frames)


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"x":' * 50_000, b'{"x":"\xff"}', b" " * 300_000])
def test_malicious_json_is_a_message_error(bomb):
    with pytest.raises(MessageError):
        decode(b"hlgfa/1/l/s/status/", [bomb])
    with pytest.raises(MessageError):
        requests.decode_request(bomb)
    with pytest.raises(MessageError):
        requests.decode_reply(bomb)


def changed(header, **fields):
    return [encode(msgspec.structs.replace(header, **fields))]


def test_a_header_that_contradicts_its_topic_is_refused():
    event = example("event")
    place = topic_of(event)
    assert decode(place, [encode(event)]) == event
    for fields, message in [
        ({"station": "other"}, "its header says"),
        ({"kind": "fault"}, "its header says"),
        ({"stream": "event/fault"}, "expected 'event/camera'"),
        ({"schema": "hlgfa.event/2.0"}, "expected hlgfa.event/1.0"),
        ({"schema": "hlgfa.status/1.0"}, "expected hlgfa.event/1.0"),
    ]:
        with pytest.raises(MessageError, match=message):
            decode(place, changed(event, **fields))


def test_a_later_minor_version_with_new_keys_is_read():
    stats = msgspec.json.decode(encode(example("stats")))
    later = msgspec.json.encode({**stats, "schema": "hlgfa.stats/1.7", "new_key": [1, {"a": 2}]})
    assert decode(b"hlgfa/1/press-3/outfeed/stats/", [later]).triggers == stats["triggers"]


def test_a_score_that_is_not_finite_is_null_on_the_wire():
    result = msgspec.structs.replace(example("result"), score=float("nan"))
    decoded = decode(topic_of(result), [encode(result)])
    assert isinstance(decoded, ResultHeader)
    assert decoded.score is None


# Heatmaps


def heatmap_header(array, codec):
    payload, raw_bytes, crc32 = pack_heatmap(array, codec)
    header = msgspec.structs.replace(
        example("heatmap"),
        dtype="u8" if array.dtype == np.uint8 else "f16",
        shape=array.shape,
        codec=codec,
        raw_bytes=raw_bytes,
        crc32=crc32,
    )
    return header, payload


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    codec=st.sampled_from(["none", "zstd"]),
    dtype=st.sampled_from(["uint8", "float16"]),
    seed=st.integers(0, 1000),
)
def test_a_heatmap_comes_back_in_raw_units(shape, codec, dtype, seed):
    quantised = np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)
    header, payload = heatmap_header(quantised, codec)
    header = msgspec.structs.replace(header, scale=0.25, offset=-1.0)
    found = unpack_heatmap(header, payload)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, quantised.astype(np.float64) * 0.25 - 1.0, rtol=1e-6)


def test_a_view_that_is_not_contiguous_is_packed_in_row_order():
    quantised = np.arange(24, dtype=np.uint8).reshape(4, 6)[:, ::2].T
    header, payload = heatmap_header(quantised, "none")
    np.testing.assert_allclose(unpack_heatmap(header, payload), quantised * header.scale)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_corrupt_heatmap_is_refused(codec):
    header, payload = heatmap_header(np.zeros((8, 8), np.uint8), codec)
    other, _, _ = pack_heatmap(np.ones((8, 8), np.uint8), codec)
    with pytest.raises(MessageError, match="CRC-32"):
        unpack_heatmap(header, other)
    with pytest.raises(MessageError):
        unpack_heatmap(header, payload[:-1])
    for fields in ({"shape": (8, 9)}, {"shape": (0, 0), "raw_bytes": 0}, {"raw_bytes": 63}, {"dtype": "f16"}):
        with pytest.raises(MessageError):
            unpack_heatmap(msgspec.structs.replace(header, **fields), payload)


def test_a_shape_beyond_memory_is_refused_before_anything_is_allocated():
    huge = {"shape": (2**40, 2**20), "raw_bytes": 2**60}
    with pytest.raises(MessageError, match="at most"):
        unpack_heatmap(msgspec.structs.replace(example("heatmap"), **huge), b"")
    with pytest.raises(MessageError):
        unpack_heatmap(msgspec.structs.replace(example("heatmap"), shape=(-8, -8), raw_bytes=64), b"")


@pytest.mark.parametrize("stated", [True, False], ids=["stated size", "size not stated"])
def test_a_zip_bomb_is_refused(stated):
    compressor = zstandard.ZstdCompressor(write_content_size=stated)
    bomb = compressor.compress(bytes(200_000_000))
    assert len(bomb) < 30_000
    header, _ = heatmap_header(np.zeros((8, 8), np.uint8), "zstd")
    with pytest.raises(MessageError):
        unpack_heatmap(header, bomb)


@settings(max_examples=200, deadline=None)
@given(payload=st.binary())
def test_any_payload_is_a_message_error(payload):
    for codec in ("none", "zstd"):
        header, _ = heatmap_header(np.zeros((8, 8), np.uint8), codec)
        with pytest.raises(MessageError):
            unpack_heatmap(header, payload)


def test_only_known_codecs_and_arrays_are_packed():
    with pytest.raises(MessageError, match="expected none or zstd"):
        pack_heatmap(np.zeros((2, 2), np.uint8), "png")
    with pytest.raises(MessageError, match="float32"):
        pack_heatmap(np.zeros((2, 2), np.float32), "none")


def test_a_point_of_the_map_is_found_in_the_image():
    header = msgspec.structs.replace(example("heatmap"), to_image=((5.0, 0.0, 2.5), (0.0, 4.0, 2.0)))
    assert to_image(header, 10, 20) == (52.5, 82.0)


# Requests


@settings(max_examples=300, deadline=None)
@given(data=JSON | st.binary())
def test_any_bytes_are_a_request_or_a_message_error(data):
    with pytest.raises(MessageError):
        requests.decode_request(data)


def test_requests_are_told_apart_by_their_operation():
    request = requests.decode_request(b'{"op":"trigger","trigger_id":7,"part_id":"P7","new_key":1}')
    assert request == requests.TriggerRequest(trigger_id=7, part_id="P7")
    replay = requests.decode_request(b'{"op":"replay","epoch":"e","stream":"s","from":3,"to":9}')
    assert replay == requests.ReplayRequest(epoch="e", stream="s", first=3, last=9)
    for refused in (
        b'{"op":"trigger"}',
        b'{"op":"trigger","trigger_id":-1}',
        b'{"op":"trigger","trigger_id":4294967296}',
        b'{"op":"reboot"}',
        b'{"op":"hello","request_id":"' + b"x" * 65 + b'"}',
    ):
        with pytest.raises(MessageError):
            requests.decode_request(refused)
