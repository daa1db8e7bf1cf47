"""Every metric that is exported: name, kind, labels, help. Names and units as Prometheus has them.

Labels are bounded: cameras are those of config.yaml, reasons those of the schema (`site` for all of a site's
own), states and stages those listed here. What is unknown is `other`.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
STAGES = ("exposure", "transfer", "queue", "inference", "decision", "trigger_to_published")
CHILD_STATES = ("stopped", "starting", "ready", "waiting", "ended", "other")
STATION_STATES = ("Preoperational", "Initialized", "Ready", "ContinuousExecution", "Error", "Halted")
DIRECTORIES = ("journal", "archive", "log")


class Described(NamedTuple):
    """One metric; a counter's name is without its `_total`, as the client library wants it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    text: str


class Metric(Enum):
    """The metrics."""

    FRESH = Described("hlgfa_station_fresh", "gauge", (), "1 while the station is heard, 0 if it is silent.")
    READY = Described("hlgfa_station_ready", "gauge", (), "1 while the station is heard and takes parts.")
    FAULT = Described("hlgfa_station_fault", "gauge", (), "1 while the station has a fault or is silent.")
    STATE = Described("hlgfa_station_state", "gauge", ("state",), "1 for the state that the station is in.")
    AGE = Described(
        "hlgfa_status_age_seconds", "gauge", (), "Time since the last status; +Inf before the first."
    )
    STARTS = Described("hlgfa_station_starts", "counter", (), "Starts of the station that were heard.")
    UPTIME = Described("hlgfa_station_uptime_seconds", "gauge", (), "Time since the station was started.")
    CAMERA = Described("hlgfa_camera_state", "gauge", ("camera", "state"), "1 for the state of the camera.")
    ENGINE = Described("hlgfa_engine_state", "gauge", ("state",), "1 for the state of the engine's process.")
    HELD = Described(
        "hlgfa_camera_held", "gauge", ("camera",), "1 while every part of the camera is rejected."
    )
    DRIFT = Described(
        "hlgfa_drift_ratio", "gauge", ("camera", "chart"), "Statistic of a drift chart in parts of its limit."
    )
    TRIGGERS = Described("hlgfa_triggers", "counter", ("camera",), "Triggers since the station's start.")
    ACCEPTS = Described("hlgfa_accepts", "counter", ("camera",), "Accepts since the station's start.")
    REJECTS = Described("hlgfa_rejects", "counter", ("camera",), "Rejects since the station's start.")
    REJECTS_BY_REASON = Described(
        "hlgfa_rejects_by_reason", "counter", ("camera", "reason"), "Rejects that were heard, by reason."
    )
    LATE = Described("hlgfa_deadline_misses", "counter", (), "Rejects as late since the station's start.")
    SKIPPED = Described(
        "hlgfa_frames_skipped", "counter", ("camera",), "Free-run frames that newer ones replaced."
    )
    LOST = Described("hlgfa_frames_lost", "counter", ("camera",), "Frames that the device numbered and lost.")
    QUEUE = Described("hlgfa_queue_depth", "gauge", (), "Frames that wait for the engine.")
    DROPPED = Described(
        "hlgfa_messages_dropped", "counter", (), "Messages that slow subscribers did not take."
    )
    REFUSED = Described("hlgfa_clients_refused", "counter", ("kind",), "Clients that were refused, by what.")
    STAGE = Described(
        "hlgfa_stage_duration_seconds", "histogram", ("stage",), "How long each stage of a result took."
    )
    MISSED = Described(
        "hlgfa_messages_missed", "counter", ("kind",), "Published messages that did not reach this process."
    )
    DIRECTORY = Described("hlgfa_directory_bytes", "gauge", ("directory",), "Bytes of the files in it.")
    FREE = Described("hlgfa_disk_free_bytes", "gauge", ("directory",), "Bytes left on its file system.")
    MEMORY = Described(
        "hlgfa_process_resident_memory_bytes",
        "gauge",
        ("process",),
        "Resident memory, where the station's processes can be seen from here.",
    )


def exported() -> frozenset[str]:
    """Every name that a query may use: those of the samples."""
    names: set[str] = set()
    for metric in Metric:
        name, kind = metric.value.name, metric.value.kind
        if kind == "counter":
            names.add(f"{name}_total")
        elif kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        else:
            names.add(name)
    return frozenset(names)
