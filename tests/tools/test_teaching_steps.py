"""Parts of `hlgfa teach` by themselves: what to leave out, versions, recipe text, config.yaml, the sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from PIL import Image

from calibration.looks import Flag
from calibration.parts import HeldOutPart
from calibration.record import Calibration, CalibrationError
from calibration.threshold import calibrate, fit_threshold
from pipeline.config import ConfigError, load_config, parse_config
from pipeline.recipes.recipe import Recipe, RecipeError, RecipeFile
from support.lines import folder_camera, make_raw_config
from tools.teaching.look import excluded, left_out
from tools.teaching.odd import OddPart, odd_parts, said_odd
from tools.teaching.progress import Teaching, Wish, check_same_parts, next_version
from tools.teaching.promise import promise
from tools.teaching.recipe_file import camera_settings, with_recipes_dir
from tools.teaching.recorded import recorded_camera
from tools.teaching.sheet import draw_sheet
from tools.teaching.start import chosen_camera

WISH = Wish(recipe=7, title="Bracket", parts=60, camera={"name": "cam1", "exposure_us": 800.0})
CONFIG = Path(__file__).parents[2] / "config.yaml"


def on_shelf(version: int, text_sha256: str = "theirs") -> RecipeFile:
    recipe = Recipe(id=7, title="Bracket", version=version, model="models/bracket")
    return RecipeFile(recipe=recipe, path="recipes/bracket.yaml", text_sha256=text_sha256)


@pytest.mark.parametrize(
    ("text", "numbers"), [("", ()), ("3,7", (3, 7)), ("7, 3", (3, 7)), ("3-5,4", (3, 4, 5)), ("5-3", ())]
)
def test_numbers_to_leave_out(text: str, numbers: tuple[int, ...]) -> None:
    assert excluded(text) == numbers


@pytest.mark.parametrize("text", ["x", "3;7", "-3", "3-", "1.5"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected numbers of the contact sheet"):
        excluded(text)


def test_flagged_and_named_images_do_not_teach() -> None:
    flags: list[list[Flag]] = [[] for _ in range(14)]
    flags[4] = [Flag("blur", "blurred")]
    assert left_out(flags, (2,), keep=False) == {2: "left out by you", 5: "blurred"}
    assert left_out(flags, (2,), keep=True) == {2: "left out by you"}
    with pytest.raises(CalibrationError, match="--exclude: found 15, expected numbers from 1 to 14"):
        left_out(flags, (15,), keep=False)
    with pytest.raises(CalibrationError, match="found 9 images that can teach of 14, expected at least 10"):
        left_out(flags, (1, 2, 3, 4), keep=False)


def test_a_new_recipe_is_version_1_and_one_that_is_there_wants_leave() -> None:
    assert next_version(None, WISH, None, replace=False) == 1
    with pytest.raises(RecipeError, match="add --replace, which makes it version 4"):
        next_version(None, WISH, on_shelf(3), replace=False)
    assert next_version(None, WISH, on_shelf(3), replace=True) == 4


def test_a_teaching_goes_on_with_the_recipe_that_it_wrote_itself() -> None:
    done = Teaching(wish=WISH, version=1, recipe_sha256="ours")
    assert next_version(done, WISH, on_shelf(1, "ours"), replace=False) == 1
    other = msgspec.structs.replace(WISH, exclude=(3,))
    with pytest.raises(RecipeError, match="add --replace"):
        next_version(done, other, on_shelf(1, "ours"), replace=False)
    assert next_version(done, other, on_shelf(1, "ours"), replace=True) == 2
    with pytest.raises(RecipeError, match="add --replace"):
        next_version(done, WISH, on_shelf(1, "changed by hand"), replace=False)


def test_parts_of_other_settings_are_not_mixed() -> None:
    brighter = msgspec.structs.replace(WISH, camera=WISH.camera | {"exposure_us": 900.0})
    with pytest.raises(CalibrationError, match=r"another settings of the camera \(exposure_us\)"):
        check_same_parts(Path("teach/bracket"), WISH, brighter)
    check_same_parts(Path("teach/bracket"), WISH, msgspec.structs.replace(WISH, exclude=(1,), steps=2))


def config_of(*cameras: dict[str, Any], root: Path) -> Any:
    return parse_config(make_raw_config(root, list(cameras)), origin="test")


def test_one_camera_teaches_and_all_have_its_format(tmp_path: Path) -> None:
    two = config_of(folder_camera(tmp_path), folder_camera(tmp_path, "cam2"), root=tmp_path)
    with pytest.raises(ConfigError, match="--camera: found none, expected one of: cam1, cam2"):
        chosen_camera(two, None)
    assert chosen_camera(two, "cam2").name == "cam2"
    other = config_of(folder_camera(tmp_path), folder_camera(tmp_path, "cam2", width_px=96), root=tmp_path)
    with pytest.raises(ConfigError, match="camera cam2: found frames of 96x64 Mono8 beside 64x64 Mono8"):
        chosen_camera(other, "cam1")


def calibration_of(parts: int) -> Calibration:
    scores = np.random.default_rng(parts).exponential(1.0, parts) + 3
    return calibrate(scores, rate=0.01, model_sha256="a" * 64, cross_fitted=True)


def test_too_few_parts_promise_little_and_say_how_many_promise_more() -> None:
    says, more = promise(calibration_of(60))
    assert (
        "aims at 1 % of good parts like these; 60 parts show only that it is below 4.9 % (95 % sure)" in says
    )
    assert more.startswith("99 parts show 1 % without extrapolation, 299 can prove no more than 1 %")


def test_enough_parts_show_the_rate_and_more_prove_it() -> None:
    says, more = promise(calibration_of(120))
    assert "120 parts show that it is 0.021 % to 3 % (95 % sure)" in says
    assert more.startswith("299 can prove no more than 1 %")
    enough = calibration_of(400)
    assert "hlgfa calibrate --false-reject-rate 0.0022" in promise(enough)[1]
    assert fit_threshold(np.arange(1.0, 401), 0.0022).upper <= 0.01


def test_a_part_that_looks_like_none_of_the_others_is_named_by_its_number() -> None:
    scores = np.random.default_rng(0).normal(2.0, 0.3, 40)
    scores[[6, 11]] = 5.0, 7.5
    parts = [HeldOutPart(f"{number:04}.png", "", float(s)) for number, s in enumerate(scores, 1)]
    assert odd_parts(parts) == [OddPart(12, 7.5), OddPart(7, 5.0)]
    assert said_odd(odd_parts(parts)).endswith("--exclude 12,7")
    assert odd_parts(parts[12:]) == []


def test_settings_of_a_recipe_are_those_that_are_set() -> None:
    [simulated] = load_config(CONFIG).cameras
    assert camera_settings(simulated) == {"rate_hz": 10.0, "seed": 1, "defect_rate": 0.1}


def test_what_is_neither_recording_nor_folder_is_refused(tmp_path: Path) -> None:
    [camera] = load_config(CONFIG).cameras
    assert recorded_camera(camera, tmp_path).name == "cam1"
    with pytest.raises(ConfigError, match=r"--from: found .*nowhere, expected a recording"):
        recorded_camera(camera, tmp_path / "nowhere")


def test_config_gets_its_folder_of_recipes_and_keeps_every_other_line() -> None:
    text = CONFIG.read_text()
    changed = with_recipes_dir(text, "recipes", origin="config.yaml")
    assert changed.startswith(text.rstrip("\n"))
    assert with_recipes_dir(changed, "others", origin="x") == changed.replace(
        "\nrecipes_dir: recipes", "\nrecipes_dir: others"
    )
    with pytest.raises(ConfigError, match="Write it there"):
        with_recipes_dir(text, "a # b", origin="config.yaml")


@pytest.mark.parametrize("shape", [(64, 64), (40, 200, 3), (300, 50)])
def test_the_sheet_frames_what_is_left_out(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = [np.full(shape, 90, np.uint8)] * 11
    draw_sheet(tmp_path / "all.png", images, {}, title="all")
    draw_sheet(tmp_path / "out.png", images, {3: "blurred: sharpness x0.12 and a long text"}, title="out")
    every, out = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("all.png", "out.png"))
    assert every.shape == out.shape
    assert out.shape[1] <= 8 * 210 + 10

    def red(sheet: np.ndarray) -> int:
        return int(((sheet[..., 0] > 200) & (sheet[..., 1] < 120)).sum())

    assert red(every) == 0
    assert red(out) > 400
