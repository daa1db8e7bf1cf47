"""Who may see the page: the token, the cookie, and what comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from support.dashboards import NEEDS_CHROMIUM, Process, open_browser, page_config, status_of, wait_until
from support.lines import folder_camera, paint_parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOKEN = "correct-horse-battery"
JSON = {"Content-Type": "application/json"}


class Served(NamedTuple):
    """Addresses of two pages of stations that do not run: with a token, and for this machine only."""

    locked: str
    local: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("login")
    token = root / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    camera = folder_camera(paint_parts(root / "parts", 1))
    locked, locked_at = page_config(root, [camera], token_file=str(token))
    (root / "other").mkdir()
    local, local_at = page_config(root / "other", [camera])
    with Process("dashboard", str(locked)) as one, Process("dashboard", str(local)) as other:
        one.wait_for_line("dashboard:")
        other.wait_for_line("dashboard:")
        yield Served(locked_at, local_at)


@NEEDS_CHROMIUM
def test_the_login_lets_in_and_a_wrong_token_does_not(served: Served) -> None:
    for browser in open_browser():
        _log_in(browser, served.locked)


def _log_in(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    assert page.url == f"{address}/login"
    page.fill("input[name=token]", "wrong")
    page.click("button")
    page.wait_for_selector("[role=alert]")
    page.fill("input[name=token]", TOKEN)
    page.click("button")
    page.wait_for_selector("#verdict")
    assert page.url == f"{address}/"
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in cookie["value"]
    wait_until(lambda: page.text_content("#stale-title") == "NO STATION", "the live connection")
    other = browser.new_context().new_page()
    other.goto(f"{address}/?token={TOKEN}")
    other.wait_for_selector("#verdict")
    assert TOKEN not in other.url


@pytest.mark.parametrize("path", ["/", "/review", "/static/main.js", "/api/marks.json", "/stills/e-1/full"])
def test_without_the_token_nothing_is_served(served: Served, path: str) -> None:
    assert status_of(served.locked + path) == 401
    assert status_of(served.locked + path, {"Cookie": f"hlgfa_session={TOKEN}"}) == 401


@pytest.mark.parametrize("path", ["/api/changeover", "/api/release_hold", "/api/marks", "/logout"])
@pytest.mark.parametrize("origin", [None, "https://evil.example", "null"])
def test_what_changes_something_must_come_from_the_page(
    served: Served, path: str, origin: str | None
) -> None:
    headers = JSON if origin is None else JSON | {"Origin": origin}
    assert status_of(served.local + path, headers, b"{}") == 403


@pytest.mark.parametrize("origin", [None, "https://evil.example"])
def test_a_websocket_must_come_from_the_page(served: Served, origin: str | None) -> None:
    assert _live(served.local, origin=origin) == 403
    assert _live(served.local, origin=served.local) == 101
    assert _live(served.locked, origin=served.locked) == 403


def _live(address: str, *, origin: str | None, headers: dict[str, str] | None = None) -> int:
    """Status of the answer to a WebSocket."""
    where = address.replace("http", "ws") + "/live"
    try:
        with connect(where, origin=origin, additional_headers=headers):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_another_name_for_this_machine_is_refused(served: Served) -> None:
    assert status_of(served.local) == 200
    assert status_of(served.local, {"Host": "evil.example"}) == 403


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/stills/..%2f..%2fconfig/full", "/stills/*/full"]
)
def test_no_other_file_is_served(served: Served, path: str) -> None:
    assert status_of(served.local + path) in {400, 404}


def test_the_changes_that_are_malformed_change_nothing(served: Served, tmp_path: Path) -> None:
    own = JSON | {"Origin": served.local}
    for body in (
        b"",
        b"[]",
        b'{"recipe": "7", "operator": "A"}',
        b'{"result_id": "e-1", "mark": "fine", "who": "A"}',
        b"x" * 20_000,
    ):
        for path in ("/api/changeover", "/api/marks"):
            assert status_of(served.local + path, own, body) == 400
    assert status_of(f"{served.local}/api/marks", own, b'{"result_id":"e-1","mark":"none","who":"A"}') == 404
