"""Debian's MQTT broker on a free port of loopback, with users and TLS if asked for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from support.certificates import make_certificate
from support.gateways import free_port, wait_for

if TYPE_CHECKING:
    from typing_extensions import Self

DIRECTORIES = ("/usr/sbin", "/usr/local/sbin")


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *DIRECTORIES]))


class Mosquitto:
    """A broker in a process of its own; `user` and `certificate` switch on what they are for."""

    def __init__(
        self, root: Path, *, port: int | None = None, user: tuple[str, str] | None = None, tls: bool = False
    ) -> None:
        self.port = port or free_port()
        self.ca_file = root / "broker.crt"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if user else 'true'}"]
        if user is not None:
            passwords = root / "passwords"
            subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), *user], check=True)
            passwords.chmod(0o644)
            lines.append(f"password_file {passwords}")
        if tls:
            key = make_certificate(self.ca_file)
            lines += [f"certfile {self.ca_file}", f"keyfile {key}"]
        # As root it would become another user, who may not read a test's files.
        lines += ["user root"] if os.geteuid() == 0 else []
        config = root / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        program = find_mosquitto()
        assert program is not None
        self._log = root / "mosquitto.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([program, "-c", str(config)], stderr=log)
        wait_for(self._answers, "the broker")

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


class Listener:
    """A subscriber of the broker; everything it has heard, by topic."""

    def __init__(self, port: int, topic: str = "#") -> None:
        self._messages: list[tuple[str, bytes, bool, int]] = []
        self._lock = threading.Lock()
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(topic, 1)
        assert subscribed.wait(10)

    def _take(self, _client: object, _data: object, message: MQTTMessage) -> None:
        with self._lock:
            self._messages.append((message.topic, bytes(message.payload), bool(message.retain), message.qos))

    def heard(self, start: str) -> list[bytes]:
        with self._lock:
            return [payload for topic, payload, _, _ in self._messages if topic.startswith(start)]

    def everything(self) -> list[tuple[str, bytes]]:
        with self._lock:
            return [(topic, payload) for topic, payload, _, _ in self._messages]

    def retained(self) -> set[str]:
        with self._lock:
            return {topic for topic, _, retained, _ in self._messages if retained}

    def qualities(self) -> set[int]:
        with self._lock:
            return {quality for _, _, _, quality in self._messages}

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.reinitialise()  # closes its sockets
