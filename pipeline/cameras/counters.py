"""A device's counter and clock in the host's terms. Pure: no clock and no device of their own."""

from __future__ import annotations

from collections import deque

_LAST_16_BIT = 65_535


class FrameCounter:
    """Unwraps a device's frame counter: the first frame is 0, a gap is a frame that the host never got.

    GigE Vision counters of 16 bits go from 65535 to 1 (0 is reserved); 64-bit counters never wrap.
    """

    def __init__(self) -> None:
        self._said: int | None = None  # the last number that the device gave
        self._unsaid = 0  # frames since then
        self._frame_id = -1

    def advance(self, raw: int | None) -> int:
        """The unwrapped number of the next frame; `raw` is None if the device did not say.

        Raises:
            ValueError: the counter stood still or went back: the device restarted behind our back.
        """
        if raw is None:
            self._unsaid += 1
            self._frame_id += 1
            return self._frame_id
        step = 1
        if self._said is not None:
            step = raw - self._said
            if step < -_LAST_16_BIT // 2 and self._said <= _LAST_16_BIT:
                step += _LAST_16_BIT
            step -= self._unsaid
            if step <= 0:
                raise ValueError(f"the frame counter went from {self._said} to {raw}")
        self._frame_id += step
        self._said, self._unsaid = raw, 0
        return self._frame_id


class HostClock:
    """Maps device time to the host's monotonic clock by the least delay of the last `window` frames.

    A frame that waited in a queue has a large delay; the least one is that of a frame fetched at once, so
    a late reader does not make old frames look young. What is left is the shortest transfer time.
    """

    def __init__(self, window: int = 64) -> None:
        self._delays_ns: deque[int] = deque(maxlen=window)

    def to_host_ns(self, device_ns: int, received_ns: int) -> int:
        """Host time of a device timestamp, never later than `received_ns`."""
        self._delays_ns.append(received_ns - device_ns)
        return device_ns + min(self._delays_ns)
