"""Records as files: written whole or not at all, checked when read, and known by the hash of their bytes."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class HasSchema(Protocol):
    """A record that says which form it has, such as "hlgfa.parts/1.1"."""

    @property
    def schema(self) -> str:
        """Name and version of the form."""


_Record = TypeVar("_Record", bound=HasSchema)


def write_record(record: msgspec.Struct, path: Path) -> None:
    """Write a record as indented JSON, flushed: no reader sees half of it, even after a loss of power."""
    replace_flushed(indented_json(record), path)


def replace_flushed(data: bytes, path: Path) -> None:
    """Put a file with these bytes in the old one's place, as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the old one's place once the disk has its bytes; a reader never sees half of it.

    That the name is the new file's outlasts a loss of power after `sync_directory`. If the block fails, the
    old file stays.
    """
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def sync_directory(directory: Path) -> None:
    """Flush which files a directory has."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def indented_json(content: object) -> bytes:
    """Records and anything made of them as JSON for people, too; ends with a new line."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def read_record(
    path: Path, kind: type[_Record], schema: str | None, error: type[Exception], *, missing: str, do: str
) -> _Record:
    """Read a record and check its schema.

    Args:
        path: of its file.
        kind: of record.
        schema: that it must have; None leaves that to the caller, who compares more and says all of it.
        error: raised with what, found, expected, do.
        missing: what the message says of a file that is not there.
        do: what mends it.

    Raises:
        error: there is none, it cannot be read, or it has another schema.
    """
    data = read_file(path, error, missing=missing, do=do)
    try:
        record = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise error(f"{path}: cannot be read ({fault}). {do}") from fault
    if schema is not None and record.schema != schema:
        raise error(f"{path}: found schema {record.schema!r}, expected {schema!r}. {do}")
    return record


def read_file(path: Path, error: type[Exception], *, missing: str, do: str) -> bytes:
    """Bytes of a file; the arguments are those of `read_record`.

    Raises:
        error: there is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as fault:
        raise error(f"{path}: not found; {missing}. {do}") from fault
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault}). {do}") from fault


def now_utc() -> str:
    """The time that records carry, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
