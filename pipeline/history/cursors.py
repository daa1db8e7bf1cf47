"""How far each named consumer has acknowledged each stream: one small file a consumer, replaced as a whole.

A position is (number of the start, number in the stream): everything up to it is safely with the consumer,
and every earlier start's as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engines.records import replace_flushed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.record_config import ConsumerConfig, RecordedKind

SUFFIX = ".cursor"


class Position(NamedTuple):
    """A message of a stream; `start` counts the starts of the station."""

    start: int
    seq: int


class _File(msgspec.Struct, frozen=True, kw_only=True):
    schema: str = "hlgfa.cursor/1.0"
    streams: dict[str, Position] = {}


class CursorError(Exception):
    """A cursor cannot be read or written; the message says which and why."""


class Cursors:
    """The cursors of all consumers that are declared."""

    def __init__(self, directory: Path, consumers: Iterable[ConsumerConfig]) -> None:
        """Read them from `<directory>/<name>.cursor`; one that is missing has acknowledged nothing.

        Raises:
            CursorError: a file is damaged.
        """
        self._directory = directory
        self._consumers = {consumer.name: consumer for consumer in consumers}
        self._streams = {name: self._read(name) for name in self._consumers}
        self._changed: set[str] = set()

    def _read(self, name: str) -> dict[str, Position]:
        path = self._path(name)
        try:
            return dict(msgspec.json.decode(path.read_bytes(), type=_File).streams)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise CursorError(
                f"{path}: cannot be read ({error}), expected what the consumer {name!r} has acknowledged. "
                "Remove it, and the consumer is sent everything again."
            ) from error

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{SUFFIX}"

    @property
    def names(self) -> list[str]:
        """Every consumer's name."""
        return list(self._consumers)

    def limit_bytes(self, name: str) -> int:
        """How much journal is kept for a consumer at most."""
        return round(self._consumers[name].limit_mib * 2**20)

    def kinds(self, name: str) -> tuple[RecordedKind, ...]:
        """Kinds of messages that are kept for a consumer."""
        return self._consumers[name].kinds

    def wants(self, name: str, stream: str) -> bool:
        """Whether a stream is kept for a consumer."""
        return stream.split("/", maxsplit=1)[0] in self._consumers[name].kinds

    def position(self, name: str, stream: str) -> Position:
        """The last message that a consumer has acknowledged; (0, 0) if none."""
        return self._streams[name].get(stream, Position(0, 0))

    def acknowledge(self, name: str, stream: str, position: Position) -> Position:
        """Move a cursor forward, never back; returns where it is. `save` makes it last."""
        known = self.position(name, stream)
        if position > known:
            self._streams[name][stream] = position
            self._changed.add(name)
            return position
        return known

    def save(self) -> None:
        """Write what has changed: a new file in the old one's place, flushed to the disk.

        Raises:
            CursorError: the disk does not take it; what was acknowledged since the last time is not kept.
        """
        for name in sorted(self._changed):
            path = self._path(name)
            try:
                replace_flushed(msgspec.json.encode(_File(streams=self._streams[name])), path)
            except OSError as error:
                raise CursorError(f"{path}: cannot be written ({error.strerror}).") from error
            self._changed.discard(name)
