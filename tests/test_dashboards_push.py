"""`tegu dashboards push` against a server that answers as Grafana's documentation says, and keeps what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dashboards import alerts, queries
from dashboards.command import run

from .timeseries import free_port

pytest.importorskip("grafana_client")
TOKEN = "glsa_0123456789"
INFLUX = {"uid": "ifx", "name": "My InfluxDB", "type": "influxdb"}
LOKI = {"uid": "lok", "name": "Loki", "type": "loki"}


class Call(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class StandIn(ThreadingHTTPServer):
    """calls: what came. missing: paths that are 404. refused: status of every answer, if not 0."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.calls: list[Call] = []
        self.version, self.refused, self.prefix = "11.6.0", 0, ""
        self.missing = {"/api/folders/tegu", "/api/datasources/uid/tegu"}
        self.sources = [LOKI, INFLUX]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.prefix}"

    def answer(self, call: Call) -> tuple[int, Any]:
        self.calls.append(call)
        path = call.path.removeprefix(self.prefix)
        if self.refused:
            return self.refused, {"message": "no"}
        if path == "/api/frontend/settings":
            return 200, {"buildInfo": {"version": self.version}}
        if call.method == "GET" and path in self.missing:
            return 404, {"message": "not found"}
        if path == "/api/datasources" and call.method == "GET":
            return 200, self.sources
        if path == "/api/dashboards/db":
            return 200, {"url": f"/d/{call.body['dashboard']['uid']}/x", "status": "success"}
        return 200, {"message": "done"}

    def asked(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls]


class _Answer(BaseHTTPRequestHandler):
    server: StandIn

    def _any(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        status, told = self.server.answer(Call(self.command, self.path, dict(self.headers), body))
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _any

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = threading.Thread(target=server.serve_forever, name="stand-in")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def grafana() -> Iterator[StandIn]:
    with serving() as server:
        yield server


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return str(path)


def test_a_push_makes_the_folder_all_dashboards_and_the_rules(
    grafana: StandIn, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", grafana.url, "--token-file", token]) == 0
    assert grafana.asked() == [
        "GET /api/frontend/settings",
        "GET /api/folders/tegu",
        "POST /api/folders",
        "GET /api/datasources",
        *["POST /api/dashboards/db"] * 7,
        "PUT /api/v1/provisioning/folder/tegu/rule-groups/tegu",
    ]
    assert {call.headers["Authorization"] for call in grafana.calls} == {f"Bearer {TOKEN}"}
    assert grafana.calls[2].body == {"title": "Tegu", "uid": "tegu"}
    for name, call in zip(queries.names(), grafana.calls[4:11], strict=True):
        sent, committed = call.body["dashboard"], queries.read(name)
        assert (call.body["folderUid"], call.body["overwrite"], sent.get("id")) == ("tegu", True, None)
        chosen = sent["templating"]["list"][0]
        assert chosen["current"] == {"text": "My InfluxDB", "value": "ifx", "selected": True}
        committed["templating"]["list"][0]["current"] = chosen["current"]
        assert sent == committed
    said = capsys.readouterr().out
    assert f"dashboard Tegu: fleet: {grafana.url}/d/tegu-fleet/x" in said
    assert f"{len(alerts.RULES)} alert rules" in said


def test_the_rules_ask_the_datasource_that_was_found_and_can_be_changed_by_hand(grafana: StandIn, token: str) -> None:
    assert run(["push", grafana.url, "--token-file", token]) == 0
    call = grafana.calls[-1]
    assert call.headers["X-Disable-Provenance"] == "true"
    assert call.body == alerts.group_of("tegu", "ifx")
    assert (call.body["title"], call.body["folderUid"], call.body["interval"]) == ("tegu", "tegu", 60)
    for rule in call.body["rules"]:
        assert (rule["folderUID"], rule["ruleGroup"], rule["data"][0]["datasourceUid"]) == ("tegu", "tegu", "ifx")


def test_a_second_push_finds_its_folder_and_no_rules_are_sent_if_told_so(grafana: StandIn, token: str) -> None:
    grafana.missing.clear()
    assert run(["push", grafana.url, "--token-file", token, "--no-alerts", "--datasource", "ifx"]) == 0
    assert grafana.asked()[1:4] == ["GET /api/folders/tegu", "GET /api/datasources", "POST /api/dashboards/db"]
    assert not [call for call in grafana.calls if "provisioning" in call.path]


def test_a_datasource_of_influxdb_2_is_made_with_its_token(grafana: StandIn, token: str, tmp_path: Path) -> None:
    secret = tmp_path / "influx"
    secret.write_text("abc==")
    wanted = ["--influxdb", "http://influxdb:8086", "--bucket", "house", "--influxdb-token-file", str(secret)]
    assert run(["push", grafana.url, "--token-file", token, *wanted]) == 0
    (made,) = (call for call in grafana.calls if (call.method, call.path) == ("POST", "/api/datasources"))
    assert made.body == {
        "name": "Tegu",
        "uid": "tegu",
        "type": "influxdb",
        "access": "proxy",
        "url": "http://influxdb:8086",
        "jsonData": {"version": "InfluxQL", "dbName": "house", "httpMode": "POST", "httpHeaderName1": "Authorization"},
        "secureJsonData": {"httpHeaderValue1": "Token abc=="},
    }
    assert grafana.calls[-1].body["rules"][0]["data"][0]["datasourceUid"] == "tegu"


def test_a_datasource_that_is_there_is_changed_and_1x_has_a_password(
    grafana: StandIn, token: str, tmp_path: Path
) -> None:
    grafana.missing.clear()
    secret = tmp_path / "influx"
    secret.write_text("reader:secret")
    wanted = ["--influxdb", "http://influxdb:8086", "--influxdb-token-file", str(secret)]
    assert run(["push", grafana.url, "--token-file", token, *wanted]) == 0
    (made,) = (call for call in grafana.calls if (call.method, call.path) == ("PUT", "/api/datasources/uid/tegu"))
    assert (made.body["user"], made.body["secureJsonData"]) == ("reader", {"password": "secret"})
    assert made.body["jsonData"] == {"version": "InfluxQL", "dbName": "tegu", "httpMode": "POST"}


def test_a_grafana_below_a_path_is_found_there(grafana: StandIn, token: str) -> None:
    grafana.prefix = "/grafana"
    assert run(["push", grafana.url, "--token-file", token]) == 0
    assert all(call.path.startswith("/grafana/api/") for call in grafana.calls)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "does not know this token (401)"), (403, "may not do that (403)"), (500, "Server Error 500: no")],
)
def test_a_refusal_is_one_sentence(
    grafana: StandIn, token: str, capsys: pytest.CaptureFixture[str], status: int, sentence: str
) -> None:
    grafana.refused = status
    assert run(["push", grafana.url, "--token-file", token]) == 1
    said = capsys.readouterr().err
    assert said.startswith("tegu dashboards push: ") and sentence in said and said.count("\n") == 1
    assert TOKEN not in said


