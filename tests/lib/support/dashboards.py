"""A running line and its page, each in a process of its own, and a real browser to look at it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from support.gateways import free_port
from support.lines import make_raw_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page
    from typing_extensions import Self

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="NO BROWSER: the page was not tested. On Debian run: apt-get install chromium"
)
PATIENCE_S = 60.0
CLI = [sys.executable, "-m", "tools.cli"]


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What the condition returns as soon as it is true."""
    end = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come in {patience_s} s"
        time.sleep(0.02)
    return found


class Process:
    """One of our commands; a context manager that ends it."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [*CLI, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for_line(self, beginning: str) -> str:
        """Read its output up to a line that begins so."""
        assert self.popen.stdout is not None
        seen = []
        for text in self.popen.stdout:
            if text.startswith(beginning):
                return text
            seen.append(text)
        raise AssertionError(f"found no line {beginning!r}: {''.join(seen)}")

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        self.popen.send_signal(signal.SIGTERM)
        self.popen.communicate(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.popen.poll() is None:
            self.stop()
        else:
            self.popen.communicate()


def page_config(root: Path, cameras: list[dict[str, Any]], **dashboard: Any) -> tuple[Path, str]:
    """A configuration with known ports, and the address of its page."""
    raw = make_raw_config(root, cameras)
    raw["sockets"] = {name: f"tcp://127.0.0.1:{free_port()}" for name in ("results", "heatmaps", "replay")}
    raw["image"] = {"policy": "sampled", "max_hz": 10}
    raw["archive"] = {"directory": str(root / "archive"), "min_free_mib": 0, "queue_frames": 4}
    port = free_port()
    raw["dashboard"] = {"port": port, "enabled": False, **dashboard}
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path, f"http://127.0.0.1:{port}"


def open_browser() -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def complaints(page: Page) -> list[str]:
    """What the page's console says from now on: errors of scripts and of the policy."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def status_of(address: str, headers: dict[str, str] | None = None, data: bytes | None = None) -> int:
    """HTTP status of a request; redirects are not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: Any, **_fields: Any) -> None:
            return None

    request = urllib.request.Request(address, data=data, headers=headers or {})
    try:
        with urllib.request.build_opener(Stay).open(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)
