"""What is to be said of directories, addresses and certificates. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.host.facts import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config
    from tools.host.facts import Certificate, Facts, Port, Volume

FEW_DAYS = 30


def check_files(facts: Facts, config: Config | None) -> Iterator[Line]:
    """Everything that config.yaml names on this machine."""
    if config is None:
        return
    for volume in facts.volumes:
        yield check_volume(volume, *_room_mib(volume.key, config))
    for port in facts.ports:
        yield check_port(port)
    for certificate in facts.certificates:
        yield check_certificate(certificate)


def _room_mib(key: str, config: Config) -> tuple[float, float]:
    """What must be free, and what the directory may grow to; MiB."""
    if key == "station.journal_dir":
        return config.journal.min_free_mib, config.journal.keep_mib
    if key == "archive.directory" and config.archive is not None:
        return config.archive.min_free_mib, config.archive.keep_mib
    return 0.0, config.logging.file_mib * config.logging.files


def check_volume(volume: Volume, min_free_mib: float, keep_mib: float) -> Line:
    """A directory can be written and has room for what is to be kept."""
    free_mib = volume.free_bytes / 2**20
    found = f"{volume.path}, {free_mib:.0f} MiB free"
    if not volume.writable:
        do = f"install -d -o hlgfa -g hlgfa -m 0750 {volume.path}"
        return Line(level="error", what=volume.key, found=f"{volume.path} cannot be written", do=do)
    if free_mib < min_free_mib:
        do = f"make room (df -h {volume.path}), or name another directory in {volume.key}"
        return Line(level="error", what=volume.key, found=f"{found}, expected {min_free_mib:.0f}", do=do)
    if free_mib < keep_mib:
        do = f"make room, or keep less ({keep_mib:.0f} MiB are configured)"
        return Line(level="warning", what=volume.key, found=found, do=do)
    return Line(level="ok", what=volume.key, found=found)


def check_port(port: Port) -> Line:
    """Nobody listens where a process of the line is to."""
    if port.problem is None:
        return Line(level="ok", what=port.key, found=f"{port.address} is free")
    number = port.address.rpartition(":")[2]
    do = f"ss -ltnp 'sport = :{number}' says who; a line that runs already is nothing wrong"
    return Line(level="warning", what=port.key, found=f"{port.address}: {port.problem}", do=do)


def check_certificate(certificate: Certificate) -> Line:
    """A certificate is good for some time to come."""
    what = certificate.key
    do = "make a new one (docs/gateways.md)"
    if certificate.problem is not None or certificate.days_left is None:
        found = f"{certificate.path}: {certificate.problem}"
        return Line(level="error", what=what, found=found, do=do)
    days = certificate.days_left
    if days <= 0:
        return Line(level="error", what=what, found=f"{certificate.path} has expired", do=do)
    found = f"{certificate.path}, good for {days:.0f} days"
    if days < FEW_DAYS:
        return Line(level="warning", what=what, found=found, do=do)
    return Line(level="ok", what=what, found=found)
