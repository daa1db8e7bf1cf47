"""`hlgfa grab`: single frames of a station's cameras as image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.frame import Frame


def grab(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")],
    out: Annotated[Path, typer.Option(help="New directory for the images.")],
    *,
    frames: Annotated[int, typer.Option(min=1, help="So many of each camera.")] = 1,
    camera: Annotated[str | None, typer.Option(help="This camera only.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into an existing directory.")] = False,
) -> None:
    """Save frames as lossless PNG files, each with its header beside it as JSON."""
    from pipeline.config import load_config
    from tools.errors import check_free
    from tools.source import choose_cameras, opened, stopped_by_signals

    chosen = choose_cameras(load_config(config), camera)
    check_free(out, force=force)
    with stopped_by_signals() as stopped, opened(chosen, limit=frames, stopped=stopped) as threads:
        for thread in threads:
            thread.info()
        out.mkdir(parents=True, exist_ok=True)
        for thread in threads:
            thread.begin(lambda frame: _save(out, frame))
        for thread in threads:
            thread.join()
            thread.check()


def _save(out: Path, frame: Frame) -> None:
    import msgspec
    from PIL import Image

    header = frame.header
    path = out / f"{header.camera}-{header.frame_id:06}.png"
    Image.fromarray(frame.pixels).save(path)
    path.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
    print(path)
