"""docs/asyncapi.json is what the code says; docs/vectors decode to what they are said to mean."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from pipeline import requests
from pipeline.heatmaps import unpack_heatmap
from pipeline.messages import HeatmapHeader
from pipeline.record_config import RECORDED_KINDS
from pipeline.wire import HEADERS, decode
from tools import asyncapi, vectors
from tools.schemas import render

DOCUMENT = asyncapi.document()
WIRE = (vectors.DIRECTORY.parent / "wire.md").read_text()
FILES = sorted(vectors.DIRECTORY.glob("*.json"))


def test_the_description_does_not_drift_from_the_code() -> None:
    assert asyncapi.PATH.read_text(encoding="utf-8") == render(DOCUMENT), "Run python -m tools.asyncapi."


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [node["$ref"]] if set(node) == {"$ref"} else [r for v in node.values() for r in references(v)]
    return [r for value in node for r in references(value)] if isinstance(node, list) else []


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 50
    for reference in found:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_kind_and_every_request_is_described() -> None:
    assert {f"publish-{kind}" for kind in HEADERS} <= set(DOCUMENT["operations"])
    served = {*requests.OPERATIONS, *requests.RECORD_OPERATIONS}
    assert served <= set(DOCUMENT["operations"])
    assert DOCUMENT["channels"]["result"]["address"] == "hlgfa/1/{line}/{station}/result/{camera}/"
    assert DOCUMENT["channels"]["part"]["address"] == "hlgfa/1/{line}/{station}/part/"
    for name in (*served, *HEADERS, *RECORDED_KINDS, "malformed", "unknown", "busy", "failed"):
        assert f"`{name}" in WIRE, name


def load(name: str) -> tuple[list[bytes], dict[str, Any]]:
    vector = json.loads((vectors.DIRECTORY / f"{name}.json").read_text())
    return [bytes.fromhex(frame) for frame in vector["frames"]], vector


def test_there_is_a_vector_for_every_kind(tmp_path: Path) -> None:
    vectors.main(tmp_path)
    assert {path.name for path in FILES} == {path.name for path in tmp_path.iterdir()}
    assert {path.stem.split("-")[0] for path in FILES} >= set(HEADERS)


@pytest.mark.parametrize("name", [path.stem for path in FILES if path.stem.split("-")[0] in HEADERS])
def test_a_published_vector_means_what_it_says(name: str) -> None:
    frames, vector = load(name)
    header = decode(frames[0], frames[1:])
    assert [vectors.plain(header)] == vector["meaning"]
    assert vector == vectors.vectors()[name] or name == "heatmap-zstd", "Run python -m tools.vectors."
    if isinstance(header, HeatmapHeader):
        np.testing.assert_array_equal(
            unpack_heatmap(header, frames[2]), np.array(vector["scores"], np.float32)
        )


@pytest.mark.parametrize("name", ["heatmap-none", "heatmap-zstd", "heatmap-f16"])
def test_a_heatmap_can_be_read_by_the_words_of_the_documentation_alone(name: str) -> None:
    """Nothing of ours: as a reader in another language would do it."""
    frames, vector = load(name)
    header = json.loads(frames[1])
    raw = frames[2]
    if header["codec"] == "zstd":
        raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=header["raw_bytes"])
    assert len(raw) == header["raw_bytes"]
    assert zlib.crc32(raw) == header["crc32"]
    rows, columns = header["shape"]
    values = struct.unpack(f"<{rows * columns}{'B' if header['dtype'] == 'u8' else 'e'}", raw)
    scores = [value * header["scale"] + header["offset"] for value in values]
    assert np.allclose(np.array(scores).reshape(rows, columns), vector["scores"])


@pytest.mark.parametrize("name", ["replay-request", "ack-request"])
def test_a_request_vector_is_understood(name: str) -> None:
    [frame], vector = load(name)
    assert [vectors.plain(requests.decode_request(frame))] == vector["meaning"]


def test_the_vectors_of_a_replay_are_understood() -> None:
    [reply, topic, header], item = load("replay-item")
    assert vectors.plain(requests.decode_reply(reply)) == item["meaning"][0]
    assert vectors.plain(decode(topic, [header])) == item["meaning"][1]
    [end], vector = load("replay-end")
    assert [vectors.plain(requests.decode_reply(end))] == vector["meaning"]
