"""Stations with recipes: tiny models that differ, their recipe files, and who asks for a changeover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline.config import Config, parse_config
from pipeline.messages import RecipeChange
from pipeline.requester import Requester
from pipeline.requests import ChangeoverReply, ChangeoverRequest
from support.lines import Line, make_raw_config
from support.tiny_model import make_model

ENDS = {"switched", "rolled_back", "failed"}


def write_recipe(root: Path, number: int, **changes: Any) -> Path:
    """A recipe file, with a tiny model of its own whose grey, and so whose scores, are its number's."""
    model = root / f"model{number}"
    if not model.exists():
        make_model(model, grey=128 + 8 * number)
    folder = root / "recipes"
    folder.mkdir(exist_ok=True)
    raw = {"id": number, "title": f"Part {number}", "version": 1, "model": str(model)} | changes
    path = folder / f"part{number}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def make_recipe_config(root: Path, cameras: list[dict[str, Any]], **station: Any) -> Config:
    """A station whose recipes lie in `recipes`."""
    raw = make_raw_config(root, cameras, **station) | {"recipes_dir": str(root / "recipes")}
    return parse_config(raw, origin="test")


def change_to(line: Line, number: int, operator: str = "ann") -> ChangeoverReply:
    """Ask a running station for a changeover."""
    with Requester(line.station.endpoints["replay"]) as requester:
        return requester.ask(ChangeoverRequest(recipe=number, operator=operator), ChangeoverReply)


def changes_of(line: Line) -> list[RecipeChange]:
    """What was announced of changeovers so far."""
    return [event.recipe for event in line.events if event.recipe is not None]


def change(line: Line, number: int) -> RecipeChange:
    """Change to a recipe and listen until that has ended, well or badly; the one before must have ended."""
    before = len(ends_of(line))
    reply = change_to(line, number)
    assert reply.accepted, reply.reason
    return wait_for_end(line, before + 1)


def ends_of(line: Line) -> list[RecipeChange]:
    """How changeovers have ended so far."""
    return [change for change in changes_of(line) if change.state in ENDS]


def wait_for_end(line: Line, count: int = 1) -> RecipeChange:
    """Listen until so many changeovers have ended; returns the last one."""
    line.wait_for(lambda: len(ends_of(line)) >= count, f"the end of changeover {count}")
    return ends_of(line)[-1]
