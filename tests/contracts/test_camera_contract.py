"""What every camera keeps, whatever its kind: run against each implementation."""

from __future__ import annotations

import itertools
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pytest
from PIL import Image

from pipeline.camera_config import (
    AravisCameraConfig,
    FolderCameraConfig,
    GenicamCameraConfig,
    PylonCameraConfig,
    RecordingCameraConfig,
    SimulatedCameraConfig,
    TriggerConfig,
    V4l2CameraConfig,
    VideoCameraConfig,
)
from pipeline.cameras import open_camera
from pipeline.cameras.camera import Camera, CameraError
from support.fake_gv_camera import FakeGvCamera, missing_aravis
from support.private_network import private_network
from support.recordings import record_frames
from support.v4l2_stand_in import STAND_IN_PATH, stand_in_is_loaded
from support.viky import VIKY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import CameraConfig
    from pipeline.frame import PixelFormat

WIDTH, HEIGHT = 120, 104
EPOCH = 7
LONG_S = 5.0
Source = Literal["freerun", "line", "software"]


class Opener(NamedTuple):
    """Opens a camera of one kind and pixel format."""

    kind: str
    pixel_format: PixelFormat
    place: Path | str

    def config(self, source: Source, rate_hz: float = 25.0) -> CameraConfig:
        """What it is opened with."""
        config: CameraConfig = KINDS[self.kind](self.place, self.pixel_format, source, rate_hz)
        return config

    def __call__(self, source: Source, rate_hz: float = 25.0) -> Camera:
        config = self.config(source, rate_hz)
        if isinstance(config, PylonCameraConfig):
            assert isinstance(self.place, Path)
            return _open_emulator(config, self.place)
        return open_camera(config, camera_epoch=EPOCH)


def _common(source: Source, pixel_format: PixelFormat) -> dict[str, Any]:
    return {
        "name": "cam",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": pixel_format,
        "trigger": TriggerConfig(source=source),
    }


