"""The Dockerfiles, read as text: nothing here builds them (docs/deployment.md)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))


def _instructions(path: Path) -> list[tuple[str, str]]:
    """Name and rest of each instruction, continued lines joined, bases by their defaults."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M)
    text = re.sub(r"\\\n\s*", "", text)
    for name, default in re.findall(r"^ARG (\w+)=(\S+)$", text, flags=re.M):
        text = text.replace(f"${{{name}}}", default)
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_image_is_built_in_two_stages_and_runs_as_nobody_special(path: Path) -> None:
    found = _instructions(path)
    stages = [rest for name, rest in found if name == "FROM"]
    assert len(stages) == 2
    assert stages[0].endswith(" AS build")
    assert all(re.search(r":[\w.-]*\d", stage) for stage in stages), "a base image without a version"
    last = found[max(index for index, (name, _) in enumerate(found) if name == "FROM") :]
    names = [name for name, _ in last]
    assert dict(last)["USER"] == "10001:10001"
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert {"HEALTHCHECK", "STOPSIGNAL", "VOLUME", "WORKDIR"} <= set(names)
    assert [rest for name, rest in last if name == "COPY"] == ["--from=build /opt/hlgfa/venv /opt/hlgfa/venv"]
    assert "ADD" not in names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_versions_are_those_that_are_tested(path: Path) -> None:
    assert "--constraint constraints.txt" in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_base_can_be_a_registry_s_of_one_s_own(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM ") and "{" not in line] == []
    assert any(line.startswith("ARG BASE=") for line in lines)


def test_every_file_says_whether_it_was_built() -> None:
    said = {path.stem: path.read_text().splitlines()[0] for path in FILES}
    assert set(said) == {"cpu", "gpu", "jetson"}
    assert all(("Never built so far" in line) == (name != "cpu") for name, line in said.items())


def test_the_services_are_read_only_and_share_what_they_must() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    assert set(compose["services"]) == {"station", "dashboard", "metrics", "gateway"}
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["command"][0] == {"station": "run"}.get(name, name)
        if name != "station":
            assert service["network_mode"] == "service:station"
    assert compose["services"]["station"]["shm_size"] == "1g"


def test_what_the_build_copies_is_not_a_person_s() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", "keys", "journal", "archive", "log"} <= set(ignored)
