"""Recipe files, the shelf they lie on, their hash, and the record of the one that was active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from calibration.record import FILE_NAME as CALIBRATION_NAME
from pipeline.camera_config import V4l2CameraConfig
from pipeline.config import Config, ConfigError
from pipeline.messages import Reason
from pipeline.recipes.active_record import (
    FILE_NAME,
    load_active,
    next_record,
    restore_active,
    save_active,
)
from pipeline.recipes.fingerprint import file_hashes, fingerprint
from pipeline.recipes.gate import RecipeGate
from pipeline.recipes.plan import as_started, make_plan, plan_start, setup_of
from pipeline.recipes.recipe import RecipeError, read_recipe
from pipeline.recipes.shelf import RecipeShelf
from support.lines import folder_camera
from support.recipes import make_recipe_config, write_recipe


def config_with(root: Path, camera: dict[str, Any]) -> Config:
    (root / "journal").mkdir(exist_ok=True)
    (root / "recipes").mkdir(exist_ok=True)
    return make_recipe_config(root, [camera])


def config_of(root: Path, **changes: Any) -> Config:
    return config_with(root, folder_camera(root, **changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": 0}, "id: found 0"),
        ({"id": 65_536}, "id: found 65536"),
        ({"version": "new"}, "version: found 'new'"),
        ({"exposure": 1}, "exposure: unknown key. Allowed here: id, title, version, model"),
        (
            {"cameras": {"cam1": {"width_px": 9}}},
            "cameras.cam1: width_px: unknown key. Allowed here: exposure_us",
        ),
        ({"cameras": {"cam1": {"exposure_us": None}}}, "cameras.cam1: exposure_us: found None."),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = write_recipe(tmp_path, 1, **changes)
    with pytest.raises(RecipeError) as error:
        read_recipe(path)
    assert str(error.value).startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cameras": {"cam9": {}}}, "cameras: found 'cam9', expected some of: cam1."),
        ({"cameras": {"cam1": {"exposure_us": 5.0}}}, "cameras.cam1: exposure_us: unknown key."),
        ({"deadline_ms": 6_000}, "deadline_ms: found 6000.0, expected at most 5000.0"),
        ({"runtime": "onnxruntime", "precision": "int8"}, "engine.precision: found 'int8'"),
    ],
)
def test_a_recipe_that_does_not_fit_the_station_is_refused(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    found = read_recipe(write_recipe(tmp_path, 1, **changes))
    with pytest.raises(RecipeError) as error:
        make_plan(found, config_of(tmp_path), changes=1, record=None)
    assert expected in str(error.value)


def test_what_a_recipe_leaves_out_is_as_config_yaml_has_it(tmp_path: Path) -> None:
    config = config_of(tmp_path, rate_hz=7.0)
    found = read_recipe(write_recipe(tmp_path, 1, deadline_ms=50))
    plan = make_plan(found, config, changes=3, record=None)
    assert plan.cameras == {"cam1": config.cameras[0]}
    assert (plan.setup.engine.threads, plan.setup.engine.runtime) == (1, "onnxruntime")
    assert plan.setup.engine.model == str(tmp_path / "model1")
    assert plan.deadline_ms == 50
    fast = read_recipe(write_recipe(tmp_path, 2, cameras={"cam1": {"rate_hz": 99.0}}))
    assert make_plan(fast, config, changes=3, record=None).cameras["cam1"].rate_hz == 99.0  # type: ignore[union-attr]


def device_camera(root: Path, **changes: Any) -> dict[str, Any]:
    """A USB camera with some settings of its own."""
    common = {key: folder_camera(root)[key] for key in ("name", "width_px", "height_px", "pixel_format")}
    settings = {"exposure_us": 100.0, "controls": {"brightness": 3, "contrast": 1}}
    return {"kind": "v4l2", **common, "trigger": {"source": "freerun"}, **settings, **changes}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"gain": 2}, "cameras.cam1: found gain, which config.yaml does not set"),
        ({"controls": {"sharpness": 1}}, "cameras.cam1: found controls.sharpness, which config.yaml"),
        ({"gain_db": 2.0}, "cameras.cam1: gain_db: unknown key."),
    ],
)
def test_no_recipe_may_leave_a_device_with_what_the_next_does_not_set(
    tmp_path: Path, settings: dict[str, Any], expected: str
) -> None:
    config = config_with(tmp_path, device_camera(tmp_path))
    path = write_recipe(tmp_path, 1, cameras={"cam1": settings})
    with pytest.raises(RecipeError) as error:
        make_plan(read_recipe(path), config, changes=1, record=None)
    assert str(error.value).startswith(f"{path}: {expected}")


def test_a_recipe_names_only_the_settings_that_differ(tmp_path: Path) -> None:
    config = config_with(tmp_path, device_camera(tmp_path))
    settings = {"exposure_us": 200.0, "controls": {"contrast": 5}}
    found = read_recipe(write_recipe(tmp_path, 1, cameras={"cam1": settings}))
    camera = make_plan(found, config, changes=1, record=None).cameras["cam1"]
    assert isinstance(camera, V4l2CameraConfig)
    assert (camera.exposure_us, camera.controls) == (200.0, {"brightness": 3, "contrast": 5})


def test_a_shelf_says_what_it_cannot_use_and_reads_again_what_has_changed(tmp_path: Path) -> None:
    write_recipe(tmp_path, 2)
    one = write_recipe(tmp_path, 1)
    (tmp_path / "recipes" / "broken.yaml").write_text("id: [")
    shelf = RecipeShelf(tmp_path / "recipes")
    found, problems = shelf.look()
    assert [item.recipe.id for item in found] == [1, 2]
    assert len(problems) == 1
    assert "broken.yaml: is not valid YAML" in problems[0]
    one.write_text(one.read_text().replace("version: 1", "version: 22"))
    assert shelf.find(1).recipe.version == 22
    with pytest.raises(RecipeError, match=r"recipe 3: not in .*, expected one of: 1, 2"):
        shelf.find(3)


def test_two_files_of_one_id_are_none(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, 1)
    (path.parent / "copy.yaml").write_text(path.read_text())
    found, problems = RecipeShelf(path.parent).look()
    assert found == []
    assert "expected one file an id" in problems[0]


def test_the_hash_is_of_everything_that_a_verdict_depends_on(tmp_path: Path) -> None:
    path, model = write_recipe(tmp_path, 1), tmp_path / "model1"
    before = fingerprint(file_hashes(path, model))
    seen = {before}
    for name in ("model.onnx", "model.json", CALIBRATION_NAME):
        old = (model / name).read_bytes()
        (model / name).write_bytes(old + b"\n")
        seen.add(fingerprint(file_hashes(path, model)))
        (model / name).write_bytes(old)
    (model / "roi.json").write_text("{}")
    seen.add(fingerprint(file_hashes(path, model)))
    (model / "roi.json").unlink()
    assert fingerprint(file_hashes(path, model)) == before
    path.write_text(path.read_text() + "\n")
    seen.add(fingerprint(file_hashes(path, model)))
    assert len(seen) == 6


def test_a_record_is_put_back(tmp_path: Path) -> None:
    found = read_recipe(write_recipe(tmp_path, 1))
    record = next_record(None, found, "ab" * 32, operator="ann", changed_utc="2026-01-01T00:00:00+00:00")
    restore_active(record, tmp_path)
    assert load_active(tmp_path) == record
    restore_active(None, tmp_path)
    assert load_active(tmp_path) is None
    restore_active(None, tmp_path)
    with pytest.raises(RecipeError, match="cannot be removed"):
        restore_active(None, tmp_path / "missing")


def test_the_record_comes_back_and_names_what_changed(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    found = read_recipe(write_recipe(tmp_path, 1))
    record = next_record(None, found, "ab" * 32, operator="ann", changed_utc="2026-01-01T00:00:00+00:00")
    save_active(record, tmp_path / "journal")
    assert load_active(tmp_path / "journal") == record
    start = plan_start(config)
    assert start is not None
    assert start.plan is not None
    assert start.plan.setup.recipe_sha256 == "ab" * 32
    write_recipe(tmp_path, 1, version=2)
    with pytest.raises(ConfigError, match=r"found version 2 of recipe 1, expected 1, .*hlgfa recipe select"):
        plan_start(config)


def test_a_start_takes_deadline_and_cameras_from_the_recipe_and_nothing_else(tmp_path: Path) -> None:
    config = config_of(tmp_path, rate_hz=20.0)
    found = read_recipe(write_recipe(tmp_path, 1, deadline_ms=50, cameras={"cam1": {"rate_hz": 10.0}}))
    record = next_record(None, found, "ab" * 32, operator="ann", changed_utc="2026-01-01T00:00:00+00:00")
    assert as_started(config, plan_start(config)) == config
    assert setup_of(config, plan_start(config)).recipe is None
    save_active(record, tmp_path / "journal")
    started = as_started(config, plan_start(config))
    assert (started.station.deadline_ms, started.cameras[0].rate_hz) == (50, 10.0)  # type: ignore[union-attr]
    station = msgspec.structs.replace(started.station, deadline_ms=config.station.deadline_ms)
    assert msgspec.structs.replace(started, station=station, cameras=config.cameras) == config
    assert setup_of(config, plan_start(config)).recipe == found


def test_a_record_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    (tmp_path / "journal" / FILE_NAME).write_text("{")
    with pytest.raises(ConfigError, match=r"Remove it to start with engine\.model"):
        plan_start(config)


def test_without_recipes_there_is_nothing_to_plan(tmp_path: Path) -> None:
    assert plan_start(msgspec.structs.replace(config_of(tmp_path), recipes_dir=None)) is None


@given(st.booleans(), st.integers(0, 100), st.integers(0, 100), st.sampled_from([None, 1, 2]))
def test_only_the_recipe_in_force_judges(
    held: bool, switched: int, triggered: int, stated: int | None
) -> None:
    gate = RecipeGate()
    gate.switch(1, switched)
    if held:
        gate.hold("changing")
    refusal = gate.refusal(triggered, stated=stated)
    if held or triggered < switched:
        assert refusal is not None
        assert refusal[0] == Reason.RECIPE_NOT_READY
    elif stated == 2:
        assert refusal == (Reason.RECIPE_MISMATCH, "recipe 2 was stated, active is recipe 1")
    else:
        assert refusal is None


def test_the_file_of_a_recipe_is_plain_yaml(tmp_path: Path) -> None:
    raw = yaml.safe_load(write_recipe(tmp_path, 7).read_text())
    assert set(raw) == {"id", "title", "version", "model"}