def _simulated(_: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    return SimulatedCameraConfig(**_common(source, pixel_format), rate_hz=rate_hz)


def _write_images(directory: Path, pixel_format: PixelFormat) -> None:
    rng = np.random.default_rng(5)
    shape = (HEIGHT, WIDTH) if pixel_format == "Mono8" else (HEIGHT, WIDTH, 3)
    for number in range(4):
        pixels = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(directory / f"{number}.png")


def _folder(directory: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    _write_images(directory, pixel_format)
    common = _common(source, pixel_format)
    return FolderCameraConfig(**common, directory=str(directory), rate_hz=rate_hz, loop=True)


def _recording(directory: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    file = directory / "cam.mcap"
    if not file.exists():
        with open_camera(_simulated(directory, pixel_format, "software", 1.0)) as camera:
            record_frames(file, camera, 4)
    common = _common(source, pixel_format)
    return RecordingCameraConfig(**common, file=str(file), pace=rate_hz, loop=True)


def _video(directory: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    if find_spec("av") is None:
        pytest.skip("PyAV is not installed")
    from support.videos import write_lossless

    rng = np.random.default_rng(5)
    shape = (HEIGHT, WIDTH) if pixel_format == "Mono8" else (HEIGHT, WIDTH, 3)
    path = write_lossless(directory / "parts.mkv", [rng.integers(0, 256, shape, np.uint8) for _ in range(4)])
    return VideoCameraConfig(**_common(source, pixel_format), url=str(path), rate_hz=rate_hz, loop=True)


def _rtsp(url: str, pixel_format: PixelFormat, source: Source, _: float) -> CameraConfig:
    return VideoCameraConfig(**_common(source, pixel_format), url=url)


def _pylon(directory: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    if find_spec("pypylon") is None:
        pytest.skip("pypylon is not installed")
    _write_images(directory, pixel_format)
    return PylonCameraConfig(
        **_common(source, pixel_format),
        serial="0815-0001",
        exposure_us=100.0,
        rate_hz=rate_hz if source == "freerun" else None,
    )


def _open_emulator(config: PylonCameraConfig, directory: Path) -> Camera:
    from pipeline.cameras.pylon import PylonCamera

    def feed(device: Any) -> None:
        device.TestImageSelector.Value = "Off"
        device.ImageFileMode.Value = "On"
        device.ImageFilename.Value = str(directory)

    return PylonCamera(config, camera_epoch=EPOCH, configure=feed)


def _aravis(_: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    return AravisCameraConfig(
        **_common(source, pixel_format),
        address="127.0.0.1",
        packet_size_bytes=8_000,
        trigger_line="Line0",
        exposure_us=100.0,
        rate_hz=rate_hz if source == "freerun" else None,
    )


def _genicam(_: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    if VIKY is None:
        pytest.skip("genicam is not installed")
    if source != "freerun":
        pytest.skip("the devices of viky.cti have no trigger")
    return GenicamCameraConfig(**_common(source, pixel_format), producers=[VIKY], serial="1", rate_hz=rate_hz)


def _v4l2(_: Path, pixel_format: PixelFormat, source: Source, rate_hz: float) -> CameraConfig:
    rate = rate_hz if source == "freerun" else None
    common = _common(source, pixel_format)
    return V4l2CameraConfig(**common, device=STAND_IN_PATH, rate_hz=rate, exposure_us=2_500.0)


KINDS: dict[str, Any] = {
    "simulated": _simulated,
    "folder": _folder,
    "recording": _recording,
    "pylon": _pylon,
    "aravis": _aravis,
    "genicam": _genicam,
    "video": _video,
    "video-rtsp": _rtsp,
}
if stand_in_is_loaded():  # in the process that tests/pipeline/cameras/test_v4l2.py starts
    KINDS = {"v4l2": _v4l2}
LIVE = ("video-rtsp", "v4l2")
TAKEN: dict[str, dict[str, Any]] = {
    "simulated": {"defect_rate": 0.9},
    "pylon": {"exposure_us": 200.0},
    "aravis": {"exposure_us": 200.0},
    "genicam": {"rate_hz": 20.0},
    "v4l2": {"exposure_us": 3_000.0},
}
"""What a camera of this kind takes while it runs."""
NO_LINE = {
    "pylon": "nothing pulls the emulator's input line",
    "aravis": "nothing pulls the input line of an emulated device",
    "genicam": "nothing pulls the input line of an emulated device",
    "video-rtsp": "a stream has no input line",
    "v4l2": "V4L2 knows no input line",
}
ALL = [(kind, pixel_format) for kind in KINDS for pixel_format in ("Mono8", "RGB8")]


@pytest.fixture(scope="module")
def gv_camera() -> Iterator[None]:
    """A GigE Vision camera on a network that this thread is in."""
    if (missing := missing_aravis()) is not None:
        pytest.skip(missing)
    with private_network(), FakeGvCamera("A1"):
        yield


@pytest.fixture(params=ALL, ids="-".join)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    kind, pixel_format = request.param
    place: Path | str = request.getfixturevalue("rtsp_url") if kind == "video-rtsp" else tmp_path
    if kind == "aravis":
        request.getfixturevalue("gv_camera")
    return Opener(kind, pixel_format, place)


@pytest.fixture(scope="module")
def rtsp_url() -> Iterator[str]:
    """A live stream of 25 pictures a second."""
    from support.rtsp import RtspServer, missing_packages

    if find_spec("av") is None:
        pytest.skip("PyAV is not installed")
    missing = missing_packages()
    if missing is not None:
        pytest.skip(missing)
    options = ("--gop", "5", "--width", str(WIDTH), "--height", str(HEIGHT))
    with RtspServer(*options, rate_hz=25) as server:
        yield server.url


def _kind_of(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["opener"][0])


class TestCameraContract:
    def test_info_is_what_was_configured(self, opener: Opener, request: pytest.FixtureRequest) -> None:
        kind, pixel_format = request.node.callspec.params["opener"]
        with opener("software") as camera:
            info = camera.info
        assert (info.name, info.kind, info.pixel_format) == ("cam", kind.partition("-")[0], pixel_format)
        assert (info.width_px, info.height_px, info.simulated) == (WIDTH, HEIGHT, kind not in LIVE)
        assert all((info.vendor, info.model, info.serial))

    def test_no_trigger_gives_no_frame_in_the_time_asked(self, opener: Opener) -> None:
        with opener("software") as camera:
            start = time.monotonic()
            assert camera.read(0.15) is None
            waited_s = time.monotonic() - start
            assert camera.read(0) is None
        assert 0.14 <= waited_s < 0.6

    def test_one_trigger_gives_one_frame(self, opener: Opener) -> None:
        with opener("software") as camera:
            for expected_id in range(5):
                before_ns = time.monotonic_ns()
                camera.trigger()
                frame = camera.read(LONG_S)
                assert frame is not None
                header = frame.header
                assert (header.frame_id, header.trigger_count) == (expected_id, expected_id + 1)
                assert before_ns <= header.exposed_ns <= header.received_ns <= time.monotonic_ns()
                assert camera.read(0.03) is None

    def test_a_trigger_too_many_is_lost_but_counted(self, opener: Opener) -> None:
        with opener("software") as camera:
            for _ in range(3):
                camera.trigger()
            first = camera.read(LONG_S)
            assert camera.read(0.05) is None
            camera.trigger()
            second = camera.read(LONG_S)
        assert first is not None
        assert second is not None
        assert (first.header.frame_id, first.header.trigger_count) == (0, 1)
        assert (second.header.frame_id, second.header.trigger_count) == (1, 4)

    def test_header_and_pixels_agree(self, opener: Opener, request: pytest.FixtureRequest) -> None:
        kind, pixel_format = request.node.callspec.params["opener"]
        with opener("software") as camera:
            camera.trigger()
            frame = camera.read(LONG_S)
            assert frame is not None
            header = frame.header
            assert frame.pixels.shape == header.shape
            assert frame.pixels.dtype == np.uint8
            assert frame.pixels.std() > 5
        assert (header.camera, header.camera_epoch, header.pixel_format) == ("cam", EPOCH, pixel_format)
        assert (header.width_px, header.height_px) == (WIDTH, HEIGHT)
        assert header.complete
        assert header.simulated == (kind not in LIVE)
        assert abs(header.received_utc_ns - time.time_ns()) < 60e9

    def test_freerun_frames_come_at_the_rate(self, opener: Opener) -> None:
        with opener("freerun", rate_hz=25.0) as camera:
            frames = [camera.read(LONG_S) for _ in range(8)]
        headers = [frame.header for frame in frames if frame is not None]
        assert len(headers) == 8
        steps_ms = [
            (b.received_ns - a.received_ns) / 1e6 / (b.frame_id - a.frame_id)
            for a, b in itertools.pairwise(headers)
        ]
        assert headers[0].frame_id == 0
        assert statistics.median(steps_ms) == pytest.approx(40, abs=15)
        assert all(a.exposed_ns < b.exposed_ns for a, b in itertools.pairwise(headers))

    def test_line_delivers_every_frame(self, opener: Opener, request: pytest.FixtureRequest) -> None:
        if _kind_of(request) in NO_LINE:
            pytest.skip(NO_LINE[_kind_of(request)])
        with opener("line", rate_hz=40.0) as camera:
            frames = [camera.read(LONG_S) for _ in range(8)]
        headers = [frame.header for frame in frames if frame is not None]
        assert [header.frame_id for header in headers] == list(range(8))
        assert [header.trigger_count for header in headers] == list(range(1, 9))
        span_ms = (headers[-1].exposed_ns - headers[0].exposed_ns) / 1e6
        assert span_ms == pytest.approx(7 * 25, abs=0.01)

    @pytest.mark.parametrize("source", ["freerun", "line"])
    def test_a_software_trigger_is_refused_otherwise(
        self, opener: Opener, source: Source, request: pytest.FixtureRequest
    ) -> None:
        if source == "line" and _kind_of(request) in LIVE:
            with pytest.raises(CameraError, match=r"cam\b.*'line'"):
                opener(source)
            return
        with opener(source) as camera, pytest.raises(CameraError, match=r"cam .*trigger source"):
            camera.trigger()

    def test_settings_that_it_takes_while_it_runs_hold_from_a_known_time_on(self, opener: Opener) -> None:
        config = opener.config("freerun")
        changed = msgspec.structs.replace(config, **TAKEN.get(opener.kind, {}))
        with opener("freerun") as camera:
            before = [camera.read(LONG_S) for _ in range(3)]
            settling_s = camera.adjust(changed)
            after = [camera.read(LONG_S) for _ in range(3)]
        assert (settling_s is None) == (opener.kind not in TAKEN)
        assert settling_s is None or 0 <= settling_s < 1
        headers = [frame.header for frame in [*before, *after] if frame is not None]
        assert len(headers) == 6
        assert all(header.complete for header in headers)
        assert all(a.frame_id < b.frame_id for a, b in itertools.pairwise(headers))

    def test_another_size_wants_it_opened_again_and_it_goes_on_as_it_was(self, opener: Opener) -> None:
        config = opener.config("freerun")
        with opener("freerun") as camera:
            assert camera.adjust(msgspec.structs.replace(config, width_px=WIDTH - 8)) is None
            frame = camera.read(LONG_S)
        assert frame is not None
        assert (frame.header.width_px, frame.header.complete) == (WIDTH, True)

    def test_close_is_final_and_idempotent(self, opener: Opener) -> None:
        camera = opener("software")
        with camera as same:
            assert same is camera
        camera.close()
        camera.close()
        with pytest.raises(CameraError, match="closed"):
            camera.read(0)
        with pytest.raises(CameraError, match="closed"):
            camera.trigger()
        with pytest.raises(CameraError, match="closed"):
            camera.adjust(opener.config("software"))

    def test_it_can_be_opened_again(self, opener: Opener) -> None:
        for _ in range(2):
            with opener("software") as camera:
                camera.trigger()
                frame = camera.read(LONG_S)
                assert frame is not None
                assert frame.header.frame_id == 0
