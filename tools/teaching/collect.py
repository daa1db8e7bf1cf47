"""Step 1 of `hlgfa teach`: images of good parts, as the engine will get them, from camera or recording."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
import zmq
from PIL import Image

from calibration.images import list_images
from engines.records import replace_flushed, sync_directory
from pipeline.access.keys import load_station_keys
from pipeline.config import ConfigError
from pipeline.sockets import AddressInUseError, bind_socket
from tools.source import opened, stopped_by_signals
from tools.teaching.bars import bars
from tools.teaching.recorded import said_format

if TYPE_CHECKING:
    import threading

    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config
    from pipeline.frame import Frame

FEWEST = 10
GOOD = "good"
REFRESH_S = 0.1


class Collected(msgspec.Struct, frozen=True):
    """How collecting went: images kept; left out as defective by their truth, and as incomplete."""

    kept: int
    defective: int
    incomplete: int


def check_stopped(config: Config) -> None:
    """Refuse to open a camera that a running station has.

    Raises:
        ConfigError: an address of the station is in use.
    """
    keys = None if config.security is None else load_station_keys(config.security).pair
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        for name in ("results", "heatmaps", "replay"):
            endpoint = getattr(config.sockets, name)
            bind_socket(context, zmq.XPUB, endpoint, what=name, queue_messages=1, keys=keys).close()
    except AddressInUseError as error:
        raise ConfigError(
            f"sockets.{name}: found {endpoint} in use, expected a station that is stopped, since a camera "
            "serves one program at a time. Stop it (Ctrl-C; systemctl stop hlgfa), or teach from frames that "
            "were recorded before: --from FILE.mcap, or a folder of images."
        ) from error
    finally:
        context.destroy(linger=0)


def collect(camera: CameraConfig, folder: Path, wanted: int) -> Collected:
    """Save frames of good parts as 0001.png and so on until there are enough, or recorded ones end.

    Images that a stopped collection has left there count, unless the pictures begin again from their first.

    Raises:
        CameraError: it cannot be opened, or is lost.
        ConfigError: too few frames, or frames of another size than the camera's.
        typer.Exit: somebody stopped it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with stopped_by_signals() as stopped, opened([camera], limit=None, stopped=stopped) as [thread]:
        if thread.info().paced:
            for path in list_images(folder):
                path.unlink()
        taker = _Taker(camera, folder, wanted, stopped)
        with bars() as progress:
            task = progress.add_task(f"parts of {camera.name}", total=wanted, completed=taker.kept)
            thread.begin(taker)
            while thread.alive and not stopped.wait(REFRESH_S):
                progress.update(task, completed=taker.kept)
        thread.join()
        thread.check()
        _check_enough(camera, taker, interrupted=stopped.is_set() and taker.kept < wanted)
    sync_directory(folder)
    return Collected(taker.kept, taker.defective, taker.incomplete)


def _check_enough(camera: CameraConfig, taker: _Taker, *, interrupted: bool) -> None:
    if interrupted:
        typer.echo(f"stopped after {taker.kept} parts. Go on with the same options and --resume.", err=True)
        raise typer.Exit(130)
    if taker.kept < FEWEST:
        raise ConfigError(
            f"camera {camera.name}: found {taker.kept} good parts until its images ended, expected at least "
            f"{FEWEST} (better 200). Record more."
        )


class _Taker:
    """Saves frames in the camera's thread; `kept` counts images that are there, with those from before."""

    def __init__(self, camera: CameraConfig, folder: Path, wanted: int, stopped: threading.Event) -> None:
        self._camera, self._folder, self._wanted, self._stopped = camera, folder, wanted, stopped
        self.kept = len(list_images(folder))
        self.defective = self.incomplete = 0

    def __call__(self, frame: Frame) -> None:
        header = frame.header
        if self.kept >= self._wanted:
            self._stopped.set()
        elif not header.complete:
            self.incomplete += 1
        elif header.truth not in {None, GOOD}:
            self.defective += 1
        else:
            self._check_format(frame)
            self._save(frame)

    def _check_format(self, frame: Frame) -> None:
        """One model takes frames of one format; those of a folder may have any.

        Raises:
            ConfigError: the frame has another than the camera.
        """
        if said_format(frame.header) != said_format(self._camera):
            raise ConfigError(
                f"camera {self._camera.name}: found a frame of {said_format(frame.header)} "
                f"({frame.header.source or f'frame {frame.header.frame_id}'}), expected "
                f"{said_format(self._camera)}. Leave it out, or set the camera right; then --force."
            )

    def _save(self, frame: Frame) -> None:
        """Whole or not at all, whatever stops it: an image that is there counts when the teaching goes on."""
        png = io.BytesIO()
        Image.fromarray(frame.pixels).save(png, format="PNG")
        replace_flushed(png.getvalue(), self._folder / f"{self.kept + 1:04}.png")
        self.kept += 1
        if self.kept >= self._wanted:
            self._stopped.set()
