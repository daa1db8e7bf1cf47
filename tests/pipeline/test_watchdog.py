"""A camera that is silent is asked whether it is there, without waiting for its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from pipeline.cameras.camera import CameraError
from pipeline.watchdog import Watchdog

PATIENCE_S = 10.0


def test_a_device_that_answers_is_asked_again_and_again() -> None:
    asked = threading.Semaphore(0)
    reports: list[CameraError] = []

    def answer() -> None:
        asked.release()

    watchdog = Watchdog("cam", answer, reports.append, period_s=0.001, limit_s=PATIENCE_S)
    for _ in range(5):
        assert asked.acquire(timeout=PATIENCE_S)
    watchdog.close()
    assert not reports


@pytest.mark.parametrize("silent", [False, True])
def test_a_device_that_is_gone_or_does_not_answer_is_reported_once(*, silent: bool) -> None:
    over = threading.Event()

    def gone() -> None:
        raise CameraError("camera cam was removed")

    def mute() -> None:
        over.wait()

    reports: SimpleQueue[CameraError] = SimpleQueue()
    probe: Callable[[], None] = mute if silent else gone
    begin = time.monotonic()
    watchdog = Watchdog("cam", probe, reports.put, period_s=0.001, limit_s=0.05)
    text = str(reports.get(timeout=PATIENCE_S))
    assert ("has not answered within 0.05 s" if silent else "was removed") in text
    assert time.monotonic() - begin < PATIENCE_S / 2
    over.set()
    watchdog.close()
    assert reports.empty()


def test_nothing_is_reported_of_a_camera_that_is_being_closed() -> None:
    asked, closed = threading.Event(), threading.Event()
    reports: list[CameraError] = []

    def closing() -> None:
        asked.set()
        closed.wait()
        raise CameraError("camera cam is closed")

    watchdog = Watchdog("cam", closing, reports.append, period_s=0.001, limit_s=PATIENCE_S)
    assert asked.wait(PATIENCE_S)
    watchdog.close()
    closed.set()
    for thread in threading.enumerate():
        if thread.name == "watchdog-cam":
            thread.join(PATIENCE_S)
    assert not reports
