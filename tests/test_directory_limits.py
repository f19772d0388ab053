"""What nobody can do to the directory: stop it, fill it, reach through it, or read it from a foreign page."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pyoxigraph import Literal, NamedNode, Quad

from coordinator.sparql.asking import Asking, Limits, Refused

from .directory_served import DEADLINE_S, LAMP, TOKEN, Served, lamp, served
from .timeseries import until

ENDLESS = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"
GREEDY = (
    "SELECT ?x { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i BIND(CONCAT(STR(?a), STR(?d), STR(?g), STRUUID()) AS ?x) } ORDER BY ?x"
)
MILLION = "SELECT * { ?a urn:n: ?b . ?c urn:n: ?d }".replace("urn:n:", "<urn:n>")
ANSWER_S = 1.0  # for what does not wait for a query


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """On disk, with a thousand numbers: a million pairs."""
    limits = Limits(query_s=1.5, most_rows=500, most_bytes=200_000, memory_bytes=256 << 20)
    folder = tmp_path_factory.mktemp("limits")
    with served(folder / "registry", queries=limits, snapshots=folder, queries_wait_s=0.3) as directory:
        directory.registry.store.extend(
            Quad(NamedNode(f"urn:x:{n}"), NamedNode("urn:n"), Literal(n), NamedNode("urn:tegu-graph:import:numbers"))
            for n in range(1000)
        )
        directory.put(lamp())
        yield directory


def lists_in_time(directory: Served) -> None:
    began = time.monotonic()
    assert directory.guest.get("/things").json()[0]["id"] == LAMP
    assert time.monotonic() - began < ANSWER_S


# --- queries ---


def test_an_endless_query_is_ended_while_others_are_answered(running: Served) -> None:
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        endless = pool.submit(running.ask, ENDLESS)
        while not endless.done():
            lists_in_time(running)
        answer = endless.result()
    assert 1.5 <= time.monotonic() - began < 6
    assert (answer.status_code, answer.headers["content-type"]) == (504, "application/problem+json")
    assert "1.5 s" in answer.json()["detail"]
    assert running.ask("ASK { ?s ?p ?o }").json()["boolean"] is True


def test_a_query_that_wants_all_memory_is_ended(running: Served) -> None:
    answer = running.ask(GREEDY)
    assert answer.status_code in (504, 507), answer.text
    assert running.ask("ASK { ?s ?p ?o }").json()["boolean"] is True


def test_more_memory_than_allowed_is_told_to_be_so() -> None:
    with served(queries=Limits(query_s=20, memory_bytes=96 << 20)) as directory:
        graph = NamedNode("urn:tegu-graph:import:numbers")
        directory.registry.store.extend(
            Quad(NamedNode(f"urn:x:{n}"), NamedNode("urn:n"), Literal("x" * 1000 + str(n)), graph) for n in range(1000)
        )
        answer = directory.ask(GREEDY.replace("?a ?b ?c", "?x0 <urn:n> ?c0 . ?a ?b ?c"))
        assert answer.status_code == 507
        assert "96 MiB" in answer.json()["detail"]


def test_a_million_rows_are_cut_and_it_is_said(running: Served) -> None:
    answer = running.ask(MILLION)
    assert answer.headers["tegu-cut"] == "only the first 500 are given"
    assert len(answer.json()["results"]["bindings"]) == 500
    assert answer.json()["cut"] == "only the first 500 are given"
    csv = running.ask(MILLION, Accept="text/csv")
    assert (len(csv.text.splitlines()), csv.headers["tegu-cut"]) == (501, "only the first 500 are given")
    graph = running.ask("CONSTRUCT { ?a <urn:m> ?d } { ?a <urn:n> ?b . ?c <urn:n> ?d }", Accept="application/n-triples")
    assert (len(graph.text.splitlines()), graph.headers["tegu-cut"]) == (500, "only the first 500 are given")


def test_an_answer_of_too_many_bytes_is_cut_and_still_a_whole_document(running: Served) -> None:
    long = 'SELECT ?a (CONCAT(STRUUID(), "<&\\"", STR(?b)) AS ?text) { ?a <urn:n> ?b . ?c <urn:n> ?d }'
    long = long.replace("STRUUID()", ", ".join(["STRUUID()"] * 40))
    for media in ("application/json", "text/csv", "text/tab-separated-values", "application/sparql-results+xml"):
        answer = running.ask(long, Accept=media)
        assert answer.headers["tegu-cut"].startswith("more than 200000 bytes: only the first ")
        assert 190_000 < len(answer.content) < 201_000
    assert answer.text.endswith("</sparql>")
    rows = running.ask(long).json()["results"]["bindings"]
    assert 100 < len(rows) < 140


def test_what_is_not_cut_is_said_to_be_whole(running: Served) -> None:
    answer = running.ask("SELECT ?a { ?a <urn:n> ?b } LIMIT 500")
    assert "tegu-cut" not in answer.headers and "cut" not in answer.json()
    assert len(answer.json()["results"]["bindings"]) == 500


def test_of_twenty_heavy_queries_some_are_told_to_come_again_and_none_holds_up_the_rest(running: Served) -> None:
    with ThreadPoolExecutor(20) as pool:
        heavy = [
            pool.submit(httpx.get, f"{running.url}/search/sparql", params={"query": ENDLESS}, timeout=DEADLINE_S)
            for _ in range(20)
        ]
        while not all(one.done() for one in heavy):
            lists_in_time(running)
        answers = [one.result() for one in heavy]
    told = sorted(answer.status_code for answer in answers)
    assert set(told) == {503, 504} and 2 <= told.count(504) <= 4
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 503)
    assert running.ask("ASK { ?s ?p ?o }").json()["boolean"] is True


def test_a_query_too_deep_or_too_long_ends_nothing(running: Served) -> None:
    deep = "SELECT * { " + "{ " * 9000 + "?s ?p ?o" + " }" * 9000 + " }"
    post = {"headers": {"Content-Type": "application/sparql-query"}}
    answer = running.guest.post("/search/sparql", content=deep, **post)  # type: ignore[arg-type]
    assert answer.status_code in (400, 507)
    answer = running.guest.post("/search/sparql", content="#" * 70_000 + "\nASK {}", **post)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["detail"]) == (413, "A query has at most 65536 bytes")
    assert running.ask("ASK { ?s ?p ?o }").json()["boolean"] is True


def test_no_query_reaches_another_service(running: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        there = f"<http://127.0.0.1:{listener.getsockname()[1]}/>"
        # `5SERVICE` is a number and the keyword: whoever only reads the text may miss it, so the process itself has no socket.
        before = ("", "?a <urn:n> ?b FILTER(?b = 5)", "?a <urn:n> 5", "?a ?b true", "#\n")
        loud = {running.ask(f"SELECT * {{ {one}SERVICE {there} {{ ?s ?p ?o }} }}").status_code for one in before}
        silent = [running.ask(f"SELECT * {{ {one}SERVICE SILENT {there} {{ ?s ?p ?o }} }}") for one in before]
        hidden = running.ask(f"SELECT * {{ ?a <urn:n> ?b . SERVICE#\n{there} {{ ?s ?p ?o }} }}")
        with pytest.raises(TimeoutError):
            listener.accept()
    assert (loud, hidden.status_code) == ({200, 400}, 400)
    assert "Permission denied" in hidden.json()["detail"]
    assert all(answer.status_code == 400 or "127.0.0.1" not in answer.text for answer in silent)


def test_an_export_has_all_graphs_and_leaves_nothing_behind(running: Served) -> None:
    lines = running.guest.get("/registry/export?format=nquads").text.splitlines()
    assert sum("<urn:tegu-graph:import:numbers>" in line for line in lines) == 1000
    assert any(f"<{LAMP}> ." in line for line in lines)
    trig = running.guest.get("/registry/export")
    assert trig.headers["content-type"] == "application/trig" and "graph:import:numbers {" in trig.text
    turtle = running.guest.get("/registry/export?format=turtle")
    assert turtle.headers["content-type"].startswith("text/turtle") and "import:numbers {" not in turtle.text
    folder = running.directory.settings.snapshots
    assert folder is not None and list(folder.glob("tegu-snapshots-*/*.export")) == []


def test_snapshots_that_nobody_reads_are_removed(tmp_path: Path) -> None:
    with served(tmp_path / "registry", snapshots=tmp_path, queries=Limits(at_once=2)) as directory:
        for number in range(5):
            directory.put(lamp(title=f"Lamp {number}"))
            assert directory.ask("ASK { ?s ?p ?o }").status_code == 200
        [folder] = tmp_path.glob("tegu-snapshots-*")
        assert len(list(folder.iterdir())) <= 3  # the newest, and one that each of two processes still reads
    assert list(tmp_path.glob("tegu-snapshots-*")) == []
    assert (tmp_path / "registry").is_dir()


def test_snapshots_of_queries_that_were_ended_are_removed_too(tmp_path: Path) -> None:
    with served(tmp_path / "registry", snapshots=tmp_path, queries=Limits(query_s=0.3, at_once=1)) as directory:
        for number in range(4):
            directory.put(lamp(title=f"Lamp {number}"))
            assert directory.ask(ENDLESS).status_code == 504
        [folder] = tmp_path.glob("tegu-snapshots-*")
        assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_snapshots_of_a_service_that_was_killed_are_removed_by_the_next_with_the_same_number(tmp_path: Path) -> None:
    mine = f"tegu-snapshots-{os.getpid()}"  # in a container each is process 1
    for name in (f"{mine}-left", f"{mine}-locked-before", "tegu-snapshots-notes", "registry"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / f"{mine}-locked-before" / "lock").touch()
    with served(snapshots=tmp_path) as other:
        assert other.ask("ASK { ?s ?p ?o }").status_code == 200
        [used] = tmp_path.glob(f"{mine}-*")
        with served(snapshots=tmp_path) as directory:
            assert directory.ask("ASK { ?s ?p ?o }").status_code == 200
            assert used.is_dir()
        other.put(lamp())
        assert other.ask("ASK { ?s ?p ?o }").status_code == 200
    assert {path.name for path in tmp_path.iterdir()} == {"tegu-snapshots-notes", "registry"}


def test_the_processes_that_answer_end_with_the_service() -> None:
    with served() as directory:
        assert directory.ask("ASK { ?s ?p ?o }").status_code == 200
        started = [process._running for process in directory.directory.app.state.parts.asking._processes]
    assert started[0] is not None and all(one is None or one.returncode is not None for one in started)


def test_a_process_without_a_seal_answers_nothing_with_the_word_service() -> None:
    from coordinator.sparql.answering import Answering

    order = {"snapshot": "", "query": "SELECT * { ?s ?p 5SERVICE ?x { ?a ?b ?c } }", "rows": "json", "graph": "turtle"}
    said, _ = Answering(sealed=False).answer(order)
    assert said == {"bytes": 0, "error": "SERVICE is not answered here: nothing is fetched from elsewhere"}


def test_many_may_ask_at_once_and_each_has_its_own_answer(running: Served) -> None:
    asking = Asking(running.registry, Limits(at_once=3))
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(lambda n: asking.ask(f"SELECT ({n} AS ?n) {{}}", "csv", "turtle", [], []), range(60))
            )
        assert [answer.body for answer in answers] == [f"n\r\n{n}\r\n".encode() for n in range(60)]
        with pytest.raises(Refused):
            asking.ask("no query", "json", "turtle", [], [])
    finally:
        asking.close()


# --- requests ---


@pytest.mark.parametrize(
    "id",
    [
        "",
        "%00",
        "..%2f..%2fetc%2fpasswd",
        "urn:x:%3E%20%7D%20%3B%20DROP%20ALL%20%23",
        "%ff%fe",
        "urn:x:" + "y" * 10_000,
        "urn:tegu-graph:live",
        "urn:tegu-graph:vocabulary",
        "_:b0",
        "urn:tegu:home:model:presence",
        "%F0%9F%92%A5",
        "{{7*7}}",
        "<script>alert(1)</script>",
    ],
)
def test_a_hostile_id_is_not_found_and_changes_nothing(running: Served, id: str) -> None:
    before = running.registry.changes
    for method in ("GET", "DELETE", "PATCH"):
        merge = {"Content-Type": "application/merge-patch+json"}
        answer = running.http.request(
            method, f"/things/{id}", content=b"{}" if method == "PATCH" else b"", headers=merge
        )
        assert answer.status_code == 404, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
    raw = {"Content-Type": "application/td+json"}
    assert running.http.put(f"/things/{id}", content=json.dumps(lamp(id=id)), headers=raw).status_code in (400, 404)
    assert running.registry.changes == before


def test_a_body_that_is_too_large_is_not_read(running: Served) -> None:
    body = b'{"x": "' + b"y" * (5 << 20) + b'"}'
    with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):
        assert running.http.put(f"/things/{LAMP}", content=body).status_code == 413
    with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):
        in_pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
        assert running.http.put(f"/things/{LAMP}", content=in_pieces).status_code == 413
    assert running.put(lamp(description="z" * 70_000)).status_code == 400
    lists_in_time(running)


def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(running: Served) -> None:
    head = f"PUT /things/{LAMP} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 5000000\r\n\r\n"
    assert b" 413 " in exchange(running, head.encode()).splitlines()[0]


def test_json_that_is_nested_too_deeply_is_refused(running: Served) -> None:
    for depth in (40, 900, 30_000):
        text = json.dumps(lamp())[:-1] + ', "x": ' + '{"a": ' * depth + "1" + "}" * depth + "}"
        answer = running.http.put(f"/things/{LAMP}", content=text, headers={"Content-Type": "application/td+json"})
        assert answer.status_code == 400
    lists_in_time(running)


def test_numbers_and_letters_that_are_none_are_refused(running: Served) -> None:
    for value in ("1e999", "NaN", "-Infinity", "9" * 5000, '"\\ud800"'):
        text = json.dumps(lamp())[:-1] + f', "x:y": {value}}}'
        answer = running.http.put(f"/things/{LAMP}", content=text, headers={"Content-Type": "application/td+json"})
        assert answer.status_code == 400, value
    assert running.guest.get(f"/things/{LAMP}").status_code == 200


def exchange(directory: Served, request: bytes, wait_s: float = 5.0) -> bytes:
    """What comes back for these bytes, until the other side closes or is silent."""
    host, port = directory.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), wait_s) as link:
        link.sendall(request)
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := link.recv(65536):
                found += piece
                if b"\r\n\r\n" in found and b"Connection: keep" not in request and len(found) > 200:
                    break
        return found


def test_a_foreign_host_name_is_not_answered_on_loopback(running: Served) -> None:
    for host in (
        "evil.example",
        "evil.example:8480",
        "127.0.0.1.evil.example",
        "",
        "localhost.evil",
        "[::2]",
        "xn--localhost",
    ):
        assert b" 421 " in exchange(running, f"GET /things HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).splitlines()[0]
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8480", "[::1]:8480"):
        assert b" 200 " in exchange(running, f"GET /things HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).splitlines()[0]


def test_other_names_can_be_given() -> None:
    with served(names=("registry.house.example",)) as directory:
        for host, status in (("registry.house.example:80", 200), ("localhost", 200), ("evil.example", 421)):
            assert directory.guest.get("/things", headers={"Host": host}).status_code == status


def test_a_foreign_page_is_not_told_that_it_may_read_or_write(running: Served) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    for answer in (
        running.guest.get("/things", headers=origin),
        running.guest.options(f"/things/{LAMP}", headers=origin),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_hostile_headers_end_nothing(running: Served) -> None:
    head = b"GET /things HTTP/1.1\r\nHost: localhost\r\n"
    for line in (
        b"X: " + b"y" * 100_000,
        b"Accept: " + b"*/*;q=0.1," * 3000,
        b"Content-Length: -5",
        b"Bad Header: x",
        b"\x00: x",
    ):
        assert exchange(running, head + line + b"\r\n\r\n")[:9] in (b"HTTP/1.1 ", b"")
    for accept in ("*", "a/b/c", ";;;", "text/turtle;q=2", "text/turtle;q=x", ",", "application/*;q=0.5,*/*;q="):
        assert running.guest.get(f"/things/{LAMP}", headers={"Accept": accept}).status_code in (200, 406)
    for name in ("If-Match", "If-None-Match", "Last-Event-ID"):
        assert running.guest.get("/things", headers={name: b'"' * 500 + b"\xff"}).status_code == 200
    both = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
    assert exchange(running, b"POST /things HTTP/1.1\r\nHost: localhost\r\n" + both).count(b"HTTP/1.1 ") <= 1
    lists_in_time(running)


def test_a_body_that_never_comes_is_given_up() -> None:
    with served(body_s=0.2) as directory:
        head = f"PUT /things/{LAMP} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
        assert b" 408 " in exchange(directory, head.encode()).splitlines()[0]


def test_a_wrong_token_is_told_as_fast_as_none(running: Served) -> None:
    for token in ("x", TOKEN[:-1], TOKEN + "x", "é" * 1000, "x" * 20_000):
        header = {"Authorization": b"Bearer " + token.encode()}
        assert running.guest.put(f"/things/{LAMP}", json=lamp(), headers=header).status_code == 401  # type: ignore[arg-type]


# --- connections ---


def connected(directory: Served, request: bytes = b"") -> socket.socket:
    """Somebody who takes little of what comes."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.settimeout(DEADLINE_S)
    link.connect(("127.0.0.1", directory.directory.port))
    link.sendall(request)
    return link


