"""The newest points as Prometheus scrapes them: names, what grows, what is forgotten, and a real scraper."""

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from coordinator.metrics import CURVE_SAMPLES, MEASUREMENTS, Point, Value, make_point
from coordinator.newest import COUNTED, COUNTS, MOST_OF_DEVICE, SUMS, Newest
from coordinator.prometheus import LEFT_OUT, OF_CHANNEL, TABLE, Served, metrics, serve
from tests.parts import needs
from tests.timeseries import RunningVictoria, free_port, until

DAY_NS = 24 * 3600 * 10**9
NOW_NS = 1_800_000_000 * 10**9
Rows = dict[tuple[str, ...], float]


def point(name: str, tags: tuple[str, ...], time_ns: int = NOW_NS, **values: Value | None) -> Point:
    made = make_point(name, ("home", *tags), values, time_ns)
    assert made is not None
    return made


def shown(newest: Newest) -> dict[str, Rows]:
    return {metric.name: dict(metric.rows) for metric in metrics(newest.points())}


def of(*points: Point) -> dict[str, Rows]:
    newest = Newest()
    for one in points:
        newest.put([one])
    return shown(newest)


def test_names_are_as_prometheus_asks() -> None:
    all_shown = [one for fields in TABLE.values() for one in fields.values()] + list(OF_CHANNEL.values())
    names = [one.name for one in all_shown]
    assert len(set(names)) == len(names)
    for one in all_shown:
        assert re.fullmatch(r"tegu_[a-z][a-z0-9_]*[a-z0-9]", one.name)
        assert one.name.endswith("_total") == (one.kind == "counter")
        assert not re.search(r"__|_(s|ms|percent)(_total)?$|_total_", one.name)
    for table in (COUNTS, SUMS, LEFT_OUT):
        for measurement, words in table.items():
            assert set(words.split()) <= MEASUREMENTS[measurement].fields.keys()
    assert COUNTED.keys() <= MEASUREMENTS.keys()


@pytest.mark.parametrize(
    ("measurement", "field", "name", "factor"),
    [
        ("device", "battery_percent", "tegu_device_battery_ratio", 0.01),
        ("device", "battery_volts", "tegu_device_battery_volts", 1.0),
        ("device", "rssi_dbm", "tegu_device_rssi_dbm", 1.0),
        ("device", "free_heap_bytes", "tegu_device_free_heap_bytes", 1.0),
        ("device", "samples", "tegu_device_samples_total", 1.0),
        ("device", "uptime_s", "tegu_device_uptime_seconds", 1.0),
        ("status", "heard_s", "tegu_status_heard_timestamp_seconds", 1.0),
        ("status", "state_code", "tegu_status_state_code", 1.0),
        ("bytes", "update_up_device", "tegu_ledger_update_up_device_bytes_total", 1.0),
        ("bytes", "gap", "tegu_ledger_gap_bytes", 1.0),
        ("energy", "total_joules", "tegu_energy_joules_total", 1.0),
        ("energy", "radio_joules", "tegu_energy_radio_joules_total", 1.0),
        ("update", "bytes", "tegu_update_bytes_total", 1.0),
        ("round", "accepted", "tegu_round_accepted_total", 1.0),
        ("round", "quorum_s", "tegu_round_quorum_seconds", 1.0),
        ("round", "round_num", "tegu_round_num", 1.0),
        ("coordinator", "commit_ms", "tegu_coordinator_commit_seconds", 0.001),
        ("coordinator", "spool_percent", "tegu_coordinator_spool_ratio", 0.01),
        ("coordinator", "dropped_messages", "tegu_coordinator_dropped_messages_total", 1.0),
    ],
)
def test_a_field_has_its_unit_in_its_name(measurement: str, field: str, name: str, factor: float) -> None:
    one = TABLE[measurement][field]
    assert (one.name, one.factor) == (name, factor)
    assert one.help == MEASUREMENTS[measurement].fields[field].help


