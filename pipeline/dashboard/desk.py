"""What the page asks of the station: its recipes, another recipe, the end of a hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.dashboard.bodies import BodyError, read_body

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request

    from pipeline.dashboard.asker import Asker

CHANGEOVER_MS = 10_000
DONE = ("accepted", "released")
"""False in an answer: the station has understood, and does not do it."""
Text = Annotated[str, Meta(min_length=1, max_length=64)]


class Changeover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take another recipe."""

    recipe: Annotated[int, Meta(ge=1, le=0xFFFF)]
    operator: Text


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End a camera's hold."""

    camera: Text
    operator: Text


class Desk:
    """Serves what only the station can answer; nothing of it shows where the station does not serve it."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def routes(self) -> list[Route]:
        """Where it is served."""
        return [
            Route("/api/abilities", self._abilities),
            Route("/api/recipes", self._recipes),
            Route("/api/changeover", self._changeover, methods=["POST"]),
            Route("/api/release_hold", self._release, methods=["POST"]),
        ]

    async def _abilities(self, _request: Request) -> JSONResponse:
        """Which operations the station serves, and its recipes if it has any."""
        operations = await self._asker.operations()
        recipes = await self._asker.ask({"op": "recipes"}) if "recipes" in operations else None
        known = recipes is not None and recipes.get("op") != "error"
        return JSONResponse(
            {"operations": operations, "recipes": recipes.get("recipes", []) if recipes and known else []}
        )

    async def _recipes(self, _request: Request) -> JSONResponse:
        return _answer(await self._asker.ask({"op": "recipes"}))

    async def _changeover(self, request: Request) -> JSONResponse:
        try:
            wanted = await read_body(request, Changeover)
        except BodyError as error:
            return error.response()
        asked = {"op": "changeover", "recipe": wanted.recipe, "operator": wanted.operator}
        return _answer(await self._asker.ask(asked, CHANGEOVER_MS))

    async def _release(self, request: Request) -> JSONResponse:
        try:
            wanted = await read_body(request, Release)
        except BodyError as error:
            return error.response()
        asked = {"op": "release_hold", "camera": wanted.camera, "operator": wanted.operator}
        return _answer(await self._asker.ask(asked))


def _answer(reply: dict[str, Any] | None) -> JSONResponse:
    if reply is None:
        text = "The station does not answer. It may have done it all the same: look at the events."
        return JSONResponse({"error": "no_answer", "text": text}, 504)
    if any(reply.get(done) is False for done in DONE):
        return JSONResponse({"error": "refused", "text": reply.get("reason", "")}, 409)
    return JSONResponse(reply, 409 if reply.get("op") == "error" else 200)
