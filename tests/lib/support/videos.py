"""Video files for tests, written by PyAV: lossless, or predicted with B-frames; and ways to damage them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_GIVEN: dict[int, str] = {2: "gray", 3: "rgb24"}


def write_lossless(
    path: Path, pictures: Sequence[NDArray[np.uint8]], *, stored: str | None = None, rate_hz: int = 25
) -> Path:
    """FFV1, each picture a key frame. (H, W) is stored as grey, (H, W, 3) as RGB, or as `stored`."""
    height, width = pictures[0].shape[:2]
    given = _GIVEN[pictures[0].ndim]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate_hz)
        stream.codec_context.gop_size = 1
        stream.width, stream.height = width, height
        stream.pix_fmt = stored or {"gray": "gray", "rgb24": "bgr0"}[given]
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=given)))
        container.mux(stream.encode())
    return path


def write_luma(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> Path:
    """FFV1 in yuv420p, the luma planes being `pictures` (H, W) bit for bit."""
    height, width = pictures[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            chroma = np.full((height // 2, width), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.vstack([picture, chroma]), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_predicted(path: Path, pictures: Sequence[NDArray[np.uint8]], *, key_every: int = 6) -> Path:
    """MPEG-4 with B-frames, so that packets are not in the order of the pictures; lossy."""
    height, width = pictures[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"sc_threshold": "1000000000"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.max_b_frames = 2
        stream.codec_context.gop_size = key_every
        stream.codec_context.bit_rate = 4_000_000
        for picture in pictures:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p"))
            )
        container.mux(stream.encode())
    return path


def rewrite(source: Path, target: Path, change: Callable[[int, bytes], bytes]) -> Path:
    """Copy a file packet by packet; `change` gets each one's place in decoding order and its bytes."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = before.streams.video[0]
        copy = after.add_stream_from_template(stream)
        packets: list[Any] = [packet for packet in before.demux(stream) if packet.size]
        for place, packet in enumerate(packets):
            changed = av.Packet(change(place, bytes(packet)))
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.is_keyframe = packet.is_keyframe
            changed.stream = copy
            after.mux(changed)
    return target