def test_the_newest_point_of_each_device_is_shown_in_base_units() -> None:
    tags = ("room-1", "presence")
    told = of(
        point("device", tags, battery_percent=90.0, rssi_dbm=-60.0, loss_after=0.5),
        point("device", tags, NOW_NS + 1, battery_percent=80.0, loss_after=0.25),
        point("device", ("room-2", "presence"), battery_percent=50.0),
        point("coordinator", ("presence",), commit_ms=2.5),
    )
    assert told == {
        "tegu_device_battery_ratio": {("home", "room-1", "presence"): 0.8, ("home", "room-2", "presence"): 0.5},
        "tegu_device_loss_after": {("home", "room-1", "presence"): 0.25},
        "tegu_coordinator_commit_seconds": {("home", "presence"): 0.0025},
    }


def test_what_a_point_says_of_the_time_since_the_last_is_summed() -> None:
    tags = ("presence",)
    told = of(
        point("round", tags, round_num=1, accepted=3, late=0, update_bytes=700, quorum_s=4.0),
        point("round", tags, NOW_NS + 1, round_num=2, accepted=4, update_bytes=800),
        point("update", ("room-1", "presence", "accepted"), bytes=200, version=1),
        point("update", ("room-1", "presence", "accepted"), NOW_NS + 1, bytes=300, version=2),
        point("update", ("room-1", "presence", "late"), bytes=250, version=1),
    )
    assert told == {
        "tegu_rounds_total": {("home", "presence"): 2},
        "tegu_round_num": {("home", "presence"): 2},
        "tegu_round_accepted_total": {("home", "presence"): 7},
        "tegu_round_late_total": {("home", "presence"): 0},
        "tegu_round_update_bytes_total": {("home", "presence"): 1500},
        "tegu_updates_total": {
            ("home", "room-1", "presence", "accepted"): 2,
            ("home", "room-1", "presence", "late"): 1,
        },
        "tegu_update_bytes_total": {
            ("home", "room-1", "presence", "accepted"): 500,
            ("home", "room-1", "presence", "late"): 250,
        },
    }


def test_what_a_device_counts_itself_is_shown_as_it_counts() -> None:
    told = of(
        point("energy", ("room-1", "presence", "modelled"), joules=1.0, total_joules=5.0, radio_joules=0.5),
        point("energy", ("room-1", "presence", "modelled"), NOW_NS + 1, joules=2.0, radio_joules=0.25),
        point("device", ("room-1", "presence"), samples=32),
        point("device", ("room-1", "presence"), NOW_NS + 1, free_heap_bytes=9000),
    )
    assert told == {
        "tegu_energy_joules_total": {("home", "room-1", "presence", "modelled"): 5.0},
        "tegu_energy_radio_joules_total": {("home", "room-1", "presence", "modelled"): 0.75},
        "tegu_device_samples_total": {("home", "room-1", "presence"): 32},
        "tegu_device_free_heap_bytes": {("home", "room-1", "presence"): 9000},
    }


def test_each_channel_has_a_metric_of_its_own() -> None:
    told = of(
        point("reading", ("room-1", "co2"), value=612.0),
        point("reading", ("room-1", "humidity"), value=45.0),
        point("reading", ("room-1", "pressure"), value=1013.0),
    )
    assert told == {
        "tegu_reading_co2_ppm": {("home", "room-1"): 612.0},
        "tegu_reading_humidity_ratio": {("home", "room-1"): 0.45},
        "tegu_reading_value": {("home", "room-1", "pressure"): 1013.0},
    }


