"""Changeovers on a real line under load: every trigger answered, and nothing accepted by the wrong model."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from calibration.record import FILE_NAME as CALIBRATION_NAME
from engines.records import file_sha256
from pipeline.attendance import StationError
from pipeline.messages import Reason, ResultHeader
from pipeline.recipes.active_record import ActiveRecord, load_active, save_active
from pipeline.requester import Requester
from pipeline.requests import RecipesReply, RecipesRequest
from support.lines import PATIENCE_S, Line, folder_camera, make_config, paint_parts, running
from support.plc import plc_at
from support.recipes import change, change_to, changes_of, make_recipe_config, wait_for_end, write_recipe

RATE_HZ = 150
BUSY = {Reason.OVERRUN, Reason.LATE, Reason.NO_FRAME}
"""What a machine that other programs keep busy may cost."""


def loaded_camera(root: Path, **changes: Any) -> dict[str, Any]:
    parts = root / "parts"
    if not parts.exists():
        paint_parts(parts, 10, defect_every=99)
    return folder_camera(parts, loop=True, rate_hz=RATE_HZ, **changes)


def score_of(result: ResultHeader) -> float:
    """The score that the tiny model of the result's own recipe gives these parts."""
    assert result.recipe is not None
    return 8.0 * int(result.recipe.id) if result.recipe.id.isdecimal() else 0.0


def accepted_by(line: Line, root: Path) -> list[str]:
    """Recipes of the accepts in the order of their triggers; holds each to its own model and score."""
    results = sorted(line.results, key=lambda result: int(result.t.trigger))
    for result in results:
        if result.disposition == "accept":
            assert result.recipe is not None
            assert result.model is not None
            assert result.score == score_of(result)
            name = f"model{result.recipe.id}" if result.recipe.id.isdecimal() else "model"
            assert result.model.sha256 == file_sha256(root / name / "model.onnx")
    return [
        result.recipe.id for result in results if result.disposition == "accept" and result.recipe is not None
    ]


def until_accepted(line: Line, recipe: str, count: int = 20) -> None:
    """Listen to so many more accepts by this recipe."""

    def accepts() -> int:
        found = [r for r in line.results if r.recipe is not None and r.recipe.id == recipe]
        return sum(r.disposition == "accept" for r in found)

    enough = accepts() + count
    line.wait_for(lambda: accepts() >= enough, f"accepts of recipe {recipe}")


@pytest.fixture
def disk_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the disk took for each record; other programs write to it, too."""
    took: list[float] = []

    def timed(record: ActiveRecord, directory: Path) -> None:
        begin_s = time.monotonic()
        save_active(record, directory)
        took.append(time.monotonic() - begin_s)

    monkeypatch.setattr("pipeline.recipes.changer.save_active", timed)
    return took


def test_changeovers_at_the_highest_rate(tmp_path: Path, disk_s: list[float]) -> None:
    for number in (1, 2):
        write_recipe(tmp_path, number)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        for number in (1, 2, 1):
            assert change(line, number).state == "switched"
            until_accepted(line, str(number))
        report = line.account()
    assert [recipe for recipe, _ in groupby(accepted_by(line, tmp_path))] == ["model", "1", "2", "1"]
    reasons = Counter(Reason(r.reason_code) for r in line.results if r.disposition == "reject")
    assert set(reasons) <= {Reason.RECIPE_NOT_READY, *BUSY}
    assert len(disk_s) == 3
    assert reasons[Reason.RECIPE_NOT_READY] < 0.1 * report.triggers + sum(disk_s) * RATE_HZ
    states = [change.state for change in changes_of(line)]
    assert states == ["loading", "verified", "switched"] * 3
    changed = [change for change in changes_of(line) if change.state == "switched"]
    assert {change.operator for change in changed} == {"ann"}
    assert all(change.sha256 is not None and len(change.sha256) == 64 for change in changed)
    assert report.restarts == 0


def test_the_status_says_which_recipe_is_in_force(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        change_to(line, 1)
        line.wait_for(
            lambda: (
                (recipe := line.statuses[-1].recipe) is not None
                and (recipe.id, recipe.version, recipe.state) == ("1", 1, "active")
            ),
            "recipe 1 in the status",
        )
        changing = [s for s in line.statuses if s.recipe is not None and s.recipe.state == "changing"]
        assert not any(status.ready for status in changing)


def test_camera_settings_and_deadline_change_with_the_recipe(tmp_path: Path) -> None:
    other = paint_parts(tmp_path / "other", 5, defect_every=1)  # a spot of 228 on each
    write_recipe(tmp_path, 1, deadline_ms=4_000, cameras={"cam1": {"directory": str(other)}})
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        assert change(line, 1).state == "switched"
        line.wait_for(
            lambda: line.results[-1].score is not None and line.results[-1].score > 50, "its results"
        )
        assert line.account().restarts == 0
    new = [r for r in line.results if r.recipe is not None and r.recipe.id == "1" and r.score is not None]
    assert new
    assert {r.score for r in new} == {92.0}
    assert {int(r.deadline_ns) - int(r.t.trigger) for r in new} == {4_000_000_000}


def corrupt(root: Path) -> None:
    (root / "model1" / "model.onnx").write_bytes(b"no network")


def lose_calibration(root: Path) -> None:
    (root / "model1" / CALIBRATION_NAME).unlink()


@pytest.mark.parametrize(
    ("damage", "why"),
    [(corrupt, "model.onnx"), (lose_calibration, CALIBRATION_NAME)],
    ids=["corrupt model", "no calibration"],
)
def test_a_recipe_that_cannot_be_loaded_leaves_the_old_one(tmp_path: Path, damage: Any, why: str) -> None:
    write_recipe(tmp_path, 1)
    damage(tmp_path)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        assert change(line, 1).state == "failed"
        line.account()
    assert why in next(event.text for event in line.events if event.severity == "error")
    assert set(accepted_by(line, tmp_path)) == {"model"}
    assert {Reason(result.reason_code) for result in line.results} <= {Reason.OK, *BUSY}
    assert load_active(tmp_path / "journal") is None


def test_a_setting_that_the_camera_refuses_is_rolled_back(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1, cameras={"cam1": {"directory": str(tmp_path / "missing")}})
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        assert change(line, 1).state == "rolled_back"
        before = len(line.results)
        line.wait_for(lambda: len(line.results) > before + 20, "results of the old recipe")
        line.wait_for(lambda: line.statuses[-1].ready, "ready")
        line.account()
    assert set(accepted_by(line, tmp_path)) == {"model"}
    assert line.results[-1].disposition == "accept"
    assert load_active(tmp_path / "journal") is None


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that takes no record until the event is set."""
    takes = threading.Event()

    def slow(record: ActiveRecord, directory: Path) -> None:
        takes.wait(PATIENCE_S)
        save_active(record, directory)

    monkeypatch.setattr("pipeline.recipes.changer.save_active", slow)
    yield takes
    takes.set()


