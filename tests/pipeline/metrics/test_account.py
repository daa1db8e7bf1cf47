"""Headers in, samples out: what Prometheus would read."""

import contextlib
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.config import parse_config
from pipeline.messages import AnyHeader, CameraStatus, Reason, StatsHeader, StatusHeader, Times
from pipeline.metrics.account import Account, reason_label
from pipeline.metrics.collector import StationCollector
from pipeline.metrics.health import health
from pipeline.metrics.host import HostFacts
from pipeline.metrics.names import Metric, exported
from pipeline.reader import Message
from pipeline.stream_check import EpochChange, Gap, Repeat
from support.lines import folder_camera
from support.messages import example
from support.results import make_result

SECOND_NS = 1_000_000_000
RAW: dict[str, Any] = {
    "station": {"line": "demo", "name": "station1", "deadline_ms": 150},
    "sockets": {name: f"ipc:///run/{name}" for name in ("results", "heatmaps", "replay")},
    "cameras": [folder_camera(Path("parts"), name) for name in ("cam1", "cam2")],
    "engine": {"model": "m", "runtime": "onnxruntime"},
    "budgets": {"inference_p99_ms": 40},
}


@pytest.fixture
def account() -> Account:
    return Account(parse_config(RAW, origin="test"))


def _take(account: Account, header: AnyHeader, *, at_ns: int = SECOND_NS) -> None:
    published = int(header.published_ns)
    account.take(Message(header=header, expired=False), now_ns=at_ns, now_utc_ns=published)


def _status(**changes: Any) -> StatusHeader:
    cameras = [
        CameraStatus(
            name=name, state="ready", triggers=10, accepts=7, rejects=3, frames_skipped=2, frames_lost=1
        )
        for name in ("cam1", "cam2", "cam3")
    ]
    found = example("status")
    assert isinstance(found, StatusHeader)
    fields = {
        "ready": True,
        "fault": None,
        "engine": "ready",
        "cameras": cameras,
        "period_ms": 200,
        "late": 4,
    }
    return msgspec.structs.replace(found, **({"cameras": cameras} | fields | changes))


def _samples(account: Account, now_ns: int = SECOND_NS, facts: HostFacts | None = None) -> dict[str, float]:
    registry = CollectorRegistry()
    facts = facts or HostFacts()
    lock = contextlib.nullcontext()
    registry.register(StationCollector(account, lock=lock, host=lambda: facts, now_ns=lambda: now_ns))
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_before_anything_is_heard_the_station_is_not_ready(account: Account) -> None:
    samples = _samples(account)
    assert samples["hlgfa_station_fresh"] == samples["hlgfa_station_ready"] == 0
    assert samples["hlgfa_station_fault"] == 1
    assert math.isinf(samples["hlgfa_status_age_seconds"])
    found = health(account, SECOND_NS)
    assert not found.ok
    assert found.reasons == [
        "no status was heard so far: start the station, and compare line, name and addresses"
    ]


