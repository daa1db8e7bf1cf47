"""A Modbus TCP server: the banks as registers, 64 words each, in holding and input registers alike.

Bank k begins at register 64k: words 0-23 to the PLC, words 32-55 from it. The block is made when it is read,
within the one call that answers the request, so a block that is read whole is of one moment, and stale
from the moment on that the station is. Whole registers only: coils are not served.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline.gateways.banks import make_banks, pass_on, show
from pipeline.gateways.outlet import check_free, missing_library
from pipeline.gateways.registers import BLOCK_WORDS

if TYPE_CHECKING:
    from pymodbus.constants import ExcCodes
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import SimDevice

    from pipeline.client import Message
    from pipeline.config import Config
    from pipeline.gateways.bank import Bank
    from pipeline.gateways.link import StationLink
    from pipeline.gateways.station_view import StationView
    from pipeline.stream_check import Notice

BANK_WORDS = 64
COMMAND_AT = 32
REGISTER_FUNCTIONS = (3, 4, 6, 16, 22, 23)


class ModbusOutlet:
    """Serves the register blocks, and takes triggers, to any number of clients."""

    def __init__(self, config: Config, station: StationView, link: StationLink) -> None:
        assert config.gateways is not None
        assert config.gateways.modbus is not None
        self._config = config.gateways.modbus
        self._banks = make_banks(config, station)
        self._link = link
        self._server: ModbusTcpServer | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            ConfigError: pymodbus is missing, or the address cannot be bound.
        """
        try:
            from pymodbus.server import ModbusTcpServer
        except ImportError as error:
            raise missing_library("modbus", "gateways") from error
        check_free("gateways.modbus", self._config.host, self._config.port)
        self._server = ModbusTcpServer(self._device(), address=(self._config.host, self._config.port))
        await self._server.serve_forever(background=True)

    def _device(self) -> SimDevice:
        """All banks as one block of registers, of which only the commands can be written."""
        from pymodbus.simulator import DataType, SimData, SimDevice

        registers = DataType.REGISTERS
        data = []
        for base in range(0, BANK_WORDS * len(self._banks), BANK_WORDS):
            after = base + COMMAND_AT + BLOCK_WORDS
            rest = base + BANK_WORDS - after
            data += [
                SimData(base, count=COMMAND_AT, values=0, datatype=registers, readonly=True),
                SimData(base + COMMAND_AT, count=BLOCK_WORDS, values=0, datatype=registers),
                SimData(after, count=rest, values=0, datatype=registers, readonly=True),
            ]
        return SimDevice(0, simdata=data, action=self._on_access)

    async def _on_access(
        self,
        function_code: int,
        _start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called by pymodbus within a request, before it reads `registers` or writes `values` to them."""
        from pymodbus.constants import ExcCodes

        if function_code not in REGISTER_FUNCTIONS:
            return ExcCodes.ILLEGAL_FUNCTION
        if values is not None:
            registers[address : address + len(values)] = values
        now_ns = time.monotonic_ns()
        for index in range(address // BANK_WORDS, (address + count - 1) // BANK_WORDS + 1):
            base = index * BANK_WORDS
            if values is not None:
                command = registers[base + COMMAND_AT : base + COMMAND_AT + BLOCK_WORDS]
                self._command(self._banks[index], command, now_ns)
            registers[base : base + BLOCK_WORDS] = self._banks[index].words(now_ns)
        return None

    def _command(self, bank: Bank, words: list[int], now_ns: int) -> None:
        pass_on(
            bank.command(words, now_ns),
            self._link,
            lambda reply: bank.refuse(reply.trigger_id, reply.reason_code, time.monotonic_ns()),
        )

    async def take(self, item: Message | Notice, now_ns: int) -> None:
        """Show a result in its bank."""
        show(self._banks, item, now_ns)

    async def tick(self, now_ns: int) -> None:
        """Nothing: blocks are made when they are read."""

    async def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None
