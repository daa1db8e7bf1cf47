"""Latency of the engine class on a GPU, PyTorch's kernels in TensorRT's place, with a CUDA graph and without.

    PYTHONPATH=tests/lib python -m support.gpu_latency MODEL PARTS.npz

What is computed is MODEL/model.onnx, which may be the FP16 graph that a plan would be built from. PARTS has
`images` as the model takes them, `score`, theirs in FP32 on a CPU, and the `threshold`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from engines.cuda_graph import CudaGraph
from engines.engine import EngineError
from engines.gpu import first_gpu
from engines.manifest import ONNX_NAME, load_manifest
from engines.tensorrt_engine import Gpus, TensorRtEngine
from engines.tensors import expected_signature
from support.onnx_torch import OnnxTorch
from support.plans import write_plan
from support.torch_tensorrt import TorchTensorRt

FRAMES = 1000


def no_graph(stream: int, work: object) -> CudaGraph:
    raise EngineError("left out, to compare")


def main() -> None:
    model, parts = map(Path, sys.argv[1:])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    given = np.load(parts)
    images, scores, threshold = given["images"], given["score"].ravel(), float(given["threshold"])
    gpu = first_gpu()
    here = {"gpu": gpu.name, "compute_capabilities": [gpu.compute_capability]}
    write_plan(model, target="tensorrt", precision="fp16", changes=here)
    signature = expected_signature(load_manifest(model))
    network = OnnxTorch((model / ONNX_NAME).read_bytes(), "cuda")
    for name, make in (("one launch of a CUDA graph", CudaGraph), ("enqueued one by one", no_graph)):
        machine = Gpus(module=lambda _: TorchTensorRt(network, signature, "10.13"), graph=make)  # type: ignore[arg-type]
        with TensorRtEngine(model, target="tensorrt", precision="fp16", machine=machine) as engine:
            errors = [abs(engine.infer(i).score - s) / threshold for i, s in zip(images, scores, strict=True)]
            times_ms = []
            for frame in range(FRAMES):
                begin = time.perf_counter()
                engine.infer(images[frame % len(images)])
                times_ms.append((time.perf_counter() - begin) * 1e3)
            p50, p99 = np.percentile(times_ms, [50, 99])
            print(
                f"{model.name}, {engine.info.device}, {engine.info.memory}, {name}: p50 {p50:.3f} ms, "
                f"p99 {p99:.3f} ms, worst {max(times_ms):.3f} ms of {FRAMES}; score error at most "
                f"{max(errors):.2%} of the threshold, {np.mean(errors):.2%} on average, {len(images)} parts; "
                f"note: {engine.info.note}"
            )


if __name__ == "__main__":
    main()
