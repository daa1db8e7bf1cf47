"""Dashboard and alerts ask only for metrics that are exported."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from pipeline.metrics.names import CHILD_STATES, STAGES, exported

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"\bhlgfa_\w+")


def _dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "hlgfa.json").read_text(encoding="utf-8"))
    return found


def _queries_of_the_dashboard() -> list[str]:
    queries = [target["expr"] for panel in _dashboard()["panels"] for target in panel["targets"]]
    variables = [variable["query"] for variable in _dashboard()["templating"]["list"]]
    return queries + [query["query"] for query in variables if isinstance(query, dict)]


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _check(query: str) -> None:
    names = set(NAME.findall(query))
    assert names or 'up{job="hlgfa"}' in query, query
    assert names <= exported(), query
    for stage in re.findall(r'stage="([^"]*)"', query):
        assert stage in STAGES, query
    for states in re.findall(r'state=~?"([^"]*)"', query):
        assert set(states.split("|")) <= set(CHILD_STATES), query
    assert query.count("(") == query.count(")"), query


def test_every_query_of_the_dashboard_names_a_metric() -> None:
    queries = _queries_of_the_dashboard()
    assert len(queries) > 20
    for query in queries:
        _check(query)


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    text = "\n".join([*_queries_of_the_dashboard(), *(rule["expr"] for rule in _rules())])
    # The state as a word is for people who look for it; ready, fresh and fault are what counts.
    assert exported() - set(NAME.findall(text)) == {"hlgfa_station_state"}


def test_every_alert_names_a_metric_and_says_what_to_do() -> None:
    rules = _rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        _check(rule["expr"])
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_has_the_form_that_grafana_documents() -> None:
    """Its classic form: https://grafana.com/docs/grafana/v9.4/dashboards/json-model/."""
    dashboard = _dashboard()
    assert dashboard["schemaVersion"] >= 36, "data sources by type and uid: Grafana 9 and newer"
    assert "id" not in dashboard, "the importing Grafana gives it"
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert {name: found["type"] for name, found in variables.items()} == {
        "datasource": "datasource",
        "instance": "query",
    }
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert variables["instance"]["datasource"] == chosen
    for panel in dashboard["panels"]:
        assert panel["type"] in {"stat", "timeseries", "state-timeline"}, "panels that every Grafana has"
        assert panel["datasource"] == chosen
        assert [target["datasource"] for target in panel["targets"]] == [chosen] * len(panel["targets"])
        assert [target["refId"] for target in panel["targets"]] == [*"ABC"][: len(panel["targets"])]
        used = set(re.findall(r"\$(\w+)", "".join(target["expr"] for target in panel["targets"])))
        assert used == {"instance"}


def test_panels_do_not_lie_over_each_other() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert max(column for column, _ in cells) < 24
        assert not cells & taken
        taken |= cells
