"""`tegu registry`: real commands on a real folder, and over a real service. Two devices and one model, so that every answer can be worked out by hand.

The model `presence` (11 inputs, 24 and 2 units) needs 13.9 kB of RAM, 14.4 kB to learn, and CO2 and temperature. `office-1` has
64 kB and both sensors; `hall-1` has 14 kB, so it can run and not learn it, and reads the temperature only.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar

import pytest

from coordinator.commands import registry as registry_command
from coordinator.commands.access import find_service
from coordinator.commands.http import AccessError, Service
from coordinator.directory import Directory, DirectorySettings
from coordinator.documents.things import Things
from coordinator.registry import Registry
from coordinator.registry_service import hold
from coordinator.sparql.asking import Limits
from tegu import thing

SPEC = "11 | dense 24 tanh | dense 2 softmax"
PRESENCE = "urn:tegu:home:model:presence"
OFFICE, HALL = "urn:tegu:home:office-1", "urn:tegu:home:hall-1"


class Told:
    """A registry's folder, and what a command on it says."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, *arguments: str | Path) -> tuple[int, list[str], str]:
        """Status, lines of standard output, standard error."""
        what, *rest = map(str, arguments)
        status = registry_command.run([what, "--folder", str(self.folder), *rest])
        captured = self._capsys.readouterr()
        return status, captured.out.splitlines(), captured.err

    def lines(self, *arguments: str | Path) -> list[str]:
        """Of a command that succeeds."""
        status, out, err = self.run(*arguments)
        assert (status, err) == (0, "")
        return out

    def json(self, *arguments: str | Path) -> Any:
        return json.loads("\n".join(self.lines(*arguments, "--json")))

    def fault(self, *arguments: str | Path) -> str:
        """The sentence of a command that fails."""
        status, _, err = self.run(*arguments)
        assert status == 1
        return err.removeprefix(f"tegu registry {arguments[0]}: ").rstrip("\n")


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEGU_REGISTRY", raising=False)
    monkeypatch.delenv("TEGU_REGISTRY_TOKEN", raising=False)


@pytest.fixture(params=["folder", "service"])
def empty(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Told]:
    """Opened by the command itself, and kept by a service whose token only lies in the folder."""
    folder = tmp_path / "registry"
    if request.param == "folder":
        yield Told(folder, capsys)
        return
    with _service(folder):
        yield Told(folder, capsys)


@contextmanager
def _service(folder: Path, token: str = "0123456789abcdef") -> Iterator[str]:
    registry = Registry(folder)
    settings = DirectorySettings(port=0, token=token, queries=Limits(query_s=30.0), queries_wait_s=30.0)
    directory = Directory(registry, Things(registry, lambda: datetime.now(UTC)), settings)
    directory.start()
    held = hold(folder / "service.json", {"url": directory.url})
    (folder / "token").write_text(token)
    try:
        yield directory.url
    finally:
        held.close()
        directory.stop()


@pytest.fixture
def alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """A folder with no service, and not there yet."""
    return Told(tmp_path / "registry", capsys)


@pytest.fixture
def told(empty: Told, tmp_path: Path) -> Told:
    empty.lines("add", _described(tmp_path, "office-1", 64_000, {"co2": "ppm", "temperature": "Cel"}))
    empty.lines("add", _described(tmp_path, "hall-1", 14_000, {"temperature": "Cel"}))
    empty.lines(
        *("add", "--spec", SPEC, "--name", "presence", "--sensors", "co2,temperature"),
        *("--metric", "top-1-accuracy=91.5", "--licence", "Apache-2.0", "--title", "Room presence"),
    )
    return empty


def _described(folder: Path, device: str, ram_bytes: int, sensors: dict[str, str]) -> Path:
    announced = json.loads(thing.announce(device.title(), "presence", sensors, ram=ram_bytes, flash=200_000))
    path = folder / f"{device}.json"
    path.write_text(json.dumps(thing.describe("home", device, announced)))
    return path


# --- add, show, find ---


def test_a_model_of_tegus_is_described_by_its_text(empty: Told) -> None:
    lines = empty.lines("add", "--spec", SPEC, "--name", "presence")
    assert lines == ["presence is described: 13.9 kB of RAM, 14.4 kB to learn, 20.5 kB of flash."]


def test_a_device_that_is_described_twice_is_replaced(empty: Told, tmp_path: Path) -> None:
    path = _described(tmp_path, "office-1", 64_000, {})
    assert empty.json("add", path) == {"id": OFFICE, "new": True}
    assert empty.lines("add", path) == ["office-1 is replaced."]


