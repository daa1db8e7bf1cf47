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


def make_logger(trt: Any) -> Any:
    """A logger of TensorRT that keeps its errors in `errors`; the rest is the library's own talk."""

    class Collector(trt.ILogger):  # type: ignore[misc]  # the bindings have no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(text.strip())

    return Collector()


def first_error(logger: Any) -> str:
    """The first error that such a logger has kept."""
    return str(logger.errors[0]) if logger.errors else "it gave no reason"


def dtype_name(trt: Any, dtype: Any) -> str:
    """A type of TensorRT as NumPy names it."""
    import numpy as np

    return str(np.dtype(trt.nptype(dtype)))
