"""The whole page as one ASGI application: wiring of its parts."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.dashboard.asker import Asker
from pipeline.dashboard.desk import Desk
from pipeline.dashboard.feed import Feed
from pipeline.dashboard.gate import Gate
from pipeline.dashboard.guard import Guard, load_token
from pipeline.dashboard.hub import Hub
from pipeline.dashboard.live import Live
from pipeline.dashboard.login import STATIC, Login
from pipeline.dashboard.review import Review
from pipeline.dashboard.stills import Stills

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pipeline.config import Config
    from pipeline.dashboard_config import DashboardConfig


def make_app(
    config: Config,
    settings: DashboardConfig,
    *,
    on_failed: Callable[[BaseException], None],
    on_ready: Callable[[], None],
) -> ASGIApp:
    """The page of one station.

    Args:
        config: of the station.
        settings: of the page.
        on_failed: called if the station cannot be heard any more, which ends the page.
        on_ready: called once, when the station is listened to.

    Raises:
        ConfigError: the token, an address or a key cannot be used.
    """
    cv2.setNumThreads(1)
    guard = Guard(None if settings.token_file is None else load_token(Path(settings.token_file)))
    # One thread: PNGs and files of the archive, one after another, never more than one core.
    executor = ThreadPoolExecutor(1, thread_name_prefix="files")
    archive = None if config.archive is None else Path(config.archive.directory)
    asker, hub = Asker(config), Hub(config, executor)
    feed = Feed(config, hub)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        listening = asyncio.create_task(feed.follow())
        listening.add_done_callback(lambda task: _report(task, on_failed))
        on_ready()
        yield
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        asker.close()
        executor.shutdown()

    routes = [
        Route("/", _file("index.html")),
        Route("/review", _file("review.html")),
        Mount("/static", StaticFiles(directory=STATIC)),
        *Login(guard).routes(),
        *Live(hub).routes(),
        *Desk(asker).routes(),
        *Stills(hub, archive, executor).routes(),
        *Review(archive, Path(config.station.journal_dir), executor).routes(),
    ]
    return Gate(Starlette(routes=routes, lifespan=lifespan), guard)


def _report(task: asyncio.Task[None], on_failed: Callable[[BaseException], None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        on_failed(error)


def _file(name: str) -> Callable[[Request], FileResponse]:
    def page(_request: Request) -> FileResponse:
        return FileResponse(STATIC / name)

    return page
