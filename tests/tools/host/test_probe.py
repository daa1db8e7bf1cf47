"""What is looked up here is of the right kind, and what is read from files is what they say."""

import datetime
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.config import parse_config
from support.lines import folder_camera, make_raw_config, paint_parts
from tools.host.probe import autogroup, governors, gpu, interfaces, look_up, rmem_max
from tools.host.probe_station import ports, read_certificate


def test_this_machine_can_be_looked_up() -> None:
    facts = look_up(None)
    assert facts.shm_bytes >= facts.shm_free_bytes > 0
    assert "onnxruntime" in facts.packages
    loopback = next(found for found in interfaces() if found.name == "lo")
    assert loopback.addresses == ["127.0.0.1/8"]
    assert facts.volumes == []


def test_files_of_the_kernel_are_read(tmp_path: Path) -> None:
    assert rmem_max(tmp_path) is None
    assert governors(tmp_path) == []
    assert not autogroup(tmp_path)
    assert gpu(tmp_path).driver is None
    (tmp_path / "proc/sys/net/core").mkdir(parents=True)
    (tmp_path / "proc/sys/net/core/rmem_max").write_text("212992\n")
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/sched_autogroup_enabled").write_text("1\n")
    for core, name in enumerate(("powersave", "performance", "powersave")):
        directory = tmp_path / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        directory.mkdir(parents=True)
        (directory / "scaling_governor").write_text(f"{name}\n")
    assert rmem_max(tmp_path) == 212_992
    assert autogroup(tmp_path)
    assert governors(tmp_path) == ["performance", "powersave"]


def test_a_port_in_use_is_seen(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        raw = make_raw_config(tmp_path, [folder_camera(tmp_path)])
        raw["metrics"] = {"port": taken.getsockname()[1]}
        [found] = ports(parse_config(raw, origin="test"))
    assert found.problem == "Address already in use"


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_a_certificate_says_how_long_it_is_good_for(tmp_path: Path, encoding: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "station")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=40))
        .sign(key, hashes.SHA256())
        .public_bytes(getattr(serialization.Encoding, encoding))
    )
    path = tmp_path / "c"
    path.write_bytes(certificate)
    found = read_certificate("k", path)
    assert found.problem is None
    assert found.days_left == pytest.approx(40, abs=0.1)


def test_a_certificate_that_is_none_has_a_problem(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("no")
    assert read_certificate("k", tmp_path / "c").problem == "is no certificate"
    assert read_certificate("k", tmp_path / "gone").problem == "No such file or directory"


def test_the_command_says_it_in_text_and_in_json(tmp_path: Path) -> None:
    raw = make_raw_config(tmp_path, [folder_camera(paint_parts(tmp_path / "parts", 1))])
    raw["engine"]["model"] = str(tmp_path / "gone")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "tools.cli", "doctor", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert text.returncode == 2
    assert "error    model: " in text.stdout
    assert text.stderr == ""
    document = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, timeout=60)
    found = json.loads(document.stdout)
    assert found["worst"] == "error"
    assert {line["what"] for line in found["lines"]} >= {"clock", "model", "metrics", "shared memory"}
