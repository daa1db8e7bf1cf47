"""A real OPC UA client against our server, a running station behind it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from pipeline.config import Config, ConfigError
from pipeline.gateways.opcua_fields import RESULT_TYPES
from pipeline.messages import Reason
from support.gateways import free_port, line_with, monitoring, serving
from support.recipes import changes_of, write_recipe

PATIENCE_S = 20.0
NAMESPACE = "urn:hlgfa:demo:s1:vision"


def config_with_opcua(root: Path, cameras: int = 1, **settings: Any) -> Config:
    return line_with(root, {"opcua": {"port": free_port()} | settings}, cameras=cameras)


def url_of(config: Config) -> str:
    assert config.gateways is not None
    assert config.gateways.opcua is not None
    return f"opc.tcp://127.0.0.1:{config.gateways.opcua.port}/"


class Events:
    """Result events as they come."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def event_notification(self, event: Any) -> None:
        self.queue.put_nowait(event)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.queue.get(), PATIENCE_S)


class Vision:
    """One vision system, as a client sees it."""

    def __init__(self, client: Client, namespace: int, name: str) -> None:
        self.client = client
        self._namespace = namespace
        self.node = client.nodes.objects.get_child([f"{namespace}:{name}"])

    async def child(self, *path: str) -> Any:
        return await (await self._system()).get_child([f"{self._namespace}:{step}" for step in path])

    async def _system(self) -> Any:
        if asyncio.iscoroutine(self.node):
            self.node = await self.node
        return self.node

    async def read(self, *path: str) -> Any:
        return await (await self.child(*path)).read_value()

    async def last(self, field: str) -> Any:
        return await self.read("ResultManagement", "LastResult", field)

    async def state(self, field: str = "CurrentState") -> Any:
        return await self.read("VisionStateMachine", field)

    async def wait(self, field: str, value: Any) -> None:
        async def until() -> None:
            while await self.state(field) != value:
                await asyncio.sleep(0.005)

        await asyncio.wait_for(until(), PATIENCE_S)

    async def start(self, trigger_id: int, part_id: str = "", job_id: str = "") -> Any:
        machine = await self.child("VisionStateMachine")
        arguments = [ua.Variant(trigger_id, ua.VariantType.UInt32), part_id, job_id]
        return await machine.call_method(f"{self._namespace}:StartSingleJob", *arguments)

    async def subscribe(self) -> Events:
        events = Events()
        subscription = await self.client.create_subscription(10, events)
        types = await self.client.nodes.base_event_type.get_child([f"{self._namespace}:ResultReadyEventType"])
        await subscription.subscribe_events(await self._system(), types)
        return events


@contextlib.asynccontextmanager
async def vision_of(
    config: Config, name: str = "cam1", client: Client | None = None
) -> AsyncIterator[Vision]:
    async with client or Client(url_of(config)) as connected:
        namespace = await connected.get_namespace_index(NAMESPACE)
        yield Vision(connected, namespace, name)


async def refuse_what_is_not_allowed(vision: Vision) -> None:
    recipes = await vision.child("RecipeManagement")
    for name in ("AddRecipe", "RemoveRecipe", "UnprepareRecipe"):
        method = await vision.child("RecipeManagement", name)
        with pytest.raises(ua.UaStatusCodeError, match="BadNotSupported"):
            await recipes.call_method(method.nodeid, "A")
    prepare = await vision.child("RecipeManagement", "PrepareRecipe")
    for text, why in (("A", "expected the number of a recipe"), ("1", "not_supported")):
        error, reason = await recipes.call_method(prepare.nodeid, text)
        assert error == -1
        assert why in reason or "answers only" in reason
    accept = await vision.child("ResultManagement", "LastResult", "Accept")
    with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
        await accept.write_value(True)


def test_jobs_give_events_and_the_last_result(tmp_path: Path) -> None:
    config = config_with_opcua(tmp_path, cameras=2)

    async def play() -> tuple[list[Any], dict[str, Any], list[Any]]:
        async with vision_of(config) as vision, vision_of(config, "part") as part:
            events, parts = await vision.subscribe(), await part.subscribe()
            await refuse_what_is_not_allowed(vision)
            await vision.wait("CurrentState", "Ready")
            found = []
            for number in range(5):
                assert await vision.start(100 + number, f"part-{number}", "job") == ["job", 0, ""]
                found.append(await events.next())
            last = {field: await vision.last(field) for field in RESULT_TYPES}
            assert (await part.start(200, "both"))[1] == 0
            return found, last, [await parts.next(), await events.next()]

    with serving(config), monitoring(config) as line:
        events, last, both = asyncio.run(play())
        line.wait_for(lambda: len(line.results) == 7, "all results")
    assert [event.Accept for event in events] == [True] * 4 + [False]
    for event, sent in zip(events, line.results[:5], strict=True):
        assert event.ResultId == sent.result_id
        assert (event.PartId, event.JobId, event.TriggerId) == (sent.part_id, "job", sent.trigger_id)
        assert (event.ResultState, event.ReasonCode, event.Reason) == (1, sent.reason_code, sent.reason)
        assert event.Score == sent.score
        assert (event.IsSimulated, event.IsPartial) == (sent.simulated, False)
        assert json.loads(event.ResultContent)["disposition"] == event.Disposition == sent.disposition
        assert event.ProcessingTimes[2] == sent.latency_us / 1000
        assert abs(datetime.datetime.now(datetime.timezone.utc) - event.CreationTime).total_seconds() < 60
    assert last == {field: getattr(events[-1], field) for field in RESULT_TYPES}
    assert [(event.PartId, event.TriggerId, event.Accept) for event in both] == [("both", 200, True)] * 2
    assert len(json.loads(both[0].ResultContent)["members"]) == 2


