"""One connection to an MQTT broker, kept by a thread of the library; reconnects by itself.

What is published while there is no connection is dropped, not queued: a verdict that comes later than the
next one is worse than none, and its number in the stream shows the loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.config import ConfigError
from pipeline.gateways.files import read_password, require_file
from pipeline.gateways.outlet import missing_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import MQTTMessage

    from pipeline.gateway_config import MqttConfig

QOS = 1
KEEPALIVE_S = 5
LONGEST_RETRY_S = 5


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message for the broker."""

    topic: str
    payload: bytes
    retain: bool = False


class Broker:
    """A client of the broker. `make_will` and `on_connected` are called for each connection, in a thread."""

    def __init__(
        self,
        config: MqttConfig,
        *,
        client_id: str,
        make_will: Callable[[], Letter],
        on_connected: Callable[[], None],
    ) -> None:
        """Set up; nothing connects yet.

        Raises:
            ConfigError: paho-mqtt is missing, or a file cannot be used.
        """
        try:
            import paho.mqtt.client as mqtt
            from paho.mqtt.enums import CallbackAPIVersion
            from paho.mqtt.reasoncodes import ReasonCode
        except ImportError as error:
            raise missing_library("mqtt", "gateways") from error
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._config = config
        self._secure()
        self._client.max_queued_messages = config.queue_messages
        self._client.reconnect_delay_set(1, LONGEST_RETRY_S)

        def set_will(*_: object) -> None:
            will = make_will()
            self._client.will_set(will.topic, will.payload, QOS, will.retain)

        def connected(_client: object, _data: object, _flags: object, reason: ReasonCode, _: object) -> None:
            if not reason.is_failure:
                on_connected()

        self._client.on_pre_connect = set_will
        self._client.on_connect = connected

    def _secure(self) -> None:
        if self._config.ca_file is not None:
            ca_file = require_file("gateways.mqtt.ca_file", self._config.ca_file)
            try:
                self._client.tls_set(ca_file)
            except OSError as error:  # of which ssl.SSLError is one
                raise ConfigError(
                    f"gateways.mqtt.ca_file: {ca_file} holds no certificate: {error}."
                ) from error
        user = self._config.user
        if user is not None:
            where = "gateways.mqtt.user.password_file"
            self._client.username_pw_set(user.name, read_password(where, user.password_file))

    def start(self) -> None:
        """Connect, now and whenever the connection is lost; a broker that is not there is waited for."""
        self._client.connect_async(self._config.host, self._config.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """Whether the broker has let us in."""
        return self._client.is_connected()

    def publish(self, letter: Letter) -> bool:
        """Send at least once (QoS 1); False if there is no connection or too much waits: it is dropped."""
        if not self.connected:
            return False
        info = self._client.publish(letter.topic, letter.payload, QOS, letter.retain)
        return info.rc == 0

    def subscribe(self, topic: str, on_payload: Callable[[bytes], None]) -> None:
        """Hear a topic; to be called again for each connection."""

        def heard(_client: object, _data: object, message: MQTTMessage) -> None:
            on_payload(bytes(message.payload))

        self._client.message_callback_add(topic, heard)
        self._client.subscribe(topic, QOS)

    def stop(self, farewell: Letter) -> None:
        """Say the last word, as the will would have, and disconnect. Idempotent."""
        if self.connected:
            self._client.publish(farewell.topic, farewell.payload, QOS, farewell.retain).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()
        self._client.reinitialise()  # closes what the library keeps open: two sockets to wake its thread
