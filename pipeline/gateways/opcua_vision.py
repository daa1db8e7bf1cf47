"""One vision system in the address space of the OPC UA server: state, last result, events, methods."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.common.methods import uamethod

from pipeline.gateways.opcua_fields import (
    RESULT_TYPES,
    Value,
    empty_fields,
    missing_result,
    state_name,
)
from pipeline.messages import Reason
from pipeline.requests import ChangeoverRequest, TriggerRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncua.common.node import Node
    from asyncua.server.event_generator import EventGenerator
    from asyncua.server.server import Server

    from pipeline.gateways.station_view import StationView
    from pipeline.requests import ChangeoverReply, TriggerReply

    Ask = Callable[[TriggerRequest], Awaitable[TriggerReply]]
    Change = Callable[[ChangeoverRequest], Awaitable[ChangeoverReply]]

NOT_TAKEN = -1
BAD_NOT_SUPPORTED = 0x803D0000
"""The status code of that name, OPC UA part 6."""
HEARTBEAT_NS = 100_000_000
NOT_SUPPORTED = ("AddRecipe", "RemoveRecipe", "UnprepareRecipe")
MAX_RECIPE = 0xFFFF
STATE_TYPES = {
    "CurrentState": "String",
    "IsReady": "Boolean",
    "IsBusy": "Boolean",
    "HasFault": "Boolean",
    "Heartbeat": "UInt32",
    "ActiveRecipe": "UInt32",
}


class VisionSystem:
    """What clients see of one camera, or of the part that several see. One asyncio loop only."""

    def __init__(
        self,
        server: Server,
        *,
        camera: str | None,
        cameras: list[str],
        on_request: bool,
        result_timeout_ns: int,
        station: StationView,
        ask: Ask,
        change: Change,
    ) -> None:
        self._server = server
        self._camera, self._cameras, self._on_request = camera, cameras, on_request
        self._timeout_ns = result_timeout_ns
        self._station, self._ask, self._change = station, ask, change
        self._open: dict[int, int] = {}
        self._given_up: dict[int, int] = {}
        self._values: dict[str, Value] = empty_fields()
        self._nodes: dict[str, Node] = {}
        self._events: EventGenerator | None = None

    async def build(self, parent: Node, namespace: int, name: str, event_type: Node) -> None:
        """Add the nodes."""
        system = await parent.add_object(namespace, name)
        machine = await system.add_object(namespace, "VisionStateMachine")
        for field, kind in STATE_TYPES.items():
            self._nodes[field] = await _add_variable(machine, namespace, field, kind, _default(kind))
        results = await system.add_object(namespace, "ResultManagement")
        last = await results.add_object(namespace, "LastResult")
        for field, kind in RESULT_TYPES.items():
            self._nodes[field] = await _add_variable(last, namespace, field, kind, self._values[field])
        self._events = await self._server.get_event_generator(event_type.nodeid, system.nodeid)
        await self._add_methods(system, machine, namespace)

    async def _add_methods(self, system: Node, machine: Node, namespace: int) -> None:
        text, number = ua.VariantType.String, ua.VariantType.UInt32
        await machine.add_method(
            namespace,
            "StartSingleJob",
            uamethod(self._start_single_job),
            [_argument("TriggerId", number), _argument("PartId", text), _argument("JobId", text)],
            [
                _argument("JobId", text),
                _argument("Error", ua.VariantType.Int32),
                _argument("Reason", text),
            ],
        )
        await machine.add_method(namespace, "Reset", uamethod(self._reset), [], [])
        recipes = await system.add_object(namespace, "RecipeManagement")
        arguments = [_argument("ExternalId", text)]
        outputs = [_argument("Error", ua.VariantType.Int32)]
        for method in NOT_SUPPORTED:
            await recipes.add_method(namespace, method, _not_supported, arguments, outputs)
        outputs = [*outputs, _argument("Reason", text)]
        await recipes.add_method(
            namespace, "PrepareRecipe", uamethod(self._prepare_recipe), arguments, outputs
        )

    # Methods

    async def _start_single_job(
        self, _parent: ua.NodeId, trigger_id: int, part_id: str | None, job_id: str | None
    ) -> tuple[str, int, str]:
        """Hand a trigger to the station; what is taken gets one event with its TriggerId."""
        now_ns = time.monotonic_ns()
        if trigger_id in self._open or trigger_id in self._given_up:
            return job_id or "", NOT_TAKEN, f"trigger id {trigger_id} is in use, expected a new one"
        if not self._station.fresh(now_ns):
            return job_id or "", NOT_TAKEN, "the station is silent"
        self._open[trigger_id] = now_ns + self._timeout_ns
        request = TriggerRequest(
            trigger_id=trigger_id, part_id=part_id or None, job_id=job_id or None, camera=self._camera
        )
        reply = await self._ask(request)
        if not reply.taken:
            self._open.pop(trigger_id, None)
            self._given_up[trigger_id] = time.monotonic_ns() + self._timeout_ns
            return job_id or "", NOT_TAKEN, reply.reason
        return job_id or "", 0, ""

    async def _reset(self, _parent: ua.NodeId) -> None:
        """Give up what is open: each gets its reject."""
        await self.give_up(time.monotonic_ns(), Reason.LATE)

    async def _prepare_recipe(self, _parent: ua.NodeId, external_id: str | None) -> tuple[int, str]:
        """Ask the station to change to a recipe; ActiveRecipe says when it has."""
        text = external_id or ""
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_RECIPE)) else 0
        if not 1 <= number <= MAX_RECIPE:
            return (
                NOT_TAKEN,
                f"found ExternalId {text[:40]!r}, expected the number of a recipe, 1 to {MAX_RECIPE}",
            )
        reply = await self._change(ChangeoverRequest(recipe=number, operator="OPC UA"))
        return (0, "") if reply.accepted else (NOT_TAKEN, reply.reason)

    # What the gateway's loop says

    async def show(self, fields: dict[str, Value]) -> None:
        """Show a result and send its event, unless its trigger was given up before."""
        trigger_id = fields["TriggerId"]
        assert isinstance(trigger_id, int)
        self._open.pop(trigger_id, None)
        if self._given_up.pop(trigger_id, None) is not None:
            return
        await self._publish(fields)

    async def give_up(self, now_ns: int, reason: Reason = Reason.STATION_SILENT) -> None:
        """Reject what is open."""
        for trigger_id in list(self._open):
            del self._open[trigger_id]
            self._given_up[trigger_id] = now_ns + self._timeout_ns
            await self._publish(missing_result(trigger_id, reason, _utc_now()))

    async def tick(self, now_ns: int) -> None:
        """State and heartbeat; rejects of what is overdue; an accept of a silent station becomes a reject."""
        fresh = self._station.fresh(now_ns)
        if not fresh:
            await self.give_up(now_ns)
            if self._values["Accept"]:
                await self._withdraw()
        self._given_up = {key: until for key, until in self._given_up.items() if now_ns <= until}
        for trigger_id, due_ns in list(self._open.items()):
            if now_ns > due_ns:
                del self._open[trigger_id]
                self._given_up[trigger_id] = now_ns + self._timeout_ns
                await self._publish(missing_result(trigger_id, Reason.LATE, _utc_now()))
        await self._set_states(now_ns, fresh=fresh)

    async def _set_states(self, now_ns: int, *, fresh: bool) -> None:
        status, busy = self._station.status, bool(self._open)
        states: dict[str, Value] = {
            "CurrentState": state_name(status, fresh=fresh, on_request=self._on_request, open_jobs=busy),
            "IsReady": self._station.ready(self._cameras, now_ns),
            "IsBusy": busy,
            "HasFault": self._station.faulty(now_ns),
            "Heartbeat": now_ns // HEARTBEAT_NS & 0xFFFFFFFF,
            "ActiveRecipe": self._station.recipe,
        }
        for field, value in states.items():
            if self._values.get(field) != value:
                await self._write(field, STATE_TYPES[field], value)

    async def _withdraw(self) -> None:
        changes: dict[str, Value] = {
            "Accept": False,
            "Disposition": "reject",
            "ReasonCode": int(Reason.STATION_SILENT),
            "Reason": "the station is silent",
        }
        for field, value in changes.items():
            await self._write(field, RESULT_TYPES[field], value)

    async def _publish(self, fields: dict[str, Value]) -> None:
        """The event first: it is whole, while variables change one by one. Accept rises last."""
        assert self._events is not None
        for field, value in fields.items():
            setattr(self._events.event, field, value)
        self._events.event.Severity = 100 if fields["Accept"] else 500
        await self._events.trigger(
            message=f"{fields['Disposition']} {fields['PartId'] or fields['TriggerId']}"
        )
        await self._write("Accept", "Boolean", value=False)
        for field in sorted(fields, key=lambda name: name == "Accept"):
            if self._values[field] != fields[field]:
                await self._write(field, RESULT_TYPES[field], fields[field])

    async def _write(self, field: str, kind: str, value: Value) -> None:
        self._values[field] = value
        variant = ua.Variant(value, ua.VariantType[kind])
        await self._server.write_attribute_value(self._nodes[field].nodeid, ua.DataValue(variant))


async def result_event_type(server: Server, namespace: int) -> Node:
    """The type of the event that each result sends."""
    properties = [(name, ua.VariantType[kind]) for name, kind in RESULT_TYPES.items()]
    return await server.create_custom_event_type(namespace, "ResultReadyEventType", properties=properties)


async def _add_variable(parent: Node, namespace: int, name: str, kind: str, value: Value) -> Node:
    """A variable that clients can only read."""
    return await parent.add_variable(namespace, name, ua.Variant(value, ua.VariantType[kind]))


def _default(kind: str) -> Value:
    values: dict[str, Value] = {"String": "Error", "Boolean": False, "UInt32": 0}
    return values[kind]


def _argument(name: str, kind: ua.VariantType) -> ua.Argument:
    return ua.Argument(Name=name, DataType=ua.NodeId(ua.Int32(kind.value)), ValueRank=-1)


async def _not_supported(_parent: ua.NodeId, *_arguments: ua.Variant) -> ua.StatusCode:
    """Recipes are files on the station; clients choose among them."""
    return ua.StatusCode(ua.UInt32(BAD_NOT_SUPPORTED))


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)
