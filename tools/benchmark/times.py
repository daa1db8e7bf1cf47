"""How long a model takes, run by run; imports nothing large, since its process's memory is measured, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Image = TypeVar("_Image")


def times_ns(infer: Callable[[_Image], object], image: _Image, count: int) -> list[int]:
    """Nanoseconds of each of `count` runs on the same image, one after the other."""
    taken = []
    for _ in range(count):
        started_ns = time.perf_counter_ns()
        infer(image)
        taken.append(time.perf_counter_ns() - started_ns)
    return taken