@pytest.fixture
def held(tmp_path: Path, disk: threading.Event) -> Iterator[tuple[Line, int]]:
    """A line that waits for this disk to go on with recipe 1, and the process that has loaded it."""
    write_recipe(tmp_path, 1)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        mine = children(os.getpid())
        change_to(line, 1)
        (loaded,) = children(os.getpid()) - mine
        line.wait_for(lambda: not line.statuses[-1].ready, "the hold")
        yield line, loaded


def until_told(line: Line) -> None:
    """Listen to ten more statuses."""
    statuses = len(line.statuses)
    line.wait_for(lambda: len(line.statuses) > statuses + 10, "statuses")


def test_statuses_and_rejects_go_on_while_the_disk_takes_its_time(
    tmp_path: Path, disk: threading.Event, held: tuple[Line, int]
) -> None:
    line, _ = held
    results = len(line.results)
    until_told(line)
    line.wait_for(lambda: len(line.results) > results + RATE_HZ, "results of a second")
    assert {result.reason_code for result in line.results[-RATE_HZ:]} <= {30, *map(int, BUSY)}
    assert [change.state for change in changes_of(line)] == ["loading", "verified"]
    disk.set()
    assert wait_for_end(line).state == "switched"
    until_accepted(line, "1")
    line.account()
    assert load_active(tmp_path / "journal") is not None


def test_a_process_that_dies_while_the_disk_takes_its_time_leaves_the_old_recipe(
    tmp_path: Path, disk: threading.Event, held: tuple[Line, int]
) -> None:
    line, loaded = held
    os.kill(loaded, signal.SIGKILL)
    until_told(line)
    disk.set()
    assert wait_for_end(line).state == "rolled_back"
    until_accepted(line, "model")
    line.account()
    assert set(accepted_by(line, tmp_path)) == {"model"}
    assert load_active(tmp_path / "journal") is None


