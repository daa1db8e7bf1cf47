"""`hlgfa record`: frames of a station's cameras into an MCAP file (docs/recordings.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    import threading

    from pipeline.recorder import Gaps
    from pipeline.recording import Compression
    from pipeline.recording_writer import RecordingWriter
    from tools.source import CameraThread

REFRESH_S = 0.1


def record(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")],
    out: Annotated[Path, typer.Option(help="File to write, FILE.mcap.")],
    *,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many of each camera.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this time.")] = None,
    camera: Annotated[str | None, typer.Option(help="This camera only.")] = None,
    recipe: Annotated[int | None, typer.Option(help="With the camera settings of this recipe.")] = None,
    compression: Annotated[
        Literal["zstd", "lz4", "none"], typer.Option(help="All are lossless; lz4, none: for fast cameras.")
    ] = "zstd",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Record frames with all that is known of them, until Ctrl-C. Exit code 1: the recording has gaps."""
    from rich.console import Console

    gaps = _record(
        config,
        out,
        frames=frames,
        seconds=seconds,
        camera=camera,
        recipe=recipe,
        compression=compression,
        force=force,
    )
    if gaps:
        advice = " Try --compression lz4, none, or a faster disk." if gaps.dropped else ""
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]the recording has gaps:[/] {gaps.dropped} frames came faster than they could be "
            f"written, {gaps.missed} never came from the camera.{advice}"
        )
        raise typer.Exit(1)


def _record(
    config: Path,
    out: Path,
    *,
    frames: int | None,
    seconds: float | None,
    camera: str | None,
    recipe: int | None,
    compression: Compression,
    force: bool,
) -> Gaps:
    from datetime import datetime, timezone

    from pipeline.config import load_config
    from pipeline.frame import frame_bytes
    from pipeline.recipes.plan import under_recipe
    from pipeline.recorder import Recorder
    from pipeline.recording import create_recording, describe_recording
    from tools.errors import check_free
    from tools.source import choose_cameras, opened, stopped_by_signals

    parsed = under_recipe(load_config(config), recipe)
    chosen = choose_cameras(parsed, camera)
    check_free(out, force=force)
    largest = max(frame_bytes(one.width_px, one.height_px, one.pixel_format) for one in chosen)
    with stopped_by_signals() as stopped, opened(chosen, limit=frames, stopped=stopped) as threads:
        infos = [thread.info() for thread in threads]
        origin = describe_recording(parsed, datetime.now(timezone.utc))
        writer = create_recording(out, origin, infos, compression=compression, force=force)
        with Recorder(writer, frame_bytes=largest) as recorder:
            for thread in threads:
                thread.begin(recorder.put)
            _follow(writer, threads, stopped, seconds=seconds, total=frames and frames * len(threads))
            stopped.set()
            for thread in threads:
                thread.join()
                thread.check()
    print(f"{out}: {writer.frames} frames, {out.stat().st_size / 1e6:.1f} MB")
    return recorder.gaps


def _follow(
    writer: RecordingWriter,
    threads: list[CameraThread],
    stopped: threading.Event,
    *,
    seconds: float | None,
    total: int | None,
) -> None:
    """Show the progress until all cameras have ended, the time is up, or somebody stops it."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    counted = [BarColumn(), MofNCompleteColumn()] if total else []
    columns = [TextColumn("{task.description}"), *counted, TimeElapsedColumn()]
    end_s = None if seconds is None else time.monotonic() + seconds
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("recording", total=total)
        while any(thread.alive for thread in threads):
            left_s = REFRESH_S if end_s is None else min(REFRESH_S, end_s - time.monotonic())
            if left_s <= 0 or stopped.wait(left_s):
                return
            progress.update(task, completed=writer.frames, description=f"recorded {writer.frames} frames")
