"""RTSP against gst-rtsp-server on loopback: real sockets, real H.264, pictures that show their number."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("av", reason="NO VIDEO: pip install 'hlgfa-line[video]'")

from pipeline.camera_config import TriggerConfig, VideoCameraConfig
from pipeline.cameras import open_camera
from pipeline.cameras.camera import Camera, CameraError
from pipeline.config import ConfigError, parse_config
from support.numbered import picture_number
from support.rtsp import Relay, RtspServer, missing_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.frame import Frame

WIDTH, HEIGHT, RATE_HZ, KEY_EVERY = 96, 80, 25, 5
READ_TIMEOUT_MS = 600
LAG_MS = 150
# Encoder and server 15 ms, one period until the parser sees the picture's end, the lag, a busy machine.
ALLOWED_AGE_MS = 400


@pytest.fixture(scope="module")
def needs_server() -> None:
    missing = missing_packages()
    if missing is not None:
        pytest.skip(missing)


def _start() -> RtspServer:
    return RtspServer("--gop", str(KEY_EVERY), rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def shared(needs_server: None) -> Iterator[RtspServer]:
    """For tests that leave the server as it was."""
    with _start() as running:
        yield running


@pytest.fixture
def server(needs_server: None) -> Iterator[RtspServer]:
    """For tests that break it."""
    with _start() as running:
        yield running


def _config(url: str, **changes: Any) -> VideoCameraConfig:
    values = {
        "name": "ip1",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": TriggerConfig(source="freerun"),
        "url": url,
        "open_timeout_ms": 8_000,
        "read_timeout_ms": 3_000,
        "max_lag_ms": LAG_MS,
    }
    return VideoCameraConfig(**{**values, **changes})


def _open(url: str, **changes: Any) -> Camera:
    return open_camera(_config(url, **changes))


def _read(camera: Camera) -> Frame:
    frame = camera.read(5.0)
    assert frame is not None
    return frame


def _read_until_lost(camera: Camera) -> str:
    """The message with which the camera is lost."""
    try:
        while True:
            camera.read(1.0)
    except CameraError as error:
        return str(error)


def _age_ms(server: RtspServer, frame: Frame) -> float:
    return (frame.header.received_ns - server.due_ns(picture_number(frame.pixels))) / 1e6


def test_a_slow_reader_gets_fresh_frames_and_sees_the_gaps(shared: RtspServer) -> None:
    with _open(shared.url) as camera:
        frames = []
        for _ in range(4):
            frames.append(_read(camera))
            deadline = time.monotonic() + 0.3
            while time.monotonic() < deadline:  # a reader with other work
                sum(range(1_000))
    steps = [
        (b.header.frame_id - a.header.frame_id, picture_number(b.pixels) - picture_number(a.pixels))
        for a, b in itertools.pairwise(frames)
    ]
    assert all(step == shown for step, shown in steps)
    assert all(step > 1 for step, _ in steps)
    assert sum(step for step, _ in steps) >= 6 * len(steps)  # one picture may be late, and the next step less
    assert all(_age_ms(shared, frame) < ALLOWED_AGE_MS for frame in frames)


def test_nothing_of_an_opening_burst_is_delivered(shared: RtspServer) -> None:
    """The relay holds a second of pictures back, then passes them on at once."""
    with Relay(shared.port, hold_after=b"PLAY ") as relay:

        def release() -> None:
            relay.held.wait()
            time.sleep(1.0)  # the length of the backlog, not a wait for a state
            relay.release()

        releasing = threading.Thread(target=release)
        releasing.start()
        with _open(relay.url) as camera:
            frames = [_read(camera) for _ in range(5)]
        releasing.join()
    assert frames[0].header.raw_frame_id > 15
    assert max(_age_ms(shared, frame) for frame in frames) < ALLOWED_AGE_MS
    for frame in frames:
        assert (
            abs(frame.header.exposed_ns - shared.due_ns(picture_number(frame.pixels))) / 1e6 < ALLOWED_AGE_MS
        )


def test_a_backlog_in_the_network_is_skipped(shared: RtspServer) -> None:
    with Relay(shared.port) as relay, _open(relay.url) as camera:
        before = [_read(camera) for _ in range(5)][-1]
        relay.hold()
        threading.Timer(0.8, relay.release).start()
        after = [_read(camera) for _ in range(10)]
    assert max(_age_ms(shared, frame) for frame in after) < ALLOWED_AGE_MS
    assert after[-1].header.frame_id - before.header.frame_id > 10 + 10
    assert [frame.header.frame_id - picture_number(frame.pixels) for frame in after] == [
        before.header.frame_id - picture_number(before.pixels)
    ] * 10


@pytest.mark.parametrize("source", ["freerun", "software"])
def test_a_killed_server_is_seen_at_once(server: RtspServer, source: Any) -> None:
    with _open(server.url, trigger=TriggerConfig(source=source), read_timeout_ms=5_000) as camera:
        if source == "software":
            camera.trigger()
        _read(camera)
        server.kill()
        start = time.monotonic()
        message = _read_until_lost(camera)
        assert time.monotonic() - start < 1.0
        assert "ip1" in message
        assert "Check the address, the network" in message
        with pytest.raises(CameraError, match="lost"):
            camera.probe()
        if source == "software":
            with pytest.raises(CameraError, match="lost"):
                camera.trigger()


@pytest.mark.parametrize("source", ["freerun", "software"])
def test_a_frozen_server_is_lost_in_the_set_time(server: RtspServer, source: Any) -> None:
    with _open(server.url, trigger=TriggerConfig(source=source), read_timeout_ms=READ_TIMEOUT_MS) as camera:
        if source == "software":
            camera.trigger()
        _read(camera)
        server.freeze()
        start = time.monotonic()
        assert f"no fresh picture for {READ_TIMEOUT_MS} ms" in _read_until_lost(camera)
        assert time.monotonic() - start < READ_TIMEOUT_MS / 1e3 + 0.5
        start = time.monotonic()
    assert time.monotonic() - start < 1.5
    server.thaw()
    with _open(server.url) as camera:
        assert _read(camera).header.complete


def test_it_opens_again_after_a_restart(server: RtspServer) -> None:
    with _open(server.url) as camera:
        server.kill()
        _read_until_lost(camera)
    with pytest.raises(CameraError, match=r"ip1 .*cannot be opened: Connection refused"):
        _open(server.url)
    with (
        RtspServer("--gop", str(KEY_EVERY), "--port", str(server.port)) as again,
        _open(server.url) as camera,
    ):
        frame = _read(camera)
        assert frame.header.frame_id == 0
        assert _age_ms(again, frame) < ALLOWED_AGE_MS


def test_software_gives_a_picture_of_after_the_trigger(shared: RtspServer) -> None:
    with _open(shared.url, trigger=TriggerConfig(source="software")) as camera:
        for expected in range(6):
            triggered_ns = time.monotonic_ns()
            camera.trigger()
            header = _read(camera).header
            assert header.frame_id == expected
            assert header.exposed_ns >= triggered_ns
            assert header.received_ns - triggered_ns < 1e9 / RATE_HZ + 200e6


def test_nothing_after_a_lost_picture_is_taken_for_whole(shared: RtspServer) -> None:
    """Whatever is lost, a key frame or another: no frame that is called complete shows a wrong number."""
    incomplete = 0
    with Relay(shared.port) as relay, _open(relay.url) as camera:
        for start in range(KEY_EVERY):
            for _ in range(3 + start):
                _read(camera)
            relay.drop_next()
            frames = [_read(camera) for _ in range(3 * KEY_EVERY)]
            for frame in frames:
                if frame.header.complete:
                    assert -20 < _age_ms(shared, frame) < ALLOWED_AGE_MS
                else:
                    assert not frame.pixels.any()
            incomplete += sum(not frame.header.complete for frame in frames)
            assert all(frame.header.complete for frame in frames[-KEY_EVERY:])
    assert incomplete > 0  # not in every round: parameter sets and the last of a group can be spared


def test_mjpeg_over_udp(needs_server: None) -> None:
    with (
        RtspServer("--codec", "jpeg", rate_hz=RATE_HZ) as server,
        _open(server.url, transport="udp", pixel_format="RGB8") as camera,
    ):
        frames = [_read(camera) for _ in range(5)]
        assert camera.info.model == "mjpeg stream"
    assert all(frame.header.complete for frame in frames)
    assert frames[0].pixels.shape == (HEIGHT, WIDTH, 3)
    assert max(_age_ms(server, frame) for frame in frames) < ALLOWED_AGE_MS


def test_another_size_is_refused(shared: RtspServer) -> None:
    with pytest.raises(CameraError, match=r"ip1: found 96 x 80 px, expected 640 x 480 px\. Set"):
        _open(shared.url, width_px=640, height_px=480)


@pytest.mark.parametrize(
    "url",
    ["rtsp://operator:s3cr%40t@127.0.0.1:{}/nothing", "rtsp://127.0.0.1:{}/user=operator&password=s3cr"],
)
def test_credentials_are_in_no_message(
    shared: RtspServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(0), pytest.raises(CameraError, match=r"cannot be opened: .*404 Not Found") as caught:
        _open(url.format(shared.port))
    chain = [str(caught.value), str(caught.value.__cause__), caplog.text]
    assert not any(secret in text for text in chain for secret in ("operator", "s3cr"))
    assert "***" in str(caught.value)


def test_a_password_is_used_and_a_wrong_one_is_in_no_message(needs_server: None) -> None:
    with RtspServer("--password", "s3cr@t", rate_hz=RATE_HZ) as server:
        with _open(server.url.replace("//", "//operator:s3cr%40t@")) as camera:
            assert _read(camera).header.complete
            assert camera.info.serial == server.url.replace("//", "//***@")
        for wrong in ("", "operator:wr0ng@"):
            with pytest.raises(CameraError, match=r"cannot be opened: .*401 Unauthorized") as caught:
                _open(server.url.replace("//", f"//{wrong}"))
            assert "wr0ng" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(CameraError, match="cannot be opened: no "):
            _open(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/line", open_timeout_ms=300)
        assert time.monotonic() - start < 2.0


def test_the_line_is_refused() -> None:
    with pytest.raises(CameraError, match=r"ip1 .*'line'.*no input line\. Set 'freerun' or 'software'"):
        _open("rtsp://127.0.0.1/line", trigger=TriggerConfig(source="line"))


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"url": "http://u:secret@host/"}, r"cameras\[0\]\.url: found an address http://, expected rtsp://"),
        ({"trigger": {"source": "line"}}, r"cameras\[0\]\.trigger\.source: found 'line' for an RTSP stream"),
        ({"loop": True}, r"cameras\[0\]: found rate_hz or loop for an RTSP stream"),
        ({"rate_hz": 10.0}, r"cameras\[0\]: found rate_hz or loop for an RTSP stream"),
        ({"transport": "smoke"}, r"cameras\[0\]\.transport"),
    ],
)
def test_the_configuration_is_checked(camera: dict[str, Any], message: str) -> None:
    values = {
        "kind": "video",
        "name": "ip1",
        "width_px": WIDTH,
        "height_px": HEIGHT,
        "pixel_format": "Mono8",
        "trigger": {"source": "freerun"},
        "url": "rtsp://u:secret@host/",
    }
    raw = {
        "station": {"line": "l", "name": "s", "deadline_ms": 100},
        "sockets": {
            name: f"tcp://127.0.0.1:555{n}" for n, name in enumerate(("results", "heatmaps", "replay"))
        },
        "cameras": [{**values, **camera}],
        "engine": {"model": "m", "runtime": "onnxruntime"},
    }
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(raw, origin="x")
    assert "secret" not in str(caught.value)


def test_without_pyav_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CameraError, match=r"needs PyAV.*Install hlgfa-line\[video\]"):
        _open("rtsp://127.0.0.1/line")