def test_an_old_grafana_is_refused_before_anything_is_changed(
    grafana: StandIn, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.version = "10.4.2"
    assert run(["push", grafana.url, "--token-file", token]) == 1
    assert "Grafana 10.4.2 is too old: these dashboards need 11 or newer" in capsys.readouterr().err
    assert grafana.asked() == ["GET /api/frontend/settings"]


def test_which_datasource_is_asked_for_when_it_is_not_clear(
    grafana: StandIn, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.sources = [INFLUX, {**INFLUX, "uid": "two", "name": "Other"}]
    assert run(["push", grafana.url, "--token-file", token]) == 1
    assert "there are: ifx (My InfluxDB), two (Other)" in capsys.readouterr().err
    assert run(["push", grafana.url, "--token-file", token, "--datasource", "three"]) == 1
    assert "no InfluxDB datasource has the uid three" in capsys.readouterr().err
    assert run(["push", grafana.url, "--token-file", token, "--datasource", "two"]) == 0


def test_what_is_no_grafana_or_nobody_is_said(
    grafana: StandIn, token: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert run(["push", url, "--token-file", token]) == 1
    assert f"no Grafana answers at {url}" in capsys.readouterr().err
    assert run(["push", "grafana:3000", "--token-file", token]) == 1
    assert "'grafana:3000' is no address of a Grafana" in capsys.readouterr().err
    grafana.version = ""
    assert run(["push", grafana.url, "--token-file", token]) == 1
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert run(["push", grafana.url, "--token-file", str(empty)]) == 1
    assert "does not hold one token" in capsys.readouterr().err
    assert run(["push", grafana.url, "--token-file", str(tmp_path / "none")]) == 1
