"""Says where a configuration is wrong: path, value found, what is allowed, from msgspec's terse message."""

from __future__ import annotations

import re
import reprlib
from typing import Any

import msgspec
from msgspec import inspect


def explain(message: str, raw: Any, schema: type[msgspec.Struct], origin: str) -> str:
    """Say where, what was found, and what is allowed, from msgspec's 'Expected ... - at `$.path`'."""
    match = re.match(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", message, re.DOTALL)
    if match is None:
        return f"{origin}: {message}"
    path = (match["path"] or "$").removeprefix("$").removeprefix(".")
    what = match["what"]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    if unknown:
        where = f"{path}.{unknown[1]}" if path else unknown[1]
        return f"{origin}: {where}: unknown key. Allowed here: {_allowed(raw, schema, path)}."
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        where = f"{path}.{missing[1]}" if path else missing[1]
        return f"{origin}: {where}: missing. This key is required."
    found = f"{origin}: {path or 'top level'}: found {_short(_at(raw, path))}"
    if what.startswith("Invalid "):
        return f"{found}. Allowed: {_allowed(raw, schema, path)}."
    return f"{found}. {what}."


def _short(found: Any) -> str:
    """A value as text: YAML's aliases can make a small file's value endless."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = shortener.maxlong = 200
    try:
        return shortener.repr(found)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number too long to be shown"


def _steps(path: str) -> list[str | int]:
    """Split `cameras[0].trigger` into its keys and indices."""
    return [int(index) if index else key for index, key in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)]


def _at(raw: Any, path: str) -> Any:
    for step in _steps(path):
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _type_at(raw: Any, schema: type[msgspec.Struct], path: str) -> inspect.Type | None:
    """Type that the schema gives to the value at `path`; a union of sections is decided by its `kind`."""
    kind: inspect.Type = inspect.type_info(schema)
    for step in _steps(path):
        if isinstance(kind, inspect.UnionType):
            kind = _chosen(kind, raw.get("kind") if isinstance(raw, dict) else None) or kind
        if isinstance(kind, inspect.StructType) and isinstance(step, str):
            fields = {field.encode_name: field.type for field in kind.fields}
            kind = fields.get(step, kind)
        elif isinstance(kind, inspect.ListType):
            kind = kind.item_type
        raw = _at(raw, f"[{step}]" if isinstance(step, int) else step)
    if isinstance(kind, inspect.UnionType):
        return _chosen(kind, raw.get("kind") if isinstance(raw, dict) else None) or kind
    return kind


def _chosen(union: inspect.UnionType, tag: Any) -> inspect.Type | None:
    """Member of a union of tagged sections that carries this tag."""
    return next((t for t in union.types if isinstance(t, inspect.StructType) and t.tag == tag), None)


def _allowed(raw: Any, schema: type[msgspec.Struct], path: str) -> str:
    """Allowed keys of a section, or values of a choice, as a list for people; empty if neither."""
    kind = _type_at(raw, schema, path.removesuffix(".kind"))
    if isinstance(kind, inspect.StructType):
        tag = [kind.tag_field] if kind.tag_field else []
        return ", ".join([*tag, *(field.encode_name for field in kind.fields)])
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(str(value) for value in kind.values)
    if isinstance(kind, inspect.UnionType):
        structs = [member for member in kind.types if isinstance(member, inspect.StructType)]
        literals = [member for member in kind.types if isinstance(member, inspect.LiteralType)]
        values = [member.tag for member in structs] + [v for member in literals for v in member.values]
        return ", ".join(str(value) for value in values)
    return ""
