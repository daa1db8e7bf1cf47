"""What interleaved rounds of times say: latencies, throughput, ratios and the distance from the roofline."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


class Round(msgspec.Struct, frozen=True):
    """One engine's turn: nanoseconds of its frames, resident bytes after them, joules meanwhile if known."""

    times_ns: list[int]
    rss_bytes: int
    energy_j: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one engine.

    `ratio` is its time over that of the first engine, the median of rounds that ran one after the other.
    `roofline_ms` is the time of its multiply-adds at the peak measured in the same rounds, `roofline_ratio`
    how much longer it takes than that; None without a peak, or without multiply-adds.
    """

    target: str
    device: str
    frames: int
    load_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    images_per_s: float
    rss_mib: float
    energy_mj: float | None
    ratio: float
    peak_gflops: float | None
    roofline_ms: float | None
    roofline_ratio: float | None


def figures(
    rounds: Sequence[Round],
    first: Sequence[Round],
    peak: Sequence[Round] | None,
    *,
    target: str,
    device: str,
    load_s: float,
    multiply_adds: int,
    peak_multiply_adds: int,
) -> Figures:
    """Figures of one engine.

    Args:
        rounds: its turns.
        first: those of the engine that ratios are to, in the same rounds.
        peak: those of the matrix products in the same rounds, None if the runtime has none.
        target: name.
        device: that it ran on.
        load_s: until it was warmed up.
        multiply_adds: of one image.
        peak_multiply_adds: of one run of the matrix products.
    """
    times_ms = np.concatenate([r.times_ns for r in rounds]) / 1e6
    energies = [r.energy_j for r in rounds]
    known = [energy for energy in energies if energy is not None]
    own = [_median_ms(r) for r in rounds]
    peaks = None
    if peak is not None and multiply_adds:
        peaks = [2 * peak_multiply_adds / _median_ms(r) / 1e6 for r in peak]
    roofs = None if peaks is None else [2 * multiply_adds / gflops / 1e6 for gflops in peaks]
    return Figures(
        target=target,
        device=device,
        frames=len(times_ms),
        load_s=load_s,
        p50_ms=float(np.quantile(times_ms, 0.5)),
        p99_ms=float(np.quantile(times_ms, 0.99)),
        max_ms=float(times_ms.max()),
        images_per_s=1e3 / float(times_ms.mean()),
        rss_mib=max(r.rss_bytes for r in rounds) / 2**20,
        energy_mj=1e3 * sum(known) / len(times_ms) if len(known) == len(energies) else None,
        ratio=statistics.median(a / _median_ms(b) for a, b in zip(own, first, strict=True)),
        peak_gflops=None if peaks is None else statistics.median(peaks),
        roofline_ms=None if roofs is None else statistics.median(roofs),
        roofline_ratio=None
        if roofs is None
        else statistics.median(a / roof for a, roof in zip(own, roofs, strict=True)),
    )


def _median_ms(turn: Round) -> float:
    return statistics.median(turn.times_ns) / 1e6
