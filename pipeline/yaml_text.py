"""YAML to plain values: what PyYAML's safe loader makes of it, or one kind of error."""

from __future__ import annotations

from typing import Any

import yaml

MAX_BYTES = 1_000_000
# Besides its own error PyYAML raises what `int`, `datetime` and its tables do on a value such as 2001-99-99.
_FAULTS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class YamlError(Exception):
    """The bytes are not YAML, or more than a configuration can be."""


def read_yaml(data: bytes) -> Any:
    """Values of one document: dicts, lists, text, numbers, booleans, dates, None.

    Raises:
        YamlError: it is none.
    """
    if len(data) > MAX_BYTES:
        raise YamlError(f"found {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        return yaml.safe_load(data.decode("utf-8"))
    except _FAULTS as error:
        raise YamlError(str(error)) from error
