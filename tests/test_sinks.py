"""Points into real time series databases, and what becomes of them when a database is away, refuses or hangs.

influxd 1.6.7 takes API 1, VictoriaMetrics takes API 2. InfluxDB 2 cannot be installed from a package index: what it
refuses, a small HTTP server here refuses in its words (bodies as of 2.7). That stands for it, and proves less.
"""

import gzip
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from coordinator.metrics import MEASUREMENTS, Point, line, make_point
from coordinator.settings import InfluxdbApi, MonitorSettings
from coordinator.sinks import Output, open_outputs
from coordinator.sinks.delivery import MOST_TRIES, deliver
from coordinator.sinks.influxdb import Outcome
from tests.parts import needs
from tests.test_spool import full_disk
from tests.test_store import VALUES, full_point, readings
from tests.timeseries import RunningInflux, RunningVictoria, free_port, influxdb, until, victoria_metrics

START_NS = 1_700_000_000_000_000_000
PUT_S = 0.2  # put() takes a fraction of a millisecond; the rest is a machine with other things to do


@pytest.fixture(autouse=True)
def _soon(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is told is heard, and a second takes a tenth of one."""
    caplog.set_level(logging.WARNING, "tegu.coordinator")
    monkeypatch.setattr("coordinator.sinks.pending.INTERVAL_S", 0.1)
    monkeypatch.setattr("coordinator.sinks.writer.FIRST_PAUSE_S", 0.1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningInflux]:
    """One influxd for the tests that only need a database of their own in it."""
    needs("influxd")
    with influxdb(tmp_path_factory.mktemp("shared")) as database:
        yield database


@pytest.fixture
def influx(shared: RunningInflux) -> RunningInflux:
    if not shared.running:
        shared.start()
    shared.query('DROP DATABASE "tegu"')
    shared.create("tegu")
    return shared


@pytest.fixture
def victoria(tmp_path: Path) -> Iterator[RunningVictoria]:
    needs("victoria-metrics")
    with victoria_metrics(tmp_path) as database:
        yield database


@contextmanager
def writing(folder: Path, url: str, api: InfluxdbApi = "1", close_s: float = 5.0, **settings: Any) -> Iterator[Output]:
    (output,) = open_outputs(
        MonitorSettings(store="", influxdb=url, influxdb_api=api, spool=str(folder / "spool.sqlite"), **settings)
    )
    try:
        yield output
    finally:
        output.close(close_s)


def put(output: Output, points: Sequence[Point], at_once: int = 500) -> float:
    """Put them so many at a time; the longest that a put() took, in seconds."""
    longest_s = 0.0
    for first in range(0, len(points), at_once):
        some = points[first : first + at_once]
        began = time.perf_counter()
        output.put(some)
        longest_s = max(longest_s, time.perf_counter() - began)
    return longest_s


def settled(output: Output) -> bool:
    numbers = output.numbers()
    return not numbers["waiting_points"] and not numbers["spool_points"]


def count_and_sum(database: RunningInflux) -> tuple[int, float]:
    (row,) = database.rows("SELECT count(value), sum(value) FROM reading", "tegu") or [{"count": 0, "sum": 0.0}]
    return row["count"], row["sum"]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "tegu.coordinator"]


# --- what is written ---


def test_influxdb_1_has_every_measurement_with_its_types(influx: RunningInflux, tmp_path: Path) -> None:
    points = [full_point(measured) for measured in MEASUREMENTS.values()]
    with writing(tmp_path, influx.url) as output:
        output.put(points)
        until(lambda: output.numbers()["written_points"] == len(points))
    names = {int: "integer", float: "float", str: "string"}
    for point in points:
        measured = MEASUREMENTS[point.measurement]
        (row,) = influx.rows(f'SELECT * FROM "{measured.name}"', "tegu")
        tags = dict(zip(measured.tags, point.tags, strict=True))
        values = {field.name: VALUES[field.kind] for field in measured.fields.values()}
        assert row == {"time": point.time_ns} | tags | values, measured.name
        types = influx.rows(f'SHOW FIELD KEYS FROM "{measured.name}"', "tegu")
        assert {row["fieldKey"]: row["fieldType"] for row in types} == {
            field.name: names[field.kind] for field in measured.fields.values()
        }


def test_victoriametrics_has_every_number_of_every_measurement_by_api_2(
    victoria: RunningVictoria, tmp_path: Path
) -> None:
    points = [
        made
        for measured in MEASUREMENTS.values()
        if (made := make_point(measured.name, measured.tags, dict.fromkeys(measured.fields, 3), START_NS))
    ]
    with writing(tmp_path, victoria.url, "2") as output:
        output.put(points)
        until(lambda: output.numbers()["written_points"] == len(points))
    for measured in MEASUREMENTS.values():
        numbers = {field.name for field in measured.fields.values() if field.kind is not str}
        for name in numbers:
            (series,) = victoria.export(f'{{__name__="{measured.name}_{name}"}}')
            tags = {tag: tag for tag in measured.tags}
            assert series["metric"] == {"__name__": f"{measured.name}_{name}"} | tags
            assert (series["values"], series["timestamps"]) == ([3], [START_NS // 1_000_000])


def test_letters_that_the_line_protocol_uses_arrive_as_they_were(influx: RunningInflux, tmp_path: Path) -> None:
    point = make_point("event", ("home", "a b,c=d", 'é"'), {"text": 'say "no"\\ now, x=1'}, START_NS)
    assert point
    with writing(tmp_path, influx.url) as output:
        output.put([point])
        until(lambda: output.numbers()["written_points"] == 1)
    (row,) = influx.rows("SELECT * FROM event", "tegu")
    assert (row["model"], row["kind"], row["text"]) == ("a b,c=d", 'é"', 'say "no"\\ now, x=1')


# --- a database that is away ---


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_outage_loses_and_doubles_no_point(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    needs("influxd")
    points = readings(0, 40_000)
    with influxdb(tmp_path) as database:
        database.create("tegu")
        with writing(tmp_path, database.url) as output:
            longest_s = put(output, points[:10_000])
            until(lambda: output.numbers()["written_points"] >= 5_000)
            getattr(database, how)()  # while some of them are on their way
            longest_s = max(longest_s, put(output, points[10_000:35_000]))
            until(lambda: output.numbers()["spool_points"] >= 25_000)
            assert output.numbers()["failing"] == 1
            database.start()
            longest_s = max(longest_s, put(output, points[35_000:]))
            until(lambda: settled(output) and output.numbers()["written_points"] == 40_000)
            assert count_and_sum(database) == (40_000, 39_999 * 40_000 / 2)
            found = database.rows("SELECT value FROM reading", "tegu")
            assert [row["value"] for row in found] == [float(number) for number in range(40_000)]  # by their times
            numbers = output.numbers()
            assert (numbers["written_points"], numbers["lost_points"], numbers["rejected_points"]) == (40_000, 0, 0)
            assert (numbers["spool_bytes"], numbers["failing"]) == (0, 0)
            assert longest_s < PUT_S
        *begins, ends = told(caplog)
        assert 1 <= len(begins) <= 2  # one that shuts down in order may say 500 before it is gone
        for sentence in begins:
            assert re.match(f"InfluxDB at {database.url} (does not answer|cannot write now) \\(", sentence)
            assert sentence.endswith(f"; points wait in {tmp_path / 'spool.sqlite'}")
        assert ends.startswith(f"InfluxDB at {database.url} takes points again after ")


def test_an_outage_of_victoriametrics_loses_no_point(victoria: RunningVictoria, tmp_path: Path) -> None:
    with writing(tmp_path, victoria.url, "2") as output:
        victoria.stop()
        put(output, readings(0, 21_000))
        until(lambda: output.numbers()["spool_points"] == 21_000)
        victoria.start()
        until(lambda: settled(output))
        series = victoria.export('{__name__="reading_value"}')
        assert sorted(value for one in series for value in one["values"]) == [float(n) for n in range(21_000)]


PUTS = """
import sys, time
from coordinator.settings import MonitorSettings
from coordinator.sinks import open_outputs
from tests.test_store import readings
url, spool = sys.argv[1:]
(output,) = open_outputs(MonitorSettings(store="", influxdb=url, influxdb_api="1", spool=spool))
for first in range(0, 10_000_000, 500):
    output.put(readings(first, 500))
    time.sleep(0.01)
    print(int(output.numbers()["spool_points"]), flush=True)
"""


def test_what_was_spooled_outlives_sigkill_of_the_writer_and_goes_first(influx: RunningInflux, tmp_path: Path) -> None:
    influx.stop()
    spool = tmp_path / "spool.sqlite"
    command = [sys.executable, "-c", PUTS, influx.url, str(spool)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told_points = 0
        for row in process.stdout:
            told_points = int(row)
            if told_points >= 20_000:
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    influx.start()
    with writing(tmp_path, influx.url) as output:
        spooled = int(output.numbers()["spool_points"])
        assert spooled >= told_points >= 20_000
        until(lambda: settled(output))
        count, total = count_and_sum(influx)
        assert (count, total) == (spooled, spooled * (spooled - 1) / 2)  # the first that were put, each once
        put(output, readings(spooled, 100))
        until(lambda: output.numbers()["written_points"] == spooled + 100)
        assert count_and_sum(influx)[0] == spooled + 100


def test_close_during_an_outage_keeps_everything_for_the_next_start(influx: RunningInflux, tmp_path: Path) -> None:
    influx.stop()
    with writing(tmp_path, influx.url) as output:
        put(output, readings(0, 12_345))
    influx.start()
    with writing(tmp_path, influx.url) as output:
        assert output.numbers()["spool_points"] == 12_345
        until(lambda: settled(output))
    assert count_and_sum(influx) == (12_345, 12_344 * 12_345 / 2)


def test_close_writes_what_waits_when_the_database_is_there(influx: RunningInflux, tmp_path: Path) -> None:
    with writing(tmp_path, influx.url) as output:
        put(output, readings(0, 12_345))
    assert count_and_sum(influx) == (12_345, 12_344 * 12_345 / 2)
    assert output.numbers()["spool_points"] == 0


def test_a_full_spool_loses_the_oldest_and_counts_them(influx: RunningInflux, tmp_path: Path) -> None:
    influx.stop()
    points = [  # numbers that zlib cannot make much of
        made
        for number in range(100_000)
        if (
            made := make_point(
                "reading", ("home", "room-1", "co2"), {"value": (number * 0.6180339887498949) % 1}, START_NS + number
            )
        )
    ]
    with writing(tmp_path, influx.url, spool_mb=1) as output:
        for first in range(0, 100_000, 5_000):
            output.put(points[first : first + 5_000])
            until(lambda: not output.numbers()["waiting_points"])
        numbers = output.numbers()
        lost, kept = int(numbers["lost_points"]), int(numbers["spool_points"])
        assert lost + kept == 100_000
        assert 5_000 <= kept < 95_000
        assert 80.0 < numbers["spool_percent"] <= 100.0
        influx.start()
        until(lambda: settled(output))
        found = influx.rows("SELECT value FROM reading", "tegu")
        assert [row["time"] for row in found] == [START_NS + number for number in range(lost, 100_000)]
        assert output.numbers()["lost_points"] == lost
    assert (tmp_path / "spool.sqlite").stat().st_size < 1_500_000


def test_a_full_disk_is_told_and_costs_nothing_while_memory_lasts(
    influx: RunningInflux, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    influx.stop()
    with writing(tmp_path, influx.url) as output:
        with full_disk((tmp_path / "spool.sqlite").stat().st_size + 50_000):
            put(output, readings(0, 30_000))
            until(lambda: "cannot use the spool" in caplog.text)
            assert output.numbers()["failing"] == 1
        influx.start()
        until(lambda: settled(output))
        assert output.numbers()["lost_points"] == 0
    assert count_and_sum(influx) == (30_000, 29_999 * 30_000 / 2)


def test_a_database_that_hangs_blocks_neither_put_nor_close(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        with writing(tmp_path, f"http://127.0.0.1:{deaf.getsockname()[1]}", close_s=2.0) as output:
            longest_s = put(output, readings(0, 20_000))
            until(lambda: output.numbers()["waiting_points"] == 20_000)  # nothing is given up before there is an answer
            assert longest_s < PUT_S
            began = time.monotonic()
        assert time.monotonic() - began < 4.0
        with writing(tmp_path, f"http://127.0.0.1:{deaf.getsockname()[1]}", close_s=0.0) as output:
            assert output.numbers()["spool_points"] == 20_000


def test_too_many_points_in_memory_go_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.sinks.writer.SPILL", 10_000)
    with InfluxDb2(delay_s=0.3) as slow, writing(tmp_path, slow.url, "2") as output:
        points = readings(0, 60_000)
        put(output, points)
        until(lambda: output.numbers()["spool_points"] > 30_000)
        assert output.numbers()["failing"] == 0
        until(lambda: settled(output))
        assert slow.lines == [line(point) for point in points]  # in order, each once


def test_what_comes_while_the_spool_drains_is_on_disk_soon(tmp_path: Path) -> None:
    away = says(503, "unavailable", "unavailable")
    with InfluxDb2(away, delay_s=0.5) as slow, writing(tmp_path, slow.url, "2") as output:
        put(output, readings(0, 30_000))
        until(lambda: len(slow.lines) >= 5_000)
        output.put(readings(30_000, 100))
        until(lambda: not output.numbers()["waiting_points"])
        assert output.numbers()["spool_points"] >= 100
        assert len(slow.lines) < 30_000
        until(lambda: settled(output))
        assert slow.lines == [line(point) for point in readings(0, 30_100)]


# --- a database that refuses ---


def test_a_wrong_password_keeps_points_until_the_file_is_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs("influxd")
    secret = tmp_path / "secret"
    secret.write_text("tegu:not-the-password\n")
    with influxdb(tmp_path, login=("root", "of-all")) as database:
        database.create("tegu")
        database.query("CREATE USER tegu WITH PASSWORD 'quiet please'")
        with writing(tmp_path, database.url, token_file=str(secret)) as output:
            output.put(readings(0, 10))
            until(lambda: output.numbers()["spool_points"] == 10)
            secret.write_text("tegu:quiet please\n")
            until(lambda: "(403)" in caplog.text)
            database.query('GRANT WRITE ON "tegu" TO tegu')
            until(lambda: settled(output))
        assert count_and_sum(database) == (10, 45.0)
        first, second, third = told(caplog)
    where, waits = f"InfluxDB at {database.url}", f"points wait in {tmp_path / 'spool.sqlite'}"
    assert first == f"{where} refuses the user and password in {secret} (401): authorization failed; {waits}"
    assert second == (
        f"{where} does not allow writing to the database tegu (403): "
        f'"tegu" user is not authorized to write to database "tegu"; {waits}'
    )
    assert third.startswith(f"{where} takes points again after ")
    assert "not-the-password" not in caplog.text and "quiet please" not in caplog.text


def test_without_a_token_file_the_sentence_asks_for_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    needs("influxd")
    with influxdb(tmp_path, login=("root", "of-all")) as database, writing(tmp_path, database.url) as output:
        output.put(readings(0, 1))
        until(lambda: output.numbers()["spool_points"] == 1)
    assert "asks for a user and password (401); name a token_file" in caplog.text


def test_points_wait_for_a_database_that_is_not_made_yet(
    shared: RunningInflux, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(tmp_path, shared.url, bucket="later") as output:
        output.put(readings(0, 5))
        until(lambda: output.numbers()["spool_points"] == 5)
        shared.create("later")
        until(lambda: settled(output))
    assert shared.rows("SELECT sum(value) FROM reading", "later")[0]["sum"] == 10.0
    sentence = f'InfluxDB at {shared.url} has no database later (404): database not found: "later"; points wait in '
    assert told(caplog)[0].startswith(sentence)


def test_a_field_of_another_type_costs_only_the_lines_that_have_it(
    influx: RunningInflux, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    influx.get("/write?db=tegu", b"reading,device=other value=1i %d" % readings(0, 1)[0].time_ns)
    energy = [
        make_point("energy", ("home", "room-1", "presence", "measured"), {"joules": 0.5}, START_NS + n)
        for n in range(300)
    ]
    refused = readings(0, 40)
    mixed = [point for pair in zip(energy, refused, strict=False) for point in pair] + energy[40:]
    with writing(tmp_path, influx.url) as output:
        output.put([point for point in mixed if point])
        until(lambda: output.numbers()["waiting_points"] == 0)
        output.put(readings(40, 2))
        until(lambda: output.numbers()["rejected_points"] == 42)
        numbers = output.numbers()
        assert (numbers["written_points"], numbers["lost_points"], numbers["failing"]) == (300, 0, 0)
    assert influx.rows("SELECT count(joules) FROM energy", "tegu")[0]["count"] == 300
    reason = (
        'partial write: field type conflict: input field "value" on measurement "reading" is type float, '
        "already exists as type integer"
    )
    rejected = tmp_path / "rejected.lp"
    head, *lines = rejected.read_text().splitlines()
    assert head.startswith("# 2") and head.endswith(f" 40 of 40 refused: {reason}")
    assert lines[:40] == [line(point) for point in refused]
    assert lines[40].endswith(f" 2 of 2 refused: {reason}") and len(lines) == 43
    (sentence,) = told(caplog)
    assert sentence == f"InfluxDB at {influx.url} refuses points, 40 at first: {reason}; the lines are in {rejected}"


def test_a_limit_of_series_costs_the_points_of_new_series_and_counts_them(tmp_path: Path) -> None:
    needs("influxd")
    with influxdb(tmp_path, max_series=4) as database:
        database.create("tegu")
        with writing(tmp_path, database.url) as output:
            output.put(readings(0, 4))
            until(lambda: output.numbers()["written_points"] == 4)
            for first in (10, 20, 30):  # ten devices each, of which four are known
                output.put(readings(first, 10))
                until(lambda: not output.numbers()["waiting_points"])
            numbers = output.numbers()
        assert (numbers["written_points"], numbers["rejected_points"], numbers["failing"]) == (16, 18, 0)
        assert count_and_sum(database) == (16, 6.0 + 4 * (10 + 20 + 30) + 3 * 6)
    assert "max-series-per-database limit exceeded: (4)" in (tmp_path / "rejected.lp").read_text()


def test_refused_points_too_many_to_be_found_one_by_one_are_counted_all_the_same(tmp_path: Path) -> None:
    needs("influxd")
    new = [Point("reading", ("home", f"new-{number}", "co2"), {"value": 1.0}, START_NS) for number in range(1_000)]
    known = [Point("reading", ("home", "room-0", "co2"), {"value": 2.0}, START_NS + number) for number in range(1_000)]
    with influxdb(tmp_path, max_series=1) as database:
        database.create("tegu")
        with writing(tmp_path, database.url) as output:
            output.put(readings(0, 1))
            until(lambda: output.numbers()["written_points"] == 1)
            output.put([point for pair in zip(new, known, strict=True) for point in pair])
            until(lambda: not output.numbers()["waiting_points"])
            numbers = output.numbers()
        assert (numbers["written_points"], numbers["rejected_points"]) == (1_001, 1_000)
        assert count_and_sum(database) == (1_001, 2_000.0)
    kept = [row for row in (tmp_path / "rejected.lp").read_text().splitlines() if not row.startswith("#")]
    assert {line(point) for point in new} < set(kept)  # and some that were written: to find which would take too long


def test_a_database_that_takes_only_small_requests_gets_small_ones(tmp_path: Path) -> None:
    needs("influxd")
    with influxdb(tmp_path, max_body_bytes=20_000) as database:
        database.create("tegu")
        with writing(tmp_path, database.url) as output:
            put(output, readings(0, 6_000))
            until(lambda: output.numbers()["written_points"] == 6_000)
            assert output.numbers()["rejected_points"] == 0
        assert count_and_sum(database) == (6_000, 5_999 * 6_000 / 2)


# --- what InfluxDB 2 says ---


class InfluxDb2:
    """A server that answers writes as InfluxDB 2 does, with these (status, headers, body) first, and takes the rest."""

    def __init__(
        self,
        *answers: tuple[int, dict[str, str], dict[str, str]],
        delay_s: float = 0.0,
        certificate: Path | None = None,
    ) -> None:
        self.lines: list[str] = []  # of the requests that were taken
        self.requests: list[tuple[float, str, dict[str, str]]] = []  # when, path, headers
        waiting = list(answers)
        taken, requests = self.lines, self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
                requests.append((time.monotonic(), self.path, dict(self.headers)))
                if delay_s:
                    threading.Event().wait(delay_s)
                status, headers, told = waiting.pop(0) if waiting else (204, {}, {})
                if status == 204:
                    taken.extend(body.decode().split("\n"))
                text = json.dumps(told).encode() if told else b""
                self.send_response(status)
                for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = self.url.replace("http:", "https:")

    def __enter__(self) -> "InfluxDb2":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its certificate for 127.0.0.1, which nobody has signed."""
    needs("openssl")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(["openssl", *request.split(), "-keyout", file, "-out", file], check=True, capture_output=True)
    return file


@pytest.mark.parametrize("api", ["1", "2"])
def test_a_certificate_that_nobody_signed_is_told(
    api: InfluxdbApi, certificate: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with InfluxDb2(certificate=certificate) as database, writing(tmp_path, database.url, api) as output:
        output.put(readings(0, 3))
        until(lambda: output.numbers()["spool_points"] == 3)
    assert told(caplog)[0].startswith(f"InfluxDB at {database.url} does not answer ([SSL: CERTIFICATE_VERIFY_FAILED]")


def test_a_certificate_that_the_system_trusts_is_taken(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with InfluxDb2(certificate=certificate) as database, writing(tmp_path, database.url, "1") as output:
        output.put(readings(0, 3))
        until(lambda: output.numbers()["written_points"] == 3)


def says(status: int, code: str, message: str, **headers: str) -> tuple[int, dict[str, str], dict[str, str]]:
    return (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        {"code": code, "message": message},
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (says(401, "unauthorized", "unauthorized access"), "refuses the token in {token} (401): unauthorized access"),
        (
            says(403, "forbidden", "insufficient permissions for write"),
            "does not allow writing to the bucket tegu (403): insufficient permissions for write",
        ),
        (
            says(404, "not found", 'bucket "tegu" not found'),
            'has no bucket tegu (404), or is an InfluxDB 1.x that needs influxdb_api = "1": bucket "tegu" not found',
        ),
        (
            says(429, "too many requests", "too many requests", Retry_After="1"),
            "asks for fewer writes (429): too many requests",
        ),
        (says(503, "unavailable", "unavailable"), "cannot write now (503): unavailable"),
        (says(500, "internal error", "engine is closed"), "cannot write now (500): engine is closed"),
        (
            says(400, "invalid", "Please provide either orgID or org"),
            "does not answer as an InfluxDB (400): Please provide either orgID or org",
        ),
        ((301, {"Location": "/login"}, {}), "does not answer as an InfluxDB (301)"),
    ],
    ids=["401", "403", "404", "429", "503", "500", "400", "301"],
)
def test_api_2_waits_and_says_why(answer: Any, sentence: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret==\n")
    points = readings(0, 10)
    with InfluxDb2(answer) as database, writing(tmp_path, database.url, "2", token_file=str(token)) as output:
        output.put(points)
        until(lambda: output.numbers()["written_points"] == 10)
        assert database.lines == [line(point) for point in points]
        assert len(database.requests) == 2
        _, path, headers = database.requests[-1]
        assert path == "/api/v2/write?org=tegu&bucket=tegu&precision=ns"
        assert (headers["Authorization"], headers["Content-Encoding"]) == ("Token s3cret==", "gzip")
    first = told(caplog)[0]
    where = f"InfluxDB at {database.url}"
    assert first.startswith(f"{where} {sentence.format(token=token)}") and first.endswith(
        "; points wait in " + str(tmp_path / "spool.sqlite")
    )
    assert "s3cret" not in caplog.text


def test_a_pause_that_the_database_asks_for_is_kept(tmp_path: Path) -> None:
    busy = says(429, "too many requests", "too many requests", Retry_After="3")
    with InfluxDb2(busy) as database, writing(tmp_path, database.url, "2") as output:
        output.put(readings(0, 1))
        until(lambda: settled(output) and output.numbers()["written_points"] == 1)
        first, second = (moment for moment, _, _ in database.requests)
        assert 3.0 <= second - first < 6.0


def test_the_pause_grows_and_each_reason_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.sinks.writer.FIRST_PAUSE_S", 0.3)
    away = says(503, "unavailable", "unavailable")
    answers = [away, away, says(404, "not found", 'bucket "tegu" not found')]
    with InfluxDb2(*answers) as database, writing(tmp_path, database.url, "2") as output:
        output.put(readings(0, 1))
        until(lambda: output.numbers()["written_points"] == 1)
        moments = [moment for moment, _, _ in database.requests]
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert [pause_s >= least for pause_s, least in zip(pauses, (0.3, 0.6, 1.2), strict=True)] == [True] * 3
    words = [sentence.split(" ", 3)[3] for sentence in told(caplog)]
    assert [word.split(";")[0].split(" after")[0] for word in words] == [
        "cannot write now (503): unavailable",
        'has no bucket tegu (404), or is an InfluxDB 1.x that needs influxdb_api = "1": bucket "tegu" not found',
        "takes points again",
    ]


def test_points_arrive_in_the_order_in_which_they_were_put(tmp_path: Path) -> None:
    away = says(503, "unavailable", "unavailable")
    points = readings(0, 26_000)
    with InfluxDb2(away, away) as database, writing(tmp_path, database.url, "2") as output:
        put(output, points[:20_000])
        until(lambda: output.numbers()["spool_points"] >= 15_000)
        put(output, points[20_000:], at_once=100)
        until(lambda: settled(output))
        assert database.lines == [line(point) for point in points]


def test_a_batch_that_is_too_large_goes_in_halves(tmp_path: Path) -> None:
    large = says(413, "request too large", "unable to read data: points batch is too large")
    points = readings(0, 9)
    with InfluxDb2(large, large) as database, writing(tmp_path, database.url, "2") as output:
        output.put(points)
        until(lambda: output.numbers()["written_points"] == 9)
        assert database.lines == [line(point) for point in points]
        assert len(database.requests) == 5  # 9, 4, 2, 2, 5


def test_a_line_that_influxdb_2_cannot_take_is_kept_and_the_others_go_on(tmp_path: Path) -> None:
    conflict = says(
        422,
        "unprocessable entity",
        'failure writing points to database: partial write: field type conflict: input field "value" on measurement '
        '"reading" is type float, already exists as type integer dropped=1',
    )
    point = make_point("energy", ("home", "room-1", "presence", "measured"), {"joules": 0.5}, START_NS)
    assert point
    with InfluxDb2(conflict, conflict) as database, writing(tmp_path, database.url, "2") as output:
        output.put([*readings(0, 1), point])
        until(lambda: output.numbers()["written_points"] == 1)
        assert output.numbers()["rejected_points"] == 1
        assert database.lines == [line(point)]
    assert (tmp_path / "rejected.lp").read_text().splitlines()[1:] == [line(readings(0, 1)[0])]


def test_a_batch_of_which_a_part_must_wait_is_written_again_whole_and_its_refusals_count_once(tmp_path: Path) -> None:
    bad = says(400, "invalid", "unable to parse 'reading value=': missing field value")
    away = says(503, "unavailable", "unavailable")
    points = readings(0, 2)
    with InfluxDb2(bad, bad, away, bad, bad) as database, writing(tmp_path, database.url, "2") as output:
        output.put(points)  # both: bad; the first: bad; the second: away. Again both: bad; the first: bad; the second
        until(lambda: settled(output) and output.numbers()["written_points"] == 1)
        assert output.numbers()["rejected_points"] == 1
        assert database.lines == [line(points[1])]


def all_or_nothing(bad: set[int], sizes: list[int]) -> Any:
    """A write as InfluxDB 2 does it: with a bad line in it none is written."""

    def write(lines: bytes) -> Outcome:
        numbers = [int(word) for word in lines.split(b"\n")]
        sizes.append(len(numbers))
        return (
            Outcome("refused", "does not take a line (400)", "unable to parse")
            if bad & set(numbers)
            else Outcome("done")
        )

    return write


def test_the_lines_that_are_refused_are_found_among_many() -> None:
    sizes: list[int] = []
    lines = b"\n".join(b"%d" % number for number in range(5_000))
    outcome, refusals = deliver(all_or_nothing({17, 4_321}, sizes), lines)
    assert outcome.kind == "done"
    assert refusals == [("unable to parse", 1, [b"17"]), ("unable to parse", 1, [b"4321"])]
    assert len(sizes) < 2 * 2 * 13  # two paths of 13 halvings, both halves of each


def test_a_database_that_refuses_everything_is_not_asked_for_each_line() -> None:
    sizes: list[int] = []
    lines = b"\n".join(b"%d" % number for number in range(5_000))
    _, refusals = deliver(all_or_nothing(set(range(5_000)), sizes), lines)
    assert sum(refusal.refused for refusal in refusals) == sum(len(refusal.lines) for refusal in refusals) == 5_000
    assert len(sizes) < 2 * MOST_TRIES


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"influxdb": "http://"}, "influxdb must be an address like http://127.0.0.1:8086"),
        ({"influxdb": "http://here:port"}, "influxdb must be an address like"),
        ({"influxdb": "http://me:hidden@here:8086"}, "without a user or a password"),
        (
            {"influxdb": "http://here", "bucket": ""},
            "bucket must name the bucket of InfluxDB 2, or the database of 1.x",
        ),
        (
            {"influxdb": "http://here", "token_file": "/nowhere/token"},
            "token_file /nowhere/token, which cannot be read",
        ),
        ({"influxdb": "http://here", "token_file": "empty"}, "needs one line with its token in the token_file"),
        ({"influxdb": "http://here", "token_file": "two"}, "needs one line with its token in the token_file"),
        (
            {"influxdb": "http://here", "token_file": "two", "influxdb_api": "1"},
            "needs user:password in its token_file",
        ),
        ({"influxdb": "http://here", "spool": "telemetry.sqlite"}, "store and spool must be two files"),
        ({"influxdb": "http://here", "spool": "nowhere/spool.sqlite"}, "cannot use the spool nowhere/spool.sqlite"),
    ],
)
def test_what_is_wrong_in_the_settings_is_a_sentence_and_nothing_stays_open(
    settings: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("one\ntwo\n")
    threads = set(threading.enumerate())
    with pytest.raises((ValueError, OSError), match=sentence) as caught:
        open_outputs(MonitorSettings(**settings))
    assert "hidden" not in str(caught.value)
    assert set(threading.enumerate()) == threads


def test_without_influxdb_client_the_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "influxdb_client", None)
    with pytest.raises(ValueError, match=r"install it with: pip install 'tegu\[influxdb\]'"):
        open_outputs(MonitorSettings(store="", influxdb="http://here", spool=str(tmp_path / "spool.sqlite")))


