"""The Grafana dashboard is one that can be imported: whole, laid out without overlaps, and asking for what it declares.

What its queries find is in tests/system/test_prometheus.py.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.promql import Asked, asked_by

DASHBOARD = json.loads((Path(__file__).resolve().parent.parent / "contrib/grafana/linkerd-tcp.json").read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
OWN = {"__rate_interval"}
UNITS = {"none", "s", "cps", "Bps", "bytes", "percentunit"}
COLUMNS = 24

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def test_it_can_be_imported_anywhere() -> None:
    assert DASHBOARD["id"] is None  # Grafana gives it one
    assert (DASHBOARD["title"], DASHBOARD["uid"]) == ("linkerd-tcp", "linkerd-tcp")
    assert DASHBOARD["schemaVersion"] >= 36
    assert "__inputs" not in DASHBOARD
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert {panel["type"] for panel in PANELS} <= {"stat", "timeseries", "heatmap", "table"}


def test_there_is_something_to_choose_from() -> None:
    assert list(VARIABLES) == ["datasource", "instance", "router", "destination"]
    assert VARIABLES["datasource"]["query"] == "prometheus"
    for name in ("instance", "router", "destination"):
        assert (VARIABLES[name]["multi"], VARIABLES[name]["includeAll"]) == (True, True)
        assert VARIABLES[name]["datasource"] == SOURCE


def test_its_rows_are_those_that_one_looks_for() -> None:
    assert [row["title"] for row in ROWS] == ["Health", "Traffic", "Latency", "Process"]


def test_nothing_lies_over_anything_else_and_no_line_has_a_gap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert 0 <= x < COLUMNS
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    assert len(taken) == COLUMNS * (1 + max(y for _, y in taken))


@each_panel
def test_a_panel_says_what_it_shows_and_in_what_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"]
    unit = panel["fieldConfig"]["defaults"].get("unit")
    assert unit in UNITS or panel["type"] in ("table", "heatmap")


@each_panel
def test_a_panel_asks_the_chosen_source_and_with_variables_that_are_there(panel: dict[str, Any]) -> None:
    assert panel["datasource"] == SOURCE
    assert [target["refId"] for target in panel["targets"]] == [chr(65 + i) for i in range(len(panel["targets"]))]
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        used = set(re.findall(r"\$(\w+)", target["expr"]))
        assert used <= set(VARIABLES) | OWN
        assert "instance" in used
        assert not re.search(r"\[\d", target["expr"]), "a fixed range shows nothing where scrapes are rare"


@each_panel
def test_a_legend_names_only_labels_that_are_left(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        asked = asked_by(target["expr"])
        grouped = re.search(r"\b(?:sum|min|max) by \(([^)]*)\)", target["expr"])
        named = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
        if grouped:
            assert named <= {name.strip() for name in grouped[1].split(",")}
        elif re.match(r"\(*(sum|min|max)\(", target["expr"]):
            assert named == set()
        assert asked


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('sum by (rt, le) (rate(a{x="1",y=~"$y"}[$__rate_interval]))', [("a", {"x": "1", "y": None}, {"rt", "le"})]),
        ("a / b > 0.8 and on (job) c", [("a", {}, {"job"}), ("b", {}, {"job"}), ("c", {}, {"job"})]),
        ("a - time() < 14 * 86400", [("a", {}, set())]),
        ("a > 0 unless a offset 10m", [("a", {}, set()), ("a", {}, set())]),
        ('a{x!="b c"} or vector(0)', [("a", {"x": None}, set())]),
    ],
)
def test_what_an_expression_asks_for_is_found(expression: str, expected: list[tuple[Any, ...]]) -> None:
    assert asked_by(expression) == [Asked(*each) for each in expected]
