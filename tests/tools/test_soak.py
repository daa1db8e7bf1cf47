"""`hlgfa soak`: load, figures, budgets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from pipeline.config import BudgetsConfig
from support.lines import folder_camera, make_raw_config, paint_parts
from tools.soak_budgets import TIMES, compare


def soak(raw: dict[str, object], folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "tools.cli", "soak", str(folder / "config.yaml"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_line_that_keeps_its_budgets(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 9), loop=True)])
    raw["budgets"] = {"trigger_to_published_p99_ms": 5_000, "lost_frames": 0, "late_share": 0.5}
    report = tmp_path / "out" / "report.json"
    options = ("--frames", 60, "--rate-hz", 10, "--cameras", 2, "--stub-engine-ms", 1, "--json", report)
    done = soak(raw, tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BROKEN" not in done.stdout
    figures = json.loads(report.read_text())
    assert figures["triggers"] == 60
    assert set(figures["processes"]) == {"station", "inspection", "historian", "capture-cam1", "capture-cam2"}
    assert figures["found"]["lost_frames"] == 0
    assert 0 < figures["found"]["overhead_p50_ms"] < figures["found"]["trigger_to_published_p99_ms"]
    assert {row["stage"] for row in figures["stages"]} >= {"transfer", "inference", "overhead"}


def test_a_broken_budget_is_said_and_is_the_exit_code(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 9), loop=True)])
    raw["budgets"] = {"trigger_to_published_p99_ms": 0.001}
    done = soak(raw, tmp_path, "--seconds", 1)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert "audit holds" in done.stdout


def test_cameras_that_cannot_be_multiplied(tmp_path: Path) -> None:
    camera = {**folder_camera(tmp_path), "kind": "pylon"}
    del camera["directory"], camera["rate_hz"]
    done = soak(make_raw_config(tmp_path, [camera]), tmp_path, "--cameras", 3)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--cameras: found the first camera, cam1, of another kind" in done.stderr


def test_every_time_of_the_budgets_is_measured() -> None:
    times = {key for key in BudgetsConfig.__struct_fields__ if key.endswith("_ms")}
    assert times == set(TIMES)


def test_what_was_not_measured_does_not_hold() -> None:
    lines = compare(BudgetsConfig(queue_p99_ms=5, late_share=0.0), {"late_share": 0.0, "lost_frames": 1})
    assert {line.key: line.holds for line in lines} == {
        "queue_p99_ms": False,
        "late_share": True,
        "lost_frames": False,
    }
