"""What is to be said of a machine. Pure: facts and configuration in, lines out."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from engines.targets import BINDINGS
from pipeline.camera_config import AravisCameraConfig, PylonCameraConfig
from pipeline.ring import SHARED_MEMORY
from tools.host.facts import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.camera_config import CameraConfig
    from pipeline.config import Config
    from tools.host.facts import Clock, Facts, GpuFacts, Interface

SPARE_SHM_BYTES = 64 * 2**20
JUMBO_MTU = 9000
MAX_CLOCK_ERROR_MS = 50.0
"""A reader takes a result as expired 500 ms after its publication, by its own UTC."""
OPEN_FILES = 4096
"""docs/security.md: each connection is a descriptor."""


def check_machine(facts: Facts, config: Config | None) -> Iterator[Line]:
    """Everything about the machine; about what the station needs of it only with its configuration."""
    yield check_clock(facts.clock)
    yield from check_memory(facts)
    yield check_governor(facts.governors)
    yield check_autogroup(facts, config)
    yield from check_limits(facts, config)
    yield from check_network(facts, config)
    yield from check_engine(facts, config)


def check_clock(clock: Clock) -> Line:
    """UTC is what readers on other machines judge the age of a result by."""
    by = ", ".join(clock.daemons) or "no daemon"
    do = "apt-get install chrony && systemctl enable --now chrony; then look: chronyc tracking"
    if clock.synchronised is None:
        return Line(level="warning", what="clock", found="the kernel does not tell", do=do)
    if not clock.synchronised:
        return Line(level="error", what="clock", found=f"not synchronised ({by})", do=do)
    error_ms = clock.max_error_ms or 0.0
    if error_ms > MAX_CLOCK_ERROR_MS:
        found = f"synchronised, but may be wrong by {error_ms:.0f} ms ({by})"
        return Line(level="warning", what="clock", found=found, do="chronyc sources -v; name a nearer server")
    return Line(level="ok", what="clock", found=f"synchronised within {error_ms:.1f} ms ({by})")


def check_memory(facts: Facts) -> Iterator[Line]:
    """Shared memory has some to spare; the swap is not in use."""
    size, free = facts.shm_bytes, facts.shm_free_bytes
    text = f"{free / 2**20:.0f} of {size / 2**20:.0f} MiB free"
    if free < SPARE_SHM_BYTES:
        yield Line(
            level="warning",
            what=str(SHARED_MEMORY),
            found=text,
            do="mount -o remount,size=1G /dev/shm; in a container: --shm-size=1g",
        )
    else:
        yield Line(level="ok", what=str(SHARED_MEMORY), found=text)
    if facts.swap_used_bytes:
        found = f"{facts.swap_used_bytes / 2**20:.0f} MiB in use"
        do = "swapoff -a, or realtime.lock_memory: true in config.yaml"
        yield Line(level="warning", what="swap", found=found, do=do)
    else:
        found = "none" if not facts.swap_bytes else f"{facts.swap_bytes / 2**20:.0f} MiB, none in use"
        yield Line(level="ok", what="swap", found=found)


def check_governor(governors: list[str]) -> Line:
    """Clocks that fall while nobody asks make the first part after a pause late."""
    if not governors:
        return Line(level="ok", what="CPU governor", found="the system sets none (a virtual machine?)")
    slow = sorted(set(governors) - {"performance"})
    if slow:
        do = "cpupower frequency-set -g performance (Debian: linux-cpupower)"
        return Line(level="warning", what="CPU governor", found=", ".join(slow), do=do)
    return Line(level="ok", what="CPU governor", found="performance")


def check_autogroup(facts: Facts, config: Config | None) -> Line:
    """With it, one browser on the station's own screen may take half of the cores, whatever its priority."""
    if not facts.autogroup:
        return Line(level="ok", what="autogroup", found="off: priorities count between all programs")
    if config is not None and config.realtime.fifo_priority is not None:
        return Line(level="ok", what="autogroup", found="on, but the line has real-time priority")
    return Line(
        level="warning",
        what="autogroup",
        found="on: programs of another session, a browser on this screen, may take as much as the whole line",
        do="sysctl kernel.sched_autogroup_enabled=0 (and in /etc/sysctl.d), or realtime.fifo_priority",
    )


def check_limits(facts: Facts, config: Config | None) -> Iterator[Line]:
    """What config.yaml asks of real time is allowed."""
    limits = facts.limits
    priority = None if config is None else config.realtime.fifo_priority
    if priority is not None:
        allowed = limits.root or limits.rtprio is None or limits.rtprio >= priority
        found = "any (root)" if limits.root else f"{limits.rtprio} for realtime.fifo_priority {priority}"
        do = None if allowed else f"LimitRTPRIO={priority} in the unit, or ulimit -r {priority}"
        yield Line(level="ok" if allowed else "error", what="rtprio", found=found, do=do)
    if config is not None and config.realtime.lock_memory:
        allowed = limits.root or limits.memlock_bytes is None
        found = "no limit" if allowed else f"{limits.memlock_bytes} bytes for realtime.lock_memory"
        do = None if allowed else "LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited"
        yield Line(level="ok" if allowed else "error", what="memlock", found=found, do=do)
    if limits.open_files is not None and limits.open_files < OPEN_FILES:
        do = f"LimitNOFILE={OPEN_FILES} in the unit, or ulimit -n {OPEN_FILES}"
        yield Line(level="warning", what="open files", found=str(limits.open_files), do=do)
    else:
        yield Line(level="ok", what="open files", found=str(limits.open_files or "no limit"))


