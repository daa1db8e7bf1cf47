"""Changeovers by click on the page of a real station: what the operator sees, and what the journal keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
import yaml

from pipeline.history.journal_files import Line, journal_files, lines_of, read_journal
from pipeline.messages import EventHeader, Reason, RecipeChange
from support.dashboards import NEEDS_CHROMIUM, Process, complaints, open_browser, page_config, wait_until
from support.lines import folder_camera, paint_parts
from support.recipes import write_recipe

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = NEEDS_CHROMIUM

OPERATOR = "Anna"
PERIOD_MS = 100


class Bench(NamedTuple):
    """A page in front of a running station with recipes, and where that keeps its journal."""

    page: Page
    journal: Path


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Recipes 1: engine alone; 2: other parts; 3: a model that is none; 4: a folder that is not there."""
    triggered = {"source": "software", "period_ms": PERIOD_MS}
    camera = folder_camera(paint_parts(tmp_path / "parts", 5, defect_every=99), loop=True, trigger=triggered)
    others = paint_parts(tmp_path / "others", 5, defect_every=1)
    write_recipe(tmp_path, 1)
    write_recipe(tmp_path, 2, cameras={"cam1": {"directory": str(others)}})
    write_recipe(tmp_path, 3)
    (tmp_path / "model3" / "model.onnx").write_bytes(b"no network")
    write_recipe(tmp_path, 4, cameras={"cam1": {"directory": str(tmp_path / "missing")}})
    config, address = page_config(tmp_path, [camera])
    config.write_text(
        yaml.safe_dump(yaml.safe_load(config.read_text()) | {"recipes_dir": str(tmp_path / "recipes")})
    )
    with Process("run", str(config)) as line, Process("dashboard", str(config)) as served:
        line.wait_for_line("ready")
        served.wait_for_line("dashboard:")
        for browser in open_browser():
            page = browser.new_page()
            found = complaints(page)
            page.goto(address)
            page.wait_for_selector("#recipe:visible")
            yield Bench(page, tmp_path / "journal")
            assert [text for text in found if "409" not in text] == []


def change_over(page: Page, recipe: int) -> None:
    """Choose a recipe in the menu, say who asks, confirm."""
    page.click("#recipe")
    page.check(f"input[value='{recipe}']")
    page.fill("#operator", OPERATOR)
    page.click("#changeover-do")
    page.wait_for_selector("#changeover", state="hidden")


def wait_for_name(page: Page, name: str) -> None:
    wait_until(lambda: page.text_content("#recipe-name") == name, f"{name} as the recipe of the page")


def changes_in(journal: Path) -> list[RecipeChange]:
    """What the journal has of changeovers."""
    lines = [line for file in journal_files(journal) for line in lines_of(file.path)]
    events = [
        msgspec.json.decode(line.record, type=EventHeader)
        for line in lines
        if isinstance(line, Line) and line.stream.startswith("event/")
    ]
    return [event.recipe for event in events if event.recipe is not None]


def test_a_changeover_by_click_is_seen_on_the_page_and_kept_in_the_journal(bench: Bench) -> None:
    page = bench.page
    assert page.text_content("#recipe-name") == "none"
    change_over(page, 1)
    wait_for_name(page, "Part 1 v1")
    page.wait_for_selector("#verdict[data-verdict=accept]")

    change_over(page, 2)
    wait_for_name(page, "Part 2 v1")
    page.wait_for_selector("#thumbs .thumb[aria-label*='recipe not ready']")
    page.click("#recipe")
    page.wait_for_selector("#changeover[open]")
    assert page.is_disabled("input[value='2']")
    assert page.is_enabled("input[value='1']")
    page.keyboard.press("Escape")

    states = [(change.id, change.state, change.operator) for change in changes_in(bench.journal)]
    assert states == [
        (number, state, OPERATOR) for number in ("1", "2") for state in ("loading", "verified", "switched")
    ]
    between = [r for r in read_journal(bench.journal) if r.reason_code == Reason.RECIPE_NOT_READY]
    assert between
    assert {result.disposition for result in between} == {"reject"}


@pytest.mark.parametrize(
    ("recipe", "state", "why"), [(3, "failed", "model.onnx"), (4, "rolled_back", "missing")]
)
def test_a_changeover_that_fails_says_so_until_the_next_one(
    bench: Bench, recipe: int, state: str, why: str
) -> None:
    page = bench.page
    change_over(page, 1)
    wait_for_name(page, "Part 1 v1")
    change_over(page, recipe)
    page.wait_for_selector("#undone:visible")
    assert why in (page.text_content("#undone-text") or "")
    assert "recipe 1 version 1 goes on" in (page.text_content("#undone-text") or "")
    assert page.text_content("#recipe-name") == "Part 1 v1"
    page.wait_for_selector("#verdict[data-verdict=accept]")
    assert [(c.id, c.state) for c in changes_in(bench.journal)][-1] == (str(recipe), state)
    change_over(page, 2)
    page.wait_for_selector("#undone", state="hidden")
    wait_for_name(page, "Part 2 v1")


def test_what_the_station_refuses_is_said_in_the_dialog(bench: Bench) -> None:
    """Its recipes may have changed since the page has read them."""
    page = bench.page
    page.click("#recipe")
    page.check("input[value='1']")
    page.fill("#operator", OPERATOR)
    (bench.journal.parent / "recipes" / "part1.yaml").unlink()
    page.click("#changeover-do")
    wait_until(lambda: page.text_content("#changeover-error"), "the refusal")
    assert "recipe 1: not in" in (page.text_content("#changeover-error") or "")
    assert page.is_visible("#changeover")
    assert changes_in(bench.journal) == []
