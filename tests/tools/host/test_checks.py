"""Every outcome of the doctor's checks, on machines that are made up."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.config import Config, parse_config
from support.lines import folder_camera
from tools.host.checks import check_autogroup, check_machine
from tools.host.facts import (
    Certificate,
    Clock,
    Engine,
    Facts,
    GpuFacts,
    Interface,
    Limits,
    Line,
    Port,
    Volume,
)
from tools.host.file_checks import check_files

MIB = 2**20
GOOD = Facts(
    clock=Clock(synchronised=True, max_error_ms=2.0, daemons=["chronyd"]),
    shm_bytes=1024 * MIB,
    shm_free_bytes=1000 * MIB,
    rmem_max_bytes=8 * MIB,
    interfaces=[
        Interface(name="eth1", up=True, mtu=9000, speed_mbit_s=1000, addresses=["192.168.7.1/24"]),
    ],
    governors=["performance"],
    autogroup=False,
    swap_bytes=0,
    swap_used_bytes=0,
    limits=Limits(rtprio=50, memlock_bytes=None, open_files=4096, root=False),
    gpu=GpuFacts(name="A2000", compute_capability="8.6", driver="550", problem=None),
    packages={"onnxruntime": "1.23.2", "tensorrt-rtx": "1.7.1.116"},
    volumes=[
        Volume(key="station.journal_dir", path="journal", exists=True, writable=True, free_bytes=99_999 * MIB)
    ],
    certificates=[Certificate(key="gateways.opcua.certificate", path="c.der", days_left=300)],
    ports=[Port(key="metrics", address="127.0.0.1:9464")],
    engine=Engine(runtime="onnxruntime", built_with=None, compute_capabilities=[]),
)
GIGE = folder_camera(Path("p")) | {
    "kind": "aravis",
    "address": "192.168.7.20",
    "packet_size_bytes": 8192,
    "trigger": {"source": "freerun"},
}
for _key in ("directory", "rate_hz"):
    GIGE.pop(_key)


def _config(**changes: Any) -> Config:
    raw: dict[str, Any] = {
        "station": {"line": "demo", "name": "s1", "deadline_ms": 150},
        "sockets": {name: f"ipc:///run/{name}" for name in ("results", "heatmaps", "replay")},
        "cameras": [GIGE],
        "engine": {"model": "m", "runtime": "onnxruntime"},
        "realtime": {"fifo_priority": 40, "lock_memory": True},
    }
    return parse_config(raw | changes, origin="test")


def _lines(config: Config | None = None, **changes: Any) -> dict[str, Line]:
    facts = msgspec.structs.replace(GOOD, **changes)
    config = config or _config()
    return {line.what: line for line in (*check_machine(facts, config), *check_files(facts, config))}


def test_a_machine_that_is_fit_has_nothing_to_do() -> None:
    lines = _lines()
    assert {line.level for line in lines.values()} == {"ok"}
    assert not [line for line in lines.values() if line.do is not None]
    assert len(lines) == 15


CASES: list[tuple[dict[str, Any], str, str, str, str]] = [
    (
        {"clock": Clock(synchronised=None, max_error_ms=None, daemons=[])},
        "clock",
        "warning",
        "the kernel does not tell",
        "chrony",
    ),
    (
        {"clock": Clock(synchronised=False, max_error_ms=16e3, daemons=[])},
        "clock",
        "error",
        "not synchronised (no daemon)",
        "chrony",
    ),
    (
        {"clock": Clock(synchronised=True, max_error_ms=80, daemons=["chronyd"])},
        "clock",
        "warning",
        "may be wrong by 80 ms",
        "chronyc",
    ),
    ({"shm_free_bytes": 10 * MIB}, "/dev/shm", "warning", "10 of 1024 MiB free", "remount"),
    ({"swap_bytes": 99, "swap_used_bytes": 5 * MIB}, "swap", "warning", "5 MiB in use", "swapoff"),
    ({"governors": ["performance", "powersave"]}, "CPU governor", "warning", "powersave", "cpupower"),
    (
        {"limits": Limits(rtprio=0, memlock_bytes=None, open_files=4096, root=False)},
        "rtprio",
        "error",
        "0 for realtime.fifo_priority 40",
        "LimitRTPRIO=40",
    ),
    (
        {"limits": Limits(rtprio=50, memlock_bytes=65536, open_files=4096, root=False)},
        "memlock",
        "error",
        "65536 bytes",
        "LimitMEMLOCK=infinity",
    ),
    (
        {"limits": Limits(rtprio=50, memlock_bytes=None, open_files=1024, root=False)},
        "open files",
        "warning",
        "1024",
        "ulimit -n 4096",
    ),
    ({"rmem_max_bytes": 212_992}, "net.core.rmem_max", "warning", "212992 bytes", "rmem_max=4194304"),
    (
        {"interfaces": []},
        "network of camera cam1",
        "error",
        "no interface in the network of",
        "ip address add",
    ),
    (
        {"interfaces": [msgspec.structs.replace(GOOD.interfaces[0], up=False)]},
        "network of camera cam1",
        "error",
        "eth1 is down",
        "ip link set eth1 up",
    ),
    (
        {"interfaces": [msgspec.structs.replace(GOOD.interfaces[0], mtu=1500)]},
        "network of camera cam1",
        "error",
        "packets of 8192 bytes",
        "ip link set eth1 mtu 8192",
    ),
    ({"packages": {}}, "runtime onnxruntime", "error", "not installed", "pip install hlgfa-line"),
    (
        {"volumes": [msgspec.structs.replace(GOOD.volumes[0], writable=False)]},
        "station.journal_dir",
        "error",
        "cannot be written",
        "install -d -o hlgfa",
    ),
    (
        {"volumes": [msgspec.structs.replace(GOOD.volumes[0], free_bytes=100 * MIB)]},
        "station.journal_dir",
        "error",
        "100 MiB free, expected 256",
        "df -h",
    ),
    (
        {"volumes": [msgspec.structs.replace(GOOD.volumes[0], free_bytes=1000 * MIB)]},
        "station.journal_dir",
        "warning",
        "1000 MiB free",
        "8192 MiB are configured",
    ),
    (
        {"ports": [Port(key="metrics", address="127.0.0.1:9464", problem="Address already in use")]},
        "metrics",
        "warning",
        "already in use",
        "ss -ltnp 'sport = :9464'",
    ),
    (
        {"certificates": [Certificate(key="c", path="c.der", days_left=-1)]},
        "c",
        "error",
        "has expired",
        "docs/gateways.md",
    ),
    (
        {"certificates": [Certificate(key="c", path="c.der", days_left=9)]},
        "c",
        "warning",
        "good for 9 days",
        "docs/gateways.md",
    ),
    (
        {"certificates": [Certificate(key="c", path="c.der", days_left=None, problem="is no certificate")]},
        "c",
        "error",
        "is no certificate",
        "docs/gateways.md",
    ),
]


@pytest.mark.parametrize(("changes", "what", "level", "found", "do"), CASES)
def test_what_is_wrong_is_said_with_what_to_do(
    changes: dict[str, Any], what: str, level: str, found: str, do: str
) -> None:
    line = _lines(**changes)[what]
    assert line.level == level
    assert found in line.found
    assert line.do is not None
    assert do in line.do


GPU_ENGINE = {"model": "m", "runtime": "tensorrt-rtx", "precision": "fp16"}
BUILT = Engine(runtime="tensorrt-rtx", built_with="1.7.1.116", compute_capabilities=["8.6"])
NO_GPU = GpuFacts(name=None, compute_capability=None, driver=None, problem="no NVIDIA driver")


@pytest.mark.parametrize(
    ("changes", "what", "level", "found"),
    [
        ({}, "runtime tensorrt-rtx", "ok", "1.7.1.116"),
        ({}, "compute capability", "ok", "8.6 for an engine built for 8.6"),
        ({"gpu": NO_GPU}, "GPU", "error", "no NVIDIA driver"),
        (
            {"gpu": msgspec.structs.replace(GOOD.gpu, compute_capability="12.0")},
            "compute capability",
            "error",
            "12.0 for an engine built for 8.6",
        ),
        (
            {"packages": {"tensorrt-rtx": "1.9.0.5"}},
            "runtime tensorrt-rtx",
            "error",
            "1.9.0.5, the engine was built with 1.7.1.116",
        ),
    ],
)
def test_an_engine_of_a_gpu_wants_its_gpu_and_its_version(
    changes: dict[str, Any], what: str, level: str, found: str
) -> None:
    line = _lines(_config(engine=GPU_ENGINE), engine=BUILT, **changes)[what]
    assert (line.level, line.found) == (level, found)


def test_no_gpu_is_nothing_wrong_for_an_engine_of_the_cpu() -> None:
    assert _lines(gpu=NO_GPU)["GPU"].level == "ok"


def test_root_may_have_any_priority_and_lock_any_memory() -> None:
    lines = _lines(limits=Limits(rtprio=0, memlock_bytes=1, open_files=None, root=True))
    assert {lines[what].level for what in ("rtprio", "memlock", "open files")} == {"ok"}


def test_sessions_share_the_cores_out_unless_the_line_has_real_time_priority() -> None:
    facts = msgspec.structs.replace(GOOD, autogroup=True)
    assert check_autogroup(facts, _config()).level == "ok"
    line = check_autogroup(facts, None)
    assert line.level == "warning"
    assert line.do is not None
    assert "sched_autogroup_enabled=0" in line.do


def test_without_a_configuration_there_is_the_machine_alone() -> None:
    whats = [line.what for line in (*check_machine(GOOD, None), *check_files(GOOD, None))]
    assert whats == ["clock", "/dev/shm", "swap", "CPU governor", "autogroup", "open files", "GPU"]
