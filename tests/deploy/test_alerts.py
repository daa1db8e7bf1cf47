"""Each alert as promtool evaluates it: it fires on what it is for, with its text, and not on what is near."""

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from support.prometheus import DEPLOY, NEEDS_PROMETHEUS

LINE = {"instance": "press-3:9464", "job": "hlgfa"}
CAMERA = LINE | {"camera": "cam1"}
STEP_S = 5
"""Between two samples, and between two evaluations: as in prometheus.yml."""


class Case(NamedTuple):
    """Samples by series, `step_s` apart, as promtool wants them; the alert has `labels` after `after_s`.

    `quiet`: other samples on which it must not fire.
    """

    alert: str
    after_s: int
    labels: dict[str, str]
    fires: dict[str, str]
    quiet: dict[str, str]
    step_s: int = STEP_S


def _always(value: float) -> str:
    return f"{value:g}+0x200"


def _grows(each: float) -> str:
    return f"0+{each:g}x200"


ONCE = "0+0x10 1+0x200"
QUARTER_S = 900
MEMORY = "hlgfa_process_resident_memory_bytes{process='station'}"
LATENCY = "hlgfa_stage_duration_seconds_bucket{stage='trigger_to_published',le='%s'}"
READY = "hlgfa_camera_state{camera='cam1',state='ready'}"
ENDED = "hlgfa_camera_state{camera='cam1',state='ended'}"
REASON = "hlgfa_rejects_by_reason_total{camera='cam1',reason='%s'}"
CASES = [
    Case("HlgfaMetricsGone", 70, LINE, {"up": _always(0)}, {"up": _always(1)}),
    Case("HlgfaMetricsGone", 70, {"job": "hlgfa"}, {}, {"up": _always(1)}),
    Case(
        "HlgfaStationSilent",
        20,
        LINE,
        {"hlgfa_station_fresh": _always(0)},
        {"hlgfa_station_fresh": "0 0 1+0x20"},
    ),
    Case(
        "HlgfaStationNotReady",
        20,
        LINE,
        {"hlgfa_station_fresh": _always(1), "hlgfa_station_ready": _always(0)},
        {"hlgfa_station_fresh": _always(0), "hlgfa_station_ready": _always(0)},
    ),
    Case(
        "HlgfaCameraNotReady",
        20,
        {"instance": LINE["instance"], "camera": "cam1"},
        {READY: _always(0), ENDED: _always(0), "hlgfa_station_fresh": _always(1)},
        {READY: _always(0), ENDED: _always(1), "hlgfa_station_fresh": _always(1)},
    ),
    Case(
        "HlgfaFault",
        40,
        LINE,
        {"hlgfa_station_fault": _always(1), "hlgfa_station_fresh": _always(1)},
        {"hlgfa_station_fault": _always(1), "hlgfa_station_fresh": _always(0)},
    ),
    Case(
        "HlgfaDeadlinesMissed",
        80,
        LINE,
        {"hlgfa_deadline_misses_total": ONCE},
        {"hlgfa_deadline_misses_total": _always(7)},
    ),
    Case(
        "HlgfaDeadlineNear",
        900,
        {"instance": LINE["instance"]},
        {LATENCY % 0.1: _grows(98), LATENCY % 0.2: _grows(100), LATENCY % "+Inf": _grows(100)},
        {LATENCY % 0.1: _grows(100), LATENCY % 0.2: _grows(100), LATENCY % "+Inf": _grows(100)},
    ),
    Case(
        "HlgfaFramesLost",
        80,
        CAMERA,
        {"hlgfa_frames_lost_total{camera='cam1'}": ONCE},
        {"hlgfa_frames_lost_total{camera='cam1'}": _always(7)},
    ),
    Case(
        "HlgfaRejectsJump",
        400,
        {"instance": LINE["instance"], "camera": "cam1"},
        {"hlgfa_rejects_total{camera='cam1'}": _grows(3), "hlgfa_triggers_total{camera='cam1'}": _grows(10)},
        {"hlgfa_rejects_total{camera='cam1'}": _grows(1), "hlgfa_triggers_total{camera='cam1'}": _grows(10)},
    ),
    Case(
        "HlgfaJournalFailed",
        80,
        CAMERA | {"reason": "journal failed"},
        {REASON % "journal failed": ONCE},
        {REASON % "anomaly": ONCE},
    ),
    Case(
        "HlgfaDiskFillsUp",
        310,
        LINE | {"directory": "journal"},
        {"hlgfa_disk_free_bytes{directory='journal'}": _always(9e8)},
        {"hlgfa_disk_free_bytes{directory='journal'}": _always(2e9)},
    ),
    Case(
        "HlgfaRestarts",
        80,
        LINE,
        {"hlgfa_station_starts_total": "1 1 1 2 2 3 3 4+0x200"},
        {"hlgfa_station_starts_total": "1 1 1 2 2 3+0x200"},
    ),
    Case(
        "HlgfaDrift",
        10,
        CAMERA | {"chart": "score"},
        {"hlgfa_drift_ratio{camera='cam1',chart='score'}": _always(1)},
        {"hlgfa_drift_ratio{camera='cam1',chart='score'}": _always(0.99)},
    ),
    Case(
        "HlgfaHeld",
        10,
        CAMERA,
        {"hlgfa_camera_held{camera='cam1'}": _always(1)},
        {"hlgfa_camera_held{camera='cam1'}": _always(0)},
    ),
    Case(
        "HlgfaClientsRefused",
        80,
        LINE | {"kind": "client keys"},
        {"hlgfa_clients_refused_total{kind='client keys'}": ONCE},
        {"hlgfa_clients_refused_total{kind='client keys'}": _always(7)},
    ),
    Case(
        "HlgfaMemoryGrows",
        13 * 3600,
        LINE | {"process": "station"},
        {MEMORY: _grows(300e6 / 86400 * QUARTER_S)},
        {MEMORY: _grows(100e6 / 86400 * QUARTER_S)},
        QUARTER_S,
    ),
]


