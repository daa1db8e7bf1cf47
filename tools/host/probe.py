"""Looks a machine up: reads what the kernel tells, changes nothing; what cannot be read is unknown."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pipeline.ring import SHARED_MEMORY
from tools.host.facts import Clock, Facts, GpuFacts, Interface, Limits
from tools.host.probe_station import certificates, engine, ports, volumes

if TYPE_CHECKING:
    from pipeline.config import Config

CLOCK_DAEMONS = {"chronyd", "systemd-timesyn", "systemd-timesyncd", "ntpd", "ptp4l", "phc2sys"}
PACKAGES = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "pycuda", "cuda-bindings")
_STATUS_UNSYNC = 0x40
_ROOT = Path("/")


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is read here."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    ]


def look_up(config: Config | None) -> Facts:
    """Everything about this machine, and what `config` names on it."""
    shm = shutil.disk_usage(SHARED_MEMORY)
    swap = psutil.swap_memory()
    return Facts(
        clock=clock(),
        shm_bytes=shm.total,
        shm_free_bytes=shm.free,
        rmem_max_bytes=rmem_max(),
        interfaces=interfaces(),
        governors=governors(),
        autogroup=autogroup(),
        swap_bytes=swap.total,
        swap_used_bytes=swap.used,
        limits=limits(),
        gpu=gpu(),
        packages=packages(),
        volumes=[] if config is None else volumes(config),
        certificates=[] if config is None else certificates(config),
        ports=[] if config is None else ports(config),
        engine=None if config is None else engine(config),
    )


def clock() -> Clock:
    """What the kernel says of its clock, and who disciplines it."""
    names = {process.info["name"] for process in psutil.process_iter(["name"])}
    daemons = sorted(names & CLOCK_DAEMONS)
    timex = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        return Clock(synchronised=None, max_error_ms=None, daemons=daemons)
    synchronised = not timex.status & _STATUS_UNSYNC
    return Clock(synchronised=synchronised, max_error_ms=timex.maxerror / 1000, daemons=daemons)


def rmem_max(root: Path = _ROOT) -> int | None:
    """The largest receive buffer of a socket, bytes."""
    try:
        return int((root / "proc/sys/net/core/rmem_max").read_text())
    except (OSError, ValueError):
        return None


def governors(root: Path = _ROOT) -> list[str]:
    """The frequency governors of all cores, each once; empty where there are none."""
    found = set()
    for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(path.read_text().strip())
        except OSError:
            continue
    return sorted(found)


def autogroup(root: Path = _ROOT) -> bool:
    """Whether cores are shared out between sessions before priorities count (sched(7))."""
    try:
        return (root / "proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1"
    except OSError:
        return False


def interfaces() -> list[Interface]:
    """All network interfaces with their IPv4 addresses."""
    import ipaddress
    import socket

    addresses = psutil.net_if_addrs()
    return [
        Interface(
            name=name,
            up=stats.isup,
            mtu=stats.mtu,
            speed_mbit_s=stats.speed,
            addresses=[
                str(ipaddress.ip_interface(f"{found.address}/{found.netmask}"))
                for found in addresses.get(name, [])
                if found.family == socket.AF_INET and found.netmask
            ],
        )
        for name, stats in psutil.net_if_stats().items()
    ]


def limits() -> Limits:
    """Of this process, as the units' may differ."""

    def soft(which: int) -> int | None:
        value, _ = resource.getrlimit(which)
        return None if value == resource.RLIM_INFINITY else value

    return Limits(
        rtprio=soft(resource.RLIMIT_RTPRIO),
        memlock_bytes=soft(resource.RLIMIT_MEMLOCK),
        open_files=soft(resource.RLIMIT_NOFILE),
        root=os.geteuid() == 0,
    )


def gpu(root: Path = _ROOT) -> GpuFacts:
    """The first GPU, asked of the driver itself."""
    from engines.engine import EngineError
    from engines.gpu import first_gpu

    path = root / "proc/driver/nvidia/version"
    driver = path.read_text().splitlines()[0].strip() if path.is_file() else None
    try:
        found = first_gpu()
    except EngineError as error:
        problem = str(error).removeprefix("GPU: ").split(";")[0]
        return GpuFacts(name=None, compute_capability=None, driver=driver, problem=problem)
    return GpuFacts(name=found.name, compute_capability=found.compute_capability, driver=driver, problem=None)


def packages() -> dict[str, str]:
    """Versions of the runtimes and of what they need; what is not installed is left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
