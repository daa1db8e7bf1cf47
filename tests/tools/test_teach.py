"""`hlgfa teach` on the simulated line, in processes of its own: killed, resumed, changed to, refused."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
import zmq

from engines.records import file_sha256
from pipeline.client import Message, ResultSubscriber
from pipeline.messages import ResultHeader
from pipeline.recipes.recipe import read_recipe
from support.lines import make_raw_config, paint_parts
from support.station_process import COMMAND, StationProcess, write_config

QUICK = ("--parts", "14", "--steps", "60", "--size", "96", "--threads", "1")
PATIENCE_S = 120


def teach(root: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "teach", "config.yaml", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def refused(root: Path, *arguments: str) -> str:
    """The one line that says why."""
    [line] = teach(root, *arguments, code=2).stderr.splitlines()
    return line


def simulated_station(root: Path, **changes: Any) -> Path:
    """A station with the simulated camera, small; its model is the tiny one and its recipes are to come."""
    camera = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": 128,
        "height_px": 128,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
        "rate_hz": 50,
        "seed": 4,
        "defect_rate": 0.3,
    }
    raw = make_raw_config(root, [camera])
    return write_config(root, raw | changes)


def killed_in_training(root: Path, *arguments: str) -> None:
    """Start a teaching and kill it when its training has something to go on from."""
    with subprocess.Popen(
        [*COMMAND, "teach", "config.yaml", *arguments],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not list(root.glob(".part.resume/features.pt")):
            assert process.poll() is None, process.communicate()[1]
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_from_the_camera_to_verdicts_over_a_kill(tmp_path: Path) -> None:
    config = simulated_station(tmp_path)
    named = ("--name", "part", "--recipe", "7", "--title", "Part seven", *QUICK)
    assert "Add --recipes-dir recipes" in refused(tmp_path, *named)
    killed_in_training(tmp_path, *named, "--recipes-dir", "recipes")
    assert not (tmp_path / "part").exists()
    assert not list((tmp_path / "recipes").iterdir())
    frames = {path: file_sha256(path) for path in (tmp_path / "teach/part/frames").iterdir()}
    assert len(frames) == 14
    assert "exists. Add --resume" in refused(tmp_path, *named)

    done = teach(tmp_path, *named, "--resume", "--exclude", "2")
    assert "14 images are there" in done.stdout
    assert done.stdout.endswith("\nhlgfa recipe change 7\n")
    assert {path: file_sha256(path) for path in frames} == frames
    found = read_recipe(tmp_path / "recipes" / "part.yaml").recipe
    assert (found.id, found.version, found.title, found.deadline_ms) == (7, 1, "Part seven", 5_000)
    assert (tmp_path / "teach/part/sheet.png").is_file()

    again = teach(tmp_path, *named, "--resume", "--exclude", "2")
    for words in ("model is there", "threshold is there", "recipe is there"):
        assert words in again.stdout
    assert "add --replace" in refused(tmp_path, *named, "--resume")

    # the recipe names its model as config.yaml does: from where the station runs
    with StationProcess(config, within=["env", "-C", str(tmp_path)]) as station:
        changed = subprocess.run(
            [*COMMAND, "recipe", "change", "7"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert changed.returncode == 0, changed.stderr + changed.stdout
        assert verdict(tmp_path).model_id.startswith("part-")
        line = refused(tmp_path, "--name", "other", "--recipe", "8", *QUICK)
        assert "in use, expected a station that is stopped" in line
        assert "--from FILE.mcap" in line
        station.terminate()
        assert station.finish()[0] == 0


def verdict(root: Path) -> ResultHeader:
    """A result that the station publishes of a part with a score."""
    with ResultSubscriber(f"ipc://{root}/results") as heard:
        for item in heard:
            header = item.header if isinstance(item, Message) else None
            if isinstance(header, ResultHeader) and header.score is not None:
                return header
    raise AssertionError("the station has ended")


def test_images_of_one_part_are_refused_with_a_sheet_to_look_at(tmp_path: Path) -> None:
    simulated_station(tmp_path, recipes_dir="recipes")
    (tmp_path / "recipes").mkdir()
    raw = yaml.safe_load((tmp_path / "config.yaml").read_text())
    raw["cameras"][0] |= {"width_px": 64, "height_px": 64}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    paint_parts(tmp_path / "same", 12, defect_every=99)
    named = ("--name", "part", "--recipe", "7", "--from", "same", *QUICK)
    line = refused(tmp_path, *named)
    assert "found 1 images that can teach of 12, expected at least 10: 2 same as 1; 3 same as 1" in line


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    simulated_station(tmp_path, recipes_dir="recipes")
    (tmp_path / "recipes").mkdir()
    paint_parts(tmp_path / "few", 5, size=128)
    line = refused(tmp_path, "--name", "part", "--recipe", "7", "--from", "few", *QUICK)
    assert "found 5 good parts until its images ended, expected at least 10" in line


def test_refusals_come_before_anything_is_collected(tmp_path: Path) -> None:
    simulated_station(tmp_path, recipes_dir="recipes")
    (tmp_path / "recipes").mkdir()
    shutil.copytree(tmp_path / "model", tmp_path / "taken")
    text = yaml.safe_dump({"id": 3, "title": "Three", "version": 2, "model": str(tmp_path / "three")})
    (tmp_path / "recipes" / "three.yaml").write_text(text)
    with zmq.Context() as context, context.socket(zmq.REP) as station:
        station.bind(f"ipc://{tmp_path}/replay")
        for arguments, words in (
            (("--name", "part", "--recipe", "7"), "in use, expected a station that is stopped"),
            (("--name", "part", "--recipe", "3"), "add --replace, which makes it version 3"),
            (("--name", "model", "--recipe", "7"), "in use by engine.model of config.yaml"),
            (("--name", "three", "--recipe", "7"), "in use by"),
            (("--name", "taken", "--recipe", "7"), "exists. Choose another --name"),
            (("--name", "part", "--recipe", "7", "--resume"), "expected what a stopped teaching left"),
            (("--name", "part", "--recipe", "7", "--camera", "cam9"), "--camera: found 'cam9'"),
        ):
            assert words in refused(tmp_path, *arguments, *QUICK)
            shutil.rmtree(tmp_path / "teach", ignore_errors=True)