def test_text_is_not_shown_and_events_are_counted() -> None:
    told = of(
        point("status", ("room-1", "presence"), state="ready", state_code=0, trouble="", heard_s=NOW_NS // 10**9),
        point("event", ("presence", "version"), text="version 3", version=3),
        point("event", ("presence", "version"), NOW_NS + 1, text="version 4", version=4),
    )
    assert told == {
        "tegu_status_state_code": {("home", "room-1", "presence"): 0},
        "tegu_status_heard_timestamp_seconds": {("home", "room-1", "presence"): NOW_NS // 10**9},
        "tegu_events_total": {("home", "presence", "version"): 2},
    }


def test_a_device_that_is_silent_for_a_week_is_forgotten() -> None:
    newest = Newest()
    tags = ("room-1", "presence")
    newest.put([point("device", tags, loss_after=0.5), point("device", ("room-2", "presence"), loss_after=0.5)])
    later = NOW_NS + 6 * DAY_NS
    newest.put([point("device", ("room-2", "presence"), later, loss_after=0.5)])
    heard_s = NOW_NS // 10**9
    newest.put([point("status", tags, later, state_code=5, heard_s=heard_s)])
    assert ("home", "room-1", "presence") in shown(newest)["tegu_device_loss_after"]
    newest.put([point("status", tags, NOW_NS + 7 * DAY_NS + 10**9, state_code=5, heard_s=heard_s)])
    assert shown(newest) == {"tegu_device_loss_after": {("home", "room-2", "presence"): 0.5}}
    newest.put([point("status", tags, NOW_NS + 8 * DAY_NS, state_code=5, heard_s=heard_s)])
    assert "tegu_status_state_code" not in shown(newest)
    newest.put([point("device", tags, NOW_NS + 8 * DAY_NS, loss_after=0.25)])
    assert shown(newest)["tegu_device_loss_after"]["home", "room-1", "presence"] == 0.25


def test_a_clock_that_is_a_month_ahead_for_a_while_hides_nobody() -> None:
    newest = Newest()
    room, hall = ("room-1", "presence"), ("hall", "presence")
    newest.put([point("device", room, loss_after=0.5), point("coordinator", ("presence",), epoch=1)])
    newest.put([point("device", hall, NOW_NS + 30 * DAY_NS, loss_after=0.25)])
    newest.put([point("coordinator", ("presence",), NOW_NS + 10**9, epoch=1)])
    newest.put([point("device", room, NOW_NS + 2 * 10**9, loss_after=0.75)])
    key = ("home", *room)
    assert shown(newest)["tegu_device_loss_after"][key] == 0.75
    newest.put([point("device", room, NOW_NS + 8 * DAY_NS, loss_after=0.125)])  # and the hall is silent for a week
    assert shown(newest)["tegu_device_loss_after"] == {key: 0.125}


def test_a_device_that_makes_up_names_does_not_fill_the_memory() -> None:
    newest = Newest()
    newest.put([point("other", ("room-1", f"x{at}"), value=1.0) for at in range(300)])
    newest.put([point("other", ("room-2", "x"), value=1.0)])
    assert len(shown(newest)["tegu_other_value"]) == MOST_OF_DEVICE + 1
    assert newest.refused == 300 - MOST_OF_DEVICE


# --- over HTTP ---


def fleet(devices: int) -> Newest:
    """Each device with all of its measurements: the curve, three channels, updates of two results."""
    several = {"energy": ["modelled"], "update": ["accepted", "late"], "other": ["metered_s"]}
    several |= {
        "adaptation": [str(samples) for samples in CURVE_SAMPLES],
        "reading": ["co2", "temperature", "humidity"],
    }
    newest = Newest()
    for told in MEASUREMENTS.values():
        if told.tags[1] != "device":
            continue
        for at in range(devices):
            owner = (f"room-{at}",) if told.name in ("reading", "other") else (f"room-{at}", "presence")
            values: dict[str, Any] = {word: one.kind(at) for word, one in told.fields.items()}
            if "heard_s" in values:
                values["heard_s"] = NOW_NS // 10**9
            for last in several.get(told.name, [None]):
                newest.put([point(told.name, owner if last is None else (*owner, last), **values)])
    return newest


@pytest.fixture
def ten() -> Iterator[Served]:
    """Ten devices, served."""
    served = serve("127.0.0.1:0", fleet(10).points)
    yield served
    served.close()


def scrape(served: Served, **headers: str) -> str:
    asked = urllib.request.Request(f"http://127.0.0.1:{served.port}/metrics", headers=headers)
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(answer.read().decode())


def test_a_scrape_has_every_value_with_its_help(ten: Served) -> None:
    families = {family.name: family for family in parse_text(scrape(ten))}
    co2 = families["tegu_reading_co2_ppm"]
    assert (co2.type, co2.documentation) == ("gauge", "CO2 as the sensor reads it")
    assert {(one.labels["site"], one.labels["device"]): one.value for one in co2.samples} == {
        ("home", f"room-{at}"): float(at) for at in range(10)
    }
    battery = families["tegu_device_battery_ratio"]
    assert [one.value for one in battery.samples] == [at * 0.01 for at in range(10)]
    assert battery.samples[0].labels == {"site": "home", "device": "room-0", "model": "presence"}
    samples = families["tegu_device_samples"]
    assert (samples.type, samples.samples[3].name, samples.samples[3].value) == (
        "counter",
        "tegu_device_samples_total",
        3,
    )
    assert not any(name.startswith(("python", "process")) for name in families)


def test_openmetrics_is_spoken_too(ten: Served) -> None:
    text = scrape(ten, Accept="application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["tegu_energy_joules"].samples[2].value == 2.0


def test_labels_are_escaped() -> None:
    newest = Newest()
    newest.put([point("other", ("room-1", 'a"b\\c\nd'), value=1.5)])
    served = serve("127.0.0.1:0", newest.points)
    try:
        [family] = parse_text(scrape(served))
        assert family.samples[0].labels["name"] == 'a"b\\c\nd'
    finally:
        served.close()


def test_a_closed_server_gives_its_port_back_and_a_taken_one_is_an_error() -> None:
    first = serve("127.0.0.1:0", Newest().points)
    sentence = f"cannot serve Prometheus at 127.0.0.1:{first.port}: Address already in use"
    with pytest.raises(OSError, match=sentence):
        serve(f"127.0.0.1:{first.port}", Newest().points)
    first.close()
    serve(f"127.0.0.1:{first.port}", Newest().points).close()


def test_without_the_package_a_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ValueError, match=r"pip install 'tegu\[prometheus\]'"):
        serve("127.0.0.1:0", Newest().points)


def test_a_thousand_devices_are_scraped_within_a_second() -> None:
    served = serve("127.0.0.1:0", fleet(1000).points)
    try:
        spent_s = []
        for _ in range(3):
            began_s = time.process_time()  # of this process, which serves: what other processes do is not its fault
            text = scrape(served)
            spent_s.append(time.process_time() - began_s)
        assert text.count("\n") > 40_000
        assert min(spent_s) < 1.0
    finally:
        served.close()


# --- a real scraper ---


class Scraping(RunningVictoria):
    """VictoriaMetrics, which scrapes as Prometheus does, by the settings of Prometheus."""

    def scrapes(self, port: int) -> None:
        (self.folder / "scrape.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: tegu, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
        )

    def ask(self, query: str) -> dict[tuple[str, ...], float]:
        """An instant query: values of the labels in the order of their names -> value."""
        answer = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        rows = json.loads(answer)["data"]["result"]
        return {tuple(value for _, value in sorted(row["metric"].items())): float(row["value"][1]) for row in rows}

    def _command(self) -> list[str]:
        return [*super()._command(), f"-promscrape.config={self.folder / 'scrape.yml'}", "-search.latencyOffset=0s"]


def test_victoria_metrics_scrapes_it_and_answers_promql(tmp_path: Path, ten: Served) -> None:
    needs("victoria-metrics")
    database = Scraping(tmp_path, free_port())
    database.scrapes(ten.port)
    database.start()
    try:
        until(lambda: database.ask("up"))
        until(lambda: database.ask("count(tegu_reading_co2_ppm)") == {(): 10.0})
        assert database.ask("max by (site) (tegu_reading_temperature_celsius)") == {("home",): 9.0}
        assert database.ask('sum(tegu_updates_total{result="accepted"})') == {(): 10.0}
        assert database.ask('tegu_device_battery_ratio{device="room-3"} * 100') == {
            ("room-3", f"127.0.0.1:{ten.port}", "tegu", "presence", "home"): 3.0
        }
        assert database.ask("scrape_samples_scraped")[
            (
                "scrape_samples_scraped",
                f"127.0.0.1:{ten.port}",
                "tegu",
            )
        ] == sum(len(metric.rows) for metric in metrics(fleet(10).points()))
    finally:
        database.stop()
