"""`python -m tools.gateway_latency`: how long a result takes from its publication to a client of a gateway.

A publisher stands in for the station; the gateway is a process of its own, the client another, all on
loopback. Modbus and S7 are read again and again, OPC UA sends an event, MQTT a message with QoS 1.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config
    from pipeline.publisher import Publisher
    from pipeline.requests import ErrorReply, TriggerRequest
    from tools.gateway_clients import Watch

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
TARGETS_MS = {"modbus": 5.0, "s7": 5.0, "mqtt": 10.0, "opcua": 50.0}
STATUS_PERIOD_MS = 100
LAST_WAIT_S = 2.0


@app.command()
def gateway_latency(
    results: Annotated[int, typer.Option(min=100, help="Results for each protocol.")] = 1500,
    rate_hz: Annotated[float, typer.Option(min=1, max=200, help="Results per second.")] = 50.0,
    protocols: Annotated[str, typer.Option(help="Which, by comma.")] = "modbus,s7,mqtt,opcua",
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
) -> None:
    """Measure published -> visible: p50, p99, largest. Exit 1 if a p99 is over its target."""
    from tools.machine import description
    from tools.report import write_report

    rows = {}
    for protocol in protocols.split(","):
        rows[protocol] = row = _summary(protocol, _measure(protocol, results, rate_hz), results)
        times = "  ".join(f"{name} {row[f'{name}_ms']:6.2f} ms" for name in ("p50", "p99", "max"))
        target = f"target p99 {TARGETS_MS[protocol]:g} ms"
        print(f"{protocol:7} {times}  {row['seen']} of {row['sent']} seen  {target}", flush=True)
    if json is not None:
        write_report({"machine": description(), "rate_hz": rate_hz, "latencies": rows}, json)
    if any(row["p99_ms"] > TARGETS_MS[name] for name, row in rows.items()):
        raise typer.Exit(1)


def _summary(protocol: str, latencies_ms: list[float], sent: int) -> dict[str, float]:
    import numpy as np

    if not latencies_ms:
        raise SystemExit(f"error: {protocol}: no result came through.")
    p50, p99 = np.percentile(latencies_ms, [50, 99])
    return {
        "sent": sent,
        "seen": len(latencies_ms),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": max(latencies_ms),
    }


def _measure(protocol: str, results: int, rate_hz: float) -> list[float]:
    """Milliseconds of each result that was seen."""
    from tools.gateway_clients import broker, listening

    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        port = stack.enter_context(broker(Path(directory))) if protocol == "mqtt" else _free_port()
        config = _make_config(Path(directory), protocol, port)
        publisher = stack.enter_context(_open_publisher(config))
        stack.enter_context(_gateway(Path(directory), config))
        watch = stack.enter_context(listening(protocol, port))
        sent = _publish(publisher, watch, results, rate_hz)
        watch.done.set()
        seen: dict[int, int] = watch.times.recv()
        return [(seen[number] - sent_ns) / 1e6 for number, sent_ns in sent.items() if number in seen]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _make_config(directory: Path, protocol: str, port: int) -> Config:
    from pipeline.config import parse_config

    camera = {"kind": "simulated", "name": "cam1", "width_px": 64, "height_px": 64, "pixel_format": "Mono8"}
    raw = {
        "station": {
            "line": "demo",
            "name": "bench",
            "deadline_ms": 1000,
            "status_period_ms": STATUS_PERIOD_MS,
        },
        "sockets": {name: f"ipc://{directory}/{name}" for name in ("results", "heatmaps", "replay")},
        "cameras": [camera | {"trigger": {"source": "line"}}],
        "engine": {"model": "none", "runtime": "onnxruntime"},
        "gateways": {protocol: {"port": port}},
    }
    return parse_config(raw, origin="gateway_latency")


def _open_publisher(config: Config) -> Publisher:
    from pipeline.publisher import Publisher

    return Publisher(
        config.sockets,
        line=config.station.line,
        station=config.station.name,
        epoch="bench",
        clock_kind="free",
        now_utc_ns=time.time_ns,
    )


@contextlib.contextmanager
def _gateway(directory: Path, config: Config) -> Iterator[None]:
    """`hlgfa gateway` in a process of its own, ready."""
    import msgspec
    import yaml

    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(msgspec.to_builtins(config)))
    command = [sys.executable, "-c", "from tools.cli import main; main()", "gateway", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit("error: the gateway did not start.")
        try:
            yield
        finally:
            process.terminate()


def _publish(publisher: Publisher, watch: Watch, results: int, rate_hz: float) -> dict[int, int]:
    """Publish results at a steady rate, the status between them; returns when each was sent, monotonic ns."""
    from tools.gateway_headers import make_result, make_status

    sent: dict[int, int] = {}
    due_s = status_s = 0.0
    end_s = None
    while end_s is None or time.monotonic() < end_s:
        publisher.serve(_refuse)
        now_s = time.monotonic()
        if now_s >= status_s:
            publisher.publish(make_status(publisher, STATUS_PERIOD_MS))
            status_s = now_s + STATUS_PERIOD_MS / 1000
        if len(sent) < results and now_s >= due_s and watch.ready.is_set():
            due_s = now_s + 1 / rate_hz
            number = len(sent) + 1
            header = make_result(publisher, number)
            sent[number] = time.monotonic_ns()
            publisher.publish(header)
            end_s = time.monotonic() + LAST_WAIT_S if number == results else None
        time.sleep(0.0005)
    return sent


def _refuse(request: TriggerRequest) -> ErrorReply:
    from pipeline.requests import ErrorReply

    return ErrorReply(error="not_supported", text=f"trigger {request.trigger_id}: this is no station.")


if __name__ == "__main__":
    run_app(app)
