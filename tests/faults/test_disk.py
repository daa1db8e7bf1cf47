"""The disk of the journal is full: nothing is accepted that cannot be proven."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from support.lines import folder_camera, make_raw_config, paint_parts

LIMIT_BYTES = 50_000


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))


def test_a_full_disk_turns_accepts_into_rejects(tmp_path: Path) -> None:
    """Files may not grow beyond a limit: to the journal this is a full disk."""
    parts = paint_parts(tmp_path / "parts", 60, defect_every=99)
    raw = make_raw_config(tmp_path, [folder_camera(parts, rate_hz=20)])
    raw["sockets"]["results"] = f"ipc://{tmp_path}/results"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "tools.cli"]
    watch = [*command, "watch", raw["sockets"]["results"], "--json", "--count", "60"]
    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watching:
        run = [*command, "run", str(tmp_path / "config.yaml")]
        try:
            done = subprocess.run(
                run, preexec_fn=_small_files, capture_output=True, text=True, check=False, timeout=120
            )
            out, _ = watching.communicate(timeout=30)
        finally:
            watching.kill()
    headers = [line["header"] for line in map(json.loads, out.splitlines()) if "header" in line]
    results = [header for header in headers if "disposition" in header]
    assert len(results) == 60
    codes = [result["reason_code"] for result in results]
    proven = codes.count(0)
    assert 0 < proven < 60
    assert codes == [0] * proven + [42] * (60 - proven)
    assert {result["disposition"] for result in results[proven:]} == {"reject"}
    assert any(header.get("fault") for header in headers)
    assert done.returncode == 1
    assert "audit failed" in done.stdout
    assert "Traceback" not in done.stderr
