"""The banks of one PLC protocol: each camera's in the order of config.yaml, then that of parts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.client import Message
from pipeline.gateways.bank import Bank, Layout
from pipeline.gateways.station_view import shown
from pipeline.messages import PartHeader, ResultHeader
from pipeline.requests import ChangeoverRequest
from pipeline.stream_check import EpochChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.gateways.link import StationLink
    from pipeline.gateways.station_view import StationView
    from pipeline.requests import TriggerReply, TriggerRequest
    from pipeline.stream_check import Notice

TIMEOUT_MARGIN_MS = 100.0


def result_timeout_ns(config: Config) -> int:
    """How long a PLC's trigger may be without a result."""
    assert config.gateways is not None
    timeout_ms = config.gateways.result_timeout_ms
    if timeout_ms is None:
        timeout_ms = config.station.deadline_ms + TIMEOUT_MARGIN_MS
    return round(timeout_ms * 1e6)


def bank_names(config: Config) -> list[str]:
    """Names of the banks in their order: the cameras, then `part` if several cameras see one."""
    names = [camera.name for camera in config.cameras]
    return names if config.parts is None else [*names, "part"]


def make_banks(config: Config, station: StationView) -> list[Bank]:
    """The banks in the order of `bank_names`."""
    assert config.gateways is not None
    timeouts = {
        "result_timeout_ns": result_timeout_ns(config),
        "plc_timeout_ns": round(config.gateways.plc_timeout_ms * 1e6),
    }
    names = [camera.name for camera in config.cameras]
    banks = [Bank(Layout(camera=name, cameras=[name], **timeouts), station) for name in names]
    if config.parts is not None:
        banks.append(Bank(Layout(camera=None, cameras=config.parts.cameras, **timeouts), station))
    return banks


def pass_on(
    request: TriggerRequest | ChangeoverRequest | None,
    link: StationLink,
    on_refused: Callable[[TriggerReply], None],
) -> None:
    """Ask the station what a PLC has commanded; how a changeover goes shows in `recipe ok` and word 16."""
    if isinstance(request, ChangeoverRequest):
        link.hand_over_changeover(request)
    elif request is not None:
        link.hand_over(request, on_refused)


def show(banks: list[Bank], item: Message | Notice, now_ns: int) -> None:
    """Give each bank what concerns it."""
    for bank in banks:
        if isinstance(item, EpochChange):
            bank.station_restarted(now_ns)
        elif isinstance(item, Message) and _concerns(bank, item):
            assert isinstance(item.header, ResultHeader | PartHeader)
            bank.take(shown(item.header), now_ns)


def _concerns(bank: Bank, message: Message) -> bool:
    if bank.layout.camera is None:
        return isinstance(message.header, PartHeader)
    return isinstance(message.header, ResultHeader) and message.header.camera == bank.layout.camera
