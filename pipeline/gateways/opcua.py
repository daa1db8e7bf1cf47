"""An OPC UA server: one vision system for each camera, with names and states of OPC 40100-1.

The companion specification's own node set is not loaded: these are its names in a namespace of ours, not a
certified implementation. What a client may write or call is the methods alone.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from pipeline.client import Message
from pipeline.config import ConfigError
from pipeline.gateways.banks import bank_names, result_timeout_ns
from pipeline.gateways.files import read_password, require_file
from pipeline.gateways.opcua_fields import result_fields
from pipeline.gateways.outlet import check_free, missing_library
from pipeline.messages import PartHeader, ResultHeader
from pipeline.stream_check import EpochChange

if TYPE_CHECKING:
    from asyncua.server.server import Server

    from pipeline.config import Config
    from pipeline.gateways.link import StationLink
    from pipeline.gateways.opcua_vision import VisionSystem
    from pipeline.gateways.station_view import StationView
    from pipeline.stream_check import Notice


class OpcuaOutlet:
    """Serves the vision systems, and takes triggers, to any number of clients."""

    def __init__(self, config: Config, station: StationView, link: StationLink) -> None:
        assert config.gateways is not None
        assert config.gateways.opcua is not None
        self._settings = config.gateways.opcua
        self._config = config
        self._station = station
        self._link = link
        self._server: Server | None = None
        self._systems: dict[str, VisionSystem] = {}

    async def open(self) -> None:
        """Build the address space and listen.

        Raises:
            ConfigError: asyncua is missing, a file cannot be used, or the address cannot be bound.
        """
        try:
            from asyncua.server.server import Server
        except ImportError as error:
            raise missing_library("opcua", "gateways") from error
        settings, station = self._settings, self._config.station
        check_free("gateways.opcua", settings.host, settings.port)
        passwords = {
            user.name: read_password("gateways.opcua.users", user.password_file) for user in settings.users
        }
        server = Server(user_manager=_make_user_manager(passwords))
        await self._secure(server)  # before the address space, whose making takes seconds
        await server.init()
        uri = f"urn:hlgfa:{station.line}:{station.name}"
        await server.set_application_uri(uri)
        server.set_server_name(f"HLGFA line monitor {station.line}/{station.name}")
        server.set_endpoint(f"opc.tcp://{settings.host}:{settings.port}/")
        await self._build(server, await server.register_namespace(f"{uri}:vision"))
        await server.start()
        self._server = server

    async def _secure(self, server: Server) -> None:
        from asyncua import ua

        policy = ua.SecurityPolicyType
        server.set_security_policy(
            {
                "none": [policy.NoSecurity],
                "sign": [policy.Basic256Sha256_Sign],
                "sign_and_encrypt": [policy.Basic256Sha256_SignAndEncrypt],
            }[self._settings.security]
        )
        token = ua.UserNameIdentityToken if self._settings.users else ua.AnonymousIdentityToken
        server.set_identity_tokens([token])
        certificate, key = self._settings.certificate, self._settings.private_key
        if certificate is None or key is None:
            return
        try:
            await server.load_certificate(require_file("gateways.opcua.certificate", certificate))
            await server.load_private_key(require_file("gateways.opcua.private_key", key))
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"gateways.opcua: found {certificate} and {key}, expected an X.509 certificate and its RSA "
                f"key without a password, DER or PEM ({error}). See docs/gateways.md."
            ) from error

    async def _build(self, server: Server, namespace: int) -> None:
        from pipeline.gateways.opcua_vision import VisionSystem, result_event_type

        event_type = await result_event_type(server, namespace)
        triggers = {camera.name: camera.trigger for camera in self._config.cameras}
        parts = self._config.parts
        for name in bank_names(self._config):
            trigger = triggers.get(name)
            self._systems[name] = VisionSystem(
                server,
                camera=None if trigger is None else name,
                cameras=[name] if trigger is not None or parts is None else parts.cameras,
                on_request=trigger is None or (trigger.source == "software" and trigger.period_ms is None),
                result_timeout_ns=result_timeout_ns(self._config),
                station=self._station,
                ask=self._link.trigger,
                change=self._link.changeover,
            )
            await self._systems[name].build(server.nodes.objects, namespace, name, event_type)

    async def take(self, item: Message | Notice, now_ns: int) -> None:
        """Show a result, send its event."""
        if isinstance(item, EpochChange):
            for system in self._systems.values():
                await system.give_up(now_ns)
        if isinstance(item, Message) and isinstance(item.header, ResultHeader | PartHeader):
            name = item.header.camera if isinstance(item.header, ResultHeader) else "part"
            shown = self._systems.get(name or "")
            if shown is not None:
                await shown.show(result_fields(item.header))

    async def tick(self, now_ns: int) -> None:
        """Show states, heartbeat, and rejects of triggers without a result."""
        for system in self._systems.values():
            await system.tick(now_ns)

    async def close(self) -> None:
        """Stop listening. Idempotent."""
        if self._server is not None:
            await self._server.stop()
            self._server = None


def _make_user_manager(passwords: dict[str, str]) -> Any:
    """Who may connect: those with a password, or, without any, everybody that the address lets in."""
    from asyncua.crypto.permission_rules import User, UserRole
    from asyncua.server.user_managers import UserManager

    class Users(UserManager):
        def get_user(
            self,
            iserver: Any,
            username: str | None = None,
            password: str | None = None,
            certificate: Any = None,
        ) -> User | None:
            if not passwords:
                return User(role=UserRole.User)
            expected = passwords.get(username or "")
            right = hmac.compare_digest((password or "").encode(), (expected or "").encode())
            return User(role=UserRole.User, name=username) if expected is not None and right else None

    return Users()
