"""A live RTSP stream on loopback, and a relay before it that can hold its bytes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

DEBIAN_PYTHON = "/usr/bin/python3"
PACKAGES = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad"
)
_NEEDS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
    "Gst.init(None); assert all(Gst.ElementFactory.find(x) for x in ('openh264enc', 'rtph264pay', 'appsrc'))"
)
_MEDIA = b"$\0"  # how an RTP packet of the first channel begins within RTSP


def missing_packages() -> str | None:
    """Why no server can be started here, None if it can."""
    if not Path(DEBIAN_PYTHON).exists():
        return f"NO RTSP: no {DEBIAN_PYTHON}"
    # GStreamer may crash on its first look at the plug-ins of a machine; the second look is from its cache.
    environment = {**os.environ, "PYTHONPATH": ""}
    found = subprocess.run([DEBIAN_PYTHON, "-c", _NEEDS], env=environment, capture_output=True, check=False)
    return None if found.returncode == 0 else f"NO RTSP SERVER: apt-get install {PACKAGES}"


class RtspServer:
    """gst-rtsp-server in a process of its own; `options` are those of `rtsp_server.py`."""

    def __init__(self, *options: str, rate_hz: int = 25) -> None:
        script = str(Path(__file__).with_name("rtsp_server.py"))
        self._process = subprocess.Popen(
            [DEBIAN_PYTHON, script, "--rate", str(rate_hz), *options],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": ""},
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.port: int = told["port"]
        self._start_ns: int = told["start_ns"]
        self._rate_hz = rate_hz
        self.url = f"rtsp://127.0.0.1:{self.port}/line"

    def due_ns(self, number: int) -> int:
        """When picture `number` was due, in monotonic time."""
        return self._start_ns + round(number * 1e9 / self._rate_hz)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop it; its connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Relay:
    """Passes one connection on to `port`; it can hold back or drop what the server sends.

    `hold_after`: bytes of the client's request after which to hold.
    """

    def __init__(self, port: int, hold_after: bytes | None = None) -> None:
        self._target = port
        self._hold_after = hold_after
        self._flowing = threading.Event()
        self._flowing.set()
        self._dropping = False
        self.held = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/line"
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def drop_next(self) -> None:
        """Lose the next RTP packet: a small picture, or a parameter set."""
        self._dropping = True

    def hold(self) -> None:
        """Keep what the server sends."""
        self._flowing.clear()
        self.held.set()

    def release(self) -> None:
        """Pass on what was kept, at once."""
        self._flowing.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was closed by the other side
        for thread in self._threads:
            thread.join()
        for end in self._open:
            end.close()

    def _serve(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # nobody came
        server = socket.create_connection(("127.0.0.1", self._target))
        self._open += [client, server]
        down = threading.Thread(target=self._pass_down, args=(server, client))
        self._threads.append(down)
        down.start()
        self._pass_up(client, server)

    def _pass_up(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65_536):
                if self._hold_after is not None and self._hold_after in data:
                    self.hold()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _pass_down(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65_536):
                self._flowing.wait()
                if self._dropping and data[:2] == _MEDIA:
                    self._dropping = False
                    continue
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return
