"""Is a silent camera still there? Asked of the device, on a thread of its own: such a question may block.

While a line-triggered camera waits, no frame is no news. SDKs notice a cut cable after 5 s and more; the
parts that pass meanwhile would get no reject.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pipeline.cameras.camera import CameraError

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 0.3
LIMIT_S = 0.7
"""How long a device may take to answer; with the period, a loss is known within a second."""


class Watchdog:
    """Calls `probe` once a period until closed; `check` raises what it found."""

    def __init__(
        self, name: str, probe: Callable[[], None], *, period_s: float = PERIOD_S, limit_s: float = LIMIT_S
    ) -> None:
        self._name, self._probe, self._period_s, self._limit_s = name, probe, period_s, limit_s
        self._closing = threading.Event()
        self._asked_ns: int | None = None
        self._error: CameraError | None = None
        threading.Thread(target=self._run, name=f"watchdog-{name}", daemon=True).start()

    def check(self) -> None:
        """Do nothing if the camera is there, as far as is known.

        Raises:
            CameraError: the device says that it is lost, or has not answered in time.
        """
        if self._error is not None:
            raise self._error
        asked_ns = self._asked_ns
        if asked_ns is not None and time.monotonic_ns() - asked_ns > self._limit_s * 1e9:
            raise CameraError(
                f"camera {self._name}: the device has not answered within {self._limit_s:g} s. Check cable "
                "and power."
            )

    def close(self) -> None:
        """Ask no more; a question under way is not waited for."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.wait(self._period_s):
            self._asked_ns = time.monotonic_ns()
            try:
                self._probe()
            except CameraError as error:
                self._error = error
                return
            self._asked_ns = None
