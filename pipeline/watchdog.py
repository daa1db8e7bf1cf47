"""Is a silent camera still there? Asked of the device, on a thread of its own: such a question may block.

While a line-triggered camera waits, no frame is no news. SDKs notice a cut cable after 5 s and more; the
parts that pass meanwhile would get no reject. And a software trigger to a camera that is gone may block the
capture's own thread for seconds: so what is found is reported from here, and not when that thread looks.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from pipeline.cameras.camera import CameraError

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 0.3
LIMIT_S = 0.7
"""How long a device may take to answer; with the period, a loss is known within a second."""


class Watchdog:
    """Calls `probe` once a period until closed; if the camera is lost it says so to `report`, once.

    `report` is called on the watchdog's own thread.
    """

    def __init__(
        self,
        name: str,
        probe: Callable[[], None],
        report: Callable[[CameraError], None],
        *,
        period_s: float = PERIOD_S,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._name, self._probe, self._report = name, probe, report
        self._period_s, self._limit_s = period_s, limit_s
        self._closing = threading.Event()
        threading.Thread(target=self._run, name=f"watchdog-{name}", daemon=True).start()

    def close(self) -> None:
        """Ask no more; a question under way is not waited for, and its answer not reported."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.wait(self._period_s):
            error = self._ask()
            if error is not None and not self._closing.is_set():
                self._report(error)
                return

    def _ask(self) -> CameraError | None:
        """What the device answers, None if all is well; the thread that asks is left behind if it blocks."""
        answer: SimpleQueue[CameraError | None] = SimpleQueue()

        def ask() -> None:
            try:
                self._probe()
            except CameraError as error:
                answer.put(error)
            else:
                answer.put(None)

        threading.Thread(target=ask, name=f"probe-{self._name}", daemon=True).start()
        try:
            return answer.get(timeout=self._limit_s)
        except Empty:
            return CameraError(
                f"camera {self._name}: the device has not answered within {self._limit_s:g} s. Check cable "
                "and power."
            )
