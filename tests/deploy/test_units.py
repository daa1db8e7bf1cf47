"""The systemd units: systemd itself reads them, they start what exists, and they are closed down."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli import app

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))
NAMES = [unit.stem for unit in UNITS]
HARDENED = [
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "CapabilityBoundingSet=",
    "Restart=always",
    "StartLimitIntervalSec=0",
    "User=hlgfa",
    "StateDirectory=hlgfa",
]


def test_there_is_a_unit_for_each_process() -> None:
    assert NAMES == ["hlgfa-dashboard", "hlgfa-gateway", "hlgfa-metrics", "hlgfa-station"]


@pytest.mark.parametrize("unit", UNITS, ids=NAMES)
def test_it_starts_a_command_that_exists(unit: Path) -> None:
    [verb] = re.findall(
        r"^ExecStart=/opt/hlgfa/venv/bin/hlgfa (\w+)(?: --no-dashboard)? /etc/hlgfa/config.yaml$",
        unit.read_text(),
        re.M,
    )
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert verb in verbs


@pytest.mark.parametrize("unit", UNITS, ids=NAMES)
def test_it_is_closed_down(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for line in HARDENED:
        assert line in lines


def test_the_page_is_served_once_and_nobody_waits_for_a_station_that_is_not_ready() -> None:
    texts = {unit.stem: unit.read_text() for unit in UNITS}
    assert "hlgfa run --no-dashboard " in texts.pop("hlgfa-station")
    for text in texts.values():
        assert "After=network-online.target\n" in text


def test_the_station_keeps_what_it_needs() -> None:
    lines = (UNITS[NAMES.index("hlgfa-station")]).read_text().splitlines()
    for line in (
        "Type=notify",
        "WatchdogSec=5",
        "PrivateDevices=no",  # cameras, GPUs
        "PrivateIPC=no",
        "ProtectClock=no",  # it would close all devices
        "RestrictRealtime=no",
        "LimitRTPRIO=98",
        "LimitMEMLOCK=infinity",
        "KillMode=mixed",  # the children are the station's to end
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith("DeviceAllow")]


@pytest.fixture
def here(tmp_path: Path) -> list[str]:
    """The units with programs and users that this machine has."""
    program = tmp_path / "hlgfa"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tools.cli "$@"\n')
    program.chmod(0o755)
    paths = []
    for unit in UNITS:
        text = unit.read_text().replace("/opt/hlgfa/venv/bin/hlgfa", str(program))
        text = re.sub(r"^(User|Group)=hlgfa$", r"\1=root", text, flags=re.M)
        path = tmp_path / unit.name
        path.write_text(text)
        paths.append(str(path))
    return paths


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd"
)
def test_systemd_reads_them_without_a_word(here: list[str]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *here],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd"
)
def test_their_exposure_is_low(here: list[str]) -> None:
    for path in here:
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", path],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if "unrecognized option" in done.stderr:
            pytest.skip("this systemd cannot judge units that are not loaded")
        [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        assert float(exposure) <= 4.0