def connections(directory: Served) -> int:
    return len(directory.directory._server.server_state.connections)


def test_who_says_nothing_makes_room_for_others() -> None:
    with served(head_s=2.0, most_connections=8) as directory, contextlib.ExitStack() as links:
        for _ in range(10):
            links.enter_context(connected(directory))
        until(lambda: connections(directory) == 10)
        with httpx.Client() as other:
            assert other.get(f"{directory.url}/things").status_code == 503
        until(lambda: connections(directory) == 0)
        with httpx.Client() as other:
            assert other.get(f"{directory.url}/things").status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /things HTTP/1.1\r\n",
        b"GET /things HTTP/1.1\r\nHost: localhost\r\n\r\nG",
        b"DELETE /things/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
    ],
)
def test_who_says_something_now_and_then_and_never_a_whole_request_is_dropped(request_: bytes) -> None:
    with served(head_s=0.5) as directory, connected(directory, request_) as link:
        until(lambda: connections(directory) == 1)

        def is_dropped() -> bool:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                link.sendall(b"x")
            return connections(directory) == 0

        until(is_dropped)


def test_a_request_may_take_longer_than_its_head() -> None:
    with served(head_s=0.3) as directory:
        body = json.dumps(lamp()).encode()
        head = f"PUT /things/{LAMP} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        with connected(directory, f"{head}Content-Length: {len(body)}\r\n\r\n".encode()) as link:
            link.settimeout(0.6)  # twice as long as the head may take
            with pytest.raises(TimeoutError):
                link.recv(100)
            link.settimeout(DEADLINE_S)
            link.sendall(body)
            assert link.recv(100).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize("keep", [b"", b"Connection: close\r\n"])