def test_the_process_that_loads_is_killed(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        mine = children(os.getpid())
        change_to(line, 1)
        loading = children(os.getpid()) - mine
        assert len(loading) == 1
        os.kill(loading.pop(), signal.SIGKILL)
        assert wait_for_end(line).state == "failed"
        assert change(line, 1).state == "switched"
        until_accepted(line, "1")
        line.account()
    assert [recipe for recipe, _ in groupby(accepted_by(line, tmp_path))] == ["model", "1"]


def children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= {int(child) for child in (task / "children").read_text().split()}
    return found


def test_the_engine_of_a_recipe_that_dies_is_started_with_the_same_recipe(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        change(line, 1)
        until_accepted(line, "1")
        os.kill(line.station.process_ids["inspection-1"], signal.SIGKILL)
        line.wait_for(lambda: any(e.severity == "error" for e in line.events), "the loss")
        count = len(accepted_by(line, tmp_path))
        line.wait_for(lambda: len(accepted_by(line, tmp_path)) > count + 20, "accepts")
        line.account()
    assert set(accepted_by(line, tmp_path)) == {"model", "1"}


def test_two_at_once_and_what_is_active_are_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        write_recipe(tmp_path, number)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        assert change_to(line, 1).accepted
        refused = change_to(line, 2)
        assert not refused.accepted
        assert refused.reason == "a changeover to recipe 1 version 1 is under way, expected one at a time"
        wait_for_end(line)
        assert change_to(line, 1).reason == "recipe 1 version 1 is active already"
        assert "recipe 9: not in" in change_to(line, 9).reason
        answers = [change_to(line, 9).reason for _ in range(5)]
        assert answers[-1].startswith("too many changeovers")
        line.account()
    assert [change.id for change in changes_of(line)] == ["1"] * 3


def test_the_list_says_which_one_is_active(tmp_path: Path) -> None:
    for number in (1, 2):
        write_recipe(tmp_path, number)
    (tmp_path / "recipes" / "bad.yaml").write_text("id: 0")
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        sha256 = change(line, 2).sha256
        with Requester(line.station.endpoints["replay"]) as requester:
            reply = requester.ask(RecipesRequest(), RecipesReply)
    assert [(r.id, r.title, r.active, r.sha256) for r in reply.recipes] == [
        (1, "Part 1", False, None),
        (2, "Part 2", True, sha256),
    ]
    assert len(reply.problems) == 1


def test_a_station_without_recipes_says_so(tmp_path: Path) -> None:
    camera = loaded_camera(tmp_path)
    with running(make_config(tmp_path, [camera])) as line:
        until_accepted(line, "model", 1)
        with (
            Requester(line.station.endpoints["replay"]) as requester,
            pytest.raises(Exception, match="not_supported"),
        ):
            requester.ask(RecipesRequest(), RecipesReply)


def test_a_plc_that_states_another_recipe_gets_a_reject(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    camera = loaded_camera(tmp_path, trigger={"source": "software"})
    with running(make_recipe_config(tmp_path, [camera])) as line:
        line.wait_for(lambda: bool(line.statuses) and line.statuses[-1].ready, "ready")
        change(line, 1)
        with plc_at(line.station.endpoints["replay"]) as ask:
            for number, recipe in enumerate([1, 2, None], start=1):
                assert ask(number, recipe=recipe).taken
                line.wait_for(lambda number=number: len(line.results) == number, "its result")
        line.account()
    assert [Reason(result.reason_code) for result in line.results] == [
        Reason.OK,
        Reason.RECIPE_MISMATCH,
        Reason.OK,
    ]


def test_it_starts_with_the_recipe_that_was_active_last(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    config = make_recipe_config(tmp_path, [loaded_camera(tmp_path)])
    with running(config) as line:
        until_accepted(line, "model")
        change(line, 1)
    with running(config) as line:
        until_accepted(line, "1")
        assert set(accepted_by(line, tmp_path)) == {"1"}
        assert [(c.id, c.state) for c in changes_of(line)] == [("1", "switched")]
        assert any(event.text.startswith("started with recipe 1 version 1") for event in line.events)


def test_it_does_not_start_with_files_that_have_changed(tmp_path: Path) -> None:
    write_recipe(tmp_path, 1)
    config = make_recipe_config(tmp_path, [loaded_camera(tmp_path)])
    with running(config) as line:
        until_accepted(line, "model")
        change(line, 1)
    calibration = tmp_path / "model1" / CALIBRATION_NAME
    calibration.write_text(calibration.read_text().replace('"threshold": 50', '"threshold": 60'))
    with (
        pytest.raises(StationError, match=r"recipe 1 version 1: found files .* raise `version`"),
        running(config) as line,
    ):
        line.finish()


def test_files_that_change_want_another_version(tmp_path: Path) -> None:
    for number in (1, 2):
        write_recipe(tmp_path, number)
    with running(make_recipe_config(tmp_path, [loaded_camera(tmp_path)])) as line:
        until_accepted(line, "model")
        for number in (1, 2):
            change(line, number)
        write_recipe(tmp_path, 1, title="Another")
        assert change(line, 1).state == "failed"
        write_recipe(tmp_path, 1, title="Another", version=2)
        assert change(line, 1).state == "switched"
        line.account()
