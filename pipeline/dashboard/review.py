"""The review of archived rejects: pages of them, and what people say of each."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from calibration.marks import FILE_NAME, Mark, MarkKind, append_mark, read_marks
from calibration.record import CalibrationError
from pipeline.dashboard.bodies import BodyError, read_body
from pipeline.dashboard.view import result_view
from pipeline.history.archive_pages import find, page

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from starlette.requests import Request

    Form = Callable[[list[Mark]], str]

PAGE_ENTRIES = 48
Text = Annotated[str, Meta(min_length=1, max_length=64)]


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says of a result."""

    result_id: Annotated[str, Meta(min_length=1, max_length=128)]
    mark: MarkKind
    who: Text


class Review:
    """Serves entries of the archive, and marks; `archive` None: there is none, and nothing to review."""

    def __init__(self, archive: Path | None, journal: Path, executor: Executor) -> None:
        self._archive, self._path, self._executor = archive, journal / FILE_NAME, executor

    def routes(self) -> list[Route]:
        """Where it is served."""
        return [
            Route("/api/review", self._page),
            Route("/api/marks", self._mark, methods=["POST"]),
            Route("/api/marks.json", self._as_json),
            Route("/api/marks.csv", self._as_csv),
        ]

    async def _page(self, request: Request) -> JSONResponse:
        before = request.query_params.get("before")
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read_page, before)

    def _read_page(self, before: str | None) -> JSONResponse:
        if self._archive is None:
            return JSONResponse({"archive": False, "entries": [], "following": None, "total_marks": 0})
        try:
            marks = read_marks(self._path)
        except CalibrationError as error:
            return JSONResponse({"error": "marks", "text": str(error)}, 500)
        found = page(self._archive, before=before, count=PAGE_ENTRIES, rejects=True)
        entries = []
        for item in found.found:
            result = item.entry.result
            mark = marks.get(result.result_id)
            entries.append(
                {
                    "result": msgspec.to_builtins(result_view(result)),
                    "mapped": item.entry.heatmap is not None,
                    "mark": None if mark is None else mark.mark,
                    "who": None if mark is None else mark.who,
                }
            )
        content = {
            "archive": True,
            "entries": entries,
            "following": found.following,
            "total_marks": len(marks),
        }
        return JSONResponse(content)

    async def _mark(self, request: Request) -> JSONResponse:
        try:
            said = await read_body(request, Said)
        except BodyError as error:
            return error.response()
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._write_mark, said)

    def _write_mark(self, said: Said) -> JSONResponse:
        found = None if self._archive is None else find(self._archive, said.result_id)
        if found is None or self._archive is None:
            text = f"{said.result_id} is not in the archive any more."
            return JSONResponse({"error": "unknown", "text": text}, 404)
        result = found.entry.result
        mark = Mark(
            result_id=said.result_id,
            mark=said.mark,
            who=said.who.strip() or "?",
            marked_ns=str(time.time_ns()),
            camera=result.camera or "",
            entry=str(found.stem.relative_to(self._archive)),
            score=result.score,
            threshold=result.threshold,
            model_sha256=None if result.model is None else result.model.sha256,
        )
        try:
            append_mark(self._path, mark)
        except OSError as error:
            text = f"{self._path} cannot be written ({error.strerror})."
            return JSONResponse({"error": "failed", "text": text}, 500)
        return JSONResponse(msgspec.to_builtins(mark))

    async def _as_json(self, _request: Request) -> Response:
        return self._export(as_json, "application/json", "marks.json")

    async def _as_csv(self, _request: Request) -> Response:
        return self._export(as_csv, "text/csv", "marks.csv")

    def _export(self, form: Form, media_type: str, name: str) -> Response:
        try:
            marks = read_marks(self._path)
        except CalibrationError as error:
            return JSONResponse({"error": "marks", "text": str(error)}, 500)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(form(list(marks.values())), media_type=media_type, headers=headers)


def as_json(marks: list[Mark]) -> str:
    """The marks that count, as one JSON list."""
    return msgspec.json.format(msgspec.json.encode(marks), indent=2).decode() + "\n"


def as_csv(marks: list[Mark]) -> str:
    """The marks that count, a row each; a text that a spreadsheet would take for a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Mark.__struct_fields__)
    for mark in marks:
        writer.writerow([_cell(value) for value in msgspec.structs.astuple(mark)])
    return out.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@"} else value
