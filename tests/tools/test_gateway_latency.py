"""The measuring program: its figures are there; how good they are depends on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_it_measures(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--results", "100", "--rate-hz", "100", "--protocols", "modbus", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "tools.gateway_latency", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    row = json.loads(report.read_text())["latencies"]["modbus"]
    assert (done.returncode == 1) == (row["p99_ms"] > 5)
    assert row["sent"] == 100
    assert row["seen"] >= 50
    assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
