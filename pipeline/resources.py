"""What a station holds of the system's: sockets, shared memory, the journal, and where processes are made."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import zmq

from pipeline.access.keys import load_station_keys
from pipeline.camera_line import CameraLine
from pipeline.child import Child
from pipeline.disk_writer import DiskWriter
from pipeline.frame import frame_bytes
from pipeline.history.history_line import HistoryLine
from pipeline.history.image_pace import ImagePace
from pipeline.history.journal import Journal
from pipeline.history.journal_repair import repair
from pipeline.log_config import LogSpec
from pipeline.publisher import Publisher
from pipeline.ring import SHARED_MEMORY, Ring, page_bytes

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.history.journal_repair import Repair
    from pipeline.log_config import LoggingConfig

NICE = ("nice", "-n", "5")
"""For the historian: its start alone, half a second of a core, cost a line at 50 parts/s frames on two busy
cores."""


class Workshop:
    """Where processes are made: their context, the folder of their sockets, and how they log."""

    def __init__(self, stack: contextlib.ExitStack, *, epoch: str, logging: LoggingConfig) -> None:
        self._stack, self._epoch, self._logging = stack, epoch, logging
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(self.context.term)
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlgfa-")))

    def make_child(
        self, name: str, module: str, *, launcher: tuple[str, ...] = (), camera: str | None = None
    ) -> Child:
        """A process that is not started yet, and ended at the latest with the station."""
        child = self.make_brief(name, module, launcher=launcher, camera=camera)
        self._stack.callback(child.kill)
        return child

    def make_brief(
        self, name: str, module: str, *, launcher: tuple[str, ...] = (), camera: str | None = None
    ) -> Child:
        """A process that is not started yet; its end is the caller's to see to."""
        log = LogSpec(process=name, camera=camera, epoch=self._epoch, settings=self._logging)
        return Child(name, module, context=self.context, directory=self.directory, log=log, launcher=launcher)


class Resources(NamedTuple):
    """All of it is closed with `stack`; neither `inspection` nor `history.child` is started yet."""

    stack: contextlib.ExitStack
    poller: zmq.Poller
    publisher: Publisher
    workshop: Workshop
    lines: dict[str, CameraLine]
    inspection: Child
    repairs: list[Repair]
    journal: Journal
    history: HistoryLine
    writer: DiskWriter


def open_resources(config: Config, stack: contextlib.ExitStack) -> Resources:
    """Bind the sockets, allocate the rings, open the journal.

    Raises:
        ConfigError: an address, a key, the shared memory or the journal cannot be used.
        JournalError: the torn end of an earlier file cannot be cut off.
    """
    epoch = str(uuid.uuid4())
    publisher = stack.enter_context(_make_publisher(config, epoch))
    workshop = Workshop(stack, epoch=epoch, logging=config.logging)
    lines = {line.name: line for line in _make_lines(config, workshop, stack)}
    inspection = workshop.make_child("inspection", "pipeline.inspection")
    repairs = repair(Path(config.station.journal_dir))
    journal = stack.enter_context(_make_journal(config, epoch))
    historian = workshop.make_child("historian", "pipeline.history.historian", launcher=NICE)
    history = HistoryLine(historian, config.archive, _image_pace(config, publisher))
    writer = stack.enter_context(contextlib.closing(DiskWriter()))
    return Resources(
        stack, zmq.Poller(), publisher, workshop, lines, inspection, repairs, journal, history, writer
    )


def _image_pace(config: Config, publisher: Publisher) -> ImagePace | None:
    if config.image.policy == "none":
        return None
    return ImagePace(config.image.max_hz, lambda: publisher.maps_are_heard)


def _make_publisher(config: Config, epoch: str) -> Publisher:
    return Publisher(
        config.sockets,
        line=config.station.line,
        station=config.station.name,
        epoch=epoch,
        clock_kind="free",
        now_utc_ns=time.time_ns,
        keys=None if config.security is None else load_station_keys(config.security),
    )


def _make_journal(config: Config, epoch: str) -> Journal:
    settings = config.station
    return Journal(
        Path(settings.journal_dir),
        epoch=epoch,
        line=settings.line,
        station=settings.name,
        settings=config.journal,
    )


def _make_lines(config: Config, workshop: Workshop, stack: contextlib.ExitStack) -> list[CameraLine]:
    lines = []
    for camera in config.cameras:
        size = frame_bytes(camera.width_px, camera.height_px, camera.pixel_format)
        ring = Ring.create(SHARED_MEMORY, slots=config.ring.slots, slot_bytes=page_bytes(size))
        stack.enter_context(ring)
        child = workshop.make_child(f"capture-{camera.name}", "pipeline.capture", camera=camera.name)
        lines.append(CameraLine(camera, ring, child))
    return lines
