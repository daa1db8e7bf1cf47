"""The archive: frames as files with their result and heatmap, pruned by age, size and the room on the disk.

`<directory>/<day>/<time>+<camera>+<result id>`, UTC, with three endings: `.png` is the frame as the camera
gave it, `.heatmap` the packed map, if there is one, `.json` the result's header and the heatmap's. The JSON
is written last: an entry without one is not whole, and is removed at the next start.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import msgspec

from pipeline.history.archive_entry import ArchiveError, Entry
from pipeline.wire import MessageError, topic_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.messages import ResultHeader
    from pipeline.record_config import ArchiveConfig

ENDINGS = (".png", ".heatmap", ".json")
PNG_LEVEL = 1


class _Kept(NamedTuple):
    stem: Path
    size_bytes: int
    kept_s: float


class Archive:
    """All entries of a directory, oldest first."""

    def __init__(self, settings: ArchiveConfig) -> None:
        """Look what is there; the directory is made if it is missing.

        Raises:
            ArchiveError: it cannot be written.
        """
        self._settings = settings
        self._directory = Path(settings.directory)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if not os.access(self._directory, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
            self._entries = {_result_id(stem): kept for stem, kept in self._found()}
        except OSError as error:
            raise ArchiveError(
                f"archive.directory: {self._directory} cannot be written ({error.strerror})."
            ) from error
        self._bytes = sum(kept.size_bytes for kept in self._entries.values())

    def _found(self) -> list[tuple[Path, _Kept]]:
        """Whole entries; what is left of others is removed."""
        by_stem: dict[Path, dict[str, os.stat_result]] = {}
        for path in self._directory.glob("*/*"):
            by_stem.setdefault(path.with_suffix(""), {})[path.suffix] = path.stat()
        found = []
        for stem, files in sorted(by_stem.items()):
            if ".json" in files:
                size = sum(stat.st_size for stat in files.values())
                found.append((stem, _Kept(stem, size, files[".json"].st_mtime)))
            else:
                for ending in files:
                    stem.with_suffix(ending).unlink()
        return found

    def store(self, entry: Entry, pixels: NDArray[np.uint8], payload: bytes | None) -> None:
        """Keep one frame (H, W) or (H, W, 3) uint8.

        Raises:
            ArchiveError: the disk is short even without older entries, or does not take it.
        """
        image = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        _, png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
        contents = {".png": png.tobytes(), ".heatmap": payload, ".json": msgspec.json.encode(entry)}
        size = sum(len(content) for content in contents.values() if content is not None)
        self.prune(room_bytes=size)
        if self._missing_bytes(size) > 0:
            raise ArchiveError(f"{self._directory}: less than archive.min_free_mib is free on the disk")
        stem = self._stem(entry.result)
        try:
            stem.parent.mkdir(exist_ok=True)
            for ending, content in contents.items():
                if content is not None:
                    stem.with_suffix(ending).write_bytes(content)
        except OSError as error:
            self._remove(stem)
            raise ArchiveError(f"{stem.parent}: {error.strerror}") from error
        self._entries[entry.result.result_id] = _Kept(stem, size, time.time())
        self._bytes += size

    def find_heatmap(self, result_id: str) -> list[bytes] | None:
        """Topic, header and payload of a result's heatmap as published; None if it is not kept."""
        kept = self._entries.get(result_id)
        if kept is None:
            return None
        try:
            entry = msgspec.json.decode(kept.stem.with_suffix(".json").read_bytes(), type=Entry)
            if entry.heatmap is None:
                return None
            payload = kept.stem.with_suffix(".heatmap").read_bytes()
            topic = topic_of(entry.heatmap)
        except (OSError, ValueError, RecursionError, MessageError):  # damaged: nothing that can be given out
            return None
        return [topic, msgspec.json.encode(entry.heatmap), payload]

    def prune(self, *, room_bytes: int = 0) -> int:
        """Remove the oldest entries until all limits are kept with that much more; returns how many."""
        oldest_s = time.time() - self._settings.keep_days * 86_400
        keep_bytes = round(self._settings.keep_mib * 2**20) - room_bytes
        removed = 0
        while self._entries:
            result_id, kept = next(iter(self._entries.items()))
            too_old = kept.kept_s < oldest_s
            if not too_old and self._bytes <= keep_bytes and self._missing_bytes(room_bytes) <= 0:
                break
            del self._entries[result_id]
            self._bytes -= kept.size_bytes
            self._remove(kept.stem)
            removed += 1
        return removed

    def _missing_bytes(self, room_bytes: int) -> int:
        disk = os.statvfs(self._directory)
        wanted = round(self._settings.min_free_mib * 2**20) + room_bytes
        return wanted - disk.f_bavail * disk.f_frsize

    def _stem(self, result: ResultHeader) -> Path:
        moment = datetime.fromtimestamp(int(result.published_ns) / 1e9, tz=timezone.utc)
        name = f"{moment:%H%M%S}{moment.microsecond:06}+{result.camera}+{result.result_id}"
        return self._directory / f"{moment:%Y%m%d}" / name

    @staticmethod
    def _remove(stem: Path) -> None:
        for ending in ENDINGS:
            stem.with_suffix(ending).unlink(missing_ok=True)


def _result_id(stem: Path) -> str:
    return stem.name.split("+", 2)[2]
