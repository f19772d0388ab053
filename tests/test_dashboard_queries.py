"""Every query of every dashboard and alert rule, asked of a real InfluxDB 1.6.7; the answers are worked out apart."""

from collections.abc import Iterator
from typing import Any

import pytest

from coordinator.metrics import Point, line
from dashboards import alerts, queries
from dashboards.queries import Choice

from .building_points import TROUBLES, Building, points
from .panel_queries import Panels
from .panel_values import WORTH, Worth
from .timeseries import RunningInflux, influxdb

ROOMS = Building(devices=50, days=1, trouble="boot loop")
HALLS = Building(devices=6, days=1, model="keywords", prefix="hall", seed=2, step_s=600, trouble="lost")
ATTIC = Building(devices=2, days=1, model="comfort", prefix="attic", seed=3, step_s=1800, trouble="rejected")
BATCH = 10_000
NOTHING_TO_COUNT = (None, 0)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInflux]:
    with influxdb(tmp_path_factory.mktemp("panels")) as running:
        yield running


@pytest.fixture(scope="module")
def told(database: RunningInflux) -> list[Point]:
    """50 rooms, 6 halls and 2 attics, one day, in the database `building`; the points that it holds."""
    made = [*points(ROOMS), *points(HALLS), *points(ATTIC)]
    fill(database, "building", made)
    return made


def fill(database: RunningInflux, name: str, made: list[Point]) -> None:
    database.create(name)
    for first in range(0, len(made), BATCH):
        database.get(f"/write?db={name}", "\n".join(line(point) for point in made[first : first + BATCH]).encode())


def choice(building: Building, **values: list[str]) -> Choice:
    return Choice(building.start_s * 1000, building.end_s * 1000, values)


@pytest.fixture
def everything(database: RunningInflux, told: list[Point]) -> Panels:  # noqa: ARG001  # which fills the database
    """All sites and models; on the page of a device the one that starts again and again."""
    return Panels(database.url, "building", choice(ROOMS, device=[ROOMS.bad]))


def test_the_database_likes_every_query_of_panels_variables_and_marks(everything: Panels) -> None:
    assert everything.failures() == []
    assert len(everything.every()) > 150


def test_every_query_of_every_panel_has_a_value_that_is_worked_out_apart() -> None:
    asked = {
        (name, query.panel, query.ref)
        for name in queries.names()
        for query in queries.listed(queries.read(name))
        if query.kind == "panel"
    }
    assert asked == set(WORTH)


@pytest.mark.parametrize(("dashboard", "panel", "ref"), WORTH, ids=lambda word: str(word).replace(" ", "-"))
def test_a_panel_shows_what_is_in_the_points(
    database: RunningInflux, told: list[Point], dashboard: str, panel: str, ref: str
) -> None:
    worth = WORTH[dashboard, panel, ref]
    chosen = {"device": ROOMS.bad} if dashboard == "device" else {}
    asked = Panels(database.url, "building", choice(ROOMS, **{name: [value] for name, value in chosen.items()}))
    expected = worth.rows(told, ROOMS.start_s, ROOMS.end_s, chosen)
    rows = asked.rows(dashboard, panel, ref)
    if panel == "Latest rounds":  # 50: of the oldest moment perhaps not all
        assert len(rows) == 50
        oldest_ns = rows[-1]["time"]
        rows = [row for row in rows if row["time"] > oldest_ns]
        expected = [row for row in expected if int(str(row["time"])) * 10**9 > oldest_ns]
    compare(rows, expected, worth)


