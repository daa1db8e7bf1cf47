"""What was found on a machine. No judgement: `checks` has it."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor's: `do` is what to run or change, None where nothing is wrong."""

    level: Level
    what: str
    found: str
    do: str | None = None


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel's clock: `synchronised` as adjtimex(2) has it, None if it does not tell."""

    synchronised: bool | None
    max_error_ms: float | None
    daemons: list[str]


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """One network interface; addresses as IP/PREFIX."""

    name: str
    up: bool
    mtu: int
    speed_mbit_s: int
    addresses: list[str]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of this process; None for no limit. `root`: what root runs may have any priority."""

    rtprio: int | None
    memlock_bytes: int | None
    open_files: int | None
    root: bool


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A directory that the station writes, or the next one above it that exists."""

    key: str
    path: str
    exists: bool
    writable: bool
    free_bytes: int


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate of a gateway; `problem` if it cannot be read."""

    key: str
    path: str
    days_left: float | None
    problem: str | None = None


class GpuFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The first GPU as its driver tells of it; `problem` if there is none."""

    name: str | None
    compute_capability: str | None
    driver: str | None
    problem: str | None


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """What the configured engine needs; `built_with`: the runtime's version in its sidecar, if it has one."""

    runtime: str
    built_with: str | None
    compute_capabilities: list[str]


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP address that a process of the line will listen at; `problem` if it cannot be bound."""

    key: str
    address: str
    problem: str | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was looked up; sections of a station are empty without a config.yaml."""

    clock: Clock
    shm_bytes: int
    shm_free_bytes: int
    rmem_max_bytes: int | None
    interfaces: list[Interface]
    governors: list[str]
    autogroup: bool
    swap_bytes: int
    swap_used_bytes: int
    limits: Limits
    gpu: GpuFacts
    packages: dict[str, str]
    volumes: list[Volume] = []
    certificates: list[Certificate] = []
    ports: list[Port] = []
    engine: Engine | None = None
