"""Jobs that end without a result, without a server: what would be sent."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from asyncua import ua

from pipeline.gateways.opcua_fields import empty_fields, result_fields, state_name
from pipeline.gateways.opcua_vision import VisionSystem
from pipeline.gateways.station_view import StationView
from pipeline.messages import Reason, ResultHeader, StatusHeader
from pipeline.requests import ChangeoverReply, ChangeoverRequest, TriggerReply, TriggerRequest
from support.messages import example

MS = 1_000_000
TIMEOUT_MS = 200


class Recorder(VisionSystem):
    """A vision system whose events are kept instead of sent."""

    def __init__(self, *, taken: bool = True) -> None:
        self.station = StationView()
        self.sent: list[dict[str, Any]] = []

        async def ask(request: TriggerRequest) -> TriggerReply:
            return TriggerReply(trigger_id=request.trigger_id, taken=taken, reason="" if taken else "no")

        async def change(request: ChangeoverRequest) -> ChangeoverReply:
            return ChangeoverReply(recipe=request.recipe, accepted=taken, reason="" if taken else "no")

        super().__init__(
            None,  # type: ignore[arg-type]
            camera="cam1",
            cameras=["cam1"],
            on_request=True,
            result_timeout_ns=TIMEOUT_MS * MS,
            station=self.station,
            ask=ask,
            change=change,
        )

    async def _publish(self, fields: dict[str, Any]) -> None:
        self.sent.append(fields)

    async def _write(self, field: str, kind: str, value: Any) -> None:
        self._values[field] = value

    def hear(self) -> None:
        status = msgspec.structs.replace(example("status"), period_ms=60_000)
        assert isinstance(status, StatusHeader)
        self.station.take(status, now_ns=time.monotonic_ns(), age_ns=0)


async def begun(trigger_id: int = 5) -> Recorder:
    system = Recorder()
    system.hear()
    assert (await system._start_single_job(ua.NodeId(), trigger_id, "A", ""))[1] == 0
    return system


def test_no_result_in_time_is_a_reject_and_what_comes_later_is_not_shown() -> None:
    async def play() -> list[dict[str, Any]]:
        system = await begun()
        now_ns = time.monotonic_ns()
        await system.tick(now_ns)
        assert not system.sent
        await system.tick(now_ns + (TIMEOUT_MS + 1) * MS)
        await system.show(result_fields(accepted(5)))
        return system.sent

    (event,) = asyncio.run(play())
    assert (event["TriggerId"], event["Accept"], event["ReasonCode"]) == (5, False, Reason.LATE)


@pytest.mark.parametrize("restarted", [True, False])
def test_a_station_that_falls_silent_gives_rejects(restarted: bool) -> None:
    async def play() -> list[dict[str, Any]]:
        system = await begun()
        if restarted:
            await system.give_up(time.monotonic_ns())
        else:
            await system.tick(time.monotonic_ns() + 1_000_000 * MS)
        return system.sent

    (event,) = asyncio.run(play())
    assert (event["TriggerId"], event["Accept"], event["ReasonCode"]) == (5, False, Reason.STATION_SILENT)


def test_an_id_in_use_and_a_refusal_are_said() -> None:
    async def play() -> None:
        system = await begun()
        assert (await system._start_single_job(ua.NodeId(), 5, "", ""))[1] == -1
        refused = Recorder(taken=False)
        refused.hear()
        assert await refused._start_single_job(ua.NodeId(), 6, "", "job") == ("job", -1, "no")
        assert not refused.sent

    asyncio.run(play())


def accepted(trigger_id: int) -> ResultHeader:
    made = msgspec.structs.replace(example("result"), trigger_id=trigger_id, disposition="accept")
    assert isinstance(made, ResultHeader)
    return made


def test_every_result_fills_every_field() -> None:
    for kind in ("result", "part"):
        assert result_fields(example(kind)).keys() == empty_fields().keys()


@pytest.mark.parametrize(
    ("state", "fresh", "on_request", "open_jobs", "expected"),
    [
        ("ContinuousExecution", True, True, False, "Ready"),
        ("ContinuousExecution", True, True, True, "SingleExecution"),
        ("ContinuousExecution", True, False, False, "ContinuousExecution"),
        ("Preoperational", True, True, False, "Preoperational"),
        ("Halted", True, True, False, "Halted"),
        ("ContinuousExecution", False, True, False, "Error"),
    ],
)
def test_states(state: str, fresh: bool, on_request: bool, open_jobs: bool, expected: str) -> None:
    status = msgspec.structs.replace(example("status"), state=state)
    assert isinstance(status, StatusHeader)
    assert state_name(status, fresh=fresh, on_request=on_request, open_jobs=open_jobs) == expected
    assert state_name(None, fresh=fresh, on_request=on_request, open_jobs=open_jobs) == "Error"
