"""What one run of `make bench-peers` measured, as JSON; and the figures that are computed from it."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np

SCHEMA = "hlgfa.peers/1.0"
OURS = "hlgfa"
BARS = {"efficientad-s": 20.0, "patchcore": 8.0, "padim": 2.0}
"""How many times as long as ours each peer should take, at least."""


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one runtime.

    `rounds_ms` are the milliseconds of each run of each round, `rss_mib` is of its process after the last.
    """

    model: str
    runtime: str
    dtype: str
    shape: tuple[int, ...]
    onnx_mib: float
    rss_mib: float
    rounds_ms: list[list[float]]


class PeersRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One whole run.

    `load_before` is the system's load over one minute before it; `torchvision_declared`: two operators of
    torchvision were declared without code, since its build is not torch's.
    """

    schema: str = SCHEMA
    started_utc: str
    machine: str
    cores: int
    load_before: float
    threads: int
    model_id: str
    versions: dict[str, str]
    torchvision_declared: bool
    timed: list[Timed]


class Row(NamedTuple):
    """Of one model in one runtime: milliseconds over all runs, and how many times as long as ours it took.

    Ours is the faster of our runtimes. `ratio` is the median over rounds of the ratio of the medians of the
    same round, `ratio_low` and `ratio_high` hold 80 % of the rounds. `faster`: than the same model elsewhere.
    """

    timed: Timed
    p50_ms: float
    p99_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    faster: bool


def rows(run: PeersRun) -> list[Row]:
    """In the order of the run."""
    p50 = {id(timed): _percentile(timed, 50) for timed in run.timed}
    best: dict[str, Timed] = {}
    for timed in run.timed:
        if timed.model not in best or p50[id(timed)] < p50[id(best[timed.model])]:
            best[timed.model] = timed
    made = []
    for timed in run.timed:
        ratios = round_ratios(timed, best[OURS])
        low, high = np.percentile(ratios, (10, 90))
        figures = median(ratios), float(low), float(high)
        made.append(Row(timed, p50[id(timed)], _percentile(timed, 99), *figures, timed is best[timed.model]))
    return made


def round_ratios(timed: Timed, ours: Timed) -> list[float]:
    """For each round the median of one over the median of the other."""
    pairs = zip(timed.rounds_ms, ours.rounds_ms, strict=True)
    return [median(theirs) / median(mine) for theirs, mine in pairs]


def _percentile(timed: Timed, percent: float) -> float:
    return float(np.percentile([ms for runs in timed.rounds_ms for ms in runs], percent))
