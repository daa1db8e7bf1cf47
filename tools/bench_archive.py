"""`python -m tools.bench_archive`: what keeping every frame costs the line, beside keeping none.

A simulated camera, an engine that waits and rejects every part, once without and once with an archive.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.errors import run_app

if TYPE_CHECKING:
    from pipeline.station import RunReport

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    frames: Annotated[int, typer.Option(min=10)] = 300,
    rate_hz: Annotated[float, typer.Option(min=0.1)] = 10.0,
    width: Annotated[int, typer.Option(min=16)] = 1920,
    height: Annotated[int, typer.Option(min=16)] = 1200,
    engine_ms: Annotated[float, typer.Option(min=0.0)] = 20.0,
) -> None:
    """Print latencies, what was lost on the line, and how many frames were kept."""
    for archived in (False, True, False, True):
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            raw = _raw_config(root, width, height, rate_hz)
            if archived:
                raw["archive"] = {"directory": str(root / "archive")}
            report = _run(raw, frames, engine_ms)
            rows = {row.stage: row for row in report.latencies}
            total, queue = rows["trigger to published"], rows["queue"]
            kept = list((root / "archive").glob("*/*.png"))
            print(
                f"{'archive' if archived else 'none':8} triggers {report.triggers}, "
                f"trigger to published p50 {total.p50_us / 1000:.2f} p99 {total.p99_us / 1000:.2f} "
                f"max {total.max_us / 1000:.2f} ms, queue p50 {queue.p50_us / 1000:.2f} "
                f"p99 {queue.p99_us / 1000:.2f} ms, inferred {queue.count}; kept {len(kept)}, "
                f"{sum(path.stat().st_size for path in kept) / 2**20:.0f} MiB"
            )


def _raw_config(root: Path, width: int, height: int, rate_hz: float) -> dict[str, Any]:
    camera = {
        "kind": "simulated",
        "name": "cam1",
        "width_px": width,
        "height_px": height,
        "pixel_format": "Mono8",
        "trigger": {"source": "line"},
        "seed": 1,
        "rate_hz": rate_hz,
    }
    return {
        "station": {
            "line": "bench",
            "name": "archive",
            "deadline_ms": 2_000,
            "journal_dir": str(root / "journal"),
        },
        "sockets": dict.fromkeys(("results", "heatmaps", "replay"), "tcp://127.0.0.1:*"),
        "cameras": [camera],
        "engine": {"model": "none", "runtime": "onnxruntime"},
    }


def _run(raw: dict[str, Any], frames: int, engine_ms: float) -> RunReport:
    from pipeline.config import parse_config
    from pipeline.station import Station

    station = Station(parse_config(raw, origin="bench_archive"), stop_after=frames, stub_engine_ms=engine_ms)
    return station.run()


if __name__ == "__main__":
    run_app(app)
