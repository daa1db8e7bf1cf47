"""The capture stage by itself: what it does when a camera falls silent, and at whose pace it reads."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.camera_config import CameraConfig, FolderCameraConfig, TriggerConfig
from pipeline.cameras.camera import CameraError, CameraInfo
from pipeline.capture import Capture
from pipeline.config import RealtimeConfig
from pipeline.frame import Frame
from pipeline.internal import (
    Adjust,
    Adjusted,
    CaptureStart,
    FrameReady,
    Go,
    NoFrame,
    Release,
    RingSpec,
    Shoot,
    Stop,
    decode_from_capture,
    encode,
)
from pipeline.ring import Ring, page_bytes
from support.frames import make_header, make_pixels

SLOTS = 3


class FakeLink:
    """What the station says, one message a call."""

    def __init__(self, *messages: msgspec.Struct) -> None:
        self.messages = deque(messages)
        self.sent: list[Any] = []

    def receive(self, _: int) -> bytes | None:
        if self.messages:
            return encode(self.messages.popleft())
        return None

    def send(self, message: msgspec.Struct) -> None:
        self.sent.append(decode_from_capture(encode(message)))

    def heartbeat(self, _: int = 0, __: int = 0) -> None: ...


class FakeCamera:
    """Gives the frames that it has, then nothing."""

    def __init__(self, frames: int, **info: bool) -> None:
        self.info = msgspec.structs.replace(INFO, **info)
        self.left = frames
        self.triggers = 0
        self.under_way = 0
        self.settling_s: float | None = None

    def trigger(self) -> None:
        self.triggers += 1

    def read(self, _: float) -> Frame | None:
        if not self.left:
            return None
        self.left -= 1
        return Frame(make_header(), make_pixels())

    def adjust(self, _: CameraConfig) -> float | None:
        self.left += self.under_way
        return self.settling_s

    def probe(self) -> None: ...


INFO = CameraInfo(
    name="cam",
    kind="fake",
    vendor="v",
    model="m",
    serial="s",
    width_px=4,
    height_px=4,
    pixel_format="Mono8",
    simulated=True,
)


@pytest.fixture
def ring(tmp_path: Path) -> Any:
    with Ring.create(tmp_path, slots=SLOTS, slot_bytes=page_bytes(16)) as ring:
        yield ring


CONFIG = FolderCameraConfig(
    name="cam",
    width_px=16,
    height_px=16,
    pixel_format="Mono8",
    trigger=TriggerConfig(source="line"),
    directory="",
)


def capture(ring: Ring, camera: FakeCamera, link: FakeLink, **trigger: Any) -> Capture:
    config = msgspec.structs.replace(CONFIG, trigger=TriggerConfig(**trigger))
    start = CaptureStart(
        endpoint="",
        camera=config,
        camera_epoch=1,
        ring=RingSpec(camera="cam", fd=0, slots=SLOTS, slot_bytes=ring.slot_bytes),
        free_slots=list(range(SLOTS)),
        realtime=RealtimeConfig(),
    )
    writable = Ring(ring.fd, slots=SLOTS, slot_bytes=ring.slot_bytes, writable=True)
    return Capture(camera, writable, link, start)  # type: ignore[arg-type]


def test_a_free_running_camera_that_falls_silent_is_lost(ring: Ring) -> None:
    link = FakeLink(Go())
    with pytest.raises(CameraError, match=r"no frame for 30 ms while it runs freely.*frame_timeout_ms"):
        capture(ring, FakeCamera(0), link, source="freerun", frame_timeout_ms=30).run()


def test_a_camera_that_waits_for_its_line_may_wait(ring: Ring) -> None:
    camera = FakeCamera(0)
    link = FakeLink(Go())
    reads = 0

    def read(_: float) -> None:
        nonlocal reads
        reads += 1
        if reads == 50:
            link.messages.append(Stop())

    camera.read = read  # type: ignore[method-assign]
    capture(ring, camera, link, source="line", frame_timeout_ms=10).run()
    assert reads == 50


def test_a_trigger_without_a_frame_is_said_and_the_camera_given_up(ring: Ring) -> None:
    camera = FakeCamera(0)
    link = FakeLink(Go(), Shoot(ordinal=7))
    with pytest.raises(CameraError, match="no frame within 20 ms of its trigger"):
        capture(ring, camera, link, source="software", frame_timeout_ms=20).run()
    assert camera.triggers == 1
    assert [m.ordinal for m in link.sent if isinstance(m, NoFrame)] == [7]


def test_a_camera_that_waits_is_read_when_the_line_is_done_with_its_last_frame(ring: Ring) -> None:
    camera = FakeCamera(5, paced=True, waits=True)
    link = FakeLink(Go())
    given = capture(ring, camera, link, source="line")
    handed: list[int] = []
    send = link.send

    def send_and_answer(message: msgspec.Struct) -> None:
        send(message)
        if isinstance(message, FrameReady):
            assert message.slot is not None
            handed.append(camera.left)
            link.messages.append(Release(slot=message.slot) if len(handed) < 5 else Stop())

    link.send = send_and_answer  # type: ignore[method-assign]
    given.run()
    assert handed == [4, 3, 2, 1, 0]


def test_frames_that_never_came_and_frames_that_were_replaced_are_told_apart(ring: Ring) -> None:
    link = FakeLink(Go())
    given = capture(ring, FakeCamera(0), link, source="freerun")
    for frame_id, replaced in ((7, 3), (8, 0), (11, 2), (15, 1), (16, 0)):
        given._hand_over(Frame(make_header(frame_id=frame_id, replaced=replaced), make_pixels()))
    counts = [(m.frames_skipped, m.frames_lost) for m in link.sent]
    assert counts == [(0, 0), (0, 0), (2, 0)]  # three slots, which nobody gave back; then it skips
    assert (given._skipped, given._lost) == (5, 2)


def test_frames_of_the_old_settings_are_handed_over_before_the_new_ones_are_said_to_hold(ring: Ring) -> None:
    camera = FakeCamera(0)
    camera.under_way, camera.settling_s = 2, 0.02
    link = FakeLink(Go(), Adjust(camera=CONFIG))
    send = link.send

    def send_and_stop(message: msgspec.Struct) -> None:
        send(message)
        if isinstance(message, Adjusted):
            link.messages.append(Stop())

    link.send = send_and_stop  # type: ignore[method-assign]
    capture(ring, camera, link, source="line").run()
    assert [type(message) for message in link.sent] == [FrameReady, FrameReady, Adjusted]
    assert link.sent[-1].taken


def test_settings_that_want_the_camera_opened_again_are_said_at_once(ring: Ring) -> None:
    link = FakeLink(Go(), Adjust(camera=CONFIG), Stop())
    capture(ring, FakeCamera(0), link, source="software").run()
    assert [(message.camera, message.taken) for message in link.sent] == [(CONFIG, False)]
