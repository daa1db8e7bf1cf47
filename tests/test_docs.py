"""The pages: every one in the navigation, every reason explained, every key of logs and metrics as it is."""

import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import parse_config
from pipeline.messages import Reason
from pipeline.metrics.names import exported
from support.lines import folder_camera

DOCS = Path(__file__).parents[1] / "docs"


def _nav(entries: Any) -> set[str]:
    if isinstance(entries, str):
        return {entries}
    inner = entries.values() if isinstance(entries, dict) else entries
    return set().union(*(_nav(entry) for entry in inner))


def test_every_page_is_in_the_navigation_and_the_other_way_round() -> None:
    nav = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text())["nav"]
    assert _nav(nav) == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_every_reason_has_its_line_with_its_name() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|", (DOCS / "reasons.md").read_text(), re.M)
    assert [int(code) for code, _, _ in rows] == sorted(int(reason) for reason in Reason)
    for code, name, _ in rows:
        words = Reason(int(code)).name.lower().split("_")
        assert all(word in name for word in words if word not in {"on", "a"}), name


def test_every_metric_is_explained() -> None:
    text = (DOCS / "observability.md").read_text()
    named = set(re.findall(r"`(hlgfa_\w+)`", text)) | {f"hlgfa_station{end}" for end in ("_ready", "_fault")}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported()}
    assert named == families


def test_the_sections_of_the_page_on_logs_and_metrics_are_valid() -> None:
    raw = {
        "station": {"line": "demo", "name": "s1", "deadline_ms": 150},
        "sockets": {name: f"ipc:///run/{name}" for name in ("results", "heatmaps", "replay")},
        "cameras": [folder_camera(Path("parts"))],
        "engine": {"model": "m", "runtime": "onnxruntime"},
    }
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "observability.md").read_text(), re.S)
    sections = [yaml.safe_load(block) for block in blocks]
    for section in sections:
        parse_config(raw | section, origin="docs/observability.md")
    assert [next(iter(section)) for section in sections] == ["metrics", "logging"]
