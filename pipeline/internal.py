"""What the station and its child processes say to each other: descriptors, never pixels.

MessagePack over one ZeroMQ ipc pair a child. Each start of a child has a socket of its own, so nothing of
an earlier life of it can arrive late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from calibration.frame_measures import FrameMeasures
from calibration.record import Review, ScoreQuantiles
from engines.engine import EngineInfo
from pipeline.camera_config import CameraConfig
from pipeline.cameras.camera import CameraInfo
from pipeline.config import EngineConfig, RealtimeConfig
from pipeline.frame import FrameHeader
from pipeline.messages import HeatmapHeader, Region, ResultHeader, Severity
from pipeline.record_config import ArchiveConfig, ConsumerConfig, ImageConfig, JournalConfig

Use = Literal["archive", "image"]
"""What a frame is handed to the historian for."""
_Spoken = TypeVar("_Spoken")


class ProtocolError(Exception):
    """A child process says what it cannot mean; it is replaced."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of the tagged messages."""


# How a child is started; sent over its standard input.


class RingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to map one camera's ring: an inherited descriptor and its layout."""

    camera: str
    fd: int
    slots: int
    slot_bytes: int


class CaptureStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a capture process needs."""

    endpoint: str
    camera: CameraConfig
    camera_epoch: int
    ring: RingSpec
    free_slots: list[int]
    realtime: RealtimeConfig


class StubSpec(msgspec.Struct, frozen=True, kw_only=True):
    """For measurements: an engine without a model that waits, and rejects every part."""

    height_px: int
    width_px: int
    channels: int
    wait_ms: float


class RecipeText(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a recipe, and the hash of the text that the station has read of it."""

    path: str
    sha256: str


class InspectionStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an inspection process needs.

    `changes` is the number of changeovers before it, which it says with every prediction. With `recipe` it
    answers with the hash of all that the recipe refers to. `standby`: another one is still at work.
    """

    endpoint: str
    engine: EngineConfig
    rings: list[RingSpec]
    codec: str
    realtime: RealtimeConfig
    stub: StubSpec | None = None
    changes: int = 0
    recipe: RecipeText | None = None
    standby: bool = False


class HistorianStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the historian needs; `rings` only if frames are archived or shown."""

    endpoint: str
    epoch: str
    line: str
    station: str
    journal_dir: str
    journal: JournalConfig
    consumers: tuple[ConsumerConfig, ...]
    archive: ArchiveConfig | None
    image: ImageConfig
    rings: list[RingSpec]


# Station to child.


class Go(_Message, frozen=True, kw_only=True):
    """The station is ready: hand over frames from now on; what came before is stale."""


class Shoot(_Message, frozen=True, kw_only=True):
    """Take one frame for this trigger."""

    ordinal: int


class Adjust(_Message, frozen=True, kw_only=True):
    """Take these settings of the same camera, while it runs if it can; `Adjusted` answers."""

    camera: CameraConfig


class Release(_Message, frozen=True, kw_only=True):
    """This slot may be filled again."""

    slot: int


class Inspect(_Message, frozen=True, kw_only=True):
    """Inspect the frame in this slot."""

    ordinal: int
    slot: int
    header: FrameHeader


class Ask(_Message, frozen=True, kw_only=True):
    """Answer this request of a client; `published` is the last number given of the stream in question."""

    ticket: int
    request: bytes
    published: int


class Keep(_Message, frozen=True, kw_only=True):
    """Keep the frame in this slot with what was published of it, or make a picture of it, or both."""

    uses: tuple[Use, ...]
    slot: int
    frame: FrameHeader
    result: ResultHeader
    heatmap: HeatmapHeader | None
    payload: bytes | None


class Stop(_Message, frozen=True, kw_only=True):
    """Close and exit."""


# Child to station.


class Heartbeat(_Message, frozen=True, kw_only=True):
    """I am alive; the counts are those of `FrameReady`."""

    frames_skipped: int = 0
    frames_lost: int = 0


class StartFailed(_Message, frozen=True, kw_only=True):
    """I cannot start: `text` is for the user."""

    text: str


class CameraReady(_Message, frozen=True, kw_only=True):
    """The camera is open, armed and delivers the configured format; `refused` is of the system."""

    info: CameraInfo
    refused: list[str] = []


class FrameReady(_Message, frozen=True, kw_only=True):
    """A frame; `slot` is None if its pixels could not be kept because all slots were in use.

    `frames_skipped` counts the free-run frames so far that newer ones replaced, `frames_lost` those that the
    device numbered and that never came.
    """

    header: FrameHeader
    slot: int | None
    ordinal: int | None
    frames_skipped: int = 0
    frames_lost: int = 0


