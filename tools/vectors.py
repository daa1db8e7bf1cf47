"""Writes docs/vectors/: the bytes of messages of every kind, and what they mean, to test other readers with.

Run `python -m tools.vectors` after a change of the schema. The headers are those of docs/schema/examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from pipeline import requests
from pipeline.heatmaps import pack_heatmap, unpack_heatmap
from pipeline.messages import HeatmapHeader, MapHeader
from pipeline.wire import HEADERS, encode, topic_of
from tools.schemas import DIRECTORY as SCHEMAS
from tools.schemas import render

DIRECTORY = SCHEMAS.parent / "vectors"
MAP = np.array([[0, 10, 20, 30], [40, 50, 60, 70], [80, 90, 200, 255]], np.uint8)


def vectors() -> dict[str, dict[str, Any]]:
    """Every vector by its name."""
    headers = {
        kind: msgspec.json.decode((SCHEMAS / "examples" / f"{kind}.json").read_bytes(), type=header)
        for kind, header in HEADERS.items()
    }
    found: dict[str, dict[str, Any]] = {
        kind: _vector([topic_of(header), encode(header)], [plain(header)])
        for kind, header in headers.items()
        if not isinstance(header, MapHeader)
    }
    heatmap = headers["heatmap"]
    assert isinstance(heatmap, HeatmapHeader)
    found["heatmap-none"] = _heatmap(heatmap, MAP, "none")
    found["heatmap-zstd"] = _heatmap(heatmap, MAP, "zstd")
    found["heatmap-f16"] = _heatmap(heatmap, MAP.astype(np.float16) / 8, "none")
    image, jpeg = headers["image"], (SCHEMAS / "examples" / "image.jpg").read_bytes()
    found["image"] = _vector([topic_of(image), encode(image), jpeg], [plain(image)])
    result = headers["result"]
    replay = requests.ReplayRequest(
        epoch=result.epoch, stream=result.stream, first=result.seq, last=result.seq + 9, request_id="1"
    )
    item = requests.ItemReply(request_id="1")
    end = requests.EndReply(
        request_id="1",
        epoch=result.epoch,
        stream=result.stream,
        last=result.seq + 3,
        gone=(result.seq + 1, result.seq + 3),
        next=result.seq + 4,
    )
    found["replay-request"] = _asked(replay)
    frames = [requests.encode(item), topic_of(result), encode(result)]
    found["replay-item"] = _vector(frames, [plain(item), plain(result)])
    found["replay-end"] = _asked(end)
    found["ack-request"] = _asked(
        requests.AckRequest(consumer="mes", stream=result.stream, seq=result.seq, epoch=result.epoch)
    )
    return found


def _heatmap(header: HeatmapHeader, quantised: Any, codec: Literal["none", "zstd"]) -> dict[str, Any]:
    """A heatmap and the scores that come out of it."""
    payload, raw_bytes, crc32 = pack_heatmap(quantised, codec)
    header = msgspec.structs.replace(
        header,
        dtype="u8" if quantised.dtype == np.uint8 else "f16",
        shape=quantised.shape,
        codec=codec,
        raw_bytes=raw_bytes,
        crc32=crc32,
        scale=0.0078125,
        offset=-0.25,
    )
    scores = unpack_heatmap(header, payload).tolist()
    frames = [topic_of(header), encode(header), payload]
    return _vector(frames, [plain(header)]) | {"scores": scores}


def _asked(message: msgspec.Struct) -> dict[str, Any]:
    return _vector([requests.encode(message)], [plain(message)])


def _vector(frames: list[bytes], meaning: list[Any]) -> dict[str, Any]:
    """Frames in hexadecimal; `meaning` has the JSON frames in their order."""
    return {"frames": [frame.hex() for frame in frames], "meaning": meaning}


def plain(message: msgspec.Struct) -> Any:
    """A message as any JSON reader sees it."""
    return msgspec.json.decode(msgspec.json.encode(message))


def main(directory: Path = DIRECTORY) -> None:
    """Write one file a vector."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, vector in vectors().items():
        (directory / f"{name}.json").write_text(render(vector), encoding="utf-8")


if __name__ == "__main__":
    main()
