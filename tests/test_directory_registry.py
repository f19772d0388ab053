"""What is Tegu's own beside the Directory Service API: questions, models, imports, exports, state, and the OpenAPI page."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from coordinator.directory.examples import A_GRAPH, A_MODEL, A_PATCH, A_QUERY, A_THING
from coordinator.directory.model_json import from_json
from coordinator.documents.merge_patch import merge
from coordinator.registry import questions
from coordinator.semantics import things as descriptions
from coordinator.semantics.models import describe_spec
from coordinator.sparql.asking import Limits
from tegu.thing import announce, describe

from .directory_served import Served, lamp, served
from .parts import needs

MODEL = "urn:tegu:home:model:presence"
PAGE_MS = 20_000


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served() as directory:
        yield directory


@pytest.fixture
def directory(running: Served) -> Served:
    """With two offices and a model that only the larger has room for."""
    for id in list(running.things.ids()):
        running.things.remove(id)
    small, large = (office(name, ram) for name, ram in (("office-1", 1000), ("office-2", 100_000)))
    running.things.announce([small, large], retained=False)
    running.http.put("/registry/models/presence", json=A_MODEL)
    return running


def office(name: str, ram: int) -> dict[str, Any]:
    told = announce(name, "presence", {"co2": "ppm", "temperature": "Cel"}, ram=ram, flash=500_000)
    return dict(describe("home", name, json.loads(told)))


def sentence(answer: httpx.Response, status: int) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    return str(answer.json()["detail"])


# --- questions ---


def test_the_list_of_questions_has_all_of_them_with_their_parameters(directory: Served) -> None:
    told = {one["name"]: one for one in directory.guest.get("/registry/questions").json()}
    assert told.keys() == questions().keys()
    assert told["devices_that_can_run"]["parameters"] == {"model": {"kind": "iri", "means": "the model"}}
    assert all(one["says"] for one in told.values())


def test_a_question_is_answered_by_its_name(directory: Served) -> None:
    answer = directory.guest.get("/registry/questions/devices_that_can_run", params={"model": MODEL}).json()
    assert answer["question"] == "devices_that_can_run"
    assert [row["device"] for row in answer["rows"]] == ["urn:tegu:home:office-2"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("no_such", 404, "no question no_such"),
        ("devices_that_can_run", 400, "takes model, not none"),
        ("devices_that_can_run?device=x", 400, "takes model, not device"),
        ("devices_that_can_run?model=urn:x:a&limit=1", 400, "takes model, not model, limit"),
        ("devices_that_can_run?model=no iri", 400, "cannot be answered"),
        ("devices_that_can_run?model=urn:x:%3E%20.%20DROP", 400, "cannot be answered"),
    ],
)
def test_a_question_that_is_none_is_told_so(directory: Served, path: str, status: int, words: str) -> None:
    assert words in sentence(directory.guest.get(f"/registry/questions/{path}"), status)


def test_only_so_many_questions_are_answered_at_once() -> None:
    with served(questions_at_once=0, queries_wait_s=0.05) as directory:
        answer = directory.guest.get("/registry/questions/devices_that_can_run", params={"model": MODEL})
        assert "come again" in sentence(answer, 503) and answer.headers["retry-after"] == "2"
        assert directory.guest.get("/registry/questions").status_code == 200


def test_of_an_answer_with_too_many_rows_the_first_are_given_and_it_is_said() -> None:
    with served(queries=Limits(most_rows=1)) as directory:
        directory.things.announce([office(f"office-{n}", 100_000) for n in range(3)], retained=False)
        directory.http.put("/registry/models/presence", json=A_MODEL)
        answer = directory.guest.get("/registry/questions/devices_that_can_run", params={"model": MODEL}).json()
        assert (len(answer["rows"]), answer["cut"]) == (1, "only the first 1 are given")
        pairs = directory.guest.get("/registry/questions/matching").json()
        assert pairs["rows"] == [{"model": MODEL, "device": "urn:tegu:home:office-0", "can": "run"}]
        assert pairs["cut"] == "only the first 1 are given"


# --- models ---


def test_a_described_model_is_listed_with_what_it_needs(directory: Served) -> None:
    assert directory.guest.get("/registry/models").json() == [
        {
            "id": MODEL,
            "name": "Presence",
            "description": "Whether somebody is in the room",
            "ram_bytes": 2048,
            "training_ram_bytes": 6144,
            "flash_bytes": 8192,
            "multiply_accumulates": 8,
            "parameters": 10,
            "sensors": ["http://tinyml-schema.org/sosa_extend/Thermometer", "urn:tegu-terms:Co2Sensor"],
            "metrics": {"nnet:Top_1_accuracy": 92.1},
        }
    ]
    assert directory.guest.get("/registry/models/presence").json()["ram_bytes"] == 2048
    assert directory.guest.get(f"/registry/models/{MODEL}").json()["ram_bytes"] == 2048


def test_a_model_in_rdf_has_its_layers(directory: Served) -> None:
    lines = directory.guest.get("/registry/models/presence", headers={"Accept": "application/n-triples"}).text
    nnet = "https://w3id.org/tinyml-schema/neural-network-schema#"
    assert f"<{MODEL}#layer-1> <{nnet}hasType> <{nnet}FullyConnected> ." in lines
    assert directory.guest.get("/registry/models/presence", headers={"Accept": "image/png"}).status_code == 406


def test_one_of_our_models_can_be_sent_as_it_is(directory: Served) -> None:
    description = describe_spec("Sine", "1 | dense 16 tanh | dense 1 linear", sensors=["co2"], metrics={"mse": 0.02})
    given = json.loads(json.dumps(asdict(description)))
    assert from_json(given) == description
    assert directory.http.put("/registry/models/sine", json=given).status_code == 201
    assert directory.http.put("/registry/models/sine", json=given).status_code == 204
    told = directory.guest.get("/registry/models/sine").json()
    assert (told["ram_bytes"], told["shape_hash"]) == (description.ram_bytes, description.shape_hash)
    assert directory.http.delete("/registry/models/sine").status_code == 204
    sentence(directory.guest.get("/registry/models/sine"), 404)
    sentence(directory.http.delete("/registry/models/sine"), 404)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ram_bytes": None}, "ram_bytes must be a whole number"),
        ({"ram_bytes": -1}, "ram_bytes"),
        ({"flash_bytes": 1.5}, "flash_bytes"),
        ({"training_ram_bytes": True}, "training_ram_bytes"),
        ({"layers": []}, "at least one layer"),
        ({"layers": [{"index": 1}]}, "layers.0 must have"),
        ({"layers": "many"}, "layers must be a list"),
        ({"inputs": [{"shape": "4", "dtype": "int8"}]}, "inputs.0.shape"),
        ({"metrics": {"top-1-accuracy": "good"}}, "metrics"),
        ({"sensors": ["CO2!"]}, "sensors"),
        ({"colour": "blue"}, "colour is no field"),
        ({"name": ""}, "name"),
    ],
)
def test_a_description_that_is_none_is_refused_with_the_field(directory: Served, change: Any, words: str) -> None:
    assert words in sentence(directory.http.put("/registry/models/bad", json=A_MODEL | change), 400)
    assert directory.guest.get("/registry/models/bad").status_code == 404


@pytest.mark.parametrize(
    "name", ["Presence", "a/b", "x" * 40, "urn:tegu:house:model:presence", "urn:tegu:home:office-1"]
)
def test_a_model_has_a_name_of_this_site(directory: Served, name: str) -> None:
    before = directory.registry.changes
    assert directory.http.put(f"/registry/models/{name}", json=A_MODEL).status_code == 400
    assert directory.registry.changes == before


def test_a_model_that_is_described_is_told_to_those_who_listen_inside(directory: Served) -> None:
    heard: list[tuple[str, str]] = []
    directory.registry.listeners.append(lambda kind, iri: heard.append((kind, iri)))
    directory.http.put("/registry/models/presence", json=A_MODEL)
    directory.http.put("/registry/models/other", json=A_MODEL)
    directory.http.delete("/registry/models/other")
    other = "urn:tegu:home:model:other"
    assert heard == [("model_updated", MODEL), ("model_created", other), ("model_deleted", other)]


# --- imports and exports ---


def test_an_import_goes_into_a_graph_of_its_name_and_replaces_it(directory: Served) -> None:
    turtle = {"Content-Type": "text/turtle; charset=utf-8"}
    answer = directory.http.post("/registry/import?name=rooms", content=A_GRAPH, headers=turtle)
    assert answer.json() == {"graphs": {"urn:tegu-graph:import:rooms": 2}, "triples": 2}
    assert directory.ask("ASK { ?room tegu:roomType 'office' }").json()["boolean"] is True
    directory.http.post("/registry/import?name=rooms", content="<urn:x:a> <urn:x:b> 1 .", headers=turtle)
    assert directory.ask("ASK { ?room tegu:roomType 'office' }").json()["boolean"] is False
    assert directory.http.delete("/registry/import?name=rooms").status_code == 204
    sentence(directory.http.delete("/registry/import?name=rooms"), 404)


@pytest.mark.parametrize("media", ["text/turtle", "application/n-triples"])
def test_an_empty_import_empties_its_graph(directory: Served, media: str) -> None:
    here = "/registry/import?name=rooms"
    directory.http.post(here, content=A_GRAPH, headers={"Content-Type": "text/turtle"})
    answer = directory.http.post(here, content="# nothing is left\n", headers={"Content-Type": media})
    assert answer.json() == {"graphs": {"urn:tegu-graph:import:rooms": 0}, "triples": 0}
    assert directory.ask("ASK { ?room tegu:roomType 'office' }").json()["boolean"] is False


def test_named_graphs_of_an_import_keep_their_names(directory: Served) -> None:
    room = "urn:tegu:home:room:library"
    quads = f'<{room}> <urn:tegu-terms:floor> "2" <{room}> .\n<urn:x:a> <urn:x:b> "c" .\n'
    answer = directory.http.post(
        "/registry/import?name=house", content=quads, headers={"Content-Type": "application/n-quads"}
    )
    assert answer.json()["graphs"] == {room: 1, "urn:tegu-graph:import:house": 1}
    assert directory.ask(f"ASK {{ GRAPH <{room}> {{ ?r tegu:floor '2' }} }}").json()["boolean"] is True


@pytest.mark.parametrize(
    "graph",
    [
        "urn:tegu-graph:live",
        "urn:tegu-graph:retired",
        "urn:tegu-graph:vocabulary",
        "urn:tegu-terms:x",
        "urn:tegu:home:office-1",
    ],
)
def test_graphs_of_the_registrys_own_are_not_for_imports(directory: Served, graph: str) -> None:
    before = directory.registry.changes
    quads = f'<urn:x:a> <urn:x:b> "good" <urn:x:g> .\n<urn:x:a> <urn:x:b> "bad" <{graph}> .\n'
    answer = directory.http.post(
        "/registry/import?name=x", content=quads, headers={"Content-Type": "application/n-quads"}
    )
    assert graph in sentence(answer, 400)
    assert directory.registry.changes == before


@pytest.mark.parametrize(
    ("graph", "triple"),
    [
        ("urn:x:g", "<urn:tegu:home:office-1> <urn:tegu-terms:ramBytes> 9000000"),
        ("urn:x:g", '<urn:tegu:home:office-1> <urn:tegu-terms:quarantined> "x"'),
        ("urn:x:g", f"<{MODEL}:2> <http://www.w3.org/ns/prov#wasGeneratedBy> <urn:x:r>"),
        (f"{MODEL}:round:7", f"<{MODEL}:round:7> <urn:tegu-terms:selected> <urn:x:d>"),
        (f"{MODEL}:3", f'<{MODEL}:3> <urn:tegu-terms:sha256> "0"'),
        ("urn:tegu:home:deployment:1", '<urn:tegu:home:deployment:1> <urn:tegu-terms:status> "done"'),
        ("urn:tegu:elsewhere:model:m", '<urn:tegu:elsewhere:model:m> <https://schema.org/name> "M"'),
        ("urn:x:g", '<urn:x:g> <urn:tegu-terms:document> "{"'),
        ("urn:x:g", "<urn:x:g> <urn:tegu-terms:brief> true"),
    ],
)
def test_no_import_says_what_the_registry_itself_knows(directory: Served, graph: str, triple: str) -> None:
    quads = f"GRAPH <{graph}> {{ {triple} . }}"
    answer = directory.http.post("/registry/import?name=x", content=quads, headers={"Content-Type": "application/trig"})
    sentence(answer, 400)
    assert directory.guest.get("/things").status_code == 200


def test_what_cannot_be_imported_is_told_with_the_place(directory: Served) -> None:
    turtle = {"Content-Type": "text/turtle"}
    post = directory.http.post
    assert "line 2" in sentence(
        post("/registry/import?name=x", content="<urn:x:a> a <urn:x:b> .\n<", headers=turtle), 400
    )
    sentence(post("/registry/import?name=Not%20this", content="", headers=turtle), 400)
    sentence(post("/registry/import", content="", headers=turtle), 400)
    sentence(post("/registry/import?name=x", content="", headers={"Content-Type": "text/html"}), 415)
    sentence(post("/registry/import?name=x", content="", headers={}), 415)


def test_an_export_can_be_imported_elsewhere(directory: Served) -> None:
    directory.put(lamp())
    quads = directory.guest.get("/registry/export?format=nquads").text
    own = "\n".join(line for line in quads.splitlines() if line.endswith(f"<{MODEL}> ."))
    with served() as other:
        headers = {"Content-Type": "application/n-quads"}
        assert other.http.post("/registry/import?name=all", content=own, headers=headers).status_code == 200
        assert other.guest.get("/registry/models").json() == directory.guest.get("/registry/models").json()
    sentence(directory.guest.get("/registry/export?format=pdf"), 400)


def test_the_status_tells_how_the_registry_is(directory: Served) -> None:
    directory.put(lamp())
    told = directory.guest.get("/registry/status").json()
    assert told == {
        "site": "home",
        "things": 3,
        "changes": directory.registry.changes,
        "questions": len(questions()),
        "readers": 0,
        "writable": True,
    }


# --- the OpenAPI page ---


def test_the_examples_of_the_page_are_valid(directory: Served) -> None:
    assert descriptions.check(A_THING) == []
    assert descriptions.check(merge(A_THING, A_PATCH)) == []
    assert directory.ask(A_QUERY).json()["results"]["bindings"][0]["ram"]["value"] == "100000"
    assert from_json(A_MODEL).name == "Presence"


def test_every_operation_has_a_summary_a_tag_and_errors_as_they_are_sent(directory: Served) -> None:
    described = directory.guest.get("/openapi.json").json()
    ids = set()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"] and operation["tags"] and operation["description"], (method, path)
            assert "422" not in operation["responses"]
            errors = {code: told["content"] for code, told in operation["responses"].items() if code >= "400"}
            for code, told in errors.items():
                assert list(told) == ["application/problem+json"]
                assert told["application/problem+json"]["example"]["status"] == int(code)
            changes = method in ("put", "patch", "delete") or (method == "post" and "/search" not in path)
            assert ("security" in operation) == changes, (method, path)
            ids.add(operation["operationId"])
    assert len(ids) == sum(map(len, described["paths"].values()))
    assert {tag["name"] for tag in described["tags"]} == {
        tag for operations in described["paths"].values() for one in operations.values() for tag in one["tags"]
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needs("chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield opened
        opened.close()


def test_the_page_works_without_the_internet_and_can_change_things(browser: Browser, directory: Served) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(PAGE_MS)
    page.goto(directory.url + "/")
    page.click(".btn.authorize")
    page.fill(".modal-ux input", "let-me-write")
    page.click(".modal-ux .btn-done, .modal-ux button.authorize")
    page.click(".modal-ux .btn-done")
    put = page.locator(".opblock-put", has_text="Register a thing, or replace it")
    put.locator(".opblock-summary").click()
    put.locator("button.execute").click()
    put.locator(".live-responses-table .response-col_status", has_text="201").wait_for()
    page.close()
    assert directory.guest.get(f"/things/{A_THING['id']}").json()["title"] == A_THING["title"]
    assert all(address.startswith((directory.url, "data:")) for address in asked) and complaints == []
