"""Pictures of rejected parts: the whole frame out of the archive, else what was shown of it live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import cv2
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.dashboard.overlay import overlay_png
from pipeline.history.archive_pages import RESULT_ID, find
from pipeline.wire import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from starlette.requests import Request

    from pipeline.dashboard.hub import Hub

SMALL_PX = 320
KEEP = {"Cache-Control": "private, max-age=3600"}
"""A result's picture never changes."""


class Stills:
    """Serves pictures by result id: `small` (as shown live), `full`, `overlay`."""

    def __init__(self, hub: Hub, archive: Path | None, executor: Executor) -> None:
        self._hub, self._archive, self._executor = hub, archive, executor

    def routes(self) -> list[Route]:
        """Where it is served."""
        return [
            Route("/stills/{result_id}/small", self._small),
            Route("/stills/{result_id}/full", self._full),
            Route("/stills/{result_id}/overlay", self._overlay),
        ]

    async def _small(self, request: Request) -> Response:
        picture = self._hub.rejects.picture(request.path_params["result_id"])
        if picture is None:
            jpeg = await self._from_archive(_small_of, request.path_params["result_id"])
            return Response(jpeg, media_type="image/jpeg", headers=KEEP) if jpeg else _none()
        return Response(picture.jpeg, media_type="image/jpeg", headers=KEEP)

    async def _full(self, request: Request) -> Response:
        result_id = request.path_params["result_id"]
        path = await self._archived(result_id, ".png")
        if path is not None:
            return FileResponse(path, media_type="image/png", headers=KEEP)
        picture = self._hub.rejects.picture(result_id)
        if picture is None:
            return _none()
        return Response(picture.jpeg, media_type="image/jpeg", headers=KEEP)

    async def _overlay(self, request: Request) -> Response:
        result_id = request.path_params["result_id"]
        picture = self._hub.rejects.picture(result_id)
        if picture is not None:
            png = await self._hub.overlay(picture)
        else:
            png = await self._from_archive(_overlay_of, result_id)
        if not png:
            return PlainTextResponse("No heatmap of this part is kept.\n", 404)
        return Response(png, media_type="image/png", headers=KEEP)

    async def _archived(self, result_id: str, ending: str) -> Path | None:
        if self._archive is None or not RESULT_ID.fullmatch(result_id):
            return None
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._executor, find, self._archive, result_id)
        path = None if found is None else found.stem.with_suffix(ending)
        return path if path is not None and path.is_file() else None

    async def _from_archive(self, make: Callable[[Path, str], bytes], result_id: str) -> bytes:
        if self._archive is None:
            return b""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, make, self._archive, result_id)


def _none() -> Response:
    return PlainTextResponse("No picture of this part is kept.\n", 404)


def _small_of(archive: Path, result_id: str) -> bytes:
    """A JPEG of a kept frame, at most about `SMALL_PX` wide; empty if it is gone."""
    found = find(archive, result_id)
    pixels = None if found is None else cv2.imread(str(found.stem.with_suffix(".png")), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return b""
    scale = min(1.0, SMALL_PX / pixels.shape[1])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small)[1])


def _overlay_of(archive: Path, result_id: str) -> bytes:
    found = find(archive, result_id)
    if found is None or found.entry.heatmap is None:
        return b""
    try:
        return overlay_png(found.entry.heatmap, found.stem.with_suffix(".heatmap").read_bytes())
    except (OSError, MessageError):
        return b""
