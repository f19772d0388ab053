"""The generated dashboards, drawn in a real browser by Grafana's own components from a real InfluxDB's answers.

What that proves, and what it does not, is told in panels/browser.py. Expected numbers are worked by hand from the
building: 50 devices tell, learn and answer every five minutes for a day, 288 rounds; an update has 180 bytes (2,880 if
it were dense), a telemetry 140, and 520 go down. In the last quarter of the day one device misbehaves.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from coordinator.metrics import CURVE_SAMPLES
from dashboards import queries
from tests.building_points import Building
from tests.parts import needs
from tests.timeseries import RunningInflux, influxdb

pytest.importorskip("playwright", reason="install it with: python -m pip install playwright")

from playwright.sync_api import Browser

from tests.panels import browser as panels
from tests.panels.buildings import answers, fill

pytestmark = pytest.mark.panels

DAY = Building(trouble="boot loop")
WEEK = Building(trouble="boot loop", days=7, step_s=1800)
OF_DEVICES = ("silent", "boot loop", "battery", "gap", "diverging", "behind")
SHORT = 0.25  # days, where only the end matters
SILENT: set[tuple[str, str]] = set()  # panels that have nothing to show: the building has no such readings
DRAWN_PIXELS = 100  # at the least, of a line


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    for part in ("npm", "chromium"):
        needs(part)
    panels.prepare()
    with panels.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInflux]:
    needs("influxd")
    with influxdb(tmp_path_factory.mktemp("influxdb")) as started:
        fill(started, DAY, "day")
        fill(started, WEEK, "week")
        started.create("empty")
        yield started


def drawn(chromium: Browser, database: RunningInflux, name: str) -> panels.Drawing:
    """A dashboard as it is generated; of the misbehaving device, where it is about one."""
    dashboard = queries.read(name)
    days = "week" if dashboard["time"]["from"] in ("now-7d", "now-168h") else "day"
    building = WEEK if days == "week" else DAY
    chosen = {"device": building.bad} if name == "device" else None
    return panels.draw(chromium, dashboard, answers(database, days), building.end_s, chosen)


@pytest.mark.parametrize("name", queries.names())
def test_every_panel_shows_its_series_and_no_error(chromium: Browser, database: RunningInflux, name: str) -> None:
    drawing = drawn(chromium, database, name)
    assert drawing.console == []
    assert len(drawing.panels) == len(queries.read(name)["panels"])
    for panel in drawing.panels.values():
        assert panel.error is None, panel.title
        assert panel.empty == ((name, panel.title) in SILENT), panel.title
        assert bool(panel.names) != panel.empty, panel.title
        if panel.type in ("timeseries", "state-timeline") and not panel.empty:
            assert panel.coloured > DRAWN_PIXELS, panel.title


@pytest.mark.parametrize("name", queries.names())
def test_an_empty_database_is_told_in_the_dashboards_own_words(
    chromium: Browser, database: RunningInflux, name: str
) -> None:
    dashboard = queries.read(name)
    drawing = panels.draw(chromium, dashboard, answers(database, "empty"), DAY.end_s)
    assert drawing.console == []
    for told in dashboard["panels"]:
        panel = drawing.panels[told["title"]]
        assert panel.empty and panel.error is None, panel.title
        assert panel.text.split("\n") == [panel.title, told["fieldConfig"]["defaults"]["noValue"]]


@pytest.mark.parametrize("trouble", OF_DEVICES)
def test_the_device_that_misbehaves_is_on_top_of_the_fleet(
    chromium: Browser, database: RunningInflux, trouble: str
) -> None:
    building = Building(trouble=trouble, days=SHORT, parts=frozenset({"status", "fleet", "device", "bytes"}))
    name = trouble.replace(" ", "-")
    fill(database, building, name)
    drawing = panels.draw(chromium, queries.read("fleet"), answers(database, name), building.end_s)
    assert building.bad == "room-033"
    table = drawing.panels["Devices, worst first"]
    rows = [word for word in table.text.split("\n") if word.startswith("room-")]
    assert rows[0] == "room-033"
    assert rows.count("room-033") == 1
    assert [number(drawing, title) for title in ("Need a visit", "Keep an eye on")] in (["1", "0"], ["0", "1"])
    assert "var-device=room-033" in table.links[0]


def number(drawing: panels.Drawing, title: str) -> str:
    """What a tile says under its title."""
    return " ".join(drawing.panels[title].text.split("\n")[1:])


def test_tiles_say_what_the_building_did(chromium: Browser, database: RunningInflux) -> None:
    rounds = drawn(chromium, database, "rounds")
    assert number(rounds, "Rounds closed") == "288"
    assert number(rounds, "Updates accepted") == "14400"  # 50 x 288
    sent = drawn(chromium, database, "communication")
    assert number(sent, "Updates, up") == "2.59 MB"  # 14,400 x 180
    assert number(sent, "Updates if dense") == "41.5 MB"  # 14,400 x 2,880
    assert number(sent, "Smaller by") == "16 x"
    assert number(sent, "Model, down") == "7.49 MB"  # 14,400 x 520
    assert number(sent, "Telemetry, up") == "2.02 MB"  # 14,400 x 140
    fleet = drawn(chromium, database, "fleet")
    assert [number(fleet, title) for title in ("Devices", "Need a visit", "Silent")] == ["50", "1", "0"]


def test_lines_have_the_names_of_what_they_show(chromium: Browser, database: RunningInflux) -> None:
    convergence = drawn(chromium, database, "convergence")
    counted = ["no sample", "1 sample", *(f"{count} samples" for count in CURVE_SAMPLES[2:])]
    assert convergence.panels["Adaptation over versions"].names == counted
    by_device = convergence.panels["Loss after adapting, by device"].names
    assert by_device == [f"room-{place:03d}" for place in range(50)]
    starts = drawn(chromium, database, "fleet").panels["Starts in 24 h, most first"]
    assert starts.names[0] == "room-033"


def test_a_query_that_the_database_refuses_is_shown_in_its_words(chromium: Browser, database: RunningInflux) -> None:
    dashboard = copy.deepcopy(queries.read("fleet"))
    spoiled, *others = dashboard["panels"]
    spoiled["targets"][0]["query"] = "SELECT visit FORM fleet"
    drawing = panels.draw(chromium, dashboard, answers(database, "day"), DAY.end_s)
    error = drawing.panels[spoiled["title"]].error
    assert error == "InfluxDB returned error: error parsing query: found FORM, expected FROM at line 1, char 14"
    assert [drawing.panels[each["title"]].error for each in others] == [None] * len(others)


def test_series_are_named_by_the_rules_of_grafanas_influxdb_source(chromium: Browser) -> None:
    series = {"name": "energy", "tags": {"device": "a"}, "columns": ["time", "joules"], "values": [[1_000, 2.5]]}
    named = {
        "": "energy.joules { device: a }",
        "$tag_device": "a",
        "[[tag_device]]: $col": "a: joules",
        "$m of $tag_nobody": "energy of $tag_nobody",
        "$0": "energy",
    }
    dashboard = {
        "title": "names",
        "time": {"from": "now-1m", "to": "now"},
        "panels": [chart(place, alias) for place, alias in enumerate(named, 1)],
    }
    drawing = panels.draw(chromium, dashboard, lambda _text: {"results": [{"series": [series]}]}, 2)
    assert {alias: panel.names for alias, panel in drawing.panels.items()} == {
        alias: [name] for alias, name in named.items()
    }
    assert drawing.queries == ["SELECT joules FROM energy WHERE time >= -58000ms and time <= 2000ms"] * len(named)


def chart(place: int, alias: str) -> dict[str, Any]:
    """A panel with one query, whose title is the query's alias."""
    text = "SELECT joules FROM energy WHERE $timeFilter"
    target = {"refId": "A", "query": text, "alias": alias, "resultFormat": "time_series", "rawQuery": True}
    where = {"x": 0, "y": 8 * place, "w": 12, "h": 8}
    options: dict[str, Any] = {"options": {}, "fieldConfig": {"defaults": {}, "overrides": []}}
    source = {"datasource": {"type": "influxdb", "uid": "tegu-influxdb"}, "targets": [target]}
    return {"id": place, "type": "timeseries", "title": alias, "gridPos": where, **options, **source}
