"""Frame headers for tests that need one and do not care which."""

from pipeline.frame import FrameHeader


def make_header(*, complete: bool = True) -> FrameHeader:
    return FrameHeader(
        camera="cam1",
        frame_id=0,
        raw_frame_id=0,
        camera_epoch=1,
        width_px=4,
        height_px=4,
        pixel_format="Mono8",
        complete=complete,
        exposed_ns=1,
        received_ns=2,
        received_utc_ns=3,
    )