def _rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _with_line(series: str) -> str:
    """The series with the labels that Prometheus adds to all of a target."""
    name, _, labels = series.partition("{")
    both = ",".join(
        [*(f'{key}="{value}"' for key, value in LINE.items()), labels.rstrip("}").replace("'", '"')]
    )
    return f"{name}{{{both.rstrip(',')}}}"


def _expected(case: Case) -> dict[str, dict[str, str]]:
    """Labels and texts of the alert; a label that a text names must be there."""
    rule = _rules()[case.alert]
    texts = {
        key: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: case.labels[found[1]], text)
        for key, text in rule["annotations"].items()
    }
    return {"exp_labels": case.labels | rule["labels"], "exp_annotations": texts}


def _group(case: Case, samples: dict[str, str], expected: list[dict[str, Any]]) -> dict[str, Any]:
    test = {"eval_time": f"{case.after_s}s", "alertname": case.alert, "exp_alerts": expected}
    series = [{"series": _with_line(name), "values": values} for name, values in samples.items()]
    return {"interval": f"{case.step_s}s", "input_series": series, "alert_rule_test": [test]}


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_there_is_a_case_for_every_alert() -> None:
    assert {case.alert for case in CASES} == set(_rules())


@NEEDS_PROMETHEUS
def test_promtool_reads_configuration_and_rules() -> None:
    done = _promtool("check", "config", str(DEPLOY / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
    assert f"SUCCESS: {len(_rules())} rules found" in done.stdout


@NEEDS_PROMETHEUS
@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_it_fires_when_it_should_and_not_else(tmp_path: Path, case: Case) -> None:
    document = {
        "rule_files": [str(DEPLOY / "alerts.yaml")],
        "evaluation_interval": f"{case.step_s}s",
        "tests": [_group(case, case.fires, [_expected(case)]), _group(case, case.quiet, [])],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(document))
    done = _promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
