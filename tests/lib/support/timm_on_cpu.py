"""Import timm beside the CPU build of torch.

The registry's torchvision is built for CUDA: beside a CPU torch its compiled operators do not load, and it
then insists on the declaration of two of them. No network that we test calls either, so declaring them, with
no code behind, is enough here. The product does not do this: there it is an error that says what to install.
"""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from typing import Any

import torch

_OPERATORS = ("nms", "qnms")
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")  # declarations end with it


@functools.cache
def import_timm() -> Any:
    """The module timm; from here on `import timm` works in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, about its operators for images
        try:
            timm = importlib.import_module("timm")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            for name in [name for name in sys.modules if name.split(".")[0] in {"timm", "torchvision"}]:
                del sys.modules[name]
            for name in _OPERATORS:
                _LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            timm = importlib.import_module("timm")
    return timm
