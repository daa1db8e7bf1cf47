"""The commands as a person runs them: real processes, exit codes, one line for an error, no traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from calibration.record import FILE_NAME, save_calibration
from calibration.roi import FILE_NAME as ROI_NAME
from calibration.roi import Roi, inspected_area, save_roi
from engines.manifest import load_manifest
from support.lines import folder_camera, make_raw_config, paint_parts
from support.tiny_model import make_calibration


def hlgfa(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.cli", *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def raw(tmp_path: Path) -> dict[str, Any]:
    return make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 10))])


def write(root: Path, raw: dict[str, Any]) -> Path:
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_a_run_prints_its_audit(tmp_path: Path, raw: dict[str, Any]) -> None:
    done = hlgfa("run", write(tmp_path, raw))
    assert done.returncode == 0, done.stderr
    assert "audit holds" in done.stdout
    for words in ("triggers", "10", "anomaly", "trigger to published"):
        assert words in done.stdout
    journal = hlgfa("audit", tmp_path / "journal")
    assert journal.returncode == 0
    assert "audit holds" in journal.stdout


def test_the_audit_of_a_journal_with_a_hole_fails(tmp_path: Path, raw: dict[str, Any]) -> None:
    assert hlgfa("run", write(tmp_path, raw)).returncode == 0
    [journal] = (tmp_path / "journal").glob("*.journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b" result/cam1 4 " not in line))
    done = hlgfa("audit", journal)
    assert done.returncode == 1
    assert "no result for trigger 4" in done.stdout


def test_the_audit_as_json_over_starts_and_of_a_period(tmp_path: Path, raw: dict[str, Any]) -> None:
    for _ in range(2):
        assert hlgfa("run", write(tmp_path, raw)).returncode == 0
    report = json.loads(hlgfa("audit", tmp_path / "journal", "--json").stdout)
    assert (report["holds"], report["triggers"], report["accepts"], report["rejects"]) == (True, 20, 16, 4)
    assert report["rejects_by_reason"] == {"anomaly": 4}
    assert report["latency"]["p50_ms"] > 0
    assert [start["end"] for start in report["starts"]] == ["stopped", "stopped"]
    second = report["starts"][1]["opened"]
    later = json.loads(hlgfa("audit", tmp_path / "journal", "--json", "--from", second).stdout)
    assert [start["epoch"] for start in later["starts"]] == [report["starts"][1]["epoch"]]
    nothing = json.loads(hlgfa("audit", tmp_path / "journal", "--json", "--to", "2001-01-01").stdout)
    assert (nothing["triggers"], nothing["starts"]) == (0, [])
    wrong = hlgfa("audit", tmp_path / "journal", "--from", "yesterday")
    assert wrong.returncode == 2
    assert "--from: found 'yesterday', expected a time" in wrong.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tmp_path: Path, raw: dict[str, Any], number: signal.Signals) -> None:
    raw["cameras"][0]["loop"] = True
    command = [sys.executable, "-m", "tools.cli", "run", str(write(tmp_path, raw))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as station:  # type: ignore[call-overload]
        while "ready" not in station.stderr.readline():
            assert station.poll() is None
        station.send_signal(number)
        out, err = station.communicate(timeout=30)
    assert station.returncode == 0, err
    assert "audit holds" in out
    assert "Traceback" not in err


def test_check_finds_a_good_station_good(tmp_path: Path, raw: dict[str, Any]) -> None:
    done = hlgfa("check", write(tmp_path, raw))
    assert done.returncode == 0, done.stdout
    assert "error" not in done.stdout
    assert not (tmp_path / "journal").exists()


def test_check_tells_the_region_of_interest_and_refuses_one_that_the_threshold_is_not_for(
    tmp_path: Path, raw: dict[str, Any]
) -> None:
    assert (
        "region of interest: none, the whole image is inspected"
        in hlgfa("check", write(tmp_path, raw)).stdout
    )
    model = tmp_path / "model"
    left = [(0.0, 0.0), (32.0, 0.0), (32.0, 64.0), (0.0, 64.0)]
    area = inspected_area(Roi(height_px=64, width_px=64, include=[left]), None, where="test")
    save_roi(area, model / ROI_NAME)
    done = hlgfa("check", write(tmp_path, raw))
    assert done.returncode == 2
    assert "calibration: " in done.stdout
    assert "found a threshold under no region of interest" in done.stdout
    sha256 = load_manifest(model).model_sha256
    record = msgspec.structs.replace(make_calibration(sha256), roi_sha256=area.sha256)
    save_calibration(record, model / FILE_NAME)
    done = hlgfa("check", write(tmp_path, raw))
    assert done.returncode == 0, done.stdout
    assert f"50.0% of the anomaly map is inspected (roi {area.sha256[:12]})" in done.stdout


def test_check_finds_everything_that_is_wrong(tmp_path: Path, raw: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        raw["sockets"]["results"] = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        raw["cameras"][0]["directory"] = str(tmp_path / "nowhere")
        raw["cameras"][0]["width_px"] = 32
        (tmp_path / "model" / "calibration.json").unlink()
        (tmp_path / "file").write_text("")
        raw["station"]["journal_dir"] = str(tmp_path / "file" / "journal")
        done = hlgfa("check", write(tmp_path, raw))
    assert done.returncode == 2
    for words in (
        "calibration.json: not found",
        "camera cam1 gives 32x64 Mono8",
        "nowhere",
        "in use by another program",
        "cannot be written",
    ):
        assert words in done.stdout


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sttaion": {}}, "config.yaml: sttaion: unknown key"),
        ({"ring": {"slots": 1}}, "config.yaml: ring.slots: found 1. Expected `int` >= 3"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    tmp_path: Path, raw: dict[str, Any], verb: str, change: dict[str, Any], words: str
) -> None:
    done = hlgfa(verb, write(tmp_path, raw | change))
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_start_that_fails_is_one_line(tmp_path: Path, raw: dict[str, Any]) -> None:
    (tmp_path / "model" / "calibration.json").unlink()
    done = hlgfa("run", write(tmp_path, raw))
    assert done.returncode == 2
    assert "error: " in done.stderr
    assert "Run: hlgfa calibrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_corrupt_model_is_one_line(tmp_path: Path, raw: dict[str, Any]) -> None:
    onnx = tmp_path / "model" / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-10])
    done = hlgfa("run", write(tmp_path, raw))
    assert done.returncode == 2
    assert "the file was changed or is incomplete" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    script = (
        "import sys, json\n"
        "import tools.cli\n"
        "heavy = ['torch', 'cv2', 'onnxruntime', 'openvino', 'zmq', 'numpy', 'rich.live']\n"
        "print(json.dumps([name for name in heavy if name in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
    assert "run" in hlgfa("--help").stdout


def test_the_run_time_needs_no_torch(tmp_path: Path, raw: dict[str, Any]) -> None:
    """With a torch that cannot be imported in front of the real one, in every process."""
    block = tmp_path / "block"
    block.mkdir()
    for name in ("torch", "onnx", "onnxscript", "sklearn", "pypylon", "av"):
        (block / f"{name}.py").write_text(f"raise ImportError('{name} is not for the run time')\n")
    command = [sys.executable, "-m", "tools.cli", "run", str(write(tmp_path, raw))]
    environment = os.environ | {"PYTHONPATH": str(block)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "audit holds" in done.stdout
