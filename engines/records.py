"""Records as files: written whole or not at all, and known by the hash of their bytes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


def write_record(record: msgspec.Struct, path: Path) -> None:
    """Write a record as indented JSON; a reader never sees half of it."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    part.replace(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
