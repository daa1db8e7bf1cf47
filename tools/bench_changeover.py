"""What a changeover costs the parts beside it: trigger to published while the next engine loads, and before.

    python -m tools.bench_changeover --changeovers 5 --rate-hz 20

One station changes between two models that compute the same. Each changeover has its pair in the same run:
the parts of a span of the same length just before it. Ends with 1 if the audit does not hold or an accept
is of another model than its recipe's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import yaml

from engines.manifest import ONNX_NAME
from engines.records import file_sha256
from pipeline.audit import Audit
from pipeline.config import parse_config
from pipeline.history.journal_files import Line, journal_files, lines_of, read_journal
from pipeline.messages import EventHeader, RecipeChange, ResultHeader
from pipeline.requester import Requester
from pipeline.requests import ChangeoverReply, ChangeoverRequest
from pipeline.station import Station
from tools.machine import description

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.station import RunReport

ROOT = Path(__file__).resolve().parents[1]
DOC_STRING = b"\x32\x06second"
"""Field 6 of ONNX' ModelProto: another file, and so another hash, of the same network."""
CHANGED = ("loading", "verified", "switched")
PATIENCE_S = 120.0
DEADLINE_MS = 5_000
"""So long that a tail is seen whole, and not as parts that are late and have no score."""


class Span(NamedTuple):
    """From one moment to another, UTC ns."""

    begin_ns: int
    end_ns: int

    @property
    def before(self) -> Span:
        """The span of the same length that ends where this one begins."""
        return Span(2 * self.begin_ns - self.end_ns, self.begin_ns)

    def holds(self, result: ResultHeader) -> bool:
        """Whether the part was triggered in it."""
        return self.begin_ns <= triggered_ns(result) < self.end_ns


class Found(NamedTuple):
    """What one run shows; `problems` is empty if nothing is wrong. Latencies in ms."""

    beside: list[float]
    without: list[float]
    loading_s: list[float]
    gap_ms: list[float]
    problems: list[str]


def triggered_ns(result: ResultHeader) -> int:
    """When the part was triggered, UTC ns."""
    return int(result.published_ns) - round(result.latency_us * 1e3)


def second_model(model: Path, copy: Path) -> Path:
    """A copy of a model's folder whose network has another hash."""
    copy.mkdir()
    network = (model / ONNX_NAME).read_bytes() + DOC_STRING
    (copy / ONNX_NAME).write_bytes(network)
    old, new = file_sha256(model / ONNX_NAME), file_sha256(copy / ONNX_NAME)
    for path in model.glob("*.json"):
        (copy / path.name).write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return copy


def run(raw: dict[str, Any], *, changeovers: int, every_s: float) -> RunReport:
    """Run a station through so many changeovers, `every_s` from the end of one to the next."""
    station = Station(parse_config(raw, origin="bench_changeover"))
    journal = Path(raw["station"]["journal_dir"])

    def operate() -> None:
        try:
            for number in range(changeovers):
                time.sleep(every_s)  # the load itself: parts without a changeover
                with Requester(station.endpoints["replay"]) as requester:
                    request = ChangeoverRequest(recipe=1 + number % 2, operator="bench")
                    requester.ask(request, ChangeoverReply)
                end_s = time.monotonic() + PATIENCE_S
                while len(ends(changes_in(journal))) <= number and time.monotonic() < end_s:
                    time.sleep(0.1)
            time.sleep(every_s / 2)
        finally:
            station.stop()

    operator = threading.Thread(target=operate, name="operator")
    report = station.run(operator.start)
    operator.join()
    return report


def changes_in(journal: Path) -> list[tuple[int, RecipeChange]]:
    """What a journal has of changeovers, with the time, UTC ns; the start's announcement is none."""
    lines = [line for file in journal_files(journal) for line in lines_of(file.path)]
    events = [
        msgspec.json.decode(line.record, type=EventHeader)
        for line in lines
        if isinstance(line, Line) and line.stream.startswith("event/")
    ]
    return [(int(event.published_ns), event.recipe) for event in events if event.recipe is not None]


