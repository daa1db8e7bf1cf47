"""The part of the kernel's V4L2 interface that a camera needs: structures, numbers, one opened device.

After include/uapi/linux/videodev2.h and v4l2-controls.h, which may be used under BSD-3-Clause; 64-bit hosts
only. Own code, because linuxpy and the other bindings are GPL, and the capture of OpenCV and FFmpeg gives
neither the sequence number nor the error flag of a buffer.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
from ctypes import c_char, c_int32, c_int64, c_uint8, c_uint32, c_uint64
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
MMAP = 1  # V4L2_MEMORY_MMAP
CAP_VIDEO_CAPTURE, CAP_VIDEO_CAPTURE_MPLANE = 0x1, 0x1000
CAP_STREAMING, CAP_DEVICE_CAPS = 0x0400_0000, 0x8000_0000
BUF_FLAG_ERROR = 0x40
BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0xE000, 0x2000
BUF_FLAG_TSTAMP_SRC_MASK, BUF_FLAG_TSTAMP_SRC_SOE = 0x7_0000, 0x1_0000
CTRL_FLAG_DISABLED, CTRL_FLAG_READ_ONLY, CTRL_FLAG_NEXT_CTRL = 0x1, 0x4, 0x8000_0000
FRAME_DISCRETE = 1
FIELD_NONE = 1
CID_AUTOGAIN, CID_GAIN = 0x0098_0912, 0x0098_0913
CID_EXPOSURE_AUTO, CID_EXPOSURE_ABSOLUTE = 0x009A_0901, 0x009A_0902
EXPOSURE_MANUAL = 1

VIDIOC_QUERYCAP = 0x8068_5600
VIDIOC_ENUM_FMT = 0xC040_5602
VIDIOC_S_FMT = 0xC0D0_5605
VIDIOC_REQBUFS = 0xC014_5608
VIDIOC_QUERYBUF = 0xC058_5609
VIDIOC_QBUF = 0xC058_560F
VIDIOC_DQBUF = 0xC058_5611
VIDIOC_STREAMON = 0x4004_5612
VIDIOC_STREAMOFF = 0x4004_5613
VIDIOC_S_PARM = 0xC0CC_5616
VIDIOC_S_CTRL = 0xC008_561C
VIDIOC_QUERYCTRL = 0xC044_5624
VIDIOC_ENUM_FRAMESIZES = 0xC02C_564A


class Capability(ctypes.Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FormatDescription(ctypes.Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class FrameSize(ctypes.Structure):
    """struct v4l2_frmsizeenum: of a discrete size only the first two of `values` (width, height) count."""

    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("values", c_uint32 * 6),
        ("reserved", c_uint32 * 2),
    )


class Format(ctypes.Structure):
    """struct v4l2_format with its v4l2_pix_format."""

    _fields_ = (
        ("type", c_uint64),  # 32 bits, and as many that align what follows
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("more", c_uint8 * 172),
    )


class StreamParameters(ctypes.Structure):
    """struct v4l2_streamparm with its v4l2_captureparm."""

    _fields_ = (
        ("type", c_uint32),
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("numerator", c_uint32),
        ("denominator", c_uint32),
        ("more", c_uint8 * 184),
    )


class BufferRequest(ctypes.Structure):
    """struct v4l2_requestbuffers."""

    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("reserved", c_uint32),
    )


class Buffer(ctypes.Structure):
    """struct v4l2_buffer."""

    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("seconds", c_int64),
        ("microseconds", c_int64),
        ("timecode", c_uint8 * 16),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("offset", c_uint64),  # 32 bits of a union of 64
        ("length", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class ControlDescription(ctypes.Structure):
    """struct v4l2_queryctrl."""

    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int32),
        ("maximum", c_int32),
        ("step", c_int32),
        ("default_value", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class Control(ctypes.Structure):
    """struct v4l2_control."""

    _fields_ = (("id", c_uint32), ("value", c_int32))


class BufferType(ctypes.Structure):
    """The number that starts or stops a stream."""

    _fields_ = (("type", c_uint32),)


Filled = TypeVar("Filled", bound=ctypes.Structure)


class Device:
    """One opened device file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def ask(self, request: int, filled: Filled) -> Filled:
        """Have the kernel fill `filled`, which is returned.

        Raises:
            OSError: the device refuses, or is gone.
        """
        fcntl.ioctl(self.fd, request, filled, True)
        return filled

    def wait(self, timeout_s: float) -> bool:
        """Whether the device has something to say (a picture, or that it is gone) within the time."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(max(0, timeout_s * 1e3)))

    def close(self) -> None:
        """Close the file; safe to call again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def fourcc(text: str) -> int:
    """The number of a pixel format's four characters, such as "GREY"."""
    return int.from_bytes(text.encode("ascii"), "little")


def fourcc_text(number: int) -> str:
    """The four characters of a pixel format's number."""
    return number.to_bytes(4, "little").decode("ascii", "replace").rstrip()
