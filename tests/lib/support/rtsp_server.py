"""A live RTSP stream of pictures that carry their number: for Debian's python3, with gst-rtsp-server.

It prints one JSON line when it listens: its port, and the monotonic time at which picture 0 was due. Picture
n is due n / rate later, whether a client watches or not: on the same machine the age of a picture is known.
"""

from __future__ import annotations

import argparse
import json
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402
from numbered import BITS, numbered_luma  # noqa: E402 - this script's own folder


class Feed:
    """Pushes the pictures into one media's source in their time, from when a client asks until it ends."""

    def __init__(self, options: argparse.Namespace, start_ns: int, source: Gst.Element) -> None:
        self._options = options
        self._start_ns = start_ns
        self._source = source
        now = int((time.monotonic_ns() - start_ns) * options.rate / 1e9)
        self._first = self._next = now
        GLib.timeout_add(2, self._push)

    def _push(self) -> bool:
        options = self._options
        while time.monotonic_ns() >= self._start_ns + self._next * 1e9 / options.rate:
            luma = numbered_luma(self._next % 2**BITS, options.width, options.height)
            buffer = Gst.Buffer.new_wrapped(luma + bytes([128]) * (len(luma) // 2))
            buffer.pts = int((self._next - self._first) * 1e9 / options.rate)
            buffer.duration = int(1e9 / options.rate)
            self._next += 1
            if self._source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return False
        return True


def pipeline_text(options: argparse.Namespace) -> str:
    """The GStreamer pipeline from the pictures to RTP."""
    caps = f"video/x-raw,format=I420,width={options.width},height={options.height},framerate={options.rate}/1"
    encoder = {
        "h264": f"openh264enc complexity=low gop-size={options.gop} ! h264parse config-interval=-1 "
        "! rtph264pay name=pay0 pt=96",
        "jpeg": "jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26",
    }[options.codec]
    return f"( appsrc name=source is-live=true format=time caps={caps} ! {encoder} )"


def protect(server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, password: str) -> None:
    """Let only `operator` see the stream."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "operator")
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest("operator", password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    for allowed in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role("operator", allowed, True)
    factory.set_permissions(permissions)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--height", type=int, default=80)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--gop", type=int, default=10)
    parser.add_argument("--codec", choices=("h264", "jpeg"), default="h264")
    parser.add_argument("--password", help="of the user `operator`; without it nobody is asked")
    options = parser.parse_args()
    Gst.init(None)
    start_ns = time.monotonic_ns()

    def configure(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        Feed(options, start_ns, media.get_element().get_by_name("source"))

    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline_text(options))
    factory.set_shared(True)
    factory.connect("media-configure", configure)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    server.get_mount_points().add_factory("/line", factory)
    if options.password:
        protect(server, factory, options.password)
    server.attach(None)
    print(json.dumps({"port": server.get_bound_port(), "start_ns": start_ns}), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
