"""`hlgfa replay`: a recording gives the verdicts of the live line, and the same bits each time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from engines.manifest import load_manifest
from pipeline.config import parse_config
from pipeline.history.journal_files import read_journal
from pipeline.messages import Reason
from pipeline.recording import open_recording
from support.lines import folder_camera, make_raw_config, paint_parts, running
from support.recipes import write_recipe
from support.recordings import make_frame, write_frames

DEMO = Path(__file__).parents[2] / "models" / "demo"


def hlgfa(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def write(root: Path, raw: dict[str, Any]) -> Path:
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A station with the shipped model, its recording `x.mcap` and the verdicts of a first replay."""
    root = tmp_path_factory.mktemp("simulated")
    camera: dict[str, Any] = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": 512,
        "height_px": 512,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
        "seed": 77,
        "rate_hz": 20,
        "defect_rate": 0.5,
    }
    raw = make_raw_config(root, [camera], live_output=True, deadline_ms=5)
    raw["engine"] = {"model": str(DEMO), "runtime": "onnxruntime", "threads": 2}
    raw["heatmap"] = {"policy": "reject"}
    done = hlgfa("record", write(root, raw), "--out", root / "x.mcap", "--frames", 16)
    assert done.returncode == 0, done.stderr
    done = replay(root, "--save", root / "verdicts.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def replay(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return hlgfa("replay", root / "x.mcap", "--config", root / "config.yaml", *arguments)


def test_two_replays_give_the_same_bits(simulated: Path, tmp_path: Path) -> None:
    done = replay(simulated, "--expect", simulated / "verdicts.json", "--save", tmp_path / "again.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as expected: 16 verdicts, bit for bit" in done.stdout
    assert "audit holds" in done.stdout
    assert (tmp_path / "again.json").read_bytes() == (simulated / "verdicts.json").read_bytes()
    frames = json.loads((tmp_path / "again.json").read_bytes())["frames"]
    assert {frame["disposition"] for frame in frames} == {"accept", "reject"}
    assert {frame["reason_code"] for frame in frames} == {Reason.OK, Reason.ANOMALY}
    assert len({frame["heatmap_sha256"] for frame in frames}) == 16


def test_what_differs_is_named(simulated: Path, tmp_path: Path) -> None:
    verdicts = json.loads((simulated / "verdicts.json").read_bytes())
    score = verdicts["frames"][3]["score"]
    verdicts["frames"][3]["score"] = score * (1 + 2**-52)
    verdicts["frames"][7]["heatmap_sha256"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(verdicts))
    done = replay(simulated, "--expect", tmp_path / "other.json")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("differs: ")]
    assert len(lines) == 2
    assert lines[0].startswith(f"differs: cam1 frame 3: score: found {score!r}, expected ")
    assert lines[1].startswith("differs: cam1 frame 7: heatmap_sha256: found ")


def test_a_recording_gives_the_verdicts_of_the_live_line(tmp_path: Path) -> None:
    cameras = [folder_camera(paint_parts(tmp_path / name, 9), name) for name in ("cam1", "cam2")]
    raw = make_raw_config(tmp_path, cameras)
    with running(parse_config(raw, origin="test")) as line:
        line.finish()
    done = hlgfa("record", write(tmp_path, raw), "--out", tmp_path / "x.mcap")
    assert done.returncode == 0, done.stderr
    for pace in ("fastest", "recorded"):
        done = replay(tmp_path, "--pace", pace, "--save", tmp_path / f"{pace}.json")
        assert done.returncode == 0, done.stdout + done.stderr
        frames = json.loads((tmp_path / f"{pace}.json").read_bytes())["frames"]
        live = sorted(line.results, key=lambda result: (result.camera or "", result.trigger_id))
        keys = ("disposition", "reason_code", "score", "source", "trigger_id", "camera")
        assert [[frame[key] for key in keys] for frame in frames] == [
            [r.disposition, r.reason_code, r.score, r.frame and r.frame.source, r.trigger_id, r.camera]
            for r in live
        ]
    assert (tmp_path / "fastest.json").read_bytes() == (tmp_path / "recorded.json").read_bytes()


def test_a_replay_keeps_to_itself(tmp_path: Path) -> None:
    """Its journal lies apart and its sockets are its own, so that it can run beside the line."""
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 3))])
    raw["sockets"]["results"] = f"ipc://{tmp_path}/results"
    raw["archive"] = {"directory": str(tmp_path / "archive"), "accept_every": 1}
    raw["security"] = {"keys_dir": str(tmp_path / "keys of another user")}
    assert hlgfa("record", write(tmp_path, raw), "--out", tmp_path / "x.mcap").returncode == 0
    done = replay(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "archive").exists()
    assert list((tmp_path / "journal").glob("*.journal")) == []
    [journal] = (tmp_path / "journal" / "replay").glob("*.journal")
    assert len(list(read_journal(journal))) == 3


