"""A real Prometheus at a real station: targets, rules, the dashboard's queries; then the station dies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.dashboards import Process
from support.gateways import free_port
from support.lines import folder_camera, make_raw_config, paint_parts
from support.prometheus import NEEDS_PROMETHEUS, Prometheus
from support.station_process import StationProcess, write_config

pytestmark = [NEEDS_PROMETHEUS, pytest.mark.slow]
DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "hlgfa.json"
SILENT = "HlgfaStationSilent"


class Observed:
    """A station that rejects every fifth part, what tells of it, and who listens."""

    def __init__(self, station: StationProcess, prometheus: Prometheus, target: str) -> None:
        self.station, self.prometheus, self.target = station, prometheus, target

    def series(self, expression: str) -> list[dict[str, Any]]:
        """What a panel shows, once there is something: as Grafana asks, with the line that is chosen."""
        asked = expression.replace("$instance", self.target)
        found: list[dict[str, Any]] = self.prometheus.wait_for(lambda: self.prometheus.query(asked), asked)
        return found


def _config(root: Path, port: int) -> Path:
    camera = folder_camera(paint_parts(root / "parts", 10), loop=True)
    raw = make_raw_config(root, [camera], stats_period_s=0.5)
    extra = {
        "metrics": {"port": port},
        "dashboard": {"enabled": False},
        "logging": {"directory": str(root / "log")},
        "archive": {"directory": str(root / "archive")},
        "drift": {"baseline_parts": 50},
    }
    return write_config(root, raw | extra)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    root = tmp_path_factory.mktemp("observed")
    port = free_port()
    config = _config(root, port)
    target = f"127.0.0.1:{port}"
    with Process("metrics", str(config)) as metrics:
        metrics.wait_for_line("metrics on")
        with Prometheus(root, [target]) as prometheus, StationProcess(config) as station:
            yield Observed(station, prometheus, target)


def _queries() -> dict[str, str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return {
        f"{panel['title']}, {target['refId']}": target["expr"]
        for panel in panels
        for target in panel["targets"]
    }


def test_the_target_is_up(observed: Observed) -> None:
    def up() -> bool:
        return [target["health"] for target in observed.prometheus.targets()] == ["up"]

    observed.prometheus.wait_for(up, "the target")


@pytest.mark.parametrize("panel", _queries())
def test_every_query_of_the_dashboard_has_an_answer(observed: Observed, panel: str) -> None:
    values = [series["value"][1] for series in observed.series(_queries()[panel])]
    assert "NaN" not in values


def test_the_line_can_be_chosen(observed: Observed) -> None:
    variables = json.loads(DASHBOARD.read_text(encoding="utf-8"))["templating"]["list"]
    [asked] = [variable["query"]["query"] for variable in variables if variable["name"] == "instance"]
    assert asked == "label_values(hlgfa_station_fresh, instance)"
    [series] = observed.series("hlgfa_station_fresh")
    assert series["metric"]["instance"] == observed.target


def test_alerts_are_evaluated_and_a_good_line_has_none(observed: Observed) -> None:
    observed.series('hlgfa_station_ready{instance="$instance"} == 1')
    rules = observed.prometheus.wait_for(
        lambda: (
            all(rule["health"] == "ok" for rule in observed.prometheus.rules().values())
            and observed.prometheus.rules()
        ),
        "an evaluation of every rule",
    )
    firing = {name for name, rule in rules.items() if rule["state"] == "firing"}
    assert firing <= {"HlgfaDrift"}, "parts without noise have charts without a spread"


def test_a_station_that_dies_is_told(observed: Observed) -> None:
    """Last in the file: the station does not come back."""
    observed.station.kill()
    observed.prometheus.wait_for(
        lambda: observed.prometheus.rules()[SILENT]["state"] == "firing", f"{SILENT} fires"
    )
    [alert] = observed.prometheus.rules()[SILENT]["alerts"]
    assert alert["labels"]["instance"] == observed.target
    assert alert["labels"]["severity"] == "critical"
    states = {name: rule["state"] for name, rule in observed.prometheus.rules().items()}
    assert states["HlgfaCameraNotReady"] == states["HlgfaFault"] == "inactive", "one cause, one alert"
