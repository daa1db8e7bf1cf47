"""Makes docs/dashboard.png, the page as README shows it: `make dashboard-picture`."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

from PIL import Image

from tools.dashboard_scene import chromium, scene

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "docs" / "dashboard.png"
WIDTH_PX, HEIGHT_PX = 1280, 850
REJECTS = 8
PATIENCE_S = 120.0
MAX_BYTES = 300_000


def main(path: Path = PATH) -> None:
    """Wait until there is something to see, then take the picture while a reject is shown."""
    with (
        tempfile.TemporaryDirectory() as directory,
        chromium() as browser,
        scene(ROOT / "config.yaml", Path(directory), rate_hz=5) as running,
    ):
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX}, color_scheme="dark")
        page.goto(running.page)
        page.wait_for_selector("#picture[data-result-id]")
        end = time.monotonic() + PATIENCE_S
        while page.locator(".thumb img:nth-child(2)").count() < REJECTS and time.monotonic() < end:
            page.wait_for_timeout(200)
        page.wait_for_selector("#latency li")
        page.wait_for_selector("#picture[aria-label*=reject]")
        shot = page.screenshot()
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"found {size} bytes, expected at most {MAX_BYTES}")


if __name__ == "__main__":
    main()