def test_a_status_says_how_the_station_is(account: Account) -> None:
    _take(account, _status())
    samples = _samples(account, SECOND_NS + SECOND_NS // 10)
    assert samples["hlgfa_station_fresh"] == samples["hlgfa_station_ready"] == 1
    assert samples["hlgfa_station_fault"] == 0
    assert samples["hlgfa_status_age_seconds"] == pytest.approx(0.1)
    assert samples["hlgfa_camera_state camera=cam2 state=ready"] == 1
    assert samples["hlgfa_camera_state camera=cam2 state=waiting"] == 0
    assert samples["hlgfa_triggers_total camera=cam1"] == 10
    assert samples["hlgfa_rejects_total camera=cam1"] == 3
    assert samples["hlgfa_frames_lost_total camera=cam2"] == 1
    assert samples["hlgfa_deadline_misses_total"] == 4
    assert health(account, SECOND_NS).ok


def test_a_silent_station_is_not_ready_whatever_it_last_said(account: Account) -> None:
    _take(account, _status())
    later_ns = 2 * SECOND_NS
    samples = _samples(account, later_ns)
    assert samples["hlgfa_station_fresh"] == samples["hlgfa_station_ready"] == 0
    assert samples["hlgfa_camera_state camera=cam1 state=ready"] == 0
    assert samples["hlgfa_engine_state state=ready"] == 0
    assert samples["hlgfa_triggers_total camera=cam1"] == 10
    assert health(account, later_ns).reasons == ["the station is silent: three statuses in a row are missing"]


def test_cameras_and_reasons_are_bounded(account: Account) -> None:
    _take(account, _status())
    for number, camera in enumerate(["cam1", *(f"x{n}" for n in range(50))]):
        result = make_result(number + 1, reason=Reason.ANOMALY)
        _take(account, msgspec.structs.replace(result, camera=camera, reason_code=1000 + number))
    samples = _samples(account)
    assert not [name for name in samples if "cam3" in name or "x7" in name]
    assert samples["hlgfa_rejects_by_reason_total camera=other reason=site"] == 50
    assert samples["hlgfa_rejects_by_reason_total camera=cam1 reason=site"] == 1


def test_counters_of_what_should_not_be_begin_as_0(account: Account) -> None:
    """Prometheus sees an increase between two samples only: for a series that begins as 1 it is 0."""
    _take(account, example("stats"))
    samples = _samples(account)
    for reason in Reason:
        name = f"hlgfa_rejects_by_reason_total camera=cam2 reason={reason_label(reason)}"
        assert samples.get(name) == (None if reason is Reason.OK else 0)
    assert samples["hlgfa_messages_missed_total kind=result"] == 0
    assert samples["hlgfa_clients_refused_total kind=client keys"] == 0


@pytest.mark.parametrize(
    ("code", "label"),
    [(1, "anomaly"), (42, "journal failed"), (999, "other"), (1000, "site"), (70_000, "site")],
)
def test_a_reason_has_a_name(code: int, label: str) -> None:
    assert reason_label(code) == label


def test_durations_lie_in_buckets_around_the_budgets(account: Account) -> None:
    result = make_result(1)
    times = {"trigger": 0, "exposure": 1, "received": 3, "infer_start": 4, "infer_end": 43, "decided": 44}
    t = Times(**{key: str(value * 1_000_000) for key, value in times.items()})
    _take(account, msgspec.structs.replace(result, latency_us=160_000, t=t))
    samples = _samples(account)
    name = "hlgfa_stage_duration_seconds"
    assert samples[f"{name}_bucket le=0.036 stage=inference"] == 0
    assert samples[f"{name}_bucket le=0.04 stage=inference"] == 1
    assert samples[f"{name}_sum stage=transfer"] == pytest.approx(0.002)
    assert samples[f"{name}_bucket le=0.15 stage=trigger_to_published"] == 0
    assert samples[f"{name}_bucket le=0.165 stage=trigger_to_published"] == 1
    assert samples[f"{name}_count stage=decision"] == 1


def test_a_result_without_a_frame_has_only_its_whole_duration(account: Account) -> None:
    result = make_result(1, reason=Reason.NO_FRAME)
    times = msgspec.structs.replace(result.t, exposure=None, received=None, infer_start=None, infer_end=None)
    _take(account, msgspec.structs.replace(result, frame=None, t=times))
    name = "hlgfa_stage_duration_seconds_count"
    counts = {key: v for key, v in _samples(account).items() if key.startswith(name)}
    assert sum(counts.values()) == counts[f"{name} stage=trigger_to_published"] == 1


def test_what_comes_twice_counts_once_and_what_is_missing_is_told(account: Account) -> None:
    result = make_result(5, reason=Reason.ANOMALY)
    _take(account, result)
    account.take(Repeat(result.stream, result.seq), now_ns=0, now_utc_ns=0)
    _take(account, result)
    account.take(Gap("result/cam1", 6, 9), now_ns=0, now_utc_ns=0)
    samples = _samples(account)
    assert samples["hlgfa_rejects_by_reason_total camera=cam1 reason=anomaly"] == 1
    assert samples["hlgfa_messages_missed_total kind=result"] == 4


def test_a_restart_is_counted_and_its_stats_are_forgotten(account: Account) -> None:
    stats = example("stats")
    assert isinstance(stats, StatsHeader)
    _take(account, msgspec.structs.replace(stats, refused={"key": 3}))
    assert _samples(account)["hlgfa_clients_refused_total kind=key"] == 3
    account.take(EpochChange("a", "b"), now_ns=0, now_utc_ns=0)
    samples = _samples(account)
    assert samples["hlgfa_station_starts_total"] == 2
    assert "hlgfa_station_uptime_seconds" not in samples


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ready": False, "state": "Error"}, "the station is not ready: Error"),
        ({"fault": "the disk is full"}, "the disk is full"),
        ({"engine": "waiting"}, "the engine is waiting"),
        ({"cameras": []}, "camera cam2 is unknown"),
    ],
)
def test_health_says_why_not(account: Account, changes: dict[str, Any], words: str) -> None:
    _take(account, _status(**changes))
    found = health(account, SECOND_NS)
    assert not found.ok
    assert words in found.reasons


@pytest.fixture
def full(account: Account) -> set[str]:
    """Names of everything that can be exported."""
    _take(account, _status())
    _take(account, make_result(1, reason=Reason.ANOMALY))
    _take(account, msgspec.structs.replace(example("stats"), refused={"key": 1}))
    account.take(Gap("result/cam1", 6, 9), now_ns=0, now_utc_ns=0)
    facts = HostFacts(directory_bytes={"journal": 1}, free_bytes={"journal": 2}, memory_bytes={"station": 3})
    return {name.split()[0] for name in _samples(account, facts=facts)}


def test_the_table_names_what_is_exported(full: set[str]) -> None:
    assert {name for name in full if not name.endswith("_created")} == set(exported())


def test_names_follow_the_conventions() -> None:
    for metric in Metric:
        name, kind, labels, text = metric.value
        assert name.startswith("hlgfa_")
        assert not name.endswith(("_total", "_ms", "_us", "_mib"))
        assert text.endswith(".")
        assert len(labels) <= 2
        if kind == "histogram":
            assert name.endswith("_seconds")
