"""Is there a GPU? Asked of the driver itself: a TensorRT runtime made without one may end the process."""

from __future__ import annotations

import ctypes
from typing import Any

import msgspec

from engines.engine import EngineError

DRIVER = "libcuda.so.1"
_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR and CU_DEVICE_ATTRIBUTE_INTEGRATED of cuda.h."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The first GPU: name, compute capability such as "8.6", and whether it shares the CPU's memory."""

    name: str
    compute_capability: str
    integrated: bool


def load_driver() -> Any:
    """The CUDA driver, initialised.

    Raises:
        EngineError: there is no driver, or it finds no GPU.
    """
    do = "Run the station on a machine with an NVIDIA GPU and its driver, or choose runtime openvino."
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as error:
        raise EngineError(f"GPU: no NVIDIA driver ({error}); expected {DRIVER}. {do}") from error
    code = driver.cuInit(0)
    if code != 0:
        raise EngineError(f"GPU: the NVIDIA driver finds none (cuInit: error {code}). {do}")
    return driver


def first_gpu() -> Gpu:
    """What the driver says about device 0.

    Raises:
        EngineError: there is no GPU, or the driver fails.
    """
    driver = load_driver()
    device, value = ctypes.c_int(), ctypes.c_int()
    check_driver(driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name = ctypes.create_string_buffer(256)
    check_driver(driver.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    found = []
    for attribute in (_MAJOR, _MINOR, _INTEGRATED):
        check_driver(
            driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), "cuDeviceGetAttribute"
        )
        found.append(value.value)
    return Gpu(
        name=name.value.decode(), compute_capability=f"{found[0]}.{found[1]}", integrated=bool(found[2])
    )


def find_gpu() -> Gpu | None:
    """The first GPU, None if there is none; for those who can do without."""
    try:
        return first_gpu()
    except EngineError:
        return None


def check_driver(code: int, call: str) -> None:
    """Turn a driver's error code into an error that names the call.

    Raises:
        EngineError: the code is not 0.
    """
    if code != 0:
        raise EngineError(f"GPU: {call} failed with CUDA error {code}. Look at the driver: nvidia-smi, dmesg")
