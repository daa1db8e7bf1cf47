"""`hlgfa recipe` against a station in a process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.lines import folder_camera, make_raw_config, paint_parts
from support.recipes import write_recipe
from support.station_process import COMMAND, StationProcess, write_config


def hlgfa(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr + done.stdout
    return done


def written(root: Path, **changes: Any) -> Path:
    parts = paint_parts(root / "parts", 5, defect_every=99)
    raw = make_raw_config(root, [folder_camera(parts, loop=True)]) | {"recipes_dir": str(root / "recipes")}
    return write_config(root, raw | changes)


def test_choose_start_list_change(tmp_path: Path) -> None:
    for number in (1, 2):
        write_recipe(tmp_path, number)
    config = written(tmp_path)
    done = hlgfa("recipe", "select", "1", str(config), "--operator", "ann")
    assert done.stdout == "recipe 1 version 1: the station starts with it\n"
    listed = hlgfa("recipe", "list", str(config)).stdout.splitlines()
    assert [line.split()[:3] for line in listed] == [["*", "1", "v1"], ["2", "v1", "Part"]]
    with StationProcess(config) as station:
        changed = hlgfa("recipe", "change", "2", str(config))
        assert [line.split(": ")[1] for line in changed.stdout.splitlines()] == [
            "loading",
            "verified",
            "switched",
        ]
        refused = hlgfa("recipe", "change", "2", str(config), code=2)
        assert refused.stderr == "error: recipe 2 version 1 is active already\n"
        (tmp_path / "model1" / "model.onnx").write_bytes(b"no network")
        failed = hlgfa("recipe", "change", "1", str(config), code=1)
        assert "recipe 2 version 1 goes on" in failed.stdout
        station.terminate()
        code, out = station.finish()
    assert code == 0, out
    shown = hlgfa("recipe", "show", "1", str(config), code=2)
    assert "raise `version`" in shown.stdout
    assert "verified here: yes, unchanged" in hlgfa("recipe", "show", "2", str(config)).stdout


@pytest.mark.parametrize("verb", ["list", "show", "change", "select"])
def test_a_station_without_recipes_is_told_so(tmp_path: Path, verb: str) -> None:
    config = written(tmp_path, recipes_dir=None)
    arguments = [verb, str(config)] if verb == "list" else [verb, "1", str(config)]
    refused = hlgfa("recipe", *arguments, code=2)
    assert "recipes_dir: found null, expected a folder of recipes" in refused.stderr


def test_a_chosen_recipe_must_fit(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, 1)
    raw = yaml.safe_load(path.read_text()) | {"cameras": {"other": {}}}
    path.write_text(yaml.safe_dump(raw))
    refused = hlgfa("recipe", "select", "1", str(written(tmp_path)), code=2)
    assert "cameras: found 'other', expected some of: cam1." in refused.stderr


def test_check_names_every_recipe(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    config = written(tmp_path)
    assert "recipe 1 version 1, Part 1" in hlgfa("check", str(config)).stdout
    write_recipe(tmp_path, 2, deadline_ms=50_000)
    assert "recipe 2 version 1: " in hlgfa("check", str(config), code=2).stdout
