from pathlib import Path

import msgspec
import pytest
import typer

from calibration.fit import FitSettings
from calibration.record import CalibrationError
from engines.hlgfa import PAPER
from tools.training_settings import training_settings


def _file(folder: Path, text: str) -> Path:
    path = folder / "training.yaml"
    path.write_text(text)
    return path


def test_without_a_file_or_options_it_is_the_method() -> None:
    assert training_settings("hlgfa", None) == FitSettings()
    assert training_settings("paper", None) == FitSettings(network=PAPER)


def test_a_file_changes_what_it_names_and_options_win_over_it(tmp_path: Path) -> None:
    text = "seed: 3\nschedule: {steps: 50}\nnetwork: {taps: [16], guidance: {structure_channels: 8}}"
    found = training_settings("paper", _file(tmp_path, text), steps=7, backbone="efficientnet_lite1")
    assert (found.seed, found.schedule.steps, found.network.backbone) == (3, 7, "efficientnet_lite1")
    assert found.network.taps == (16,)
    assert found.network.guidance == msgspec.structs.replace(PAPER.guidance, structure_channels=8)
    assert not found.network.closed_form


def test_every_part_of_the_method_can_be_switched_by_what_the_defaults_print(tmp_path: Path) -> None:
    """The file's keys are those of the settings themselves, so their own JSON is a valid file."""
    text = msgspec.json.encode(FitSettings(network=PAPER, nuisances=False)).decode()
    assert training_settings("hlgfa", _file(tmp_path, text)) == FitSettings(network=PAPER, nuisances=False)


def test_no_steps_leave_the_guidance_away_and_keep_its_other_settings(tmp_path: Path) -> None:
    file = _file(tmp_path, "network: {guidance: {hidden: 32}}")
    found = training_settings("hlgfa", file, steps=0).network.guidance
    assert (found.enabled, found.hidden) == (False, 32)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("network: {tap: [8]}", "network.tap: unknown key. Allowed here: backbone, taps"),
        ("network: {taps: [8, 12]}", "network.taps"),
        ("network: {taps: [16, 8]}", "ascending order, each once"),
        ("network: {taps: []}", "network.taps"),
        ("schedule: {steps: 0}", "schedule.steps: found 0"),
        ("nuisance: {hair_levels: 300}", "nuisance.hair_levels: found 300"),
        ("network: 3", "network: found 3"),
        ("- a", "top level: found"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_what_a_file_may_not_say_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CalibrationError) as refused:
        training_settings("hlgfa", _file(tmp_path, text))
    assert words in str(refused.value)
    assert str(tmp_path / "training.yaml") in str(refused.value)


def test_a_missing_file_and_an_unknown_method_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        training_settings("hlgfa", tmp_path / "none.yaml")
    with pytest.raises(typer.BadParameter, match="expected hlgfa or paper"):
        training_settings("magic", None)
