"""`hlgfa teach` on the simulated line: killed, resumed, changed to on a running station, refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
import zmq

from calibration.record import CalibrationError
from engines.records import file_sha256
from pipeline.config import ConfigError
from pipeline.recipes.recipe import RecipeError, read_recipe
from support.lines import paint_parts
from support.station_process import COMMAND, StationProcess
from support.teaching import CONFIG, PART, QUICK, a_verdict, make_teaching_station
from tools.teach import teach


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a station with a small simulated camera, a tiny model and no recipes."""
    make_teaching_station(tmp_path, recipes=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recipes(root: Path) -> Path:
    """The same with an empty folder of recipes."""
    with CONFIG.open("a") as file:
        file.write("recipes_dir: recipes\n")
    folder = root / "recipes"
    folder.mkdir()
    return folder


def kill_in_training(root: Path) -> None:
    """Teach in a process that is killed as soon as its training has something to go on from."""
    options = [f"--{key}={value}" for key, value in PART.items()]
    with subprocess.Popen(
        [*COMMAND, "teach", "config.yaml", *options, "--recipes-dir=recipes"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (root / ".part.resume" / "features.pt").exists():
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(process.communicate()[1])
        process.kill()
        _, said = process.communicate()
    assert "defective by the truth that only simulated parts have" in said


@pytest.mark.slow
def test_from_the_camera_to_verdicts_over_a_kill(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kill_in_training(root)
    assert not (root / "part").exists()
    assert not list((root / "recipes").iterdir())
    frames = {path: file_sha256(path) for path in (root / "teach/part/frames").iterdir()}
    assert len(frames) == 14

    teach(CONFIG, **PART, resume=True)
    said = capsys.readouterr().out
    assert "14 images are there" in said
    assert said.endswith("\nhlgfa recipe change 7\n")
    assert {path: file_sha256(path) for path in frames} == frames
    found = read_recipe(root / "recipes" / "part.yaml").recipe
    assert (found.id, found.version, found.title, found.deadline_ms) == (7, 1, "Part seven", 5_000)

    teach(CONFIG, **PART, resume=True)
    said = capsys.readouterr().out
    assert all(f"{what} is there" in said for what in ("model", "threshold", "recipe"))
    with pytest.raises(RecipeError, match="add --replace, which makes it version 2"):
        teach(CONFIG, **PART, exclude="2", resume=True)

    with StationProcess(CONFIG) as station:
        change = [*COMMAND, "recipe", "change", "7"]
        changed = subprocess.run(change, capture_output=True, text=True, check=False, timeout=120)
        assert changed.returncode == 0, changed.stderr + changed.stdout
        verdict = a_verdict(root)
        assert verdict.recipe is not None
        assert verdict.recipe.id == "7"
        with pytest.raises(ConfigError, match="in use, expected a station that is stopped"):
            teach(CONFIG, name="other", recipe=8, **QUICK)
        station.terminate()
        assert station.finish()[0] == 0


def test_a_station_without_recipes_is_told_the_option(root: Path) -> None:
    with pytest.raises(ConfigError, match="Add --recipes-dir recipes"):
        teach(CONFIG, **PART)
    assert not (root / "teach").exists()


def test_images_of_one_part_are_refused_with_a_sheet_to_look_at(root: Path, recipes: Path) -> None:
    paint_parts(root / "same", 12, defect_every=99)
    with pytest.raises(CalibrationError, match=r"found 1 images that can teach of 12.*: 2 same as 1; 3 same"):
        teach(CONFIG, **PART, source=Path("same"))
    assert (root / "teach" / "part" / "sheet.png").is_file()
    assert not list(recipes.iterdir())


def test_too_few_images_are_refused(root: Path, recipes: Path) -> None:
    paint_parts(root / "few", 5)
    with pytest.raises(ConfigError, match="found 5 good parts until its images ended, expected at least 10"):
        teach(CONFIG, **PART, source=Path("few"))


def test_a_running_station_keeps_its_camera_but_not_recorded_images(root: Path, recipes: Path) -> None:
    paint_parts(root / "few", 5)
    with zmq.Context() as context, context.socket(zmq.REP) as station:
        station.bind(f"ipc://{root}/replay")
        with pytest.raises(ConfigError, match=r"replay in use, .* Stop it .* --from FILE\.mcap"):
            teach(CONFIG, **PART)
        with pytest.raises(ConfigError, match="found 5 good parts"):
            teach(CONFIG, **PART, source=Path("few"), force=True)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"recipe": 3}, RecipeError, "add --replace, which makes it version 3"),
        ({"name": "model"}, CalibrationError, "in use by engine.model of config.yaml"),
        ({"name": "three"}, CalibrationError, "in use by"),
        ({"name": "taken"}, CalibrationError, "exists. Choose another --name"),
        ({"resume": True}, CalibrationError, "expected what a stopped teaching left"),
        ({"camera": "cam9"}, ConfigError, "--camera: found 'cam9'"),
    ],
)
def test_refusals_come_before_anything_is_written(
    root: Path, recipes: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    shutil.copytree(root / "model", root / "taken")
    raw = {"id": 3, "title": "Three", "version": 2, "model": str(root / "three")}
    (recipes / "three.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(error, match=words):
        teach(CONFIG, **PART | changes)
    assert not (root / "teach").exists()
