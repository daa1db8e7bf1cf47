"""An S7 server: the banks as data blocks, two for each, for PLCs that use PUT and GET.

Bank k: data block `first_db` + 2k to the PLC, the one after it from it; 48 bytes each, so a request takes
one whole. As with Modbus, a block is made when it is read. The library serves each client in a thread of
its own, so banks are looked at under a lock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from pipeline.gateways.banks import make_banks, pass_on, show
from pipeline.gateways.outlet import check_free, missing_library
from pipeline.gateways.registers import BLOCK_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snap7.server import Server

    from pipeline.client import Message
    from pipeline.config import Config
    from pipeline.gateways.bank import Bank
    from pipeline.gateways.link import StationLink
    from pipeline.gateways.station_view import StationView
    from pipeline.requests import TriggerReply
    from pipeline.stream_check import Notice

BLOCK_BYTES = 2 * BLOCK_WORDS


class _ToPlc(bytearray):
    """A data block that is made when it is read, and cannot be written by a client."""

    def __init__(self, words: Callable[[], Iterable[int]]) -> None:
        super().__init__(BLOCK_BYTES)
        self._words = words

    def __getitem__(self, place: Any) -> Any:
        return b"".join(word.to_bytes(2, "big") for word in self._words())[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        raise PermissionError("this data block is the station's")


class _FromPlc(bytearray):
    """A data block whose every write is told."""

    def __init__(self, on_write: Callable[[list[int]], None]) -> None:
        super().__init__(BLOCK_BYTES)
        self._on_write = on_write

    def __setitem__(self, place: Any, value: Any) -> None:
        super().__setitem__(place, value)
        raw = bytes(self)
        self._on_write([int.from_bytes(raw[at : at + 2], "big") for at in range(0, BLOCK_BYTES, 2)])


class S7Outlet:
    """Serves the data blocks, and takes triggers, to at most 64 clients."""

    def __init__(self, config: Config, station: StationView, link: StationLink) -> None:
        assert config.gateways is not None
        assert config.gateways.s7 is not None
        self._config = config.gateways.s7
        self._banks = make_banks(config, station)
        self._link = link
        self._lock = threading.Lock()
        self._server: Server | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            ConfigError: python-snap7 is missing, or the address cannot be bound.
        """
        try:
            from snap7.server import Server
            from snap7.type import SrvArea
        except ImportError as error:
            raise missing_library("s7", "snap7") from error
        # The library binds with SO_REUSEPORT: it would share the port with another program in silence.
        check_free("gateways.s7", self._config.host, self._config.port)
        self._server = Server(log=False)
        loop = asyncio.get_running_loop()
        for index, bank in enumerate(self._banks):
            number = self._config.first_db + 2 * index
            self._server.register_area(SrvArea.DB, number, _ToPlc(self._reader(bank)))
            self._server.register_area(SrvArea.DB, number + 1, _FromPlc(self._writer(bank, loop)))
        self._server.start_to(self._config.host, self._config.port)

    def _reader(self, bank: Bank) -> Callable[[], Iterable[int]]:
        def words() -> Iterable[int]:
            with self._lock:
                return bank.words(time.monotonic_ns())

        return words

    def _writer(self, bank: Bank, loop: asyncio.AbstractEventLoop) -> Callable[[list[int]], None]:
        def on_write(words: list[int]) -> None:
            with self._lock:
                request = bank.command(words, time.monotonic_ns())
            if request is not None:
                loop.call_soon_threadsafe(pass_on, request, self._link, refused)

        def refused(reply: TriggerReply) -> None:
            with self._lock:
                bank.refuse(reply.trigger_id, reply.reason_code, time.monotonic_ns())

        return on_write

    async def take(self, item: Message | Notice, now_ns: int) -> None:
        """Show a result in its bank."""
        with self._lock:
            show(self._banks, item, now_ns)

    async def tick(self, now_ns: int) -> None:
        """Nothing: blocks are made when they are read."""

    async def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)
            self._server = None
