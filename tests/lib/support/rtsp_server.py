"""A live RTSP stream of pictures that carry their number: for Debian's python3, with gst-rtsp-server.

It prints one JSON line when it listens: its port, and the monotonic time at which picture 0 was due. Picture n
is due n / rate later, whether a client watches or not, so the age of a picture is known on the same machine.
"""

from __future__ import annotations

import argparse
import json
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

BITS = 16
COLUMNS, ROWS = 4, 4
DARK, BRIGHT = 48, 208


def picture(number: int, width: int, height: int) -> bytes:
    """An I420 picture: the bits of `number` as a grid of dark and bright blocks, first bit top left."""
    luma = bytearray()
    for row in range(ROWS):
        bits = [number >> (row * COLUMNS + column) & 1 for column in range(COLUMNS)]
        line = b"".join(bytes([BRIGHT if bit else DARK]) * (width // COLUMNS) for bit in bits)
        luma += line.ljust(width, bytes([DARK])) * (height // ROWS)
    luma = luma.ljust(width * height, bytes([DARK]))
    return bytes(luma) + bytes([128]) * (width * height // 2)


class Feed:
    """Pushes the pictures into one media's source in their time, from when a client asks until it ends."""

    def __init__(self, options: argparse.Namespace, start_ns: int, source: Gst.Element) -> None:
        self._options = options
        self._start_ns = start_ns
        self._source = source
        now = int((time.monotonic_ns() - start_ns) * options.rate / 1e9)
        self._first = self._next = max(0, now - options.burst)
        GLib.timeout_add(2, self._push)

    def _push(self) -> bool:
        options = self._options
        while time.monotonic_ns() >= self._start_ns + self._next * 1e9 / options.rate:
            data = picture(self._next % 2**BITS, options.width, options.height)
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts = int((self._next - self._first) * 1e9 / options.rate)
            buffer.duration = int(1e9 / options.rate)
            self._next += 1
            if self._source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return False
        return True


class Damage:
    """Spoils every n-th encoded picture that is not a key frame: its bytes, or all of it."""

    def __init__(self, every: int, kind: str) -> None:
        self._every = every
        self._kind = kind
        self._seen = 0

    def __call__(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        buffer = info.get_buffer()
        if not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT):
            return Gst.PadProbeReturn.OK
        self._seen += 1
        if self._seen % self._every:
            return Gst.PadProbeReturn.OK
        if self._kind == "drop":
            return Gst.PadProbeReturn.DROP
        size = buffer.get_size()
        buffer.fill(size // 3, b"\x55\xaa" * (size // 4))
        return Gst.PadProbeReturn.OK


def pipeline_text(options: argparse.Namespace) -> str:
    """The GStreamer pipeline from the pictures to RTP."""
    caps = f"video/x-raw,format=I420,width={options.width},height={options.height},framerate={options.rate}/1"
    encoder = {
        "h264": f"openh264enc name=encoder complexity=low gop-size={options.gop} ! h264parse config-interval=-1 "
        "! rtph264pay name=pay0 pt=96",
        "jpeg": "jpegenc name=encoder quality=90 ! rtpjpegpay name=pay0 pt=26",
    }[options.codec]
    return f"( appsrc name=source is-live=true format=time caps={caps} ! {encoder} )"


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--height", type=int, default=80)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--gop", type=int, default=10)
    parser.add_argument("--codec", choices=("h264", "jpeg"), default="h264")
    parser.add_argument("--burst", type=int, default=0, help="old pictures sent at once when a client comes")
    parser.add_argument("--damage-every", type=int, default=0)
    parser.add_argument("--damage", choices=("bytes", "drop"), default="bytes")
    options = parser.parse_args()
    Gst.init(None)
    start_ns = time.monotonic_ns() - int(options.burst * 1e9 / options.rate)

    def configure(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        element = media.get_element()
        Feed(options, start_ns, element.get_by_name("source"))
        if options.damage_every:
            pad = element.get_by_name("encoder").get_static_pad("src")
            pad.add_probe(Gst.PadProbeType.BUFFER, Damage(options.damage_every, options.damage))

    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline_text(options))
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)
    print(json.dumps({"port": server.get_bound_port(), "start_ns": start_ns}), flush=True)  # noqa: T201
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
