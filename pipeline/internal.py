"""What the station and its child processes say to each other: descriptors, never pixels.

MessagePack over one ZeroMQ ipc pair a child. Each start of a child has a socket of its own, so nothing of
an earlier life of it can arrive late.
"""

from __future__ import annotations

import msgspec

from engines.engine import EngineInfo
from pipeline.camera_config import CameraConfig
from pipeline.cameras.camera import CameraInfo
from pipeline.config import EngineConfig, RealtimeConfig
from pipeline.frame import FrameHeader
from pipeline.messages import HeatmapHeader, Region, ResultHeader, Severity
from pipeline.record_config import ArchiveConfig, ConsumerConfig, JournalConfig


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


class InspectionStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an inspection process needs."""

    endpoint: str
    engine: EngineConfig
    rings: list[RingSpec]
    codec: str
    realtime: RealtimeConfig
    stub: StubSpec | None = None


class HistorianStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the historian needs; `rings` only if there is an archive."""

    endpoint: str
    epoch: str
    line: str
    station: str
    journal_dir: str
    journal: JournalConfig
    consumers: tuple[ConsumerConfig, ...]
    archive: ArchiveConfig | None
    rings: list[RingSpec]


# Station to child.


class Go(_Message, frozen=True, kw_only=True):
    """The station is ready: hand over frames from now on; what came before is stale."""


class Shoot(_Message, frozen=True, kw_only=True):
    """Take one frame for this trigger."""

    ordinal: int


class Release(_Message, frozen=True, kw_only=True):
    """This slot may be filled again."""

    slot: int


class Inspect(_Message, frozen=True, kw_only=True):
    """Inspect the frame in this slot."""

    ordinal: int
    slot: int
    header: FrameHeader


class Asked(_Message, frozen=True, kw_only=True):
    """Answer this request of a client; `published` is the last number given of the stream in question."""

    ticket: int
    request: bytes
    published: int


class Keep(_Message, frozen=True, kw_only=True):
    """Keep the frame in this slot, with what was published of it."""

    slot: int
    frame: FrameHeader
    result: ResultHeader
    heatmap: HeatmapHeader | None
    payload: bytes | None


class Stop(_Message, frozen=True, kw_only=True):
    """Close and exit."""


# Child to station.


class Heartbeat(_Message, frozen=True, kw_only=True):
    """I am alive; `frames_skipped` counts free-run frames that were replaced by newer ones."""

    frames_skipped: int = 0


class StartFailed(_Message, frozen=True, kw_only=True):
    """I cannot start: `text` is for the user."""

    text: str


class CameraReady(_Message, frozen=True, kw_only=True):
    """The camera is open, armed and delivers the configured format; `refused` is of the system."""

    info: CameraInfo
    refused: list[str] = []


class FrameReady(_Message, frozen=True, kw_only=True):
    """A frame; `slot` is None if its pixels could not be kept because all slots were in use."""

    header: FrameHeader
    slot: int | None
    ordinal: int | None


class NoFrame(_Message, frozen=True, kw_only=True):
    """The camera gave no frame for this trigger in time."""

    ordinal: int


class CameraLost(_Message, frozen=True, kw_only=True):
    """The camera is gone; the process ends after this."""

    text: str


class EndOfFrames(_Message, frozen=True, kw_only=True):
    """A camera of recorded images has served its last frame."""


class EngineReady(_Message, frozen=True, kw_only=True):
    """The engine is loaded, calibrated and warm."""

    info: EngineInfo
    threshold: float
    map_threshold: float
    heatmap_scale: float
    heatmap_offset: float
    calibration_sha256: str
    refused: list[str] = []


class PackedHeatmap(msgspec.Struct, frozen=True, kw_only=True):
    """What describes the payload that follows the message as a second part."""

    shape: tuple[int, int]
    raw_bytes: int
    crc32: int


class Inspected(_Message, frozen=True, kw_only=True):
    """The prediction for one frame; `score` may be non-finite, then there is no heatmap."""

    ordinal: int
    slot: int
    score: float
    regions: list[Region]
    infer_start_ns: int
    infer_end_ns: int
    heatmap: PackedHeatmap | None


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


class Floor(_Message, frozen=True, kw_only=True):
    """The first number that can be replayed of every stream of this start that has lost some."""

    oldest_seq: dict[str, int]


class Told(_Message, frozen=True, kw_only=True):
    """Something that a person should know."""

    severity: Severity
    text: str


ToCapture = Go | Shoot | Release | Stop
ToInspection = Inspect | Stop
ToHistorian = Asked | Keep | Stop
FromCapture = Heartbeat | StartFailed | CameraReady | FrameReady | NoFrame | CameraLost | EndOfFrames
FromInspection = Heartbeat | StartFailed | EngineReady | Inspected | InspectionFailed
FromHistorian = Heartbeat | StartFailed | HistorianReady | Answer | Copied | Floor | Told

encode = msgspec.msgpack.Encoder().encode
decode_to_capture = msgspec.msgpack.Decoder(ToCapture).decode
decode_to_inspection = msgspec.msgpack.Decoder(ToInspection).decode
decode_to_historian = msgspec.msgpack.Decoder(ToHistorian).decode
decode_from_capture = msgspec.msgpack.Decoder(FromCapture).decode
decode_from_inspection = msgspec.msgpack.Decoder(FromInspection).decode
decode_from_historian = msgspec.msgpack.Decoder(FromHistorian).decode
