"""`hlgfa replay`: a recording through the whole station, as the acceptance test of a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipeline.messages import ResultHeader
    from pipeline.recording_reader import Recording
    from tools.verdicts import Verdicts

SHOWN_DIFFERENCES = 20


def replay(
    recording: Annotated[Path, typer.Argument(help="A file of `hlgfa record`.")],
    config: Annotated[Path, typer.Option(help="Configuration of the station.")] = Path("config.yaml"),
    *,
    expect: Annotated[Path | None, typer.Option(help="Verdicts that must come out, bit for bit.")] = None,
    save: Annotated[Path | None, typer.Option(help="File to write the verdicts to.")] = None,
    pace: Annotated[
        Literal["fastest", "recorded"],
        typer.Option(help="Frame after frame without a deadline, or in the time that they once took."),
    ] = "fastest",
    recipe: Annotated[int | None, typer.Option(help="Judge by this recipe of recipes_dir.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing --save.")] = False,
) -> None:
    """Run the station on recorded frames and compare its verdicts. Exit code 1: they are not the expected."""
    from pipeline.config import load_config
    from pipeline.recipes.plan import under_recipe
    from pipeline.recording import open_recording
    from tools.audit_view import print_audit
    from tools.errors import check_free
    from tools.playback import play
    from tools.verdicts import load_verdicts, save_verdicts

    parsed = under_recipe(load_config(config), recipe)
    expected = None if expect is None else load_verdicts(expect)
    if save is not None:
        check_free(save, force=force)
    with open_recording(recording) as opened:
        report, results, heatmaps = play(parsed, opened, pace)
        holds = print_audit(report)
        verdicts = _verdicts(opened, results, heatmaps)
        complete = _check_complete(opened, results, report.restarts)
    if save is not None and complete:
        save_verdicts(verdicts, save)
        print(f"verdicts: {save}")
    as_expected = expected is None or _compare(expected, verdicts)
    if not (holds and complete and as_expected):
        raise typer.Exit(1)


def _verdicts(recording: Recording, results: list[ResultHeader], heatmaps: dict[str, bytes]) -> Verdicts:
    from tools.verdicts import SCHEMA, Verdicts, frame_verdict

    model = next((result.model for result in results if result.model is not None), None)
    ordered = sorted(results, key=lambda result: (result.camera or "", result.trigger_id))
    return Verdicts(
        schema=SCHEMA,
        recording=recording.path.name,
        started_utc=recording.info.started_utc,
        model_sha256=model.sha256 if model else "",
        engine=model.engine if model else "",
        precision=model.precision if model else "",
        threshold=next((result.threshold for result in results if result.threshold is not None), None),
        frames=[frame_verdict(result, heatmaps.get(result.result_id)) for result in ordered],
    )


def _check_complete(recording: Recording, results: list[ResultHeader], restarts: int) -> bool:
    """Say what makes this replay worthless, if anything does."""
    if recording.torn:
        print(f"{recording.path}: was torn off; its {len(recording.frames)} whole frames were replayed")
    seen = sum(result.frame is not None for result in results)
    if restarts:
        print(f"replay failed: a process of the station was restarted ({restarts} times)")
    if seen != len(recording.frames):
        print(f"replay failed: {seen} of {len(recording.frames)} frames were judged")
    return not restarts and seen == len(recording.frames)


def _compare(expected: Verdicts, found: Verdicts) -> bool:
    """Print the first differences; True if there is none."""
    from tools.verdicts import differences

    lines = list(differences(expected, found))
    for line in lines[:SHOWN_DIFFERENCES]:
        print(f"differs: {line}")
    if len(lines) > SHOWN_DIFFERENCES:
        print(f"differs: and {len(lines) - SHOWN_DIFFERENCES} more")
    if not lines:
        print(f"as expected: {len(found.frames)} verdicts, bit for bit")
    return not lines
