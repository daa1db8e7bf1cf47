"""Small recordings for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.cameras.camera import Camera, CameraInfo
from pipeline.frame import CHANNELS, Frame, FrameHeader, PixelFormat
from pipeline.recording import FORMAT, RecordingInfo, create_recording

INFO = RecordingInfo(
    format=FORMAT,
    line="demo",
    station="s1",
    started_utc="2026-01-01T00:00:00.000Z",
    config="{}",
    versions="{}",
)


def make_camera_info(name: str = "cam1", *, pixel_format: PixelFormat = "Mono8") -> CameraInfo:
    return CameraInfo(
        name=name,
        kind="fake",
        vendor="V",
        model="M",
        serial="S",
        width_px=6,
        height_px=4,
        pixel_format=pixel_format,
        simulated=False,
    )


def make_frame(number: int, *, camera: str = "cam1", exposed_ns: int | None = None) -> Frame:
    """Frame `number` of a camera of 6x4 px Mono8, a real one; its pixels are random but its own."""
    header = FrameHeader(
        camera=camera,
        frame_id=number,
        raw_frame_id=1000 + number,
        camera_epoch=1,
        width_px=6,
        height_px=4,
        pixel_format="Mono8",
        complete=True,
        exposed_ns=number * 20_000_000 if exposed_ns is None else exposed_ns,
        received_ns=number * 20_000_000 + 5,
        received_utc_ns=1_700_000_000_000_000_000 + number,
        camera_timestamp_ns=77 + number,
        camera_clock="device",
        trigger_count=number + 1,
        encoder_count=3 * number,
    )
    return Frame(header, pixels_of(header, seed=number))


def pixels_of(header: FrameHeader, *, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    size = header.height_px * header.width_px * CHANNELS[header.pixel_format]
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).reshape(header.shape)


def write_frames(path: Path, frames: Sequence[Frame]) -> Path:
    """A recording of these frames, all cameras of 6x4 px Mono8."""
    cameras = [make_camera_info(name) for name in sorted({frame.header.camera for frame in frames})]
    with create_recording(path, INFO, cameras) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame, number)
    return path


def record_frames(path: Path, camera: Camera, count: int) -> Path:
    """A recording of the next frames of a camera with a software trigger."""
    with create_recording(path, INFO, [camera.info]) as writer:
        for number in range(count):
            camera.trigger()
            frame = camera.read(5.0)
            assert frame is not None
            writer.write(frame, number)
    return path
