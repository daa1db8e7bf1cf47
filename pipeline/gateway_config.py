"""The gateways of config.yaml: results to PLCs and plant systems, a section for each protocol.

Addresses are loopback by default. One that is not needs what its protocol has for security; Modbus and S7
have nothing, so `allow_unencrypted` must say that the network is trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.camera_config import Name, Section
from pipeline.socket_config import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

Port = Annotated[int, Meta(ge=1, le=65_535)]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
TopicPart = Annotated[str, Meta(pattern=r"^[^+#/\s]{1,64}$")]
FilePath = Annotated[str, Meta(min_length=1)]


class ModbusConfig(Section, frozen=True, kw_only=True):
    """A Modbus TCP server; the protocol has neither encryption nor users."""

    host: Host = "127.0.0.1"
    port: Port = 5020
    allow_unencrypted: bool = False


class S7Config(Section, frozen=True, kw_only=True):
    """An S7 server: bank k writes data block `first_db` + 2k and reads the one after it.

    The protocol, as PUT/GET uses it, has neither encryption nor users.
    """

    host: Host = "127.0.0.1"
    port: Port = 1102
    first_db: Annotated[int, Meta(ge=1, le=60_000)] = 100
    allow_unencrypted: bool = False


class UserConfig(Section, frozen=True, kw_only=True):
    """A user of a server; `password_file` holds the password alone, so that config.yaml has no secret."""

    name: Name
    password_file: FilePath


class OpcuaConfig(Section, frozen=True, kw_only=True):
    """An OPC UA server.

    With `security` other than none, clients sign (and encrypt) by Basic256Sha256 under `certificate` and
    `private_key` (DER or PEM files). With `users`, nobody else may connect.
    """

    host: Host = "127.0.0.1"
    port: Port = 4840
    security: Literal["none", "sign", "sign_and_encrypt"] = "none"
    certificate: FilePath | None = None
    private_key: FilePath | None = None
    users: Annotated[list[UserConfig], Meta(max_length=64)] = msgspec.field(default_factory=list)


class MqttConfig(Section, frozen=True, kw_only=True):
    """A client of the MQTT broker at `host`; `ca_file` switches TLS on, its certificates are trusted.

    Topics begin with `prefix`. With `sparkplug_group` it speaks Sparkplug B as well.
    """

    host: Host = "127.0.0.1"
    port: Port = 1883
    ca_file: FilePath | None = None
    user: UserConfig | None = None
    prefix: TopicPart = "hlgfa"
    sparkplug_group: TopicPart | None = None
    queue_messages: Annotated[int, Meta(ge=1, le=100_000)] = 1_000


class GatewaysConfig(Section, frozen=True, kw_only=True):
    """What `hlgfa gateway` serves.

    `result_timeout_ms`: a trigger of a PLC that has no result by then is a reject; null for the station's
    deadline and 100 ms. `plc_timeout_ms`: a PLC whose heartbeat stands still for longer gets no `ready`.
    `key`: name of the gateway's own pair in security.keys_dir, for a station whose addresses want keys.
    """

    modbus: ModbusConfig | None = None
    s7: S7Config | None = None
    opcua: OpcuaConfig | None = None
    mqtt: MqttConfig | None = None
    result_timeout_ms: Annotated[float, Meta(ge=1, le=600_000)] | None = None
    plc_timeout_ms: Annotated[float, Meta(ge=50, le=600_000)] = 2_000.0
    key: Name = "gateway"


def find_errors(gateways: GatewaysConfig) -> Iterator[str]:
    """What contradicts itself or is not safe, as text: key, found, expected."""
    for name, unencrypted in (("modbus", gateways.modbus), ("s7", gateways.s7)):
        if unencrypted is not None and not (is_loopback(unencrypted.host) or unencrypted.allow_unencrypted):
            yield (
                f"gateways.{name}.host: found {unencrypted.host!r}, expected a loopback address: the "
                "protocol has no encryption and no users. On a network that only the PLC and this machine "
                "share, set allow_unencrypted: true."
            )
    if gateways.opcua is not None:
        yield from _opcua_errors(gateways.opcua)
    if gateways.mqtt is not None:
        yield from _mqtt_errors(gateways.mqtt)
    servers = [server for server in (gateways.modbus, gateways.s7, gateways.opcua) if server is not None]
    ports = [server.port for server in servers]
    if len(set(ports)) < len(ports):
        yield f"gateways: found the ports {ports}, expected a different one for each server."


def _opcua_errors(opcua: OpcuaConfig) -> Iterator[str]:
    secure = opcua.security != "none"
    if not is_loopback(opcua.host) and not (opcua.security == "sign_and_encrypt" and opcua.users):
        yield (
            f"gateways.opcua.host: found {opcua.host!r} with security {opcua.security!r} and "
            f"{len(opcua.users)} users, expected a loopback address, or 'sign_and_encrypt' and a user."
        )
    if secure and (opcua.certificate is None or opcua.private_key is None):
        yield (
            f"gateways.opcua: found security {opcua.security!r} without certificate and private_key, "
            "expected their files (docs/gateways.md shows how to make them)."
        )
    if not secure and (opcua.certificate is not None or opcua.private_key is not None):
        yield "gateways.opcua: found a certificate or key with security 'none', expected 'sign_and_encrypt'."
    if opcua.users and opcua.security != "sign_and_encrypt":
        yield (
            f"gateways.opcua.users: found users with security {opcua.security!r}, expected "
            "'sign_and_encrypt': their passwords would travel readable."
        )
    names = [user.name for user in opcua.users]
    if len(set(names)) < len(names):
        yield f"gateways.opcua.users: found the names {names}, expected unique names."


def _mqtt_errors(mqtt: MqttConfig) -> Iterator[str]:
    if not is_loopback(mqtt.host) and (mqtt.ca_file is None or mqtt.user is None):
        yield (
            f"gateways.mqtt.host: found {mqtt.host!r}, expected a loopback address, or ca_file (TLS) and "
            "user: results may not leave this machine unencrypted."
        )
