"""The house itself: package names, layout, and what may import what."""

import configparser
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["pipeline", "engines", "calibration", "tools"]


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_our_names(name: str) -> None:
    assert set(packages_distributions()[name]) == {"hlgfa-line"}


def test_every_package_is_listed() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    listed = set(parser["options"]["packages"].split())
    found = {
        str(init.parent.relative_to(ROOT)).replace("/", ".")
        for package in PACKAGES
        for init in (ROOT / package).rglob("__init__.py")
    }
    assert listed == found


def test_the_commands_are_there() -> None:
    names = {entry.name: entry.value for entry in entry_points(group="console_scripts")}
    assert names["hlgfa"] == "tools.cli:main"
    assert names["build_engine"] == "tools.build_engine:main"


def test_every_pinned_requirement_is_within_its_range() -> None:
    from packaging.requirements import Requirement

    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    names = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    wanted = parser["options"]["install_requires"].split("\n")
    for extra in (
        "train",
        "backbones",
        "timm",
        "pylon",
        "aravis",
        "genicam",
        "video",
        "recording",
        "gateways",
        "snap7",
        "metrics",
        "dashboard",
        "dev",
    ):
        wanted += parser["options.extras_require"][extra].split("\n")
    for text in filter(None, (line.split("#")[0].strip() for line in wanted)):
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        assert name in names, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(names[name]), text
