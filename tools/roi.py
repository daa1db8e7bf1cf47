"""`hlgfa roi`: draw a region of interest without an editor, and look at it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import check_free

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration.roi import InspectedArea
    from engines.manifest import Manifest

_NUMBER = r"-?\d+(?:\.\d+)?"
_POLYGON_HELP = 'Polygon in pixels of the raw image, "x,y x,y x,y"; may be given again.'


def roi(  # noqa: PLR0917 - options of a command
    out: Annotated[Path, typer.Option(help="JSON file to write; a mask is copied beside it.")],
    model: Annotated[Path | None, typer.Option(help="Model folder: its raw image's size.")] = None,
    size: Annotated[str | None, typer.Option(help="Raw image, HEIGHTxWIDTH, instead of --model.")] = None,
    include: Annotated[list[str] | None, typer.Option(help=_POLYGON_HELP)] = None,
    exclude: Annotated[list[str] | None, typer.Option(help=f"Ignored. {_POLYGON_HELP}")] = None,
    ignore_mask: Annotated[Path | None, typer.Option(help="PNG: ignored where it is not zero.")] = None,
    preview: Annotated[Path | None, typer.Option(help="Image to show the region on.")] = None,
    save_preview: Annotated[
        Path | None, typer.Option(help="Picture to write: the inspected area bright, the rest dimmed.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a region of interest for `hlgfa train --roi` and `hlgfa calibrate --roi`.

    No --include: the whole image. With --model the picture shows what the anomaly map inspects.
    """
    from calibration.inspected import map_mask
    from calibration.roi import Roi, inspected_area, save_roi
    from engines.manifest import load_manifest

    manifest = None if model is None else load_manifest(model)
    height_px, width_px = _size(manifest, size)
    _check_files(out, preview, save_preview, force=force)
    drawn = Roi(
        height_px=height_px,
        width_px=width_px,
        include=[_polygon(text, "--include") for text in include or []],
        exclude=[_polygon(text, "--exclude") for text in exclude or []],
        ignore_mask=None if ignore_mask is None else ignore_mask.name,
    )
    area = inspected_area(drawn, _bytes(ignore_mask), where=str(out))
    mask = None if manifest is None else map_mask(area, (manifest.map_height, manifest.map_width))
    if preview is not None and save_preview is not None:
        _save_preview(save_preview, preview, area, mask)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_roi(area, out)
    share = f"{area.pixels.mean():.1%} of the image"
    if mask is not None:
        share += f", {int(mask.sum())} of {mask.size} pixels of the anomaly map,"
    typer.echo(f"{out}: {share} inspected (roi {area.sha256[:12]})")


def _size(manifest: Manifest | None, size: str | None) -> tuple[int, int]:
    """(height, width) in pixels of the raw image, of the model or as asked."""
    if (manifest is None) == (size is None):
        raise typer.BadParameter("found both or neither of --model and --size, expected one of them.")
    if manifest is not None:
        return manifest.input_height_px, manifest.input_width_px
    match = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", (size or "").strip())
    if match is None:
        raise typer.BadParameter(f"--size: found {size!r}, expected HEIGHTxWIDTH in pixels, e.g. 512x512.")
    return int(match[1]), int(match[2])


def _polygon(text: str, option: str) -> list[tuple[float, float]]:
    """Parse "x,y x,y x,y"; what may be wrong with the vertices themselves is found later."""
    if re.fullmatch(rf"\s*(?:{_NUMBER},{_NUMBER}\s+)*{_NUMBER},{_NUMBER}\s*", text) is None:
        raise typer.BadParameter(f'{option}: found {text!r}, expected "x,y x,y x,y" in pixels.')
    pairs = (pair.split(",") for pair in text.split())
    return [(float(x), float(y)) for x, y in pairs]


def _check_files(out: Path, preview: Path | None, save_preview: Path | None, *, force: bool) -> None:
    from calibration.record import CalibrationError
    from engines.manifest import FILE_NAME

    if (preview is None) != (save_preview is None):
        raise typer.BadParameter("found one of --preview and --save-preview, expected both or neither.")
    if (out.parent / FILE_NAME).exists():
        raise CalibrationError(
            f"{out}: found a model folder, expected another one: a threshold belongs to its region. "
            f"Write it elsewhere, then run: hlgfa calibrate --model {out.parent} --roi FILE --good DIR"
        )
    check_free(out, force=force)


def _bytes(path: Path | None) -> bytes | None:
    from calibration.record import CalibrationError

    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"--ignore-mask: {path} cannot be read ({error.strerror}).") from error


def _save_preview(path: Path, image_path: Path, area: InspectedArea, mask: NDArray[np.bool_] | None) -> None:
    """The image with all that is not inspected dimmed to a third; on the map's grid if it is known."""
    import numpy as np
    from PIL import Image

    from calibration.images import decode_image
    from calibration.inspected import enlarged
    from calibration.record import CalibrationError

    image = decode_image(image_path)
    size = (area.roi.height_px, area.roi.width_px)
    if image.shape[:2] != size:
        raise CalibrationError(
            f"--preview: {image_path}: found {image.shape[0]}x{image.shape[1]} pixels, expected "
            f"{size[0]}x{size[1]} (height x width), the size that the region is drawn on. Name such an image."
        )
    shown = area.pixels if mask is None else enlarged(mask, size)
    dimmed = np.where(shown[..., None] if image.ndim == 3 else shown, image, image // 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(dimmed).save(path)
