"""The operator's page in a real browser, against a running station."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.dashboards import NEEDS_CHROMIUM, Process, complaints, open_browser, page_config, wait_until
from support.lines import folder_camera, paint_parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocketRoute

pytestmark = NEEDS_CHROMIUM

FIRST_FRAME_MS = 1_000
REJECT_MS = 500
STALE_MS = 1_000
WATCH_BANNER = """() => new MutationObserver(() => { window.staleMs = Date.now(); })
  .observe(document.getElementById('stale'), { attributes: true, attributeFilter: ['hidden'] })"""
SAMPLE = """canvas => { const c = canvas.getContext('2d');
  return Array.from(c.getImageData(0, 0, canvas.width, canvas.height).data).reduce((a, b) => a + b, 0); }"""


def becomes(page: Page, expression: str, patience_ms: float = 30_000) -> None:
    """Wait until this is true in the page, whose policy forbids what Playwright has for it: eval."""
    wait_until(lambda: page.evaluate(expression), expression, patience_ms / 1000)


class Site(NamedTuple):
    """A line that runs, and where its page is."""

    config: Path
    address: str
    root: Path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from open_browser()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    cameras = [
        folder_camera(paint_parts(root / "parts", 20), name, rate_hz=4, loop=True)
        for name in ("cam1", "cam2")
    ]
    config, address = page_config(root, cameras)
    with Process("run", str(config)) as line, Process("dashboard", str(config)) as served:
        line.wait_for_line("ready")
        served.wait_for_line("dashboard:")
        yield Site(config, address, root)


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    found = complaints(page)
    page.goto(site.address)
    page.wait_for_selector("#picture[data-result-id]")
    yield page
    page.close()
    assert found == []


def test_the_first_frame_is_there_soon_after_the_page(page: Page) -> None:
    page.reload()
    page.wait_for_selector("#picture[data-result-id]")
    took_ms = page.evaluate(
        "performance.getEntriesByName('first-frame')[0].startTime"
        " - performance.getEntriesByType('navigation')[0].loadEventEnd"
    )
    assert took_ms < FIRST_FRAME_MS


def test_the_slider_changes_the_overlay_and_back(page: Page) -> None:
    page.click("#thumbs li:not([hidden]) .thumb:has(img:nth-child(2)) >> nth=0")
    becomes(page, "document.getElementById('still').width > 300 && !document.getElementById('still').hidden")
    slider, canvas = page.locator("#viewer-opacity"), page.locator("#still")
    wait_until(lambda: canvas.evaluate(SAMPLE) != 0, "the picture")
    seen = {}
    for value in ("0", "100", "0 "):
        slider.fill(value.strip())
        seen[value] = canvas.evaluate(SAMPLE)
    assert seen["0"] == seen["0 "] != seen["100"]


def test_the_verdict_is_told_by_word_and_shape_and_the_counts_move(page: Page) -> None:
    for disposition, word in (("reject", "REJECT"), ("accept", "ACCEPT")):
        page.wait_for_selector(f"#verdict[data-verdict={disposition}]")
        becomes(page, f"document.getElementById('word').textContent === '{word}'")
    for disposition, mark in (("reject", "✕"), ("accept", "✓")):
        page.wait_for_selector(f"#picture-card[data-verdict={disposition}]")
        becomes(page, f"document.getElementById('picture-of').textContent.startsWith('{mark}')")
    before = page.text_content("#accepts")
    wait_until(lambda: page.text_content("#accepts") != before, "another accept")


def test_a_reject_is_in_the_list_soon_after_it_was_published(page: Page) -> None:
    page.evaluate(
        """() => { window.seen = []; new MutationObserver((changes) => {
          for (const change of changes) for (const item of change.addedNodes) window.seen.push(Date.now());
        }).observe(document.getElementById('thumbs'), { childList: true });
        window.heard = []; const socket = new WebSocket(location.href.replace('http', 'ws') + 'live');
        socket.onmessage = (event) => { if (typeof event.data !== 'string') return;
          const message = JSON.parse(event.data);
          if (message.type === 'reject' && !message.reject.pictured)
            window.heard.push(message.reject.result.published_ms); }; }"""
    )
    becomes(page, "window.seen.length >= 3 && window.heard.length >= 3")
    seen, heard = page.evaluate("[window.seen, window.heard]")
    late_ms = [min(abs(moment - published) for moment in seen) for published in heard]
    assert sorted(late_ms)[1] < REJECT_MS


def test_another_camera_can_be_looked_at(page: Page) -> None:
    page.select_option("#camera", "cam2")
    becomes(page, "document.getElementById('picture').getAttribute('aria-label').includes('cam2')")
    assert page.locator("#machine").text_content()


@pytest.fixture
def rerouted(browser: Browser, site: Site) -> Iterator[tuple[Page, list[WebSocketRoute]]]:
    """A page that is told no state, as where the first one is late, and its connections."""
    page, connections = browser.new_page(), []

    def reroute(connection: WebSocketRoute) -> None:
        server = connection.connect_to_server()
        server.on_message(lambda data: None if b'"type":"state"' in as_bytes(data) else connection.send(data))
        connections.append(connection)

    page.route_web_socket("**/live", reroute)
    page.goto(site.address)
    page.wait_for_selector("#thumbs li:not([hidden])")
    yield page, connections
    page.close()


def as_bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def test_only_rejects_of_the_camera_looked_at_are_shown_from_the_first_on(
    rerouted: tuple[Page, list[WebSocketRoute]],
) -> None:
    page, _ = rerouted
    becomes(page, "document.querySelectorAll('#thumbs li[hidden]').length >= 3")
    seen = page.evaluate(
        """() => Array.from(document.querySelectorAll('#thumbs li:not([hidden]) button'))
          .map((one) => one.dataset.resultId)"""
    )
    page.click("#thumbs li:not([hidden]) button")
    for _ in seen[1:]:
        assert page.text_content("#viewer-facts div:has(dt:text-is('Camera')) dd") == "cam1"
        page.keyboard.press("ArrowLeft")


def test_whoever_is_at_a_thumbnail_stays_at_it_when_the_connection_comes_back(
    rerouted: tuple[Page, list[WebSocketRoute]],
) -> None:
    page, connections = rerouted
    page.focus("#thumbs li:not([hidden]) button")
    focused = page.evaluate("document.activeElement.dataset.resultId")
    page.evaluate("document.activeElement.parentElement.id = 'before'")
    connections[0].close()
    becomes(page, "document.getElementById('before') === null")
    assert page.evaluate("document.activeElement.dataset.resultId") == focused


def test_a_reject_opens_whole_and_the_arrow_keys_page(page: Page) -> None:
    becomes(page, "document.querySelectorAll('#thumbs li:not([hidden])').length >= 3")
    page.focus("#thumbs li:not([hidden]) button")
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer")
    first = viewer.get_attribute("data-result-id")
    page.keyboard.press("ArrowLeft")
    assert viewer.get_attribute("data-result-id") != first
    page.keyboard.press("ArrowRight")
    assert viewer.get_attribute("data-result-id") == first
    page.keyboard.press("Escape")
    assert not viewer.is_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("path", ["/", "/review"])
def test_nothing_serious_bars_people_with_a_keyboard_or_a_screen_reader(
    browser: Browser, site: Site, path: str, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(site.address + path)
    page.wait_for_selector("#thumbs li:not([hidden])" if path == "/" else "#entries li")
    found = Axe().run(page).response["violations"]
    page.close()
    serious = [
        f"{one['id']}: {[node['target'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []


@pytest.mark.parametrize("width", [768, 1280, 2560])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1024})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_marks_are_kept_and_exported(browser: Browser, site: Site) -> None:
    from calibration.marks import FILE_NAME, read_marks

    wait_until(lambda: len(list((site.root / "archive").glob("*/*.json"))) >= 3, "archived rejects")
    page = browser.new_page()
    found = complaints(page)
    page.goto(f"{site.address}/review")
    page.wait_for_selector("#entries button[aria-current=true]")
    page.keyboard.press("b")
    assert page.text_content("#said") == "Say who you are first."
    page.fill("#who", "Anna")
    page.focus("#main")
    marked = []
    for key in ("b", "f"):
        marked.append(page.get_attribute("#main", "data-result-id"))
        page.keyboard.press(key)
        page.wait_for_selector(f"#entries button[data-result-id='{marked[-1]}']:not([data-mark=none])")
    marks = read_marks(site.root / "journal" / FILE_NAME)
    assert [(name, mark.mark, mark.who) for name, mark in marks.items()] == [
        (marked[0], "really_bad", "Anna"),
        (marked[1], "false_reject", "Anna"),
    ]
    assert (site.root / "archive" / f"{marks[marked[0] or ''].entry}.png").exists()
    for kind in ("JSON", "CSV"):
        with page.expect_download() as download:
            page.click(f"text={kind}")
        text = Path(download.value.path()).read_text()
        assert all(str(result_id) in text for result_id in marked)
    page.close()
    assert found == []


def test_what_is_old_is_never_shown_as_if_it_were_now(browser: Browser, tmp_path: Path) -> None:
    camera = folder_camera(paint_parts(tmp_path / "parts", 20), rate_hz=10, loop=True)
    config, address = page_config(tmp_path, [camera])
    with Process("dashboard", str(config)) as served:
        served.wait_for_line("dashboard:")
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#stale:visible")
        assert page.text_content("#stale-title") == "NO STATION"
        with Process("run", str(config)) as line:
            page.wait_for_selector("#verdict[data-verdict=accept]")
            assert not page.is_visible("#stale")
            page.evaluate(WATCH_BANNER)
            line.popen.kill()
            line.popen.wait()
            killed_ms = time.time() * 1000
            page.wait_for_selector("#stale:visible")
            assert page.evaluate("window.staleMs") - killed_ms < STALE_MS
        assert page.text_content("#stale-title") == "STATION SILENT"
        assert page.get_attribute("#verdict", "data-verdict") == "none"
        assert "stale" in (page.get_attribute("body", "class") or "")
        served.stop()
        becomes(page, "document.getElementById('stale-title').textContent === 'NO CONNECTION'", STALE_MS)
        page.close()
