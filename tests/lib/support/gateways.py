"""A gateway in a thread, beside a station that can be stopped and started again on the same addresses."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.config import Config, parse_config
from pipeline.gateways.gateway import Gateway
from support.lines import Line, folder_camera, make_raw_config, paint_parts, running

PATIENCE_S = 30.0
STATUS_PERIOD_MS = 100
ON_REQUEST = {"source": "software"}


_FIXED_PORTS = range(12_000, 32_000)
"""Below those that the kernel gives to clients, one of which might come between this and its use."""
_given: set[int] = set()
_random = random.SystemRandom()  # hypothesis seeds the other one


def free_port() -> int:
    """A port that nobody uses, and no other one twice in this process."""
    while True:
        port = _random.choice(_FIXED_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def line_with(
    root: Path,
    gateways: dict[str, Any],
    *,
    cameras: int = 1,
    deadline_ms: float = 5_000,
    recipes: Path | None = None,
    **changes: Any,
) -> Config:
    """A line on fixed addresses; every fifth part is a reject.

    Its cameras are asked for each part, which several of them see together, unless `trigger` says otherwise.
    """
    parts = paint_parts(root / "parts", 60)
    names = [f"cam{number}" for number in range(1, cameras + 1)]
    raw = make_raw_config(
        root,
        [folder_camera(parts, name, **({"trigger": ON_REQUEST, "loop": True} | changes)) for name in names],
        status_period_ms=STATUS_PERIOD_MS,
        deadline_ms=deadline_ms,
    )
    raw["sockets"] = {name: f"tcp://127.0.0.1:{free_port()}" for name in ("results", "heatmaps", "replay")}
    if cameras > 1 and "trigger" not in changes:
        raw["parts"] = {"cameras": names}
    raw["recipes_dir"] = None if recipes is None else str(recipes)
    return parse_config(raw | {"gateways": gateways}, origin="test")


@contextlib.contextmanager
def monitoring(config: Config) -> Iterator[Line]:
    """A running station that takes triggers."""
    with running(config) as line:
        line.wait_for(lambda: any(status.ready for status in line.statuses), "ready")
        yield line


@contextlib.contextmanager
def serving(config: Config) -> Iterator[Gateway]:
    """Run a gateway in a thread; what it raises is raised at the end of the block."""
    gateway = Gateway(config)
    ready = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(gateway.run(ready.set))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S), "the gateway does not start"
        if not errors:
            yield gateway
    finally:
        gateway.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the gateway does not stop"
    if errors:
        raise errors[0]


def wait_for(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + patience_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.002)
