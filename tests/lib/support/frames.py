"""Frame headers for tests that need one and do not care which."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.frame import FrameHeader


def make_header(**changes: Any) -> FrameHeader:
    header = FrameHeader(
        camera="cam1",
        frame_id=0,
        raw_frame_id=0,
        camera_epoch=1,
        width_px=4,
        height_px=4,
        pixel_format="Mono8",
        complete=True,
        exposed_ns=1,
        received_ns=2,
        received_utc_ns=3,
    )
    return msgspec.structs.replace(header, **changes)


def make_pixels() -> NDArray[np.uint8]:
    """Of `make_header`."""
    return np.full((4, 4), 128, np.uint8)