def test_a_silent_station_is_an_error_and_its_accept_falls(tmp_path: Path) -> None:
    config = config_with_opcua(tmp_path)

    async def accepted(trigger_id: int) -> None:
        async with vision_of(config) as vision:
            await vision.wait("CurrentState", "Ready")
            events = await vision.subscribe()
            await vision.start(trigger_id)
            assert (await events.next()).Accept
            assert await vision.last("Accept")

    async def silent() -> None:
        async with vision_of(config) as vision:
            await vision.wait("CurrentState", "Error")
            assert not await vision.state("IsReady")
            assert await vision.state("HasFault")
            assert not await vision.last("Accept")
            assert await vision.last("Disposition") == "reject"
            assert await vision.last("ReasonCode") == Reason.STATION_SILENT
            number = 100
            while (answer := await vision.start(number)) != ["", -1, "the station is silent"]:
                assert answer == ["", -1, "the station does not answer"], "its last status came late"
                number += 1

    with serving(config):
        with monitoring(config):
            asyncio.run(accepted(1))
        asyncio.run(silent())
        with monitoring(config):
            asyncio.run(accepted(3))


def test_users_and_encryption(tmp_path: Path) -> None:
    server, client = tmp_path / "server", tmp_path / "client"
    uri = "urn:hlgfa:demo:s1"
    (tmp_path / "password").write_text("open sesame\n")

    async def make_certificates() -> None:
        for where, name in ((server, uri), (client, "urn:client")):
            await setup_self_signed_certificate(
                where.with_suffix(".pem"), where.with_suffix(".der"), name, "localhost", [], {}
            )

    asyncio.run(make_certificates())
    config = config_with_opcua(
        tmp_path,
        security="sign_and_encrypt",
        certificate=str(server.with_suffix(".der")),
        private_key=str(server.with_suffix(".pem")),
        users=[{"name": "plc", "password_file": str(tmp_path / "password")}],
    )

    async def enter(user: str | None, password: str, *, encrypted: bool) -> str:
        made = Client(url_of(config), timeout=10)
        made.application_uri = "urn:client"
        if encrypted:
            await made.set_security(
                SecurityPolicyBasic256Sha256, client.with_suffix(".der"), client.with_suffix(".pem")
            )
        if user is not None:
            made.set_user(user)
            made.set_password(password)
        async with vision_of(config, client=made) as vision:
            state = await vision.state()
        assert isinstance(state, str)
        return state

    with serving(config):
        assert asyncio.run(enter("plc", "open sesame", encrypted=True)) == "Error"
        for user, password in (("plc", "wrong"), ("nobody", ""), (None, "")):
            with pytest.raises((ua.UaError, ValueError)):
                asyncio.run(enter(user, password, encrypted=True))
        with pytest.raises((ua.UaError, asyncio.TimeoutError, ConnectionError)):
            asyncio.run(enter("plc", "open sesame", encrypted=False))


def test_a_key_that_is_none_is_one_line(tmp_path: Path) -> None:
    for name in ("a.der", "b.pem"):
        (tmp_path / name).write_bytes(b"nothing")
    config = config_with_opcua(
        tmp_path,
        security="sign",
        certificate=str(tmp_path / "a.der"),
        private_key=str(tmp_path / "b.pem"),
    )
    with pytest.raises(ConfigError, match=r"gateways\.opcua: found .* expected an X\.509 certificate"):  # noqa: SIM117
        with serving(config):
            pass


def test_a_client_changes_the_recipe(tmp_path: Path) -> None:
    write_recipe(tmp_path, 7)
    config = line_with(tmp_path, {"opcua": {"port": free_port()}}, recipes=tmp_path / "recipes")

    async def play() -> list[Any]:
        async with vision_of(config) as vision:
            await vision.wait("CurrentState", "Ready")
            recipes = await vision.child("RecipeManagement")
            prepare = await vision.child("RecipeManagement", "PrepareRecipe")
            answers = [await recipes.call_method(prepare.nodeid, text) for text in ("8", "7")]
            await vision.wait("ActiveRecipe", 7)
            return answers

    with serving(config), monitoring(config) as line:
        (error, reason), begun = asyncio.run(play())
        line.wait_for(lambda: bool(changes_of(line)), "the changeover")
    assert error == -1
    assert "recipe 8: not in" in reason
    assert begun == [0, ""]
    assert changes_of(line)[-1].operator == "OPC UA"
