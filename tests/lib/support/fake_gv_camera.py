"""A GigE Vision camera over real UDP, from Aravis, in a process of its own: it can be killed.

Its images are random bytes, those of frame n by the seed n: see `frame_bytes`. This file is also the program.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

_USER_NAME_REGISTER = 0xE8
_TRIGGERS_HZ = 500.0  # how often it looks whether it was triggered
# What Aravis' own description lacks: packed formats, widths in steps.
_MORE_FORMATS = {"Mono12": 0x01100005, "Mono12Packed": 0x010C0006, "Mono12p": 0x010C0047}
_FILL = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_uint32] * 3)


def frame_bytes(raw_frame_id: int, count: int) -> NDArray[np.uint8]:
    """What the camera sends as frame `raw_frame_id`, uint8 (count,)."""
    return np.random.default_rng(raw_frame_id).integers(0, 256, count, np.uint8)


def missing_aravis() -> str | None:
    """Why there can be none here, None if there can."""
    try:
        _load()
    except (ImportError, ValueError) as error:
        return (
            f"NO ARAVIS: GigE Vision was not tested ({error}). Install gir1.2-aravis-0.8 and the extra aravis"
        )
    return None


def _load() -> Any:
    import gi

    gi.require_version("Aravis", "0.8")
    from gi.repository import Aravis

    return Aravis


class FakeGvCamera:
    """The process; a context manager. `lost` is the share of packets that it does not send."""

    def __init__(
        self, serial: str, *, address: str = "127.0.0.1", user_id: str = "", lost: float = 0.0
    ) -> None:
        command = [sys.executable, __file__, serial, address, "--user-id", user_id, "--lost", str(lost)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            self.kill()
            raise AssertionError(f"the fake camera {serial} did not start at {address}")

    def kill(self) -> None:
        """Have it vanish, as by a pulled cable."""
        self.process.kill()
        self.process.communicate()

    def freeze(self) -> None:
        """Have it answer no more, and wait until that is so."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


def _description(aravis: Any) -> str:
    aravis.enable_interface("Fake")
    xml = str(aravis.Camera.new("Fake_1").get_device().get_genicam_xml()[0])
    entries = "".join(
        f'<EnumEntry Name="{name}" NameSpace="Standard"><Value>{value}</Value></EnumEntry>'
        for name, value in _MORE_FORMATS.items()
    )
    xml = xml.replace('<EnumEntry Name="Mono16"', entries + '<EnumEntry Name="Mono16"')
    before, width, after = xml.partition('<Integer Name="Width"')
    return (
        before
        + width
        + after.replace("<Min>1</Min>", "<Min>4</Min>", 1).replace("<Inc>1</Inc>", "<Inc>4</Inc>", 1)
    )


def _pointer(wrapped: Any) -> ctypes.c_void_p:
    unwrap = ctypes.pythonapi.PyCapsule_GetPointer
    unwrap.restype, unwrap.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.c_void_p(unwrap(wrapped.__gpointer__, None))


def _fill_with(library: ctypes.CDLL, device: ctypes.c_void_p) -> Any:
    library.arv_buffer_get_frame_id.restype = ctypes.c_uint64
    library.arv_buffer_get_frame_id.argtypes = [ctypes.c_void_p]
    library.arv_buffer_get_data.restype = ctypes.c_void_p
    library.arv_buffer_get_data.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.arv_fake_camera_get_payload.restype = ctypes.c_size_t

    def fill(buffer: int, _data: int, _exposure_us: int, _gain: int, _pixel_format: int) -> None:
        count = library.arv_fake_camera_get_payload(device)  # the buffer's own size counts what was received
        content = frame_bytes(library.arv_buffer_get_frame_id(buffer), count).tobytes()
        ctypes.memmove(library.arv_buffer_get_data(buffer, ctypes.byref(ctypes.c_size_t())), content, count)

    return _FILL(fill)


def _main() -> None:
    aravis = _load()
    parser = argparse.ArgumentParser()
    parser.add_argument("serial")
    parser.add_argument("address")
    parser.add_argument("--user-id", default="")
    parser.add_argument("--lost", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as description:
        description.write(_description(aravis))
        description.flush()
        camera = aravis.GvFakeCamera(
            interface_name=options.address,
            serial_number=options.serial,
            genicam_filename=description.name,
            gvsp_lost_ratio=options.lost,
        )
    if not camera.is_running():
        sys.exit(f"found no free port for a camera at {options.address}")
    device = camera.get_fake_camera()
    name = options.user_id.encode().ljust(16, b"\0")
    for offset in range(0, 16, 4):
        device.write_register(_USER_NAME_REGISTER + offset, int.from_bytes(name[offset : offset + 4], "big"))
    device.set_trigger_frequency(_TRIGGERS_HZ)
    library = ctypes.CDLL("libaravis-0.8.so.0")
    fill = _fill_with(library, _pointer(device))
    library.arv_fake_camera_set_fill_pattern(_pointer(device), fill, None)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
