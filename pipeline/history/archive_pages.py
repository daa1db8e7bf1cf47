"""The archive as a reader sees it: pages of entries, newest first, from the files alone. Changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.history.archive_entry import Entry

RESULT_ID = re.compile(r"[A-Za-z0-9-]{1,128}")
_NAME = re.compile(r"\d{12}\+[A-Za-z0-9_-]{1,32}\+([A-Za-z0-9-]{1,128})")
_DAY = re.compile(r"\d{8}")
MAX_ENTRY_BYTES = 256 * 1024


class Found(NamedTuple):
    """An entry and where it is; `stem` without an ending."""

    stem: Path
    entry: Entry


class Page(NamedTuple):
    """Some entries, newest first; `following` is where the next page begins, None at the end."""

    found: list[Found]
    following: str | None


def page(directory: Path, *, before: str | None, count: int, rejects: bool) -> Page:
    """Entries older than the name `before` (`<day>/<stem>`), or the newest; only `rejects` if wanted."""
    found: list[Found] = []
    last: str | None = None
    for name in _names(directory, before):
        if len(found) == count:
            return Page(found, last)
        entry = read_entry(directory / name)
        last = name
        if entry is not None and (entry.result.disposition == "reject" or not rejects):
            found.append(Found(directory / name, entry))
    return Page(found, None)


def find(directory: Path, result_id: str) -> Found | None:
    """The entry of a result; None if it is not kept, or not any more."""
    if not RESULT_ID.fullmatch(result_id):
        return None
    for day in _days(directory):
        for path in (directory / day).glob(f"*+{result_id}.json"):
            entry = read_entry(path.with_suffix(""))
            if entry is not None:
                return Found(path.with_suffix(""), entry)
    return None


def read_entry(stem: Path) -> Entry | None:
    """What an entry's JSON says; None if it is gone, pruned between two looks, or damaged."""
    path = stem.with_suffix(".json")
    try:
        if path.stat().st_size > MAX_ENTRY_BYTES:
            return None
        return msgspec.json.decode(path.read_bytes(), type=Entry)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _names(directory: Path, before: str | None) -> list[str]:
    """Names of whole entries, newest first."""
    names = []
    for day in _days(directory):
        if before is not None and day > before[:8]:
            continue
        stems = sorted((path.stem for path in (directory / day).glob("*.json")), reverse=True)
        names += [f"{day}/{stem}" for stem in stems if _NAME.fullmatch(stem)]
    return names if before is None else [name for name in names if name < before]


def _days(directory: Path) -> list[str]:
    if not directory.is_dir():
        return []
    return sorted((path.name for path in directory.iterdir() if _DAY.fullmatch(path.name)), reverse=True)