class NoFrame(_Message, frozen=True, kw_only=True):
    """The camera gave no frame for this trigger in time."""

    ordinal: int


class Adjusted(_Message, frozen=True, kw_only=True):
    """`taken`: every frame from now on has these settings; else the camera has to be opened with them."""

    camera: CameraConfig
    taken: bool


class CameraLost(_Message, frozen=True, kw_only=True):
    """The camera is gone; the process ends after this."""

    text: str


class EndOfFrames(_Message, frozen=True, kw_only=True):
    """A camera of recorded images has served its last frame."""


class EngineReady(_Message, frozen=True, kw_only=True):
    """The engine is loaded, calibrated and warm; `recipe_sha256` is of the files of its recipe, if any.

    `roi_sha256` is of the region of interest, None if the whole image is inspected.
    """

    info: EngineInfo
    threshold: float
    map_threshold: float
    heatmap_scale: float
    heatmap_offset: float
    calibration_sha256: str
    roi_sha256: str | None = None
    recipe_sha256: str | None = None
    good_scores: ScoreQuantiles | None = None
    review: Review | None = None
    refused: list[str] = []


class PackedHeatmap(msgspec.Struct, frozen=True, kw_only=True):
    """What describes the payload that follows the message as a second part."""

    shape: tuple[int, int]
    raw_bytes: int
    crc32: int


class Inspected(_Message, frozen=True, kw_only=True):
    """The prediction for one frame; `score` may be non-finite, then there is no heatmap.

    `changes` and `model_sha256` are those of the engine that has computed it.
    """

    ordinal: int
    slot: int
    score: float
    regions: list[Region]
    infer_start_ns: int
    infer_end_ns: int
    heatmap: PackedHeatmap | None
    measures: FrameMeasures
    changes: int = 0
    model_sha256: str = ""


class InspectionFailed(_Message, frozen=True, kw_only=True):
    """The engine failed on this frame."""

    ordinal: int
    slot: int
    text: str


class HistorianReady(_Message, frozen=True, kw_only=True):
    """Journal and archive are open."""


class Answer(_Message, frozen=True, kw_only=True):
    """The frames that follow go to whoever asked; `last`: nothing more comes."""

    ticket: int
    last: bool


class Copied(_Message, frozen=True, kw_only=True):
    """The frame in this slot is not needed any more."""

    camera: str
    slot: int


class Pictured(_Message, frozen=True, kw_only=True):
    """A small picture of a frame, rows and columns of `image_shape`; its JPEG follows as a second part."""

    camera: str
    result_id: str
    shape: tuple[int, int]
    image_shape: tuple[int, int]


class Floor(_Message, frozen=True, kw_only=True):
    """The first number that can be replayed of every stream of this start that has lost some."""

    oldest_seq: dict[str, int]


class Told(_Message, frozen=True, kw_only=True):
    """Something that a person should know."""

    severity: Severity
    text: str


ToCapture = Go | Shoot | Adjust | Release | Stop
ToInspection = Inspect | Stop
ToHistorian = Ask | Keep | Stop
FromCapture = (
    Heartbeat | StartFailed | CameraReady | FrameReady | NoFrame | Adjusted | CameraLost | EndOfFrames
)
FromInspection = Heartbeat | StartFailed | EngineReady | Inspected | InspectionFailed
FromHistorian = Heartbeat | StartFailed | HistorianReady | Answer | Copied | Pictured | Floor | Told

encode = msgspec.msgpack.Encoder().encode


def _decoding(decoder: msgspec.msgpack.Decoder[_Spoken]) -> Callable[[bytes], _Spoken]:
    """Text that is not UTF-8 is none of msgspec's own errors, and no child may take the station down."""

    def decoded(data: bytes) -> _Spoken:
        try:
            return decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolError(f"message: {error}") from error

    return decoded


decode_to_capture: Callable[[bytes], ToCapture] = _decoding(msgspec.msgpack.Decoder(ToCapture))
decode_to_inspection: Callable[[bytes], ToInspection] = _decoding(msgspec.msgpack.Decoder(ToInspection))
decode_to_historian: Callable[[bytes], ToHistorian] = _decoding(msgspec.msgpack.Decoder(ToHistorian))
decode_from_capture: Callable[[bytes], FromCapture] = _decoding(msgspec.msgpack.Decoder(FromCapture))
decode_from_inspection: Callable[[bytes], FromInspection] = _decoding(msgspec.msgpack.Decoder(FromInspection))
decode_from_historian: Callable[[bytes], FromHistorian] = _decoding(msgspec.msgpack.Decoder(FromHistorian))
