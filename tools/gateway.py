"""`hlgfa gateway`: a station's results to PLCs and plant systems, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.gateway_config import GatewaysConfig
    from pipeline.gateways.gateway import Gateway


def gateway(
    config: Annotated[Path, typer.Argument(help="Configuration of the station.")] = Path("config.yaml"),
) -> None:
    """Serve the results of a station over Modbus TCP, OPC UA, MQTT and S7, until Ctrl-C."""
    import asyncio

    from pipeline.config import load_config
    from pipeline.gateways.gateway import Gateway
    from pipeline.log_config import LogSpec
    from pipeline.logs import started

    parsed = load_config(config)
    served = Gateway(parsed)
    assert parsed.gateways is not None
    lines = _describe(parsed.gateways)
    _stop_on_signals(served)
    with started(LogSpec(process="gateway", settings=parsed.logging)):
        asyncio.run(served.run(on_ready=lambda: print("\n".join(lines), flush=True)))


def _describe(gateways: GatewaysConfig) -> list[str]:
    """One line for each protocol: where it is."""
    lines = []
    if gateways.modbus is not None:
        lines.append(f"Modbus TCP on {gateways.modbus.host}:{gateways.modbus.port}")
    if gateways.s7 is not None:
        lines.append(f"S7 on {gateways.s7.host}:{gateways.s7.port}, from data block {gateways.s7.first_db}")
    if gateways.opcua is not None:
        opcua = gateways.opcua
        lines.append(f"OPC UA on opc.tcp://{opcua.host}:{opcua.port}/, security {opcua.security}")
    if gateways.mqtt is not None:
        lines.append(f"MQTT to {gateways.mqtt.host}:{gateways.mqtt.port}")
    return lines


def _stop_on_signals(served: Gateway) -> None:
    """Let Ctrl-C and SIGTERM stop it in order."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: served.stop())
