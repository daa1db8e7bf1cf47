"""The login: a token by the form or, once, in the address; then a cookie."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.routing import Route

from pipeline.dashboard.guard import COOKIE

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from pipeline.dashboard.guard import Guard

STATIC = Path(__file__).parent / "static"
MAX_FORM_BYTES = 4096
GUESS_S = 1.0
"""Guesses take turns, a second each: 16 random characters outlive them all."""
SESSION_S = 30 * 86_400
_log = logging.getLogger(__name__)


class Login:
    """Serves /login and /logout."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._turn = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Where it is served."""
        return [
            Route("/login", self._form, methods=["GET"]),
            Route("/login", self._submit, methods=["POST"]),
            Route("/logout", self._leave, methods=["POST"]),
        ]

    async def _form(self, request: Request) -> Response:
        """The form; with `?token=` the login itself, which leaves the token out of the address."""
        token = request.query_params.get("token")
        return FileResponse(STATIC / "login.html") if token is None else await self._enter(request, token)

    async def _submit(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                return HTMLResponse("Too long.", 413)
        fields = parse_qs(body.decode("utf-8", "replace"))
        return await self._enter(request, fields.get("token", [""])[0].strip())

    async def _enter(self, request: Request, token: str) -> Response:
        if not self._guard.knows(token):
            async with self._turn:
                await asyncio.sleep(GUESS_S)
                _log.warning("login: refused a wrong token from %s", _who(request))
            return FileResponse(STATIC / "refused.html", 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            self._guard.session,
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def _leave(self, _request: Request) -> Response:
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE)
        return response


def _who(request: Request) -> str:
    return "an unknown address" if request.client is None else request.client.host