def check_network(facts: Facts, config: Config | None) -> Iterator[Line]:
    """Buffers and packet sizes, for cameras on a network."""
    cameras = [] if config is None else [camera for camera in config.cameras if _on_network(camera)]
    buffers = [camera.socket_buffer_bytes for camera in cameras if isinstance(camera, AravisCameraConfig)]
    wanted = max(buffers, default=0)
    if cameras and facts.rmem_max_bytes is not None:
        short = facts.rmem_max_bytes < wanted
        do = f"sysctl -w net.core.rmem_max={wanted}, and the same in /etc/sysctl.d/90-hlgfa.conf"
        yield Line(
            level="warning" if short else "ok",
            what="net.core.rmem_max",
            found=f"{facts.rmem_max_bytes} bytes" + (f" for socket_buffer_bytes {wanted}" if short else ""),
            do=do if short else None,
        )
    for camera in cameras:
        yield _check_interface(camera, facts.interfaces)


def _on_network(camera: CameraConfig) -> bool:
    return isinstance(camera, AravisCameraConfig | PylonCameraConfig) and camera.address is not None


def _check_interface(camera: CameraConfig, interfaces: list[Interface]) -> Line:
    """The interface in whose network the camera's address lies takes its packets."""
    assert isinstance(camera, AravisCameraConfig | PylonCameraConfig)
    assert camera.address is not None
    what = f"network of camera {camera.name}"
    address = ipaddress.ip_address(camera.address)
    near = next((i for i in interfaces if _reaches(i, address)), None)
    if near is None:
        do = "ip -br address; ip address add ADDRESS/24 dev INTERFACE"
        return Line(level="error", what=what, found=f"no interface in the network of {address}", do=do)
    text = f"{near.name}, MTU {near.mtu}, {near.speed_mbit_s} Mbit/s"
    if not near.up:
        return Line(level="error", what=what, found=f"{near.name} is down", do=f"ip link set {near.name} up")
    packet = camera.packet_size_bytes
    if packet is not None and packet > near.mtu:
        do = f"ip link set {near.name} mtu {packet}, or packet_size_bytes: {near.mtu}"
        return Line(level="error", what=what, found=f"{text}, packets of {packet} bytes", do=do)
    if near.mtu < JUMBO_MTU and near.name != "lo":
        do = f"ip link set {near.name} mtu {JUMBO_MTU}, if the camera and all switches take it"
        return Line(level="warning", what=what, found=text, do=do)
    return Line(level="ok", what=what, found=text)


def _reaches(interface: Interface, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in ipaddress.ip_interface(own).network for own in interface.addresses)


def check_engine(facts: Facts, config: Config | None) -> Iterator[Line]:
    """The runtime is installed, in the version that the engine was built for, with its GPU."""
    engine = facts.engine
    if config is None or engine is None:
        yield _gpu(facts.gpu, needed=False)
        return
    needed = engine.runtime in BINDINGS
    yield _gpu(facts.gpu, needed=needed)
    version = facts.packages.get(engine.runtime)
    what = f"runtime {engine.runtime}"
    if version is None:
        do = f"pip install 'hlgfa-line[{engine.runtime}]'" if needed else "pip install hlgfa-line"
        yield Line(level="error", what=what, found="not installed", do=do)
    elif engine.built_with is not None and not _same_version(version, engine.built_with):
        found = f"{version}, the engine was built with {engine.built_with}"
        do = f"pip install {engine.runtime}=={engine.built_with}, or build the engine again: build_engine"
        yield Line(level="error", what=what, found=found, do=do)
    else:
        yield Line(level="ok", what=what, found=version)
    capability = facts.gpu.compute_capability
    if needed and capability is not None and engine.compute_capabilities:
        fits = capability in engine.compute_capabilities
        found = f"{capability} for an engine built for {', '.join(engine.compute_capabilities)}"
        do = f"build_engine ... --compute-capability {capability.replace('.', '')}"
        yield Line(
            level="ok" if fits else "error",
            what="compute capability",
            found=found,
            do=None if fits else do,
        )


def _gpu(gpu: GpuFacts, *, needed: bool) -> Line:
    if gpu.name is None:
        do = "install NVIDIA's driver (docs/gpu.md), or set engine.runtime: openvino" if needed else None
        return Line(level="error" if needed else "ok", what="GPU", found=gpu.problem or "none", do=do)
    found = f"{gpu.name}, compute capability {gpu.compute_capability}, driver {gpu.driver or 'unknown'}"
    return Line(level="ok", what="GPU", found=found)


def _same_version(installed: str, built_with: str) -> bool:
    """Whether one is the other, but for what comes after the third number."""
    first, second = (text.split("-", maxsplit=1)[0].split(".")[:3] for text in (installed, built_with))
    return first == second
