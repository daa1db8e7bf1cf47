"""The WebSocket of a page: its mailbox goes out, which camera it looks at comes in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from pipeline.dashboard.hub import Browser
from pipeline.dashboard.mailbox import Mailbox

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from pipeline.dashboard.hub import Hub

MAX_BROWSERS = 32
TRY_AGAIN_LATER = 1013


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The only thing that a page says: the camera that it looks at."""

    camera: str


class Live:
    """Serves /live."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def routes(self) -> list[WebSocketRoute]:
        """Where it is served."""
        return [WebSocketRoute("/live", self._serve)]

    async def _serve(self, socket: WebSocket) -> None:
        if len(self._hub.browsers) >= MAX_BROWSERS:
            await socket.close(TRY_AGAIN_LATER)
            return
        await socket.accept()
        browser = Browser(Mailbox(), self._hub.cameras[0])
        self._hub.enter(browser)
        sending = asyncio.create_task(self._send(socket, browser))
        try:
            await self._hear(socket, browser)
        finally:
            self._hub.browsers.discard(browser)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sending

    @staticmethod
    async def _send(socket: WebSocket, browser: Browser) -> None:
        """One message after another; a browser that does not take one holds up its own mailbox only."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await browser.mailbox.next()
                if isinstance(message, str):
                    await socket.send_text(message)
                else:
                    await socket.send_bytes(message)

    async def _hear(self, socket: WebSocket, browser: Browser) -> None:
        """Until the page is closed, or says something that it should not."""
        with contextlib.suppress(WebSocketDisconnect, msgspec.MsgspecError, KeyError):
            while True:
                look = msgspec.json.decode(await socket.receive_text(), type=Look)
                if look.camera in self._hub.cameras:
                    self._hub.look(browser, look.camera)