def test_a_replay_judges_by_the_recipe_that_is_asked_for(tmp_path: Path) -> None:
    """Of both recipes the model's hash tells; the recording's frames are those of the recipe's folder."""
    for number in (1, 2):
        parts = paint_parts(tmp_path / f"parts{number}", 2 + number)
        write_recipe(tmp_path, number, cameras={"cam1": {"directory": str(parts)}})
    raw = make_raw_config(tmp_path, [folder_camera(tmp_path / "parts1")])
    raw["recipes_dir"] = str(tmp_path / "recipes")
    config = write(tmp_path, raw)
    done = hlgfa("record", config, "--out", tmp_path / "x.mcap", "--recipe", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    for number in (1, 2):
        done = replay(tmp_path, "--recipe", number, "--save", tmp_path / f"{number}.json")
        assert done.returncode == 0, done.stdout + done.stderr
        verdicts = json.loads((tmp_path / f"{number}.json").read_bytes())
        assert verdicts["model_sha256"] == load_manifest(tmp_path / f"model{number}").model_sha256
        assert len(verdicts["frames"]) == 4
    done = replay(tmp_path, "--recipe", 9)
    assert done.returncode == 2
    assert "expected one of: 1, 2" in done.stderr
    write(tmp_path, raw | {"recipes_dir": None})
    done = replay(tmp_path, "--recipe", 1)
    assert done.returncode == 2
    assert "recipes_dir: found null" in done.stderr


def test_frames_that_are_incomplete_stay_so(tmp_path: Path) -> None:
    parts = paint_parts(tmp_path / "parts", 3)
    (parts / "part0001.png").write_bytes((parts / "part0001.png").read_bytes()[:60])
    raw = make_raw_config(tmp_path, [folder_camera(parts)])
    assert hlgfa("record", write(tmp_path, raw), "--out", tmp_path / "x.mcap").returncode == 0
    assert replay(tmp_path, "--save", tmp_path / "v.json").returncode == 0
    frames = json.loads((tmp_path / "v.json").read_bytes())["frames"]
    assert [frame["reason_code"] for frame in frames] == [Reason.OK, Reason.INCOMPLETE_FRAME, Reason.OK]


def test_a_torn_recording_is_replayed_and_said_to_be_torn(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 6))])
    path = tmp_path / "x.mcap"
    assert hlgfa("record", write(tmp_path, raw), "--out", path).returncode == 0
    with open_recording(path) as recording:
        cut = recording.frames[4].chunk + 10
    path.write_bytes(path.read_bytes()[:cut])
    done = replay(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "torn off; its 4 whole frames were replayed" in done.stdout


def test_other_cameras_than_configured_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "x.mcap", [make_frame(0, camera="cam7")])
    write(tmp_path, make_raw_config(tmp_path, [folder_camera(tmp_path)]))
    done = replay(tmp_path)
    assert done.returncode == 2
    assert "found cameras cam7, expected those of the configuration: cam1." in done.stderr
    done = replay(tmp_path, "--expect", tmp_path / "nothing.json")
    assert done.returncode == 2
    assert "--expect: " in done.stderr
