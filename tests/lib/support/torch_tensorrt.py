"""PyTorch in the place of TensorRT's Python module: real kernels on the engine's own stream and buffers.

It shows on any NVIDIA GPU what depends on the GPU but not on TensorRT: memory, stream, order, CUDA graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engines.tensors import INPUT, MAP, SCORE

if TYPE_CHECKING:
    from engines.tensors import Signature


class TorchTensorRt:
    """What of the module `TensorRtEngine` calls, as one object: runtime, engine and context in turn."""

    class ILogger:
        class Severity:
            ERROR = 1

    def __init__(self, network: torch.nn.Module, tensors: Signature, version: str) -> None:
        self.__version__ = version
        self._network = network.cuda()
        self._tensors = tensors
        self._names = list(tensors)
        self._bound: dict[str, torch.Tensor] = {}
        self.num_io_tensors = len(tensors)

    def nptype(self, dtype: str) -> str:
        return dtype

    def Runtime(self, logger: Any) -> TorchTensorRt:
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> TorchTensorRt:
        return self

    def create_execution_context(self) -> TorchTensorRt:
        return self

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_dtype(self, name: str) -> str:
        return self._tensors[name][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name][1]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._bound[name] = torch.as_tensor(_Memory(memory, *self._tensors[name]), device="cuda")
        return self._bound[name].data_ptr() == memory

    def execute_async_v3(self, stream_handle: int) -> bool:
        with torch.no_grad(), torch.cuda.stream(torch.cuda.ExternalStream(stream_handle)):  # type: ignore[no-untyped-call]
            anomaly_map, score = self._network(self._bound[INPUT])
            self._bound[MAP].copy_(anomaly_map)
            self._bound[SCORE].copy_(score.reshape(-1))
        return True


class _Memory:
    """An address on the GPU as a tensor that owns nothing: the CUDA array interface, version 3."""

    def __init__(self, address: int, dtype: str, shape: tuple[int, ...]) -> None:
        typestr = {"uint8": "|u1", "float32": "<f4"}[dtype]
        self.__cuda_array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": typestr,
            "version": 3,
            "strides": None,
        }