def compare(rows: list[dict[str, Any]], expected: list[dict[str, object]], worth: Worth) -> None:
    """The same rows in any order; a window in which nothing was counted may be absent, null or zero."""
    keys = (("time",) if worth.window_s else ()) + worth.by
    keys = tuple(key for key in keys if not rows or key in rows[0])
    there = {}
    for row in rows:
        if any(row[name] not in NOTHING_TO_COUNT for name in worth.columns):
            told = {**row, "time": row["time"] // 10**9}
            there[tuple(str(told[key]) for key in keys)] = {name: row[name] for name in worth.columns}
    wanted = {
        tuple(str(row[key]) for key in keys): {name: row[name] for name in worth.columns}
        for row in expected
        if any(row[name] not in NOTHING_TO_COUNT for name in worth.columns)
    }
    assert there.keys() == wanted.keys()
    for key, values in wanted.items():
        for name, value in values.items():
            exact = value if value is None or isinstance(value, str) else pytest.approx(value, rel=1e-9)
            assert there[key][name] == exact, f"{name} of {key}"


def test_the_worst_device_is_the_first_of_58(everything: Panels) -> None:
    rows = everything.rows("fleet", "Devices, worst first")
    assert len(rows) == 58
    worst = max(rows, key=lambda row: (row["needs"], row["starts"]))
    assert (worst["device"], worst["needs"], worst["trouble"]) == (ROOMS.bad, 2, "started 64 times in a day")
    assert [row["needs"] for row in rows].count(0) == 57
    assert [row["visit"] for row in everything.rows("fleet", "Need a visit")] == [1]


def test_an_adaptation_curve_falls_and_lies_lower_at_last(everything: Panels) -> None:
    all_devices = Panels(everything.url, everything.database, choice(ROOMS))
    losses = [all_devices.rows("convergence", "Adaptation curve", ref)[0]["loss"] for ref in "ABCDEFGHIJKLMN"]
    first, last = losses[::2], losses[1::2]
    assert first == sorted(first, reverse=True) and last == sorted(last, reverse=True)
    assert all(late < 0.5 * early for early, late in zip(first, last, strict=True))


def test_counts_add_up_over_models_and_a_choice_takes_one(database: RunningInflux, everything: Panels) -> None:
    assert everything.rows("fleet", "Devices")[0]["devices"] == 58
    halls = Panels(database.url, "building", choice(ROOMS, model=["keywords"], site=["house"]))
    assert halls.rows("fleet", "Devices")[0]["devices"] == 6
    both = Panels(database.url, "building", choice(ROOMS, model=["keywords", "presence"]))
    assert both.rows("fleet", "Devices")[0]["devices"] == 56
    assert Panels(database.url, "building", choice(ROOMS, site=["elsewhere"])).rows("fleet", "Devices") == []


@pytest.mark.usefixtures("told")
def test_a_device_is_chosen_among_those_of_its_model(database: RunningInflux) -> None:
    halls = Panels(database.url, "building", choice(ROOMS, model=["keywords"]))
    assert [row["value"] for row in halls.rows("device", "device", "")] == [f"hall-{number:03d}" for number in range(6)]
    assert [row["value"] for row in halls.rows("fleet", "model", "")] == ["comfort", "keywords", "presence"]
    chosen = Panels(database.url, "building", choice(ROOMS, device=["room-001", "room-002"]))
    rows = chosen.rows("convergence", "Devices, least gain first")
    assert [row["device"] for row in rows] == ["room-001", "room-002"]


def test_marks_tell_of_versions_restarts_rollbacks_and_visits(everything: Panels) -> None:
    versions = everything.rows("fleet", "Versions", "Anno")
    assert len(versions) == sum(building.steps // 10 for building in (ROOMS, HALLS, ATTIC))
    assert versions[0]["text"] == "version 11"
    assert len(everything.rows("fleet", "Restarts", "Anno")) == 3
    assert everything.rows("fleet", "Rollbacks", "Anno") == []
    visits = [row["text"] for row in everything.rows("fleet", "Visits", "Anno")]
    assert visits == [f"{ROOMS.bad}: started 8 times in a day"]


@pytest.mark.usefixtures("told")
def test_how_things_stand_is_asked_for_the_end_of_the_chosen_time_however_short(database: RunningInflux) -> None:
    noon_s = ROOMS.start_s + 43_200
    minute = Panels(database.url, "building", Choice((noon_s - 60) * 1000, noon_s * 1000))
    rows = minute.rows("fleet", "Devices, worst first")
    assert len(rows) == 58
    assert {row["needs"] for row in rows} == {0}


# --- alert rules ---

DEFECTS = {
    "silent": "silent",
    "restarts": "boot loop",
    "stale": "behind",
    "diverging": "diverging",
    "ledger": "gap",
    "battery": "battery",
    "spool": "spool",
    "lost": "lost",
    "rejected": "rejected",
}
SMALL = {"devices": 5, "days": 1, "step_s": 900, "parts": frozenset({"status", "device", "bytes", "coordinator"})}


def small(trouble: str) -> Building:
    return Building(trouble=trouble, **SMALL)  # type: ignore[arg-type]


def name_of(trouble: str) -> str:
    return f"small-{trouble.replace(' ', '-') or 'healthy'}"


@pytest.fixture(scope="module")
def buildings(database: RunningInflux) -> RunningInflux:
    """A small building for each trouble and a healthy one, each in a database of its name."""
    for trouble in ("", *TROUBLES):
        fill(database, name_of(trouble), list(points(small(trouble))))
    return database


def firing(database: RunningInflux, name: str, rule: alerts.Rule, now_s: int) -> list[str]:
    """The alerts of a rule as Grafana evaluates it: the last number of each series, compared; devices or models."""
    text = rule.query.replace("$timeFilter", f"time >= {(now_s - rule.window_s) * 1000}ms and time <= {now_s * 1000}ms")
    found = []
    series = database.query(text, name)
    if not series and rule.absent == "Alerting":
        return ["no data"]
    for each in series:
        value = [row[1] for row in each["values"] if row[1] is not None][-1]
        if value > rule.limit if rule.way == "gt" else value < rule.limit:
            tags = each.get("tags", {})
            found.append(tags.get("device") or tags.get("model") or "")
    return found


@pytest.mark.parametrize("rule", alerts.RULES, ids=lambda rule: rule.name)
def test_no_rule_fires_on_a_healthy_building(buildings: RunningInflux, rule: alerts.Rule) -> None:
    assert firing(buildings, name_of(""), rule, small("").end_s) == []


@pytest.mark.parametrize("name", DEFECTS)
def test_a_rule_fires_on_the_building_that_has_its_defect(buildings: RunningInflux, name: str) -> None:
    (rule,) = (rule for rule in alerts.RULES if rule.name == name)
    building = small(DEFECTS[name])
    expected = ["presence"] if name in ("spool", "lost", "rejected") else [building.bad]
    assert firing(buildings, name_of(building.trouble), rule, building.end_s) == expected
    before_s = building.bad_from_s - 60
    assert firing(buildings, name_of(building.trouble), rule, before_s) == []


def test_a_coordinator_that_writes_no_more_is_told(buildings: RunningInflux) -> None:
    (rule,) = (rule for rule in alerts.RULES if rule.name == "coordinator")
    assert firing(buildings, name_of(""), rule, small("").end_s + 3600) == ["no data"]


def test_lost_points_are_told_although_the_count_begins_anew(database: RunningInflux) -> None:
    (rule,) = (rule for rule in alerts.RULES if rule.name == "lost")
    database.create("restarted")
    counts = (500, 500, 0, 0, 7)  # the coordinator started again between the second and the third
    lines = [
        f"coordinator,site=house,model=presence lost_points={count}i {(1000 + place) * 10**9}"
        for place, count in enumerate(counts)
    ]
    database.get("/write?db=restarted", "\n".join(lines[:4]).encode())
    assert firing(database, "restarted", rule, 1010) == []
    database.get("/write?db=restarted", lines[4].encode())
    assert firing(database, "restarted", rule, 1010) == ["presence"]
