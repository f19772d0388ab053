"""The dashboards as files: they are what the code makes, a stranger can read them, they point at each other."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from coordinator import trouble
from coordinator.metrics import MEASUREMENTS
from dashboards import alerts, queries
from dashboards.command import run
from dashboards.influxql import checked
from dashboards.queries import Choice, Query
from dashboards.yaml_text import to_yaml

NAMES = ["communication", "convergence", "coordinator", "device", "energy", "fleet", "rounds"]
SCREENS_ROWS = 2 * 24  # of 38 pixels, on a screen of 1080
HOUR_MS = 3_600_000
PROVISIONING = Path(queries.FOLDER).parent / "provisioning"


def panels() -> list[tuple[str, dict[str, Any]]]:
    return [(name, panel) for name in NAMES for panel in queries.read(name)["panels"]]


def test_the_committed_files_are_what_the_code_makes() -> None:
    build = pytest.importorskip("dashboards.build")
    made = build.files()
    assert {path.stem for path in made if path.suffix == ".json"} == set(queries.names()) == set(NAMES)
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name}: run python -m dashboards and commit what it writes"
        )
    assert build.files() == made


def test_every_panel_says_what_it_is_in_which_unit_and_what_nothing_means() -> None:
    for name, panel in panels():
        where = f"{name}: {panel['title']}"
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"] and panel["description"].endswith("."), where
        assert "\n" not in panel["description"] and len(panel["description"]) <= 110, where
        assert defaults["unit"] and defaults["noValue"], where
        assert defaults["thresholds"]["steps"][0]["value"] is None, where
        assert panel["targets"], where


def test_panels_fill_two_screens_at_most_and_lie_on_nothing() -> None:
    for name in NAMES:
        dashboard = queries.read(name)
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken and at["x"] + at["w"] <= 24, f"{name}: {panel['title']}"
            taken |= cells
        assert max(y for _, y in taken) < SCREENS_ROWS, name
        titles = [panel["title"] for panel in dashboard["panels"]]
        assert len(titles) == len(set(titles)) == len({panel["id"] for panel in dashboard["panels"]}), name


def test_dashboards_have_stable_names_and_find_each_other() -> None:
    for name in NAMES:
        dashboard = queries.read(name)
        assert (dashboard["uid"], dashboard["tags"], dashboard["schemaVersion"]) == (f"tegu-{name}", ["tegu"], 41)
        (link,) = dashboard["links"]
        assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
            "dashboards",
            ["tegu"],
            True,
            True,
        )
        for uid in re.findall(r"/d/(tegu-[a-z]+)", str(dashboard)):
            assert uid.removeprefix("tegu-") in NAMES


def test_the_fleet_begins_with_what_needs_a_visit() -> None:
    first, *_, table = queries.read("fleet")["panels"][:7]
    assert (first["title"], first["gridPos"]["y"], first["gridPos"]["x"]) == ("Need a visit", 0, 0)
    assert [step["color"] for step in first["fieldConfig"]["defaults"]["thresholds"]["steps"]] == ["green", "red"]
    assert table["title"] == "Devices, worst first"
    assert table["gridPos"]["y"] + table["gridPos"]["h"] <= 24  # on the first screen
    assert table["options"]["sortBy"][0] == {"displayName": "Visit?", "desc": True}
    visit, device = table["fieldConfig"]["overrides"][:2]
    told = {each["id"]: each["value"] for each in visit["properties"]}
    assert told["mappings"][0]["options"]["2"] == {"text": "VISIT", "color": "red", "index": 2}
    assert told["custom.cellOptions"]["applyToRow"] is True
    (link,) = next(each["value"] for each in device["properties"] if each["id"] == "links")
    assert link["url"].startswith("/d/tegu-device/") and link["url"].endswith("&var-device=${__value.raw}")


def test_a_tile_without_a_value_is_grey_and_not_green() -> None:
    for name, panel in panels():
        if panel["type"] in ("stat", "bargauge") and panel["title"] != "Why":
            defaults = panel["fieldConfig"]["defaults"]
            nothing = defaults["mappings"][0]
            assert (nothing["type"], nothing["options"]["match"]) == ("special", "null+nan"), (
                f"{name}: {panel['title']}"
            )
            assert nothing["options"]["result"]["text"] == defaults["noValue"]
            assert nothing["options"]["result"]["color"] in ("#464c54", "#8e8e8e")


def test_every_query_is_influxql_within_the_chosen_time_site_and_model() -> None:
    for name in NAMES:
        for query in queries.listed(queries.read(name)):
            assert query.text.startswith(("SELECT ", "SHOW TAG VALUES ")), query
            if query.kind == "panel":
                assert "$timeFilter" in query.text or "${__to}ms" in query.text or "${__from}ms" in query.text, query
                assert "${site:regex}" in query.text, query
            grouped = re.findall(r"GROUP BY ([^()]*)$", query.text.split(" fill(")[0])
            assert not query.table or not grouped or grouped[0].count(",") == 0, f"a table by two tags: {query}"


def test_a_name_that_no_measurement_has_is_refused_while_building() -> None:
    assert checked('SELECT last("gap")\n AS "g" FROM "bytes"') == 'SELECT last("gap") AS "g" FROM "bytes"'
    with pytest.raises(ValueError, match="bytes has no 'gaps'"):
        checked('SELECT last("gaps") FROM "bytes"')
    with pytest.raises(ValueError, match="no measurement 'byte'"):
        checked('SELECT last("gap") FROM "byte"')
    with pytest.raises(ValueError, match="round has no 'device'"):
        checked('SELECT mean("joules") FROM "round" GROUP BY "device"')
    with pytest.raises(ValueError, match="no measurement in"):
        checked("SHOW DATABASES")


def test_every_measurement_is_shown_somewhere() -> None:
    texts = " ".join(query.text for name in NAMES for query in queries.listed(queries.read(name)))
    assert {name for name in MEASUREMENTS if f'FROM "{name}"' not in texts} == set()


# --- filling in as Grafana does ---


def test_variables_and_macros_are_filled_in_by_hand_worked_values() -> None:
    query = Query(
        "",
        "",
        "A",
        "time > ${__to}ms - 3h AND $timeFilter AND a =~ /^${a:regex}$/ AND b = '$b' time($__interval) $__interval_ms",
        every="5m",
    )
    choice = Choice(1_000, 1_000 + HOUR_MS, {"a": ["x.y", "z"], "b": ["room-1"]})
    assert queries.filled(query, choice) == (
        "time > 3601000ms - 3h AND time >= 1000ms and time <= 3601000ms AND a =~ /^(x\\.y|z)$/ AND b = 'room-1' "
        "time(5m) 300000"
    )
    everything = queries.filled(Query("", "", "A", "/^${a:regex}$/"), Choice(0, 1))
    assert everything == "/^.*$/"


@pytest.mark.parametrize(
    ("hours", "every", "window"),
    [
        (1, "", "2s"),
        (1, "10s", "10s"),
        (24, "", "1m"),
        (24, "10m", "10m"),
        (7 * 24, "10m", "10m"),
        (30 * 24, "1m", "30m"),
    ],
)
def test_a_window_is_the_time_over_the_pixels_rounded_as_grafana_rounds(hours: int, every: str, window: str) -> None:
    assert queries.in_units(queries.window(Choice(0, hours * HOUR_MS), every)) == window


def test_a_panel_of_few_points_has_longer_windows() -> None:
    month = Choice(0, 30 * 24 * HOUR_MS)
    assert queries.in_units(queries.window(month, "10m", 200)) == "3h"  # 3.6 hours, rounded as Grafana rounds
    bars = [query for query in queries.listed(queries.read("communication")) if query.panel == "Bytes by class"]
    assert [(query.points, query.every) for query in bars] == [(200, "10m")] * 3


# --- alert rules and provisioning ---


def test_alert_rules_are_files_that_grafana_reads() -> None:
    told = yaml.safe_load((PROVISIONING / "alerting" / "tegu.yaml").read_text(encoding="utf-8"))
    assert told == alerts.provisioned()
    (group,) = told["groups"]
    assert (told["apiVersion"], group["folder"], group["interval"]) == (1, "Tegu", "60s")
    assert len({rule["uid"] for rule in group["rules"]}) == len(group["rules"]) == len(alerts.RULES)
    for rule in group["rules"]:
        ask, reduce, compare = rule["data"]
        assert (ask["refId"], reduce["model"]["expression"], compare["model"]["expression"]) == ("A", "A", "B")
        assert rule["condition"] == "C" and "$timeFilter" in ask["model"]["query"]
        assert ask["datasourceUid"] == "tegu"
        assert "${" not in str(rule["annotations"])  # Grafana would look for a variable of its environment
        page = re.search(r"d/tegu-([a-z]+)/", rule["annotations"]["dashboard"])
        assert page and page[1] in NAMES
        assert ("$labels.device" in rule["annotations"]["summary"]) == ('"device"' in ask["model"]["query"])


def test_a_rule_is_what_was_said_by_hand() -> None:
    (rule,) = (alerts.rule_of(rule, "elsewhere") for rule in alerts.RULES if rule.name == "battery")
    ask, _, compare = rule["data"]  # type: ignore[misc]
    assert ask["model"]["query"] == (
        'SELECT last("battery_percent") FROM "device" WHERE $timeFilter GROUP BY "site", "device"'
    )
    assert ask["relativeTimeRange"] == {"from": 86400, "to": 0}
    assert ask["datasourceUid"] == ask["model"]["datasource"]["uid"] == "elsewhere"
    assert compare["model"]["conditions"] == [{"evaluator": {"type": "lt", "params": [25.0]}}]
    assert rule["annotations"] == {
        "summary": "The battery of {{ $labels.device }} is at {{ $values.B }} percent",
        "description": "It wants a new battery or a charge.",
        "dashboard": "{{ externalURL }}d/tegu-device/device?var-device={{ $labels.device }}",
    }


def test_the_guide_tells_every_rule_and_the_limits_as_they_are() -> None:
    guide = (Path(__file__).parent.parent / "docs" / "guides" / "grafana.md").read_text(encoding="utf-8")
    assert [rule.title for rule in alerts.RULES if rule.title not in guide] == []
    assert [name for name in NAMES if f"`tegu-{name}`" not in guide] == []
    for limit in (
        f"{trouble.STARTS_A_DAY_BAD} starts in 24 hours",
        f"more than {trouble.BEHIND_VERSIONS} versions behind",
        f"above {trouble.WORSE_BY:g} times that before",
        f"more than {trouble.GAP_BYTES:,} bytes and by more than {trouble.GAP_PERCENT:g} %",
        f"below {trouble.BATTERY_PERCENT:g} %",
    ):
        assert limit in guide, limit


def test_the_datasource_and_the_folder_of_dashboards_come_from_the_environment() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources" / "tegu.yaml").read_text(encoding="utf-8"))["datasources"][0]
    assert (source["uid"], source["type"], source["url"]) == ("tegu", "influxdb", "${TEGU_INFLUXDB_URL}")
    assert source["jsonData"]["version"] == "InfluxQL"
    assert source["secureJsonData"] == {"httpHeaderValue1": "Token ${TEGU_INFLUXDB_TOKEN}"}
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "tegu.yaml").read_text(encoding="utf-8"))["providers"][0]
    assert (provider["folder"], provider["options"]) == ("Tegu", {"path": "${TEGU_DASHBOARDS}"})


@pytest.mark.parametrize(
    "value",
    [
        {"a": [], "b": {}, "c": None, "d": [{"e": 1, "f": [1.5, "x: #'\"\\\n"]}, [1, [2]]], "g": {"h": {"i": True}}},
        [{"a": {"b": 1}}, "- no", "yes", "012"],
    ],
)
def test_yaml_is_read_as_what_was_written(value: object) -> None:
    text = to_yaml(value, "two\nlines")
    assert text.startswith("# two\n# lines\n")
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize(
    ("package", "arguments", "hint"),
    [
        ("grafana_foundation_sdk", ["build"], "pip install 'grafana-foundation-sdk=="),
        ("grafana_client", ["push", "http://127.0.0.1:1", "--token-file", "none"], "pip install 'tegu[dashboards]'"),
    ],
)
def test_a_package_that_is_not_installed_is_named(package: str, arguments: list[str], hint: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; from dashboards.command import run; sys.exit(run({arguments}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 1
    assert f"needs {package}" in ran.stderr and hint in ran.stderr and ran.stderr.count("\n") == 1


def test_the_list_names_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    said = capsys.readouterr().out
    assert all(f"tegu-{name}" in said for name in [*NAMES, *(rule.name for rule in alerts.RULES)])
    assert str(queries.FOLDER) in said and str(PROVISIONING) in said
