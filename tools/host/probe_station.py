"""Looks up what a station's configuration names: directories, addresses, certificates, the built engine."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engines.targets import engine_folder, needs_build
from tools.host.facts import Certificate, Engine, Port, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config

DAY_S = 86_400


def volumes(config: Config) -> list[Volume]:
    """Every directory that a process of the line writes."""
    named = {"station.journal_dir": config.station.journal_dir}
    if config.archive is not None:
        named["archive.directory"] = config.archive.directory
    if config.logging.directory is not None:
        named["logging.directory"] = config.logging.directory
    return [_volume(key, Path(path)) for key, path in named.items()]


def _volume(key: str, path: Path) -> Volume:
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return Volume(
        key=key,
        path=str(path),
        exists=path.exists(),
        writable=existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
        free_bytes=shutil.disk_usage(existing).free,
    )


def ports(config: Config) -> list[Port]:
    """Addresses of metrics and gateways; those of the station itself are the preflight's."""
    found = [("metrics", config.metrics.host, config.metrics.port)]
    if config.gateways is not None:
        for name in ("modbus", "s7", "opcua"):
            server = getattr(config.gateways, name)
            if server is not None:
                found.append((f"gateways.{name}", server.host, server.port))
    return [Port(key=key, address=f"{host}:{port}", problem=_bound(host, port)) for key, host, port in found]


def _bound(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def certificates(config: Config) -> list[Certificate]:
    """Those that gateways show or trust."""
    return list(_certificates(config))


def _certificates(config: Config) -> Iterator[Certificate]:
    gateways = config.gateways
    if gateways is None:
        return
    if gateways.opcua is not None and gateways.opcua.certificate is not None:
        yield read_certificate("gateways.opcua.certificate", Path(gateways.opcua.certificate))
    if gateways.mqtt is not None and gateways.mqtt.ca_file is not None:
        yield read_certificate("gateways.mqtt.ca_file", Path(gateways.mqtt.ca_file))


def read_certificate(key: str, path: Path) -> Certificate:
    """How long a certificate, PEM or DER, is still good for."""
    try:
        from cryptography import x509
    except ModuleNotFoundError:
        problem = "cannot be read without the extra gateways"
        return Certificate(key=key, path=str(path), days_left=None, problem=problem)
    try:
        data = path.read_bytes()
        pem = data.startswith(b"-----BEGIN")
        found = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except (OSError, ValueError) as error:
        problem = str(error.strerror) if isinstance(error, OSError) else "is no certificate"
        return Certificate(key=key, path=str(path), days_left=None, problem=problem)
    days_left = (found.not_valid_after_utc.timestamp() - time.time()) / DAY_S
    return Certificate(key=key, path=str(path), days_left=days_left)


def engine(config: Config) -> Engine:
    """What the configured engine was built with; only the preflight says what is wrong with its files."""
    from engines.engine import EngineError
    from engines.records import read_record
    from engines.sidecar import FILE_NAME, Sidecar

    settings = config.engine
    if not needs_build(settings.runtime, settings.precision):
        return Engine(runtime=settings.runtime, built_with=None, compute_capabilities=[])
    path = engine_folder(Path(settings.model), settings.runtime, settings.precision) / FILE_NAME
    try:
        sidecar = read_record(path, Sidecar, None, EngineError, missing="", do="")
    except EngineError:
        return Engine(runtime=settings.runtime, built_with=None, compute_capabilities=[])
    return Engine(
        runtime=settings.runtime,
        built_with=sidecar.runtime_version,
        compute_capabilities=sidecar.compute_capabilities,
    )
