"""A camera that is silent is asked whether it is there, without waiting for its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pipeline.cameras.camera import CameraError
from pipeline.watchdog import Watchdog

PATIENCE_S = 10.0


def raised(watchdog: Watchdog) -> CameraError:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            watchdog.check()
        except CameraError as error:
            return error
        time.sleep(0.001)
    raise AssertionError("the watchdog found nothing")


def test_a_device_that_answers_is_asked_again_and_again() -> None:
    asked = threading.Semaphore(0)
    watchdog = Watchdog("cam", asked.release, period_s=0.001, limit_s=PATIENCE_S)
    for _ in range(5):
        assert asked.acquire(timeout=PATIENCE_S)
        watchdog.check()
    watchdog.close()


@pytest.mark.parametrize("silent", [False, True])
def test_a_device_that_is_gone_or_does_not_answer_is_lost(*, silent: bool) -> None:
    over = threading.Event()

    def gone() -> None:
        raise CameraError("camera cam was removed")

    probe: Callable[[], object] = over.wait if silent else gone
    watchdog = Watchdog("cam", probe, period_s=0.001, limit_s=0.05)  # type: ignore[arg-type]
    begin = time.monotonic()
    text = str(raised(watchdog))
    assert ("has not answered within 0.05 s" if silent else "was removed") in text
    assert time.monotonic() - begin < PATIENCE_S / 2
    over.set()
    watchdog.close()
