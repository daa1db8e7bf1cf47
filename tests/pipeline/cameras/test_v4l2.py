"""V4L2: what needs no device here, what needs one in a process that preloads the stand-in."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.camera_config import TriggerConfig, V4l2CameraConfig
from pipeline.cameras import v4l2_abi
from pipeline.cameras.camera import CameraError
from pipeline.cameras.v4l2 import discover
from pipeline.cameras.v4l2_devices import find_cameras, select_path
from pipeline.cameras.v4l2_pixels import pixels_of
from pipeline.config import ConfigError, parse_config
from support.v4l2_stand_in import NO_COMPILER, build_stand_in, has_compiler, with_stand_in

ROOT = Path(__file__).parents[3]
WIDTH, HEIGHT = 32, 16
needs_compiler = pytest.mark.skipif(not has_compiler(), reason=NO_COMPILER)

STRUCTURES = {
    "v4l2_capability": v4l2_abi.Capability,
    "v4l2_fmtdesc": v4l2_abi.FormatDescription,
    "v4l2_frmsizeenum": v4l2_abi.FrameSize,
    "v4l2_format": v4l2_abi.Format,
    "v4l2_streamparm": v4l2_abi.StreamParameters,
    "v4l2_requestbuffers": v4l2_abi.BufferRequest,
    "v4l2_buffer": v4l2_abi.Buffer,
    "v4l2_queryctrl": v4l2_abi.ControlDescription,
    "v4l2_control": v4l2_abi.Control,
}
MEMBERS = {
    ("v4l2_capability", "device_caps"): v4l2_abi.Capability.device_caps,
    ("v4l2_fmtdesc", "pixelformat"): v4l2_abi.FormatDescription.pixelformat,
    ("v4l2_frmsizeenum", "discrete"): v4l2_abi.FrameSize.values,
    ("v4l2_format", "fmt.pix.width"): v4l2_abi.Format.width,
    ("v4l2_format", "fmt.pix.bytesperline"): v4l2_abi.Format.bytesperline,
    ("v4l2_streamparm", "parm.capture.timeperframe"): v4l2_abi.StreamParameters.numerator,
    ("v4l2_buffer", "bytesused"): v4l2_abi.Buffer.bytesused,
    ("v4l2_buffer", "timestamp"): v4l2_abi.Buffer.seconds,
    ("v4l2_buffer", "sequence"): v4l2_abi.Buffer.sequence,
    ("v4l2_buffer", "m"): v4l2_abi.Buffer.offset,
    ("v4l2_buffer", "length"): v4l2_abi.Buffer.length,
    ("v4l2_queryctrl", "minimum"): v4l2_abi.ControlDescription.minimum,
    ("v4l2_queryctrl", "flags"): v4l2_abi.ControlDescription.flags,
}


@needs_compiler
def test_structures_and_numbers_are_those_of_the_kernels_header(tmp_path: Path) -> None:
    requests = {name: getattr(v4l2_abi, name) for name in vars(v4l2_abi) if name.startswith("VIDIOC_")}
    flags = {
        f"V4L2_{name}": getattr(v4l2_abi, name)
        for name in vars(v4l2_abi)
        if re.match("CAP_|BUF_FLAG_|CTRL_FLAG_|CID_", name)
    }
    expected = {
        **{f"sizeof(struct {name})": ctypes.sizeof(kind) for name, kind in STRUCTURES.items()},
        **{f"offsetof(struct {name}, {member})": field.offset for (name, member), field in MEMBERS.items()},
        **{f"(unsigned){name}": value for name, value in {**requests, **flags}.items()},
    }
    lines = "".join(f'printf("%llu\\n", (unsigned long long)({text}));' for text in expected)
    source = tmp_path / "abi.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {"
        + lines
        + "}"
    )
    subprocess.run(["gcc", str(source), "-o", str(tmp_path / "abi")], check=True)
    told = subprocess.run([str(tmp_path / "abi")], check=True, capture_output=True, text=True).stdout
    assert dict(zip(expected, map(int, told.split()), strict=True)) == expected


@needs_compiler
def test_the_camera_with_the_stand_in_device(tmp_path: Path) -> None:
    """The contract and `v4l2_with_device.py`, in a process that takes the stand-in for the kernel's."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    files = ["tests/contracts/test_camera_contract.py", "tests/pipeline/cameras/v4l2_with_device.py"]
    run = subprocess.run(
        [*command, *files],
        cwd=ROOT,
        env=with_stand_in(build_stand_in(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) >= 45


def test_without_a_device_nothing_is_found(tmp_path: Path) -> None:
    assert find_cameras(tmp_path / "none") == []
    assert all(camera.kind == "v4l2" for camera in discover())


def test_a_device_that_may_not_be_opened_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "video98").mkdir()
    (tmp_path / "video98" / "name").write_text("Some camera\n")
    (found,) = find_cameras(tmp_path)
    assert (found.model, found.address, found.note) == (
        "Some camera",
        "/dev/video98",
        "No such file or directory",
    )
    with pytest.raises(
        CameraError, match=r"found Some camera \(/dev/video98, serial ''\); .*with serial 'X'"
    ):
        select_path(_config(serial="X"), tmp_path)


def _config(**changes: Any) -> V4l2CameraConfig:
    values = {
        "name": "usb1",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="freerun"),
    }
    return V4l2CameraConfig(**{**values, **changes})


