"""ASGI around the page: only what the guard lets in passes, and every answer has strict headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pipeline.dashboard.guard import Guard

OPEN = ("/login", "/static/base.css", "/static/login.css", "/static/icon.svg")
"""What is served to anybody; it says nothing of the station."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would make the login's Origin null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets requests through to the page, or turns them away."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        host = connection.headers.get("host", "")
        known = self._guard.lets_in(connection.cookies, host)
        open_to_all = self._guard.wants_token and connection.url.path in OPEN
        foreign = self._changes(scope) and not self._guard.same_origin(connection.headers.get("origin"), host)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, refused=foreign or not known)
        elif not (known or open_to_all):
            await self._turn_away(connection)(scope, receive, _with_headers(send))
        elif foreign:
            text = "This must come from the page itself.\n"
            await PlainTextResponse(text, 403)(scope, receive, _with_headers(send))
        else:
            await self._app(scope, receive, _with_headers(send))

    @staticmethod
    def _changes(scope: Scope) -> bool:
        return scope["type"] == "websocket" or scope["method"] not in {"GET", "HEAD"}

    async def _socket(self, scope: Scope, receive: Receive, send: Send, *, refused: bool) -> None:
        if not refused:
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    def _turn_away(self, connection: HTTPConnection) -> PlainTextResponse | RedirectResponse:
        wants_page = "text/html" in connection.headers.get("accept", "")
        if self._guard.wants_token and wants_page:
            query = f"?{connection.url.query}" if "token" in connection.query_params else ""
            return RedirectResponse(f"/login{query}", 303)
        if self._guard.wants_token:
            return PlainTextResponse("The token is missing. Log in first.\n", 401)
        return PlainTextResponse("This page is for this machine only: open it as localhost.\n", 403)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
