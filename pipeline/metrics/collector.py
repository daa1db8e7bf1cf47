"""An account as the client library's samples, made anew for each scrape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pipeline.access.refusals import KINDS as REFUSED_KINDS
from pipeline.metrics.account import KINDS, REASONS
from pipeline.metrics.names import CHILD_STATES, DIRECTORIES, STATION_STATES, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from prometheus_client.metrics_core import Metric as Family

    from pipeline.metrics.account import Account
    from pipeline.metrics.host import HostFacts

Labels = TypeVar("Labels", tuple[str], tuple[str, str])
MAX_KINDS = 16
"""Labels that a station makes up: refusals, drift values."""


class StationCollector(Collector):
    """Reads the account under `lock`; what the machine says is asked before, it may take a while."""

    def __init__(
        self,
        account: Account,
        *,
        lock: AbstractContextManager[object],
        host: Callable[[], HostFacts],
        now_ns: Callable[[], int],
    ) -> None:
        self._account = account
        self._lock = lock
        self._host = host
        self._now_ns = now_ns

    def collect(self) -> Iterable[Family]:
        """All families, of one moment."""
        facts = self._host()
        with self._lock:
            now_ns = self._now_ns()
            return [
                *_of_station(self._account, now_ns),
                *_of_cameras(self._account, now_ns),
                *_of_results(self._account),
                *_of_stats(self._account),
                _gauge(Metric.DIRECTORY, facts.directory_bytes, DIRECTORIES),
                _gauge(Metric.FREE, facts.free_bytes, DIRECTORIES),
                _gauge(Metric.MEMORY, facts.memory_bytes, facts.memory_bytes),
            ]


def _of_station(account: Account, now_ns: int) -> Iterator[Family]:
    status, view = account.view.status, account.view
    fresh = view.fresh(now_ns)
    age_s = math.inf if account.heard_ns is None else (now_ns - account.heard_ns) / 1e9
    state = status.state if status is not None and fresh else None
    yield _value(Metric.FRESH, fresh)
    yield _value(Metric.READY, view.ready([], now_ns))
    yield _value(Metric.FAULT, view.faulty(now_ns))
    yield _value(Metric.AGE, age_s)
    yield _gauge(Metric.STATE, {name: name == state for name in STATION_STATES}, STATION_STATES)
    engine = status.engine if status is not None and fresh else None
    yield _gauge(Metric.ENGINE, _states(engine), CHILD_STATES)
    yield _count(Metric.STARTS, account.starts)
    if status is not None:
        yield _value(Metric.QUEUE, status.queue_depth)
        yield _count(Metric.LATE, status.late)
        yield _count(Metric.DROPPED, status.dropped)


def _of_cameras(account: Account, now_ns: int) -> Iterator[Family]:
    status, fresh = account.view.status, account.view.fresh(now_ns)
    found = {camera.name: camera for camera in status.cameras} if status is not None else {}
    cameras = [found[name] for name in account.cameras if name in found]
    states = GaugeMetricFamily(Metric.CAMERA.value.name, Metric.CAMERA.value.text, labels=["camera", "state"])
    for name in account.cameras:
        state = found[name].state if fresh and name in found else None
        for key, value in _states(state).items():
            states.add_metric([name, key], float(value))
    yield states
    yield _gauge(Metric.HELD, {c.name: c.held for c in cameras}, account.cameras)
    yield _counter(Metric.TRIGGERS, {(c.name,): c.triggers for c in cameras})
    yield _counter(Metric.ACCEPTS, {(c.name,): c.accepts for c in cameras})
    yield _counter(Metric.REJECTS, {(c.name,): c.rejects for c in cameras})
    yield _counter(Metric.SKIPPED, {(c.name,): c.frames_skipped for c in cameras})
    yield _counter(Metric.LOST, {(c.name,): c.frames_lost for c in cameras})


def _of_results(account: Account) -> Iterator[Family]:
    # A counter that first appears as 1 has not increased for Prometheus: all begin as 0.
    none = {(camera, reason): 0 for camera in account.cameras for reason in REASONS}
    yield _counter(Metric.REJECTS_BY_REASON, none | account.rejects)
    missed = dict.fromkeys(KINDS, 0) | account.missed
    yield _counter(Metric.MISSED, {(kind,): count for kind, count in missed.items()})
    described = Metric.STAGE.value
    family = HistogramMetricFamily(described.name, described.text, labels=described.labels)
    for stage, durations in account.stages.items():
        family.add_metric([stage], buckets=durations.buckets, sum_value=durations.sum_s)
    yield family


def _of_stats(account: Account) -> Iterator[Family]:
    stats = account.stats
    if stats is None:
        return
    yield _value(Metric.UPTIME, stats.uptime_s)
    refused = dict.fromkeys(REFUSED_KINDS, 0) | dict(sorted(stats.refused.items())[:MAX_KINDS])
    yield _counter(Metric.REFUSED, {(kind,): count for kind, count in refused.items()})
    described = Metric.DRIFT.value
    family = GaugeMetricFamily(described.name, described.text, labels=described.labels)
    for chart in stats.drift:
        if chart.camera in account.cameras and chart.statistic is not None and chart.limit:
            family.add_metric([chart.camera, chart.chart], abs(chart.statistic) / chart.limit)
    yield family


def _states(state: str | None) -> dict[str, bool]:
    """1 for the state, 0 for the others; all 0 where it is not known."""
    known = "other" if state is not None and state not in CHILD_STATES else state
    return {name: name == known for name in CHILD_STATES}


def _value(metric: Metric, value: float) -> Family:
    return GaugeMetricFamily(metric.value.name, metric.value.text, value=float(value))


def _count(metric: Metric, value: float) -> Family:
    return CounterMetricFamily(metric.value.name, metric.value.text, value=float(value))


def _gauge(metric: Metric, values: Mapping[str, float], names: Iterable[str]) -> Family:
    family = GaugeMetricFamily(metric.value.name, metric.value.text, labels=metric.value.labels)
    for name in names:
        if name in values:
            family.add_metric([name], float(values[name]))
    return family


def _counter(metric: Metric, values: Mapping[Labels, float]) -> Family:
    family = CounterMetricFamily(metric.value.name, metric.value.text, labels=metric.value.labels)
    for labels, value in values.items():
        family.add_metric(list(labels), float(value))
    return family