def test_a_description_that_is_not_valid_is_refused_with_its_faults(empty: Told, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"title": 3}')
    assert "title: must be text, not 3" in empty.fault("add", path)
    assert empty.run("show", "bad")[0] == 1


def test_a_file_that_is_no_model_is_refused_with_those_that_are(empty: Told, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x")
    assert empty.fault("add", path).endswith(
        "is none of .json, .jsonld, .tflite, .keras, .h5; Turtle and its like are for `tegu registry import`"
    )


def test_a_device_is_shown_with_units_and_short_names(told: Told) -> None:
    lines = told.lines("show", "office-1")
    assert lines[0] == OFFICE
    facts = dict(line.split("  ", 1) for line in lines[1:])
    assert {name: facts[name].strip() for name in ("name", "free RAM", "free flash", "sensor")} == {
        "name": "Office-1",
        "free RAM": "64 kB",
        "free flash": "200 kB",
        "sensor": "Co2Sensor, Thermometer",
    }


def test_a_model_is_shown_with_its_layers(told: Told) -> None:
    lines = told.lines("show", "presence")
    assert "needs sensor          Co2Sensor, Thermometer" in lines
    assert "Top_1_accuracy        91.5" in lines
    assert lines[-3:] == [
        "layer  kind            in       out      activation  weights",
        "    1  FullyConnected  [1, 11]  [1, 24]  Tanh        Float32",
        "    2  FullyConnected  [1, 24]  [1, 2]   Softmax     Float32",
    ]


def test_shown_for_programs_it_has_whole_iris_and_bytes(told: Told) -> None:
    found = told.json("show", PRESENCE)
    assert found["iri"] == PRESENCE
    assert found["facts"]["tegu:needsRamBytes"] == [13_948]
    assert found["metrics"] == {"Top_1_accuracy": 91.5}


def test_what_is_not_there_is_said_in_a_sentence(told: Told) -> None:
    assert told.fault("show", "attic") == (
        "no device, model, room, version, round or deployment 'attic' is in the registry; `tegu registry find` searches"
    )


# --- match ---


def test_who_can_run_a_model_and_why_not_the_others(told: Told) -> None:
    assert told.lines("match", "--model", "presence", "--why") == [
        "device    name        ram   flash  sensors",
        "office-1  Office-1  64 kB  200 kB  Thermometer, Co2Sensor",
        "",
        "1 of 2 devices can run presence.",
        "It needs 13.9 kB of RAM (14.4 kB to learn), 20.5 kB of flash, Thermometer, Co2Sensor.",
        "",
        "device  model     does not fit because",
        "hall-1  presence  has no Co2Sensor",
    ]


def test_learning_needs_more_than_running(told: Told) -> None:
    found = told.json("match", "--model", "presence", "--train", "--why")
    assert [device["device"] for device in found["fits"]] == [OFFICE]
    assert found["others"][0]["why"] == ["RAM to train: has 14 kB, needs 14.4 kB", "has no Co2Sensor"]


def test_models_of_a_device_are_listed_best_first(told: Told) -> None:
    told.lines("add", "--spec", SPEC, "--name", "better", "--metric", "top-1-accuracy=95")
    assert told.lines("match", "--device", "office-1")[1:3] == [
        "better    better                     95    13.9 kB      20.5 kB  -",
        "presence  Room presence            91.5    13.9 kB      20.5 kB  Thermometer, Co2Sensor",
    ]
    assert told.lines("match", "--device", "hall-1")[-1] == "hall-1 can run 1 of 2 models."


def test_all_pairs_are_one_table_with_the_count(told: Told) -> None:
    assert told.lines("match") == ["model     hall-1  office-1", "presence  -       yes", "", "1 of 2 pairs fit."]
    assert told.json("match")["pairs"] == [[PRESENCE, OFFICE]]


# --- query, questions ---


def test_a_named_question_takes_short_names(told: Told) -> None:
    assert told.json("query", "devices_that_can_run", "model=presence") == {
        "rows": [{"device": OFFICE, "ramBytes": 64_000, "flashBytes": 200_000}]
    }
    assert told.lines("query", "devices_that_can_run", "model=presence") == [
        "device      ram   flash",
        "office-1  64 kB  200 kB",
    ]


def test_a_question_without_its_parameters_says_what_it_takes(told: Told) -> None:
    assert told.fault("query", "devices_that_can_run") == "it takes model (the model)"
    assert told.fault("query", "nothing", "model=presence").startswith("no question 'nothing'")


def test_sparql_comes_from_a_file_or_from_standard_input(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "SELECT ?device { ?device tegu:sensor tegu:Co2Sensor }"
    path = tmp_path / "co2.rq"
    path.write_text(text)
    assert told.lines("query", path) == ["device", "office-1"]
    monkeypatch.setattr(sys, "stdin", StringIO(text))
    assert told.lines("query", "-") == ["device", "office-1"]
    path.write_text("SELEKT")
    assert ": expected one of " in told.fault("query", path)


def test_questions_are_listed_with_what_they_take(told: Told) -> None:
    lines = told.lines("questions")
    at = lines.index("devices_that_can_run model=IRI")
    assert lines[at + 1].startswith("    Devices that can run a model: enough free RAM, ")


# --- place, retire ---


def test_a_device_is_placed_in_a_room_and_what_is_said_of_the_room_stays(told: Told) -> None:
    assert told.lines("place", "office-1", "b1-2-07", "--type", "office", "--floor", "2") == ["office-1 is in b1-2-07."]
    told.lines("place", "hall-1", "b1-2-07", "--building", "b1")
    assert told.lines("show", "b1-2-07") == [
        "urn:tegu:home:room:b1-2-07",
        "name          b1-2-07",
        "is            Room",
        "room type     office",
        "floor         2",
        "building      b1",
        "devices here  hall-1, office-1",
    ]


def test_a_device_is_retired_only_when_somebody_agrees(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    told.lines("place", "office-1", "b1-2-07")
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    assert told.fault("retire", "office-1") == "nobody is here to be asked; say --yes"
    assert told.lines("show", "office-1")[0] == OFFICE
    changes = told.json("retire", "office-1", "--yes")["changes"]
    lost = [row["sensor"] for row in changes if row["what"] == "room loses a sensor"]
    assert lost == ["http://tinyml-schema.org/sosa_extend/Thermometer", "urn:tegu-terms:Co2Sensor"]
    assert told.run("show", "office-1")[0] == 1


# --- export, import, validate ---


def test_what_is_exported_makes_the_same_registry_again(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved.nq"
    told.lines("export", saved)
    again = Told(tmp_path / "again", capsys)
    again.lines("import", saved)
    for name in ("office-1", "presence"):
        assert again.lines("show", name) == told.lines("show", name)
    assert again.json("match")["pairs"] == [[PRESENCE, OFFICE]]


def test_a_running_service_keeps_its_own_graphs_from_imports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _service(tmp_path / "registry"):
        told = Told(tmp_path / "registry", capsys)
        told.lines("add", _described(tmp_path, "office-1", 64_000, {}))
        told.lines("export", tmp_path / "saved.nq")
        assert told.fault("import", tmp_path / "saved.nq").endswith("the registry writes it itself")


def test_an_export_goes_to_standard_output(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    out = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(out, "utf-8"))
    assert registry_command.run(["export", "--folder", str(told.folder), "--format", "turtle"]) == 0
    assert b"tegu:ramBytes 64000" in out.getvalue()


def test_turtle_becomes_a_graph_of_its_own_that_a_second_import_replaces(empty: Told, tmp_path: Path) -> None:
    path = tmp_path / "more.ttl"
    path.write_text("<urn:x:a> <urn:x:b> 1, 2 .")
    assert empty.json("import", path) == {"graphs": ["urn:tegu-graph:import:more"], "statements": 2}
    path.write_text("<urn:x:a> <urn:x:b> 3 .")
    empty.lines("import", path)
    query = tmp_path / "all.rq"
    query.write_text("SELECT ?n { <urn:x:a> <urn:x:b> ?n }")
    assert empty.json("query", query) == {"rows": [{"n": 3}]}


def test_a_file_that_is_no_rdf_changes_nothing(empty: Told, tmp_path: Path) -> None:
    path = tmp_path / "bad.ttl"
    path.write_text("<urn:x:a> <urn:x:b> ")
    assert str(path) in empty.fault("import", path)
    assert empty.fault("import", tmp_path / "bad.csv").endswith("must end with one of .ttl, .trig, .nq, .nt")


def test_faults_of_a_description_are_told_with_their_paths(alone: Told, tmp_path: Path) -> None:
    good = _described(tmp_path, "office-1", 64_000, {"co2": "ppm"})
    bad = tmp_path / "bad.json"
    bad.write_text('{"title": 3}')
    status, out, _ = alone.run("validate", good, bad)
    assert status == 1
    assert out[0] == f"{good}: valid"
    assert f"{bad}: title: must be text, not 3" in out
    assert not alone.folder.exists()


def test_a_graph_in_order_is_valid(told: Told) -> None:
    assert told.lines("validate", "--graph") == ["the graph: valid"]


def test_what_is_wrong_in_the_graph_is_told_with_its_place(alone: Told, tmp_path: Path) -> None:
    path = tmp_path / "wrong.nq"
    path.write_text(
        f"<{OFFICE}> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:tegu-terms:Device> <{OFFICE}> .\n"
        f'<{OFFICE}> <urn:tegu-terms:radio> "pigeon" <{OFFICE}> .\n'
    )
    alone.lines("import", path)
    status, out, _ = alone.run("validate", "--graph")
    assert status == 1
    assert any(line.startswith(f"{OFFICE}: tegu:radio: ") and "pigeon" in line for line in out)


# --- called wrongly ---


@pytest.mark.parametrize(
    "arguments",
    [[], ["nothing"], ["add"], ["add", "--spec", SPEC], ["validate"], ["match", "--model", "a", "--device", "b"]],
)
def test_a_wrong_call_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        registry_command.run(arguments)
    assert ended.value.code == 2


def test_a_folder_that_is_not_there_is_not_made_by_a_question(alone: Told) -> None:
    assert alone.fault("match").startswith(f"there is no registry in {alone.folder}")
    assert not alone.folder.exists()


def test_a_service_that_is_away_is_said(alone: Told) -> None:
    assert alone.fault("questions", "--url", "http://127.0.0.1:9").startswith(
        "the registry at http://127.0.0.1:9 cannot be reached: "
    )
    assert alone.fault("questions", "--url", "ftp://x") == (
        "'ftp://x' is no address; it must be like http://127.0.0.1:8480"
    )


def test_a_service_that_is_named_is_not_sent_the_token_of_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _service(tmp_path / "registry") as url:
        told = Told(tmp_path / "registry", capsys)
        path = _described(tmp_path, "office-1", 64_000, {})
        assert told.fault("add", path, "--url", url) == (
            "the registry does not allow it (401); it wants a token: --token-file FILE, or TEGU_REGISTRY_TOKEN"
        )
        told.lines("add", path, "--url", url, "--token-file", tmp_path / "registry" / "token")
        assert told.lines("show", "office-1", "--url", url)[0] == OFFICE


def test_what_a_killed_service_left_behind_counts_for_nothing(
    alone: Told,
) -> None:
    alone.lines("add", "--spec", SPEC, "--name", "presence")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (alone.folder / "service.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "pid": ended.pid}))
    assert alone.lines("show", "presence")[0] == PRESENCE


def test_too_many_pairs_are_counted(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.commands.matches.MOST_PAIRS", 0)
    assert told.lines("match") == [
        "model     fits, of 2 devices",
        "presence                   1",
        "",
        "1 of 2 pairs fit.",
    ]
    assert told.json("match")["counts"] == {PRESENCE: 1}


def test_words_are_found_in_names_and_descriptions(told: Told) -> None:
    assert told.lines("find", "room", "presence") == [
        "kind           thing     name",
        "NeuralNetwork  presence  Room presence",
    ]
    assert told.lines("find", "attic") == ["Nothing."]


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody on to somebody else, and notes what they carry."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Elsewhere.seen.append(self.headers.get("Authorization", ""))
        self.send_response(302)
        port = self.server.server_address[1]
        self.send_header("Location", f"http://localhost:{port}/stolen" if self.path != "/stolen" else "/end")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_token_goes_to_no_other_address_and_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    Elsewhere.seen.clear()
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with pytest.raises(AccessError):
            Service(f"http://127.0.0.1:{server.server_port}", "secret").call("GET", "/registry/status")
        server.shutdown()
    assert Elsewhere.seen == ["Bearer secret"]  # once, to whom it was for


def test_what_a_killed_service_left_behind_is_not_believed(alone: Told) -> None:
    alone.folder.mkdir()
    file = alone.folder / "service.json"
    file.write_text(
        json.dumps({"url": "http://127.0.0.1:9", "pid": os.getpid()})
    )  # somebody else has its number by now
    with pytest.raises(AccessError, match="no registry service was found"):
        find_service(alone.folder, "", None)
    with hold(file, {"url": "http://127.0.0.1:9"}):
        find_service(alone.folder, "", None)
    with pytest.raises(AccessError, match="no registry service was found"):
        find_service(alone.folder, "", None)