def ends(changes: Iterable[tuple[int, RecipeChange]]) -> list[RecipeChange]:
    """How changeovers have ended."""
    return [change for _, change in changes if change.state in {"switched", "failed", "rolled_back"}]


def evaluate(report: RunReport, models: dict[str, str]) -> Found:
    """Compare the parts beside changeovers with those before; `models`: hash of each recipe's network."""
    results, changes = list(read_journal(report.journal)), changes_in(report.journal)
    times = {state: [ns for ns, change in changes if change.state == state] for state in CHANGED}
    spans = [Span(*pair) for pair in zip(times["loading"], times["switched"], strict=False)]
    judged = [result for result in results if result.score is not None]
    problems = Audit.from_results(results).failures(opened=report.triggers)
    problems += [f"a changeover {end.state}" for end in ends(changes) if end.state != "switched"]
    problems += [f"{r.result_id}: accepted by another model" for r in judged if _wrong(r, models)]
    gaps = zip(times["verified"], times["switched"], strict=False)
    return Found(
        beside=[r.latency_us / 1e3 for r in judged if any(span.holds(r) for span in spans)],
        without=[r.latency_us / 1e3 for r in judged if any(span.before.holds(r) for span in spans)],
        loading_s=[(span.end_ns - span.begin_ns) / 1e9 for span in spans],
        gap_ms=[(end - begin) / 1e6 for begin, end in gaps],
        problems=problems,
    )


def _wrong(result: ResultHeader, models: dict[str, str]) -> bool:
    if result.disposition != "accept" or result.recipe is None or result.model is None:
        return result.disposition == "accept"
    return result.recipe.id in models and models[result.recipe.id] != result.model.sha256


def config_of(root: Path, base: Path, model: Path, rate_hz: float) -> dict[str, Any]:
    """The simulated station of a configuration with this model, a second one, and a recipe for each."""
    raw: dict[str, Any] = yaml.safe_load(base.read_text(encoding="utf-8"))
    (root / "recipes").mkdir()
    for number, folder in ((1, model), (2, second_model(model, root / "second"))):
        recipe = {"id": number, "title": f"Model {number}", "version": 1, "model": str(folder)}
        (root / "recipes" / f"{number}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    raw["sockets"] = {name: f"ipc://{root}/{name}" for name in ("results", "heatmaps", "replay")}
    raw["station"] |= {"journal_dir": str(root / "journal"), "deadline_ms": DEADLINE_MS}
    raw["engine"]["model"] = str(model)
    raw["cameras"][0]["rate_hz"] = rate_hz
    return raw | {"recipes_dir": str(root / "recipes")}


def figures(latencies: list[float]) -> str:
    """Median, 99 % and worst of latencies in ms."""
    p50, p99 = np.percentile(latencies, [50, 99])
    return f"{len(latencies)} parts, p50 {p50:.1f} p99 {p99:.1f} worst {max(latencies):.1f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--changeovers", type=int, default=5)
    parser.add_argument("--every-s", type=float, default=6.0)
    parser.add_argument("--rate-hz", type=float, default=20.0)
    parser.add_argument("--config", type=Path, default=ROOT / "config.yaml")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "demo")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        raw = config_of(Path(place), asked.config, asked.model.resolve(), asked.rate_hz)
        report = run(raw, changeovers=asked.changeovers, every_s=asked.every_s)
        hashes = {"1": asked.model / ONNX_NAME, "2": Path(place) / "second" / ONNX_NAME}
        found = evaluate(report, {number: file_sha256(path) for number, path in hashes.items()})
    print(description())
    print(f"without a changeover: {figures(found.without)}")
    print(f"beside one:           {figures(found.beside)}")
    print(f"asked to switched:    {', '.join(f'{taken:.1f}' for taken in found.loading_s)} s")
    print(f"no recipe valid:      {', '.join(f'{gap:.0f}' for gap in found.gap_ms)} ms")
    sys.exit("\n".join(found.problems) or None)


if __name__ == "__main__":
    main()
