"""The sections of config.yaml on what is kept and shown: journal, durable consumers, archive, images."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from pipeline.camera_config import Name, Section

RecordedKind = Literal["result", "part", "amend", "event"]
RECORDED_KINDS: tuple[RecordedKind, ...] = get_args(RecordedKind)
Days = Annotated[float, Meta(gt=0, le=36_500)]
Mib = Annotated[float, Meta(gt=0, le=1e9)]


class JournalConfig(Section, frozen=True, kw_only=True):
    """How the journal is cut into files, and how long they are kept.

    A file is full at `file_mib`, or `file_h` after its first line. Full files go when they are older than
    `keep_days` or when all together are more than `keep_mib`, but not before every consumer has acknowledged
    them. If the disk has less than `min_free_mib` left, the oldest go even so.
    """

    file_mib: Annotated[float, Meta(ge=0.001, le=256)] = 16.0
    file_h: Annotated[float, Meta(gt=0, le=8_760)] = 24.0
    keep_days: Days = 90.0
    keep_mib: Mib = 8_192.0
    min_free_mib: Annotated[float, Meta(ge=0, le=1e9)] = 256.0


class ConsumerConfig(Section, frozen=True, kw_only=True):
    """A reader for whom messages are kept until it has acknowledged them, up to `limit_mib` of journal."""

    name: Name
    kinds: Annotated[tuple[RecordedKind, ...], Meta(min_length=1, max_length=4)] = ("result",)
    limit_mib: Mib = 1_024.0


class ArchiveConfig(Section, frozen=True, kw_only=True):
    """Frames that are kept as files, with their result and heatmap.

    `accept_every`: every how manieth trigger is kept even if it was accepted, null for none. `queue_frames`:
    slots of each camera's ring that may wait for being copied; a frame beyond that is dropped and counted.
    """

    directory: str
    rejects: bool = True
    accept_every: Annotated[int, Meta(ge=1)] | None = None
    queue_frames: Annotated[int, Meta(ge=1, le=64)] = 2
    keep_days: Days = 30.0
    keep_mib: Mib = 4_096.0
    min_free_mib: Annotated[float, Meta(ge=0, le=1e9)] = 1_024.0


class ImageConfig(Section, frozen=True, kw_only=True):
    """Small pictures of frames, published for people to look at; none while nobody subscribes to them.

    At most `max_hz` a second and camera of accepted parts, and as many of rejected ones. A picture is at most
    `max_width_px` wide, a JPEG of `quality`.
    """

    policy: Literal["none", "sampled"] = "none"
    max_hz: Annotated[float, Meta(gt=0, le=60)] = 5.0
    max_width_px: Annotated[int, Meta(ge=64, le=4096)] = 960
    quality: Annotated[int, Meta(ge=30, le=100)] = 85
