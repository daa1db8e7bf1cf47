"""`hlgfa recipe`: the products of a station, and the changeover between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.recipes.shelf import RecipeShelf

recipe = typer.Typer(help="Recipes and changeovers (docs/recipes.md).", no_args_is_help=True)
ConfigPath = Annotated[Path, typer.Argument(help="Configuration of the station.")]
Number = Annotated[int, typer.Argument(min=1, max=65_535, help="Id of the recipe.")]
Operator = Annotated[str, typer.Option(help="Who asks for it; your login if left out.")]
TIMEOUT_S = 120.0


@recipe.command("list")
def list_recipes(config: ConfigPath = Path("config.yaml")) -> None:
    """List the recipes; the one that is active, or that the station will start with, has an asterisk."""
    from pipeline.recipes.active_record import load_active

    parsed, shelf = _shelf(config)
    found, problems = shelf.look()
    active = load_active(Path(parsed.station.journal_dir))
    for item in found:
        mark = "*" if active is not None and active.id == item.recipe.id else " "
        print(f"{mark} {item.recipe.id:>5}  v{item.recipe.version:<4} {item.recipe.title}  ({item.path})")
    if not found:
        print(f"{shelf.directory}: no recipes")
    for problem in problems:
        print(f"error: {problem}")
    if problems:
        raise typer.Exit(2)


@recipe.command()
def show(number: Number, config: ConfigPath = Path("config.yaml")) -> None:
    """Show what a recipe refers to, and whether that is what it was when it was verified."""
    from pipeline.recipes.active_record import changed_error, known_sha256, load_active
    from pipeline.recipes.fingerprint import file_hashes, fingerprint
    from pipeline.recipes.plan import make_plan

    parsed, shelf = _shelf(config)
    found = shelf.find(number)
    record = load_active(Path(parsed.station.journal_dir))
    plan = make_plan(found, parsed, changes=0, record=record)
    hashes = file_hashes(Path(found.path), Path(found.recipe.model))
    sha256 = fingerprint(hashes)
    print(f"{found.name}, {found.recipe.title}: {found.path}")
    print(f"sha256 {sha256}")
    for name, value in hashes.items():
        print(f"  {name:<16} {value}")
    engine = plan.setup.engine
    print(f"engine {engine.runtime} {engine.precision}, deadline {plan.deadline_ms} ms")
    for camera in parsed.cameras:
        changed = "other settings" if plan.cameras[camera.name] != camera else "as in config.yaml"
        print(f"camera {camera.name}: {changed}")
    known = known_sha256(record, found)
    error = None if known is None else changed_error(found, sha256=sha256, expected=known)
    print("verified here: " + ("never" if known is None else error or "yes, unchanged"))
    if error is not None:
        raise typer.Exit(2)


@recipe.command()
def change(
    number: Number,
    config: ConfigPath = Path("config.yaml"),
    operator: Operator = "",
    key: Annotated[
        str, typer.Option(help="Your pair in security.keys_dir, if the station wants keys.")
    ] = "operator",
) -> None:
    """Change a running station to a recipe, and say how that goes."""
    from pipeline.client import ResultSubscriber
    from pipeline.gateways.link import reachable
    from pipeline.recipes.recipe import RecipeError
    from pipeline.requester import Requester
    from pipeline.requests import ChangeoverReply, ChangeoverRequest
    from tools.recipe_view import follow, local_keys

    parsed, _ = _shelf(config)
    sockets = parsed.sockets
    request = ChangeoverRequest(recipe=number, operator=operator or _login())
    with (
        ResultSubscriber(reachable(sockets.results), keys=local_keys(parsed, sockets.results, key)) as heard,
        Requester(reachable(sockets.replay), keys=local_keys(parsed, sockets.replay, key)) as requester,
    ):
        requester.snapshot()  # the station is there, so what it says from now on is heard
        reply = requester.ask(request, ChangeoverReply)
        if not reply.accepted:
            raise RecipeError(reply.reason)
        end = follow(heard, number, timeout_s=TIMEOUT_S, show=lambda text: print(text, flush=True))
    if end.state != "switched":
        raise typer.Exit(1)


@recipe.command()
def select(number: Number, config: ConfigPath = Path("config.yaml"), operator: Operator = "") -> None:
    """Choose the recipe that a stopped station will start with; it is verified then."""
    from engines.records import now_utc
    from pipeline.recipes.active_record import (
        changed_error,
        known_sha256,
        load_active,
        next_record,
        save_active,
    )
    from pipeline.recipes.fingerprint import file_hashes, fingerprint
    from pipeline.recipes.plan import make_plan
    from pipeline.recipes.recipe import RecipeError

    parsed, shelf = _shelf(config)
    found = shelf.find(number)
    directory = Path(parsed.station.journal_dir)
    record = load_active(directory)
    make_plan(found, parsed, changes=0, record=record)
    sha256 = fingerprint(file_hashes(Path(found.path), Path(found.recipe.model)))
    known = known_sha256(record, found)
    error = None if known is None else changed_error(found, sha256=sha256, expected=known)
    if error is not None:
        raise RecipeError(error)
    directory.mkdir(parents=True, exist_ok=True)
    chosen = next_record(record, found, sha256, operator=operator or _login(), changed_utc=now_utc())
    save_active(chosen, directory)
    print(f"{found.name}: the station starts with it")


def _shelf(path: Path) -> tuple[Config, RecipeShelf]:
    """The configuration and its recipes.

    Raises:
        ConfigError: the file cannot be used, or names no folder of recipes.
    """
    from pipeline.config import ConfigError, load_config
    from pipeline.recipes.shelf import RecipeShelf

    parsed = load_config(path)
    if parsed.recipes_dir is None:
        raise ConfigError(
            f"{path}: recipes_dir: found null, expected a folder of recipes. See docs/recipes.md."
        )
    return parsed, RecipeShelf(Path(parsed.recipes_dir))


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
