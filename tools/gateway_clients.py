"""The clients of `tools.gateway_latency`: each notes when it has seen a result, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

from pipeline.gateways.registers import BLOCK_WORDS, join_u32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PUBLISHING_MS = 5
POLL_S = 0.001
SUBSCRIBED_S = 0.5


class Watch:
    """What a client process shares with the one that publishes, and when it has first seen each result."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.ready, self.done = context.Event(), context.Event()
        self.times, self._to_parent = context.Pipe(duplex=False)
        self._seen: dict[int, int] = {}

    def seen(self, trigger_id: int) -> None:
        """Note that the client has a result; only the first time counts."""
        self._seen.setdefault(trigger_id, time.monotonic_ns())

    def report(self) -> None:
        """Hand the times over: monotonic ns by trigger id."""
        self._to_parent.send(self._seen)


@contextlib.contextmanager
def listening(protocol: str, port: int) -> Iterator[Watch]:
    """Run the client of a protocol in a process of its own, until `done` is set."""
    watch = Watch()
    process = multiprocessing.get_context("spawn").Process(target=_client, args=(protocol, port, watch))
    process.start()
    try:
        yield watch
    finally:
        watch.done.set()
        process.join()


def _client(protocol: str, port: int, watch: Watch) -> None:
    {"modbus": _modbus, "s7": _s7, "mqtt": _mqtt, "opcua": _opcua}[protocol](port, watch)
    watch.report()


@contextlib.contextmanager
def broker(directory: Path) -> Iterator[int]:
    """Debian's mosquitto on a free port."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise SystemExit("error: found no mosquitto. On Debian: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = directory / "mosquitto.conf"
    path.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with subprocess.Popen([program, "-c", str(path)], stderr=subprocess.DEVNULL) as process:
        try:
            while not _answers(port):
                time.sleep(0.01)
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _poll(read: Callable[[], Sequence[int]], watch: Watch) -> None:
    """Read the block every millisecond; a PLC does it once in its cycle, which is longer."""
    watch.ready.set()
    while not watch.done.is_set():
        words = read()
        if words[0] == words[BLOCK_WORDS - 1] != 0:
            watch.seen(join_u32(words[3], words[4]))
        time.sleep(POLL_S)


def _modbus(port: int, watch: Watch) -> None:
    from pymodbus.client import ModbusTcpClient

    with ModbusTcpClient("127.0.0.1", port=port) as client:
        _poll(lambda: client.read_holding_registers(0, count=BLOCK_WORDS).registers, watch)


def _s7(port: int, watch: Watch) -> None:
    import struct

    from snap7.client import Client

    client = Client()
    client.connect("127.0.0.1", 0, 1, tcp_port=port)
    _poll(lambda: struct.unpack(">24H", client.db_read(100, 0, 2 * BLOCK_WORDS)), watch)
    client.disconnect()


def _mqtt(port: int, watch: Watch) -> None:
    import msgspec
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: watch.seen(
        msgspec.json.decode(message.payload)["trigger_id"]
    )
    client.on_subscribe = lambda *_: watch.ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe("hlgfa/demo/bench/result/cam1", 1)
    client.loop_start()
    watch.done.wait()
    client.disconnect()
    client.loop_stop()


def _opcua(port: int, watch: Watch) -> None:
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    asyncio.run(_opcua_client(port, watch))


async def _opcua_client(port: int, watch: Watch) -> None:
    from asyncua.client.client import Client

    class Handler:
        def event_notification(self, event: Any) -> None:
            watch.seen(event.TriggerId)

    async with Client(f"opc.tcp://127.0.0.1:{port}/") as client:
        namespace = await client.get_namespace_index("urn:hlgfa:demo:bench:vision")
        system = await client.nodes.objects.get_child([f"{namespace}:cam1"])
        kind = await client.nodes.base_event_type.get_child([f"{namespace}:ResultReadyEventType"])
        subscription = await client.create_subscription(PUBLISHING_MS, Handler())
        await subscription.subscribe_events(system, kind)
        watch.ready.set()
        while not watch.done.is_set():
            await asyncio.sleep(SUBSCRIBED_S)
