"""The GenTL producer that comes with the package genicam: three simulated cameras that show balls."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_SPEC = find_spec("genicam")
VIKY = None if _SPEC is None or _SPEC.origin is None else str(Path(_SPEC.origin).with_name("viky.cti"))