def test_an_address_that_nobody_has_waits_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with writing(tmp_path, "http://influx.invalid:8086", "2") as output:
        output.put(readings(0, 1))
        until(lambda: output.numbers()["spool_points"] == 1)
    assert told(caplog)[0].startswith("InfluxDB at http://influx.invalid:8086 does not answer (")
    assert " object at 0x" not in caplog.text


@pytest.mark.parametrize("api", ["1", "2"])
def test_a_port_where_nobody_listens_is_refused_in_plain_words(
    api: InfluxdbApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with writing(tmp_path, url, api) as output:
        output.put(readings(0, 1))
        until(lambda: output.numbers()["spool_points"] == 1)
    assert (
        told(caplog)[0]
        == f"InfluxDB at {url} does not answer (Connection refused); points wait in {tmp_path / 'spool.sqlite'}"
    )


def test_settings_without_outputs_open_none_and_both_open_both(tmp_path: Path) -> None:
    assert open_outputs(MonitorSettings(store="")) == []
    outputs = open_outputs(
        MonitorSettings(
            store=str(tmp_path / "store"),
            influxdb="http://127.0.0.1:1",
            influxdb_api="1",
            spool=str(tmp_path / "spool"),
        )
    )
    try:
        assert [set(output.numbers()) for output in outputs] == [
            {
                "waiting_points",
                "spool_points",
                "spool_bytes",
                "spool_percent",
                "written_points",
                "lost_points",
                "rejected_points",
                "failing",
            }
        ] * 2
    finally:
        for output in outputs:
            output.close(1.0)


def test_the_store_takes_no_more_megabytes_than_the_settings_say(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (output,) = open_outputs(MonitorSettings(store=str(path), store_mb=1))
    try:
        output.put(readings(0, 30_000))  # 100 bytes each
        until(lambda: output.numbers()["written_points"] == 30_000)
    finally:
        output.close(5.0)
    assert path.stat().st_size < 2_000_000
