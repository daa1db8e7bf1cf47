"""The camera protocol: how a frame is asked for and received, whatever the make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from pipeline.frame import PixelFormat

if TYPE_CHECKING:
    from typing_extensions import Self

    from pipeline.camera_config import CameraConfig
    from pipeline.frame import Frame


class CameraError(Exception):
    """The camera cannot be opened or is lost; the message names the camera, what was found and what to do."""


class EndOfFramesError(CameraError):
    """A camera of recorded images has served its last one; no frame follows."""


def no_software_trigger(camera: str, source: str) -> CameraError:
    """The error of a camera, named by its label, that is asked for a frame but has another trigger source."""
    return CameraError(
        f"{camera} was asked for a software trigger, but its trigger source is {source!r}. Set "
        "trigger.source to 'software'."
    )


class CameraInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was opened: identity, and the one image format that it delivers.

    `paced`: there is no device; the pictures are made here and their schedule starts with the first `read`.
    `waits`: it has no schedule at all; its next picture is to be read when the line is done with the last.
    """

    name: str
    kind: str
    vendor: str
    model: str
    serial: str
    width_px: int
    height_px: int
    pixel_format: PixelFormat
    simulated: bool
    paced: bool = False
    waits: bool = False


class FoundCamera(msgspec.Struct, frozen=True, kw_only=True):
    """A device that a kind's `discover` has found: what config.yaml selects it by.

    `note` is for people, such as "in use by another program".
    `address` is an IP address, a USB path or a device file, empty if the kind has none.
    """

    kind: str
    vendor: str
    model: str
    serial: str
    user_id: str = ""
    address: str = ""
    note: str = ""


class Camera(Protocol):
    """One opened, armed camera. Constructing it opens and arms it; `close()` is idempotent.

    With trigger source `freerun`, `line` or `encoder` frames arrive by themselves; with `software` each call
    of `trigger()` asks for one frame. Used from one thread, but for `probe`.
    """

    @property
    def info(self) -> CameraInfo:
        """What was opened."""
        ...

    def trigger(self) -> None:
        """Ask for one frame.

        Raises:
            CameraError: the camera is lost, or its trigger source is not `software`.
        """
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame, at most `timeout_s` seconds; None if none came.

        An incomplete frame, or a recorded image that cannot be decoded, is delivered with
        `complete=False` in its header: it stands for a part that passed and must get its reject.

        Raises:
            EndOfFramesError: recorded images are used up.
            CameraError: the camera is lost.
        """
        ...

    def adjust(self, config: CameraConfig) -> float | None:
        """Take other settings while it runs; no software trigger may be outstanding.

        Returns:
            Seconds after which no frame comes any more that was exposed with the old ones, and the next one
            has the new ones; None if the camera has to be opened with them, which then says what it refuses.

        Raises:
            CameraError: the camera is lost.
        """
        ...

    def probe(self) -> None:
        """Ask the device whether it is still there; may block, and is called from a thread of its own.

        Raises:
            CameraError: it is not.
        """
        ...

    def close(self) -> None:
        """Disarm and release the device; safe to call again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
