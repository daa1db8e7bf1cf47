"""CUDA graphs through the driver: the work of one frame, captured once and launched by one call.

By ctypes, since pycuda has no graphs; so both ways to memory share this one.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from engines.engine import EngineError
from engines.gpu import check_driver, load_driver

if TYPE_CHECKING:
    from collections.abc import Callable

_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: calls of other threads do not break the capture."""


class CudaGraph:
    """What `work` put on a stream, as one launch.

    Args:
        stream: handle of a stream that is not the default one, with nothing waiting on it.
        work: enqueues on the stream and does nothing else.
        driver: the CUDA driver; None loads it.

    Raises:
        EngineError: something in `work` cannot be captured, or the driver refuses the graph.
    """

    def __init__(self, stream: int, work: Callable[[], None], *, driver: Any = None) -> None:
        self._driver: Any = load_driver() if driver is None else driver
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        begin = self._driver.cuStreamBeginCapture_v2(self._stream, _THREAD_LOCAL)
        check_driver(begin, "cuStreamBeginCapture")
        try:
            work()
        finally:  # a stream left capturing would refuse every later call
            end = self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        check_driver(end, "cuStreamEndCapture")
        if not graph.value:
            raise EngineError("GPU: cuStreamEndCapture gave no graph.")
        made = self._driver.cuGraphInstantiateWithFlags(
            ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0)
        )
        self._driver.cuGraphDestroy(graph)
        check_driver(made, "cuGraphInstantiate")

    def launch(self) -> None:
        """Put the graph on its stream; returns before it is done.

        Raises:
            EngineError: the driver refuses.
        """
        check_driver(self._driver.cuGraphLaunch(self._executable, self._stream), "cuGraphLaunch")

    def close(self) -> None:
        """Free the graph; safe to call again."""
        if self._executable.value:
            self._driver.cuGraphExecDestroy(self._executable)
            self._executable = ctypes.c_void_p()
