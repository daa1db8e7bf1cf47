"""TensorRT's Python module, by its name, and its types as NumPy names them."""

from __future__ import annotations

import importlib
from typing import Any

from engines.engine import EngineError


def bindings(module: str) -> Any:
    """TensorRT's Python module of this name.

    Raises:
        EngineError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.replace("_", "-")
        raise EngineError(
            f"{package}: cannot be imported ({str(error).splitlines()[0]}). Run: pip install "
            f"'hlgfa-line[{package}]'"
        ) from error


def dtype_name(trt: Any, dtype: Any) -> str:
    """A type of TensorRT as NumPy names it."""
    import numpy as np

    return str(np.dtype(trt.nptype(dtype)))
