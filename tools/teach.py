"""`hlgfa teach`: from a new product in front of the camera to a recipe that the line can change to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

_FROM_HELP = "Recording FILE.mcap or folder of images in place of the camera; the station may run then."
_STEPS_HELP = "Steps of a guidance, as of `hlgfa train`; then a fifth of the parts is held out."
_RECIPES_HELP = "Write `recipes_dir: DIRECTORY` into a config.yaml that has none, and make the folder."


def teach(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
    *,
    name: Annotated[str, typer.Option(help="Of folder, model and recipe file, e.g. bracket-left.")],
    recipe: Annotated[int, typer.Option(min=1, max=65_535, help="Id of the recipe.")],
    title: Annotated[str | None, typer.Option(help="What people call the product; default: NAME.")] = None,
    parts: Annotated[int, typer.Option(min=10, max=9_999, help="Good parts to collect.")] = 100,
    camera: Annotated[str | None, typer.Option(help="Which camera, if there are several.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help=_FROM_HELP)] = None,
    exclude: Annotated[
        str, typer.Option(help="Numbers of the contact sheet that do not teach, e.g. 3,7.")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave out nothing by itself.")] = False,
    steps: Annotated[int, typer.Option(min=0, help=_STEPS_HELP)] = 0,
    size: Annotated[str, typer.Option(help="As of `hlgfa train`.")] = "256",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads to train with.")] = os.cpu_count() or 1,
    replace: Annotated[bool, typer.Option("--replace", help="New version of a recipe that exists.")] = False,
    recipes_dir: Annotated[str | None, typer.Option("--recipes-dir", help=_RECIPES_HELP)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a teaching that was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Begin again, with new parts.")] = False,
) -> None:
    """Teach a new product: collect good parts, look through them, train, calibrate, build, write the recipe.

    Stopped anywhere, the same command with --resume goes on. Look at the contact sheet while it trains.
    """
    from tools.teaching.lesson import Lesson
    from tools.teaching.look import excluded
    from tools.teaching.start import begin, chosen_camera, usable_config

    parsed = usable_config(config, recipes_dir)
    one = chosen_camera(parsed, camera)
    teaching = begin(
        parsed,
        name,
        one,
        recipe=recipe,
        title=title or name,
        parts=parts,
        source=source,
        exclude=excluded(exclude),
        keep=keep,
        steps=steps,
        size=size,
        replace=replace,
        resume=resume,
        force=force,
    )
    Lesson(config, parsed, one, name=name, teaching=teaching, threads=threads).run()
