"""The recipe menu and the release of a hold, against a station that serves them: with a name, and once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
import zmq

from pipeline.messages import Reason
from pipeline.wire import encode, topic_of
from support.dashboards import NEEDS_CHROMIUM, Process, open_browser, page_config, wait_until
from support.lines import folder_camera, paint_parts
from support.messages import example

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = NEEDS_CHROMIUM

RECIPES = [
    {"id": 7, "version": 3, "title": "Bolt M8", "sha256": "a" * 64, "active": True},
    {"id": 8, "version": 1, "title": "Nut <b>M8</b>", "sha256": "b" * 64, "active": False},
]
HELLO = {"op": "hello", "operations": ["hello", "recipes", "changeover", "release_hold"]}


class FakeStation:
    """Publishes statuses and held results, and writes down what it is asked; a context manager."""

    def __init__(self, sockets: dict[str, str]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.held = False
        self._stopping = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(sockets["replay"])
        self._results = self._context.socket(zmq.PUB)
        self._results.bind(sockets["results"])
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        seq = 0
        while not self._stopping.is_set():
            seq += 1
            self._publish("status", seq, camera=None, last_seq={}, ready=True, fault=None)
            reason = Reason.DRIFT_HOLD if self.held else Reason.OK
            disposition = "reject" if self.held else "accept"
            text = "the light has drifted" if self.held else "ok"
            self._publish("result", seq, reason_code=int(reason), disposition=disposition, reason=text)
            if self._router.poll(50):
                client, body = self._router.recv_multipart()
                self._router.send_multipart([client, json.dumps(self._answer(json.loads(body))).encode()])
        self._context.destroy(linger=0)

    def _publish(self, kind: str, seq: int, **fields: Any) -> None:
        stamp = {"line": "demo", "station": "s1", "seq": seq, "published_ns": str(time.time_ns())}
        camera = {"camera": "cam1", "stream": "result/cam1"} if kind == "result" else {}
        header = msgspec.structs.replace(example(kind), **stamp, **camera, **fields)
        self._results.send_multipart([topic_of(header), encode(header)])

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "hello":
            return HELLO
        if request["op"] == "recipes":
            return {"op": "recipes", "recipes": RECIPES}
        self.asked.append(request)
        if request["op"] == "release_hold":
            self.held = False
            return {"op": "release_hold", "camera": request["camera"], "released": True, "reason": ""}
        return {"op": "error", "error": "failed", "text": "The model is not there."}

    def __enter__(self) -> FakeStation:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from open_browser()


def test_a_changeover_names_the_product_and_the_operator_and_a_hold_can_be_released(
    browser: Browser, tmp_path: Path
) -> None:
    config, address = page_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 1))])
    sockets = yaml.safe_load(config.read_text())["sockets"]
    with FakeStation(sockets) as station, Process("dashboard", str(config)) as served:
        served.wait_for_line("dashboard:")
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#recipe:visible")
        assert page.text_content("#recipe-name") == "Bolt M8 v3"

        page.click("#recipe")
        page.check("input[value='8']")
        assert page.is_disabled("#changeover-do")
        page.fill("#operator", "Anna")
        assert page.text_content("#changeover-question") == "Change over to “Nut <b>M8</b>”?"
        page.click("#changeover-do")
        wait_until(lambda: page.text_content("#changeover-error"), "the refusal")
        assert page.text_content("#changeover-error") == "The model is not there."
        page.keyboard.press("Escape")

        assert not page.is_visible("#hold")
        station.held = True
        page.wait_for_selector("#hold:visible")
        page.click("#release")
        assert page.input_value("#releaser") == "Anna"
        page.click("#releasing-do")
        page.wait_for_selector("#hold", state="hidden")
        page.close()
    assert station.asked == [
        {"op": "changeover", "recipe": 8, "operator": "Anna"},
        {"op": "release_hold", "camera": "cam1", "operator": "Anna"},
    ]