def test_the_line_is_refused_in_the_configuration() -> None:
    camera = {"kind": "v4l2", "name": "usb1", "width_px": 640, "height_px": 480, "pixel_format": "Mono8"}
    raw = {
        "station": {"line": "l", "name": "s", "deadline_ms": 100},
        "sockets": {name: f"ipc:///tmp/{name}" for name in ("results", "heatmaps", "replay")},
        "cameras": [{**camera, "trigger": {"source": "line"}}],
        "engine": {"model": "m", "runtime": "onnxruntime"},
    }
    with pytest.raises(ConfigError, match=r"cameras\[0\]\.trigger\.source: found 'line' for a V4L2 camera"):
        parse_config(raw, origin="x")


def _part(channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth picture, so that JPEG and chroma at half the width change little."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    grey = (40 + 4 * x + 3 * y).astype(np.uint8)
    return grey if channels == 1 else np.dstack([grey, grey, 255 - grey])


@pytest.mark.parametrize("pixel_format", ["Mono8", "RGB8"])
def test_mjpg_is_decoded_and_a_cut_one_is_refused(pixel_format: Any) -> None:
    part = _part(1 if pixel_format == "Mono8" else 3)
    stored = part if pixel_format == "Mono8" else cv2.cvtColor(part, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 98])[1]
    layout: dict[str, Any] = {"width_px": WIDTH, "height_px": HEIGHT, "row_bytes": 0}
    padded = np.concatenate([data, np.zeros(7, np.uint8)])
    pixels = pixels_of(padded, "MJPG", pixel_format, **layout)
    assert pixels is not None
    assert np.abs(pixels.astype(int) - part).max() < 12
    assert pixels_of(data[:-40], "MJPG", pixel_format, **layout) is None
    assert pixels_of(data[:0], "MJPG", pixel_format, **layout) is None
    assert pixels_of(data, "MJPG", pixel_format, **{**layout, "width_px": WIDTH + 16}) is None


@pytest.mark.parametrize("name", ["NV12", "NV21", "YU12", "YV12", "NV16"])
def test_of_planes_the_first_is_taken(name: str) -> None:
    part = _part(1)
    rows = np.pad(part, ((0, HEIGHT // 2), (0, 8)), constant_values=99)
    layout: dict[str, Any] = {"width_px": WIDTH, "height_px": HEIGHT, "row_bytes": WIDTH + 8}
    pixels = pixels_of(rows.ravel(), name, "Mono8", **layout)
    assert pixels is not None
    assert np.array_equal(pixels, part)
    assert pixels.base is None
    assert pixels_of(rows.ravel()[:100], name, "Mono8", **layout) is None


@pytest.mark.parametrize(("name", "luma_first"), [("YUYV", True), ("UYVY", False)])
def test_packed_colour(name: str, luma_first: bool) -> None:
    part = _part(1)
    chroma = np.full_like(part, 128)
    data = np.dstack([part, chroma] if luma_first else [chroma, part]).ravel()
    layout: dict[str, Any] = {"width_px": WIDTH, "height_px": HEIGHT, "row_bytes": 2 * WIDTH}
    grey = pixels_of(data, name, "Mono8", **layout)
    assert grey is not None
    assert np.array_equal(grey, part)
    colour = pixels_of(data, name, "RGB8", **layout)
    assert colour is not None
    assert (colour[..., 0] == colour[..., 1]).all()
    assert (np.diff(colour[0, :, 0].astype(int)) >= 0).all()


def test_bgr_is_turned() -> None:
    part = _part(3)
    layout: dict[str, Any] = {"width_px": WIDTH, "height_px": HEIGHT, "row_bytes": 3 * WIDTH}
    turned = pixels_of(part[..., ::-1].ravel(), "BGR3", "RGB8", **layout)
    assert turned is not None
    assert np.array_equal(turned, part)
