"""A device's counter and clock in the host's terms. Pure: no clock and no device of their own."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

_LAST_16_BIT = 65_535
SPAN_NS = 500_000_000
"""Device time of which the least delay is kept."""
FIT_POINTS = 8
FIT_NS = 10_000_000_000
"""Device time below which a slope would be made of jitter: 0.1 ms over 10 s are 10 ppm."""


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
    """Maps device time to the host's monotonic clock by a running fit, and says how far the two drift apart.

    A frame that waited in a queue has a large delay; the least delays are those of frames fetched at once, so
    a late reader does not make old frames look young. What is left is the shortest transfer time. The least
    delay of each `SPAN_NS` of device time is kept, `window` of them, and the highest line below all of these
    is the fit: of its slope, the drift, no queue can make anything (Moon, Skelly, Towsley, "Estimation and
    removal of clock skew from network delay measurements", 1999). Until there are enough, the least delay.
    """

    def __init__(self, window: int = 64) -> None:
        self._least: deque[tuple[int, int]] = deque(maxlen=window)  # device time and delay
        self._span_start_ns: int | None = None
        self.drift_ppm: float | None = None
        """By how much the host's clock runs faster than the device's; None until it is known."""

    def to_host_ns(self, device_ns: int, received_ns: int) -> int:
        """Host time of a device timestamp, never later than `received_ns`."""
        self._keep(device_ns, received_ns - device_ns)
        delay_ns = min(delay for _, delay in self._least)
        if len(self._least) >= FIT_POINTS and self._least[-1][0] - self._least[0][0] >= FIT_NS:
            slope, height = lower_line(list(self._least))
            self.drift_ppm = slope * 1e6
            delay_ns = round(height + slope * (device_ns - self._least[0][0]))
        return min(device_ns + delay_ns, received_ns)

    def _keep(self, device_ns: int, delay_ns: int) -> None:
        start = self._span_start_ns
        if start is None or not 0 <= device_ns - start < SPAN_NS:
            self._span_start_ns = device_ns
            self._least.append((device_ns, delay_ns))
        elif delay_ns < self._least[-1][1]:
            self._least[-1] = (device_ns, delay_ns)


def lower_line(points: list[tuple[int, int]]) -> tuple[float, float]:
    """The line below all points that is nearest to them on average: an edge of their lower convex hull.

    Args:
        points: (x, y) with x ascending, at least two.

    Returns:
        Slope, and height at the first x.
    """
    first = points[0][0]
    hull: list[tuple[int, int]] = []
    for x, y in points:
        while len(hull) > 1 and not _turns_up(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    mean = sum(x for x, _ in points) / len(points)
    left, right = next((a, b) for a, b in pairwise(hull) if b[0] >= mean)
    slope = (right[1] - left[1]) / (right[0] - left[0])
    return slope, left[1] - slope * (left[0] - first)


def _turns_up(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0
