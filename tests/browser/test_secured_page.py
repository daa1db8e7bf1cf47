"""The page over TLS with a token, and of a station that wants keys: with one that it knows, and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from pipeline.access.key_maker import allow_key, make_keys
from support.certificates import make_certificate
from support.dashboards import NEEDS_CHROMIUM, Process, complaints, open_browser, page_config, wait_until
from support.gateways import free_port
from support.lines import folder_camera, paint_parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = NEEDS_CHROMIUM

TOKEN = "correct-horse-battery"
SOCKETS = ("results", "heatmaps", "replay")
KNOWN, STRANGER = "dashboard", "stranger"


class Site(NamedTuple):
    """A station that wants keys, and its pages: one has a key that it knows, the other has not."""

    root: Path
    known: str
    stranger: str


def secured(root: Path, key: str) -> Path:
    """A configuration in a folder of its own whose page has this key; the station is the same."""
    folder = root / key
    folder.mkdir()
    camera = folder_camera(root / "parts", rate_hz=10, loop=True)
    config, _ = page_config(
        folder,
        [camera],
        token_file=str(root / "token"),
        certificate=str(root / "page.pem"),
        private_key=str(root / "page.key"),
        key=key,
    )
    return config


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("secured")
    paint_parts(root / "parts", 5)
    make_certificate(root / "page.pem")
    (root / "token").write_text(TOKEN)
    (root / "token").chmod(0o600)
    for name in ("station", KNOWN, STRANGER):
        make_keys(root / "keys", name)
    allow_key(root / "keys", root / "keys" / f"{KNOWN}.key", name=KNOWN)
    sockets = {name: f"tcp://0.0.0.0:{free_port()}" for name in SOCKETS}
    addresses, configs = [], [secured(root, key) for key in (KNOWN, STRANGER)]
    for config in configs:
        raw = yaml.safe_load(config.read_text())
        raw |= {"sockets": sockets, "security": {"keys_dir": str(root / "keys")}}
        raw["logging"] = {"directory": str(config.parent / "logs")}
        config.write_text(yaml.safe_dump(raw))
        addresses.append(f"https://127.0.0.1:{raw['dashboard']['port']}")
    known, stranger = (str(config) for config in configs)
    with (
        Process("run", known) as line,
        Process("dashboard", known) as page,
        Process("dashboard", stranger) as other,
    ):
        line.wait_for_line("ready")
        page.wait_for_line("dashboard: https://")
        other.wait_for_line("dashboard: https://")
        yield Site(root, *addresses)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from open_browser()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that takes a certificate which nobody has signed."""
    context = browser.new_context(ignore_https_errors=True)
    yield context.new_page()
    context.close()


def logged(site: Site, key: str) -> str:
    """What the page's process has logged."""
    path = site.root / key / "logs" / "dashboard.jsonl"
    return path.read_text() if path.exists() else ""


def test_the_live_stream_comes_over_tls_to_who_has_the_token(site: Site, page: Page) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(site.known)
    page.fill("input[name=token]", TOKEN)
    found = complaints(page)
    page.click("button")
    page.wait_for_selector("#picture[data-result-id]")
    page.wait_for_selector("#verdict[data-verdict=accept]")
    page.wait_for_selector("#thumbs img")
    assert set(sockets) == {f"{site.known.replace('https', 'wss')}/live"}
    [cookie] = page.context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    assert not page.is_visible("#stale")
    assert found == []


def test_a_wrong_token_is_refused_and_logged(site: Site, page: Page) -> None:
    page.goto(site.known)
    page.fill("input[name=token]", "wrong-horse-battery")
    page.click("button")
    page.wait_for_selector("[role=alert]")
    wait_until(lambda: "refused a wrong token from 127.0.0.1" in logged(site, KNOWN), "the log record")
    assert page.context.cookies() == []
    assert "wrong-horse" not in logged(site, KNOWN)
    page.goto(f"{site.known}/review")
    assert page.url == f"{site.known}/login"


def test_a_page_whose_key_is_not_allowed_says_so_until_it_is(site: Site, page: Page) -> None:
    page.goto(f"{site.stranger}/?token={TOKEN}")
    wait_until(lambda: page.text_content("#stale-title") == "NOT LET IN", "the refusal")
    said = page.text_content("#stale-text") or ""
    assert f"hlgfa keys allow {site.root}/keys {site.root}/keys/{STRANGER}.key" in said
    assert page.get_attribute("#verdict", "data-verdict") == "none"
    wait_until(lambda: "hlgfa keys allow" in logged(site, STRANGER), "the log record")
    allow_key(site.root / "keys", site.root / "keys" / f"{STRANGER}.key", name=STRANGER)
    page.wait_for_selector("#verdict[data-verdict=accept]")
    page.wait_for_selector("#stale", state="hidden")
