"""Writes docs/schema/: one JSON Schema a topic, and those of requests, replies and roi.json, from the code.

Run `python -m tools.schemas` after a change of pipeline/messages.py or requests.py, or calibration/roi.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from calibration.roi import Roi
from pipeline import requests
from pipeline.wire import HEADERS

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Schema of every topic's header, of `request`, `reply` and `roi`, by name."""
    kinds: list[tuple[str, Any]] = [
        *HEADERS.items(),
        ("request", requests.Request),
        ("reply", requests.Reply),
        ("roi", Roi),
    ]
    return {
        name: {"$schema": DIALECT, "title": f"hlgfa.{name}/1", **msgspec.json.schema(kind)}
        for name, kind in kinds
    }


def render(schema: dict[str, Any]) -> str:
    """The text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(directory: Path = DIRECTORY) -> None:
    """Write one file a schema."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (directory / f"{name}.json").write_text(render(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