def test_who_does_not_take_an_answer_is_dropped(keep: bytes) -> None:
    with served(reader_s=0.5) as directory:
        for number in range(100):
            directory.things.put(lamp(id=f"urn:dev:{number}", description="x" * 50_000))
        with connected(directory, b"GET /things HTTP/1.1\r\nHost: localhost\r\n" + keep + b"\r\n"):
            until(lambda: connections(directory) == 1)
            until(lambda: connections(directory) == 0)


def test_who_takes_an_answer_slowly_has_all_of_it() -> None:
    with served(reader_s=0.4) as directory, socket.socket() as link:
        for number in range(300):
            directory.things.put(lamp(id=f"urn:dev:{number}", description="x" * 50_000))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        link.settimeout(DEADLINE_S)
        link.connect(("127.0.0.1", directory.directory.port))
        link.sendall(b"GET /things?limit=300 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        began, taken_bytes = time.monotonic(), 0
        while piece := link.recv(1 << 16):
            taken_bytes += len(piece)
            time.sleep(max(0.0, began + taken_bytes / 8e6 - time.monotonic()))  # 8 MB a second
        assert taken_bytes > 15_000_000
        assert time.monotonic() - began > 4 * 0.4


def test_only_so_many_exports_are_read_at_once_and_who_takes_nothing_makes_room() -> None:
    with served(reader_s=2.0, exports_at_once=2) as directory, contextlib.ExitStack() as links:
        exports = directory.directory.app.state.parts.exports
        directory.registry.store.extend(
            Quad(NamedNode(f"urn:x:{n}"), NamedNode("urn:n"), Literal("x" * 10_000), NamedNode("urn:x:g"))
            for n in range(1000)
        )
        for taken in (1, 2):
            links.enter_context(connected(directory, b"GET /registry/export HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            until(lambda taken=taken: exports.borrowed_tokens == taken)  # type: ignore[misc]
        answer = directory.guest.get("/registry/export")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "2 exports are being read" in answer.json()["detail"]
        until(lambda: exports.borrowed_tokens == 0)
        for _ in range(3):
            assert len(directory.guest.get("/registry/export").content) > 10_000_000
        until(lambda: exports.borrowed_tokens == 0)


def test_an_export_that_fails_leaves_its_place() -> None:
    with served(exports_at_once=1, queries=Limits(at_once=0), queries_wait_s=0.05) as directory:
        told = [directory.guest.get("/registry/export").json()["detail"] for _ in range(2)]
        assert told[0] == told[1] and told[0].startswith("0 queries")


# --- events ---


def test_who_reads_no_events_is_dropped() -> None:
    with served(reader_s=0.3, heartbeat_s=60.0, history=100_000) as directory:
        host, port = directory.url.removeprefix("http://").split(":")
        changes = directory.directory.app.state.parts.changes
        with socket.create_connection((host, int(port)), DEADLINE_S) as link:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.sendall(b"GET /events?diff=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in link.recv(1024)
            until(lambda: changes.readers == 1)
            for _ in range(400):
                changes.take("thing_created", LAMP, {}, {"id": LAMP, "description": "x" * 50_000})
            until(lambda: changes.readers == 0)
        directory.put(lamp())
        assert directory.guest.get("/things").json()[0]["id"] == LAMP


def test_who_reads_more_slowly_than_the_history_passes_is_dropped_and_can_come_back() -> None:
    with served(history=3) as directory, directory.listening() as heard:
        changes = directory.directory.app.state.parts.changes
        with changes._changing:  # nothing is read meanwhile
            changes._number += 10
        directory.put(lamp())
        with pytest.raises(EOFError):
            heard.take(1)
        with directory.listening(last_id="0-0") as again:
            assert again.take(1)[0].data == {"id": LAMP}


def test_only_so_many_may_listen() -> None:
    with served(most_readers=2) as directory, directory.listening() as one, directory.listening() as other:
        assert one.greeting == other.greeting == ": listening"
        until(lambda: directory.directory.app.state.parts.changes.readers == 2)
        answer = httpx.get(directory.url + "/events", timeout=DEADLINE_S)
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0


def test_who_leaves_makes_room() -> None:
    with served(most_readers=1) as directory:
        for _ in range(3):
            with directory.listening() as heard:
                until(lambda: directory.directory.app.state.parts.changes.readers == 1)
                assert heard.greeting == ": listening"
            until(lambda: directory.directory.app.state.parts.changes.readers == 0)


def test_many_readers_hear_every_change() -> None:
    with served(most_readers=30) as directory, ThreadPoolExecutor(31) as pool:
        ready = threading.Barrier(31, timeout=DEADLINE_S)

        def listen() -> int:
            with (
                httpx.Client(base_url=directory.url, timeout=DEADLINE_S) as one,
                one.stream("GET", "/events") as answer,
            ):
                lines = answer.iter_lines()
                next(lines)
                ready.wait()
                return sum(
                    1 for _, line in zip(range(500), (line for line in lines if line.startswith("data:")), strict=False)
                )

        heard = [pool.submit(listen) for _ in range(30)]
        ready.wait()
        changes = directory.directory.app.state.parts.changes
        for number in range(500):
            changes.take("thing_updated", f"urn:dev:{number}", {}, {})
        assert {one.result(DEADLINE_S) for one in heard} == {500}
