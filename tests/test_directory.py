"""The Directory Service API of W3C WoT Discovery, behaviour by behaviour, over HTTP."""

import json
import re
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from coordinator.semantics import things as descriptions
from tegu.thing import announce, describe

from .directory_served import DEADLINE_S, LAMP, START, Served, lamp, nameless, served

UUID_4 = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DISCOVERY = "https://www.w3.org/2022/wot/discovery"


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served() as directory:
        yield directory


@pytest.fixture
def directory(running: Served) -> Served:
    """It has no things."""
    for id in list(running.things.ids()):
        running.things.remove(id)
    running.now = START
    return running


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """An error is one only in this form (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.content.decode("utf-8")
    assert told and answer.json()["status"] == status
    assert answer.json()["title"] and answer.json()["detail"]
    return dict(answer.json())


# --- the directory as a thing (6.2, 7.2.2, 7.3) ---


def test_the_directory_tells_at_the_well_known_path_what_it_is(directory: Served) -> None:
    answer = directory.guest.get("/.well-known/wot")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/td+json")
    own = answer.json()
    assert own["@type"] == "ThingDirectory" and DISCOVERY in own["@context"]
    assert descriptions.check(own) == []


def test_the_directorys_own_description_has_all_its_operations(directory: Served) -> None:
    own = directory.guest.get("/.well-known/wot").json()
    forms = [form for kind in ("properties", "actions") for name in own[kind].values() for form in name["forms"]]
    told = {(form["htv:methodName"], form["href"].partition("{?")[0]) for form in forms}
    assert told == {
        ("GET", "things"),
        ("POST", "things"),
        *((method, "things/{id}") for method in ("GET", "PUT", "PATCH", "DELETE")),
        ("GET", "search/sparql"),
        ("POST", "search/sparql"),
    }
    assert list(own["events"]) == ["thingCreated", "thingUpdated", "thingDeleted"]
    writes = [form for form in forms if form.get("security") == "bearer_sc"]
    assert {form["htv:methodName"] for form in writes} == {"POST", "PUT", "PATCH", "DELETE"}


def test_its_forms_lead_to_where_they_say(directory: Served) -> None:
    own = directory.guest.get("/.well-known/wot").json()
    assert own["base"] == directory.url + "/"
    href = own["properties"]["things"]["forms"][0]["href"].partition("{")[0]
    assert httpx.get(own["base"] + href).json() == []


def test_every_get_has_its_head(directory: Served) -> None:
    directory.put(lamp())
    paths = [
        "/.well-known/wot",
        "/things",
        f"/things/{LAMP}",
        "/registry/questions",
        "/registry/status",
        "/openapi.json",
    ]
    for path in [*paths, "/search/sparql?query=ASK{}", "/registry/models", "/docs"]:
        get, head = directory.guest.get(path), directory.guest.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))
        assert head.headers["content-type"] == get.headers["content-type"]
    for path in ("/events", "/events/thing_created"):
        head = directory.guest.head(path)
        assert head.status_code == 200 and head.headers["content-type"].startswith("text/event-stream")


# --- creation (7.3.2.1.1) ---


def test_a_thing_with_an_id_is_created_by_put(directory: Served) -> None:
    assert directory.put(lamp(), **{"Content-Type": "application/td+json"}).status_code == 201
    assert directory.guest.get(f"/things/{LAMP}").json()["title"] == "Lamp"


def test_a_thing_without_an_id_is_created_by_post_and_given_a_random_uuid(directory: Served) -> None:
    answer = directory.http.post("/things", json=nameless(), headers={"Content-Type": "application/td+json"})
    assert answer.status_code == 201
    location = answer.headers["location"]
    assert UUID_4.fullmatch(location.removeprefix("/things/"))
    kept = directory.guest.get(location).json()
    assert kept["id"] == location.removeprefix("/things/")
    assert [one["id"] for one in directory.guest.get("/things").json()] == [kept["id"]]
    rows = directory.ask("SELECT ?thing { ?thing a td:Thing }").json()["results"]["bindings"]
    assert [row["thing"]["value"] for row in rows] == [kept["id"]]


def test_a_thing_with_an_id_cannot_be_posted_and_one_without_cannot_be_put(directory: Served) -> None:
    problem(directory.http.post("/things", json=lamp()), 400)
    problem(directory.http.put(f"/things/{LAMP}", json=nameless()), 400)
    assert directory.things.count() == 0


def test_the_id_in_the_path_is_the_one_in_the_document(directory: Served) -> None:
    told = problem(directory.http.put("/things/urn:dev:other", json=lamp()), 400)
    assert told["validationErrors"] == [{"field": "id", "description": "must be urn:dev:other, as in the path"}]


def test_only_what_is_json_is_taken_as_a_description(directory: Served) -> None:
    for media in ("text/turtle", "application/merge-patch+json", "application/x-www-form-urlencoded"):
        problem(directory.put(lamp(), **{"Content-Type": media}), 415)
    for media in ("application/td+json; charset=utf-8", "application/ld+json", "application/json"):
        assert directory.put(lamp(), **{"Content-Type": media}).is_success


def test_an_id_that_is_an_address_is_percent_encoded_in_the_path(directory: Served) -> None:
    document = lamp(id="https://example.org/lamps/1?floor=2#left")
    path = "/things/https%3A%2F%2Fexample.org%2Flamps%2F1%3Ffloor%3D2%23left"
    assert directory.http.put(path, json=document).status_code == 201
    assert directory.guest.get(path).json()["id"] == document["id"]


# --- retrieval (7.3.2.1.2, 7.2.2) ---


def test_a_thing_is_retrieved_as_td_json_with_its_registration(directory: Served) -> None:
    directory.put(lamp())
    answer = directory.guest.get(f"/things/{LAMP}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/td+json")
    assert answer.json() == lamp() | {
        "@context": ["https://www.w3.org/2022/wot/td/v1.1", DISCOVERY],
        "registration": {"created": "2026-07-01T12:00:00Z", "modified": "2026-07-01T12:00:00Z"},
    }


def test_a_thing_is_retrieved_in_the_form_that_is_asked_for(directory: Served) -> None:
    directory.put(lamp())
    asked = {
        "application/ld+json": "application/ld+json",
        "application/json, text/html": "application/json",
        "text/turtle;q=0.9, application/json;q=0.1": "text/turtle; charset=utf-8",
        "text/*": "text/turtle; charset=utf-8",
        "application/n-triples": "application/n-triples",
        "text/html, */*;q=0.1": "application/td+json",
    }
    for accept, media in asked.items():
        answer = directory.guest.get(f"/things/{LAMP}", headers={"Accept": accept})
        assert answer.headers["content-type"] == media
        assert answer.headers["vary"] == "Accept"
    problem(directory.guest.get(f"/things/{LAMP}", headers={"Accept": "image/png"}), 406)
    problem(directory.guest.get(f"/things/{LAMP}", headers={"Accept": "*/*, application/*;q=0, text/*;q=0"}), 406)


def test_a_thing_in_rdf_says_what_it_says_in_json_and_nothing_of_the_registrys_own(directory: Served) -> None:
    directory.put(lamp())
    lines = directory.guest.get(f"/things/{LAMP}", headers={"Accept": "application/n-triples"}).text.splitlines()
    assert f'<{LAMP}> <https://www.w3.org/2019/wot/td#title> "Lamp" .' in lines
    assert any("http://purl.org/dc/terms/modified" in line for line in lines)
    assert not any("urn:tegu-terms:document" in line or "urn:tegu-terms:etag" in line for line in lines)


def test_what_is_not_there_is_not_found(directory: Served) -> None:
    problem(directory.guest.get("/things/urn:dev:nothing"), 404)
    problem(directory.http.delete("/things/urn:dev:nothing"), 404)
    problem(directory.patch("urn:dev:nothing", {}), 404)
    problem(directory.guest.get("/nothing"), 404)


def test_who_has_the_thing_already_is_told_so(directory: Served) -> None:
    directory.put(lamp())
    tag = directory.guest.get(f"/things/{LAMP}").headers["etag"]
    same = directory.guest.get(f"/things/{LAMP}", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    turtle = directory.guest.get(f"/things/{LAMP}", headers={"If-None-Match": tag, "Accept": "text/turtle"})
    assert turtle.status_code == 200 and turtle.headers["etag"] != tag
    directory.patch(LAMP, {"title": "Bulb"})
    assert directory.guest.get(f"/things/{LAMP}", headers={"If-None-Match": tag}).status_code == 200


def test_the_rdf_of_a_thing_has_another_tag_when_its_last_triples_have_come() -> None:
    with served() as directory:
        told = announce("Office", "presence", {"co2": "ppm"}, ram=100_000, flash=500_000)
        office = describe("home", "office-1", json.loads(told))
        directory.things.announce([office], retained=False, modelled={office["id"]})
        path, turtle = f"/things/{office['id']}", {"Accept": "text/turtle"}
        brief, document = directory.guest.get(path, headers=turtle), directory.guest.get(path)
        assert directory.things.complete(10) == 0
        whole = directory.guest.get(path, headers=turtle | {"If-None-Match": brief.headers["etag"]})
        assert whole.status_code == 200 and len(whole.content) > len(brief.content)
        assert directory.guest.get(path).headers["etag"] == document.headers["etag"]
        changed = directory.patch(office["id"], {"title": "Hall"}, **{"If-Match": brief.headers["etag"]})
        assert changed.status_code == 204


# --- update (7.3.2.1.3) ---


def test_a_put_of_a_known_thing_replaces_it(directory: Served) -> None:
    directory.put(lamp(description="old"))
    directory.later(60)
    answer = directory.put(lamp(title="Bulb"))
    assert (answer.status_code, answer.content) == (204, b"")
    kept = directory.guest.get(f"/things/{LAMP}").json()
    assert kept["title"] == "Bulb" and "description" not in kept
    assert kept["registration"] == {"created": "2026-07-01T12:00:00Z", "modified": "2026-07-01T12:01:00Z"}


def test_a_patch_is_merged(directory: Served) -> None:
    directory.put(lamp(titles={"en": "Lamp", "de": "Lampe"}, description="old"))
    answer = directory.patch(
        LAMP, {"titles": {"en": None, "fr": "Lampe"}, "description": None, "support": "mailto:a@b.example"}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    kept = directory.guest.get(f"/things/{LAMP}").json()
    assert kept["titles"] == {"de": "Lampe", "fr": "Lampe"}
    assert (kept["support"], kept["title"], "description" in kept) == ("mailto:a@b.example", "Lamp", False)


def test_a_patch_says_that_it_is_one(directory: Served) -> None:
    directory.put(lamp())
    problem(directory.patch(LAMP, {"title": "Bulb"}, **{"Content-Type": "application/json"}), 415)
    assert directory.guest.get(f"/things/{LAMP}").json()["title"] == "Lamp"


def test_what_comes_of_a_patch_must_be_valid(directory: Served) -> None:
    directory.put(lamp())
    told = problem(directory.patch(LAMP, {"title": None, "security": 5}), 400)
    assert {"field": "title", "description": "is missing"} in told["validationErrors"]  # type: ignore[operator]
    assert directory.guest.get(f"/things/{LAMP}").json()["title"] == "Lamp"


def test_two_who_change_a_thing_at_once_do_not_undo_each_other(directory: Served) -> None:
    directory.put(lamp())
    tag = directory.guest.get(f"/things/{LAMP}").headers["etag"]
    assert directory.patch(LAMP, {"title": "Bulb"}, **{"If-Match": tag}).status_code == 204
    problem(directory.patch(LAMP, {"title": "Torch"}, **{"If-Match": tag}), 412)
    problem(directory.put(lamp(), **{"If-Match": tag}), 412)
    problem(directory.http.delete(f"/things/{LAMP}", headers={"If-Match": tag}), 412)
    newest = directory.guest.get(f"/things/{LAMP}").headers["etag"]
    problem(directory.http.delete(f"/things/{LAMP}", headers={"If-Match": f"W/{newest}"}), 412)  # weak is no match
    assert directory.http.delete(f"/things/{LAMP}", headers={"If-Match": f'"x", {newest}'}).status_code == 204


def test_a_thing_can_be_created_only_if_it_is_not_there_and_changed_only_if_it_is(directory: Served) -> None:
    problem(directory.put(lamp(), **{"If-Match": "*"}), 412)
    assert directory.put(lamp(), **{"If-None-Match": "*"}).status_code == 201
    problem(directory.put(lamp(title="Bulb"), **{"If-None-Match": "*"}), 412)
    assert directory.put(lamp(title="Bulb"), **{"If-Match": "*"}).status_code == 204


# --- deletion (7.3.2.1.4) ---


def test_a_deleted_thing_is_gone(directory: Served) -> None:
    directory.put(lamp())
    answer = directory.http.delete(f"/things/{LAMP}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(directory.guest.get(f"/things/{LAMP}"), 404)
    assert directory.ask(f"ASK {{ <{LAMP}> ?p ?o }}").json()["boolean"] is False


# --- listing (7.3.2.1.5) ---


def fill(directory: Served, count: int) -> list[str]:
    """So many lamps, put in an order of their own; their ids in the order of the list."""
    ids = [f"urn:dev:lamp-{number:02d}" for number in range(count)]
    for number, id in enumerate(reversed(ids)):
        directory.put(lamp(id=id, title=f"Lamp {number % 3}"))
        directory.later(1)
    return ids


def test_the_list_is_an_array_sorted_by_id(directory: Served) -> None:
    ids = fill(directory, 3)
    answer = directory.guest.get("/things")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/ld+json")
    assert [one["id"] for one in answer.json()] == ids
    assert answer.json()[0] == directory.guest.get(f"/things/{ids[0]}").json()
    plain = directory.guest.get("/things", headers={"Accept": "application/json"})
    assert (plain.headers["content-type"], plain.json()) == ("application/json", answer.json())
    problem(directory.guest.get("/things", headers={"Accept": "text/turtle"}), 406)


def test_pages_lead_to_the_next_until_there_is_no_more(directory: Served) -> None:
    ids = fill(directory, 12)
    first = directory.guest.get("/things?limit=10")
    assert [one["id"] for one in first.json()] == ids[:10]
    assert first.links["next"]["url"] == "/things?offset=10&limit=10"
    second = directory.guest.get(first.links["next"]["url"])
    assert [one["id"] for one in second.json()] == ids[10:]
    assert "next" not in second.links
    canonical = first.links["canonical"]
    assert canonical["url"] == "/things" and canonical["etag"] and second.links["canonical"] == canonical


def test_the_etag_of_the_collection_changes_when_pages_no_longer_fit_together(directory: Served) -> None:
    def state(path: str = "/things?limit=1") -> str:
        return str(directory.guest.get(path).links["canonical"]["etag"])

    fill(directory, 3)
    before, by_title = state(), state("/things?limit=1&sort_by=title")
    directory.patch("urn:dev:lamp-01", {"description": "on the left"})
    assert (state(), state("/things?limit=1&sort_by=title")) == (before, by_title)
    directory.patch("urn:dev:lamp-01", {"title": "A lamp"})
    directory.patch("urn:dev:lamp-02", {"title": "Z"})
    assert state() == before and state("/things?limit=1&sort_by=title") != by_title
    directory.http.delete("/things/urn:dev:lamp-02")
    assert state() != before


def test_with_no_limit_a_page_has_as_many_as_the_service_gives() -> None:
    with served(page=2, most_page=3) as directory:
        ids = fill(directory, 7)
        first = directory.guest.get("/things")
        assert [one["id"] for one in first.json()] == ids[:2]
        assert first.links["next"]["url"] == "/things?offset=2&limit=2"
        large = directory.guest.get("/things?limit=100")
        assert [one["id"] for one in large.json()] == ids[:3]
        assert large.links["next"]["url"] == "/things?offset=3&limit=100"


def test_following_the_links_gives_each_thing_once_in_any_order(directory: Served) -> None:
    ids = fill(directory, 7)
    for query in ("sort_by=title&sort_order=desc", "sort_by=created", "sort_by=modified", "sort_order=desc"):
        path, found = f"/things?limit=3&{query}", []
        while path:
            page = directory.guest.get(path)
            found += [one["id"] for one in page.json()]
            path = page.links.get("next", {}).get("url", "")
            assert not path or query in path
        assert sorted(found) == ids
    newest_first = directory.guest.get("/things?sort_by=created&sort_order=desc").json()
    assert [one["id"] for one in newest_first] == ids
    titles = [one["title"] for one in directory.guest.get("/things?sort_by=/title").json()]
    assert titles == sorted(titles)


def test_a_collection_tells_its_size_and_where_it_goes_on(directory: Served) -> None:
    ids = fill(directory, 3)
    page = directory.guest.get("/things?limit=2&format=collection").json()
    members = page.pop("members")
    assert [one["id"] for one in members] == ids[:2]
    assert page == {
        "@context": DISCOVERY,
        "@type": "ThingCollection",
        "@id": "/things?offset=0&limit=2&format=collection",
        "total": 3,
        "next": "/things?offset=2&limit=2&format=collection",
    }
    last = directory.guest.get(page["next"]).json()
    assert [one["id"] for one in last["members"]] == ids[2:] and "next" not in last


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=ten", "limit=1.5", "limit=99999999999999999999"),
        *("offset=-1", "offset=x", "format=xml", "sort_by=properties", "sort_by=title&sort_order=up"),
    ],
)
def test_a_page_that_cannot_be_is_refused(directory: Served, query: str) -> None:
    problem(directory.guest.get(f"/things?{query}"), 400)


def test_a_page_beyond_the_end_is_empty(directory: Served) -> None:
    fill(directory, 2)
    answer = directory.guest.get("/things?offset=5&limit=5")
    assert (answer.status_code, answer.json(), "next" in answer.links) == (200, [], False)


def test_who_has_the_page_already_is_told_so(directory: Served) -> None:
    fill(directory, 3)
    tag = directory.guest.get("/things?limit=2").headers["etag"]
    assert directory.guest.get("/things?limit=2", headers={"If-None-Match": tag}).status_code == 304
    directory.patch("urn:dev:lamp-00", {"title": "Bulb"})
    assert directory.guest.get("/things?limit=2", headers={"If-None-Match": tag}).status_code == 200


# --- validation (7.3.2.1.6), errors (7.3.2) ---


def test_each_fault_is_told_with_its_place(directory: Served) -> None:
    wrong = nameless(title=5, properties={"status": {"forms": [{"href": 1}]}}, description="Grüße")
    told = problem(directory.http.post("/things", json=wrong), 400)
    faults = {str(fault["field"]): fault["description"] for fault in told["validationErrors"]}  # type: ignore[attr-defined]
    assert faults.keys() == {"title", "properties.status.forms.0.href"}
    assert faults["title"] == "must be text, not 5"


def test_errors_are_told_in_utf_8(directory: Served) -> None:
    told = problem(directory.guest.get("/things/urn:dev:Gr%C3%BC%C3%9Fe"), 404)
    assert told["detail"] == "There is no thing urn:dev:Grüße"


def test_what_is_no_json_is_told_to_be_none(directory: Served) -> None:
    for body in (b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"id": NaN}', b'{"id": 1, "id": 2}', b"[" * 100_000):
        problem(
            directory.http.put(f"/things/{LAMP}", content=body, headers={"Content-Type": "application/td+json"}), 400
        )


def test_a_method_that_is_not_for_a_path_is_told_which_are(directory: Served) -> None:
    answer = directory.http.patch("/things", json={})
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert directory.http.post(f"/things/{LAMP}", json={}).headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"


def test_a_search_that_there_is_not_is_not_found(directory: Served) -> None:
    for path in ("/search/jsonpath?query=$", "/search/xpath?query=*"):
        problem(directory.guest.get(path), 404)


# --- who may write (7.3.2.1, 10) ---


def test_who_has_no_token_reads_and_changes_nothing(directory: Served) -> None:
    directory.put(lamp())
    merge = {"Content-Type": "application/merge-patch+json"}
    for token in (None, "Bearer wrong", "Bearer", "Basic bGV0LW1lLXdyaXRl", "let-me-write"):
        who = {"Authorization": token} if token else {}
        guest = directory.guest
        for answer in (
            guest.post("/things", json=nameless(), headers=who),
            guest.put(f"/things/{LAMP}", json=lamp(title="x"), headers=who),
            guest.patch(f"/things/{LAMP}", content=b"{}", headers=merge | who),
            guest.delete(f"/things/{LAMP}", headers=who),
            guest.put("/registry/models/presence", json={}, headers=who),
            guest.post("/registry/import?name=x", content=b"", headers=who),
        ):
            problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert directory.guest.get(f"/things/{LAMP}").json()["title"] == "Lamp"


def test_without_a_token_the_service_only_reads_and_says_how_to_change_that() -> None:
    with served(token="") as directory:
        told = problem(directory.put(lamp(), Authorization="Bearer x"), 403)
        assert "token" in str(told["detail"])
        own = directory.guest.get("/.well-known/wot").json()
        assert descriptions.check(own) == [] and list(own["actions"]) == ["retrieveThing", "searchSPARQL"]


# --- expiry (7.3.1.2) ---


def test_a_ttl_becomes_a_time_at_which_the_thing_expires(directory: Served) -> None:
    directory.put(lamp(registration={"ttl": 3600}))
    assert directory.guest.get(f"/things/{LAMP}").json()["registration"] == {
        "created": "2026-07-01T12:00:00Z",
        "modified": "2026-07-01T12:00:00Z",
        "expires": "2026-07-01T13:00:00Z",
        "ttl": 3600,
    }


def test_an_empty_patch_renews_a_ttl(directory: Served) -> None:
    directory.put(lamp(registration={"ttl": 3600}))
    directory.later(1800)
    directory.patch(LAMP, {})
    assert directory.guest.get(f"/things/{LAMP}").json()["registration"]["expires"] == "2026-07-01T13:30:00Z"


def test_a_patch_moves_an_absolute_expiry_but_not_that_of_a_ttl(directory: Served) -> None:
    directory.put(lamp(registration={"expires": "2026-07-02T00:00:00Z"}))
    later = {"registration": {"expires": "2026-07-03T02:00:00+02:00"}}
    directory.patch(LAMP, later)
    assert directory.guest.get(f"/things/{LAMP}").json()["registration"]["expires"] == "2026-07-03T00:00:00Z"
    directory.put(lamp(registration={"ttl": 60}))
    directory.patch(LAMP, later)
    assert directory.guest.get(f"/things/{LAMP}").json()["registration"]["expires"] == "2026-07-01T12:01:00Z"


def test_what_only_the_directory_says_of_a_registration_is_not_taken_from_others(directory: Served) -> None:
    lies = {"created": "1999-01-01T00:00:00Z", "modified": "1999-01-01T00:00:00Z", "retrieved": "1999-01-01T00:00:00Z"}
    directory.put(lamp(registration=lies))
    kept = directory.guest.get(f"/things/{LAMP}").json()["registration"]
    assert kept == {"created": "2026-07-01T12:00:00Z", "modified": "2026-07-01T12:00:00Z"}


def test_a_registration_whose_time_makes_no_sense_is_refused(directory: Served) -> None:
    for registration in ({"ttl": 0}, {"ttl": "60"}, {"expires": "2026-07-02"}, {"expires": "2026-07-02T00:00:00"}):
        told = problem(directory.put(lamp(registration=registration)), 400)
        [fault] = told["validationErrors"]  # type: ignore[misc]
        assert fault["field"] == f"registration.{next(iter(registration))}"


def test_what_has_expired_is_removed_and_told() -> None:
    with served(expiry_s=0.05) as directory, directory.listening("/events/thing_deleted") as heard:
        directory.put(lamp(registration={"ttl": 60}))
        directory.put(lamp(id="urn:dev:stays"))
        directory.later(60)
        assert heard.take(1)[0].data == {"id": LAMP}
        assert [one["id"] for one in directory.guest.get("/things").json()] == ["urn:dev:stays"]


def test_after_a_failure_what_has_expired_goes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(expiry_s=0.05) as directory, directory.listening("/events/thing_deleted") as heard:
        failed = threading.Event()
        expire = directory.things.expire

        def fail_once() -> list[str]:
            if failed.is_set():
                return expire()
            failed.set()
            raise RuntimeError("the disk is full")

        monkeypatch.setattr(directory.things, "expire", fail_once)
        assert failed.wait(DEADLINE_S)
        directory.put(lamp(registration={"ttl": 60}))
        directory.later(60)
        assert heard.take(1)[0].data == {"id": LAMP}


# --- events (7.3.2.2) ---


def test_changes_are_told_as_they_happen_with_the_id_of_the_thing(directory: Served) -> None:
    with directory.listening() as heard:
        assert heard.answer.headers["content-type"].startswith("text/event-stream")
        directory.put(lamp())
        directory.patch(LAMP, {"title": "Bulb"})
        directory.http.delete(f"/things/{LAMP}")
        events = heard.take(3)
    assert [(event.kind, event.data) for event in events] == [
        ("thing_created", {"id": LAMP}),
        ("thing_updated", {"id": LAMP}),
        ("thing_deleted", {"id": LAMP}),
    ]
    assert len({event.id for event in events}) == 3


def test_one_kind_of_change_can_be_listened_to(directory: Served) -> None:
    with directory.listening("/events/thing_updated") as heard:
        directory.put(lamp())
        directory.patch(LAMP, {"title": "Bulb"})
        directory.http.delete(f"/things/{LAMP}")
        directory.put(lamp())
        directory.patch(LAMP, {"title": "Torch"})
        assert [event.kind for event in heard.take(2)] == ["thing_updated", "thing_updated"]
    problem(directory.guest.get("/events/thing_lost"), 404)


def test_who_comes_back_is_told_what_was_missed(directory: Served) -> None:
    with directory.listening() as heard:
        directory.put(lamp())
        [seen] = heard.take(1)
    directory.patch(LAMP, {"title": "Bulb"})
    directory.http.delete(f"/things/{LAMP}")
    with directory.listening(last_id=seen.id) as heard:
        assert [event.kind for event in heard.take(2)] == ["thing_updated", "thing_deleted"]
    with directory.listening("/events/thing_deleted", last_id=seen.id) as heard:
        assert [event.data for event in heard.take(1)] == [{"id": LAMP}]


def test_who_was_away_for_too_long_is_told_so_and_gets_what_is_known() -> None:
    with served(history=2) as directory:
        with directory.listening() as heard:
            directory.put(lamp(id="urn:dev:1"))
            [first] = heard.take(1)
        for number in (2, 3, 4):
            directory.put(lamp(id=f"urn:dev:{number}"))
        for last_id in (first.id, "0-4", "of another life", first.id + "0", first.id + "0" * 5000):
            with directory.listening(last_id=last_id) as heard:
                assert heard.greeting == ": some events in between are no longer known"
                assert [event.data["id"] for event in heard.take(2)] == ["urn:dev:3", "urn:dev:4"]


def test_with_diff_a_new_thing_is_told_whole(directory: Served) -> None:
    with directory.listening("/events/thing_created?diff=true") as heard:
        directory.put(lamp())
        assert heard.take(1)[0].data == lamp()


def test_with_diff_an_update_is_a_merge_patch_with_the_id(directory: Served) -> None:
    directory.put(lamp(description="old"))
    with directory.listening("/events?diff=true") as heard:
        directory.put(lamp(title="Bulb"))
        [event] = heard.take(1)
    assert (event.kind, event.data) == ("thing_updated", {"id": LAMP, "title": "Bulb", "description": None})


def test_with_diff_a_deletion_tells_the_id_and_nothing_else(directory: Served) -> None:
    directory.put(lamp())
    with directory.listening("/events?diff=true") as heard:
        directory.http.delete(f"/things/{LAMP}")
        assert heard.take(1)[0].data == {"id": LAMP}


def test_a_diff_that_is_neither_true_nor_false_is_refused(directory: Served) -> None:
    problem(directory.guest.get("/events?diff=perhaps"), 400)


def test_a_quiet_stream_is_kept_alive() -> None:
    with served(heartbeat_s=0.05) as directory, directory.guest.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": listening"
        assert any(line.startswith(": ping") for line in lines)


def test_streams_end_when_the_service_does() -> None:
    with served() as directory, directory.listening() as heard:
        began = time.monotonic()
        directory.directory.stop()
        with pytest.raises((EOFError, httpx.RemoteProtocolError)):
            heard.take(1)
        assert time.monotonic() - began < DEADLINE_S


# --- search (7.3.2.3) ---

SELECT = "SELECT ?thing ?title { ?thing a td:Thing ; td:title ?title } ORDER BY ?thing"


def test_a_select_is_answered_in_json(directory: Served) -> None:
    directory.put(lamp())
    answer = directory.ask(SELECT)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {
        "head": {"vars": ["thing", "title"]},
        "results": {
            "bindings": [{"thing": {"type": "uri", "value": LAMP}, "title": {"type": "literal", "value": "Lamp"}}]
        },
    }


def test_rows_come_in_the_form_that_is_asked_for(directory: Served) -> None:
    directory.put(lamp(title='A "lamp", <old>'))
    forms = {
        "application/sparql-results+json": '"value":"A \\"lamp\\", <old>"',
        "application/sparql-results+xml": '<literal>A "lamp", &lt;old&gt;</literal>',
        "text/csv": f'thing,title\r\n{LAMP},"A ""lamp"", <old>"\r\n',
        "text/tab-separated-values": f'?thing\t?title\n<{LAMP}>\t"A \\"lamp\\", <old>"\n',
    }
    for media, text in forms.items():
        answer = directory.ask(SELECT, Accept=media)
        assert answer.headers["content-type"].partition(";")[0] == media
        assert text in answer.text
    problem(directory.ask(SELECT, Accept="text/html"), 406)


def test_an_ask_is_answered_in_json(directory: Served) -> None:
    answer = directory.ask("ASK { ?thing a td:Thing }")
    assert (answer.headers["content-type"], answer.json()) == ("application/json", {"head": {}, "boolean": False})
    directory.put(lamp())
    assert directory.ask("ASK { ?thing a td:Thing }").json()["boolean"] is True


def test_a_construct_and_a_describe_are_answered_in_json_ld(directory: Served) -> None:
    directory.put(lamp())
    construct = directory.ask("CONSTRUCT { ?t schema:name ?n } { ?t a td:Thing ; td:title ?n }")
    assert (construct.status_code, construct.headers["content-type"]) == (200, "application/ld+json")
    assert construct.json() == [{"@id": LAMP, "https://schema.org/name": [{"@value": "Lamp"}]}]
    describe = directory.ask(f"DESCRIBE <{LAMP}>")
    assert describe.headers["content-type"] == "application/ld+json"
    assert LAMP in [one["@id"] for one in describe.json()]


def test_a_graph_comes_in_the_form_that_is_asked_for(directory: Served) -> None:
    directory.put(lamp())
    query = "CONSTRUCT { ?t schema:name ?n } { ?t a td:Thing ; td:title ?n }"
    assert directory.ask(query, Accept="application/n-triples").text == f'<{LAMP}> <https://schema.org/name> "Lamp" .\n'
    turtle = directory.ask(query, Accept="text/turtle").text
    assert turtle == f'@prefix schema: <https://schema.org/> .\n<{LAMP}> schema:name "Lamp" .\n'
    problem(directory.ask(query, Accept="text/csv"), 406)


def test_a_query_may_be_posted_as_it_is_or_in_a_form(directory: Served) -> None:
    directory.put(lamp())
    body = {"content": SELECT, "headers": {"Content-Type": "application/sparql-query"}}
    for answer in (
        directory.guest.post("/search/sparql", **body),
        directory.guest.post("/search/sparql", data={"query": SELECT}),
    ):  # type: ignore[arg-type]
        assert answer.json()["results"]["bindings"][0]["title"]["value"] == "Lamp"
    problem(directory.guest.post("/search/sparql", content=SELECT, headers={"Content-Type": "text/plain"}), 415)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELECT",
        "INSERT DATA { <urn:a:a> <urn:a:b> 1 }",
        "DROP ALL",
        "LOAD <http://example.org/x>",
        "SELECT * { SERVICE <http://example.org/> { ?s ?p ?o } }",
        "SELECT * { SERVICE SILENT <http://example.org/> { ?s ?p ?o } }",
        "SELECT * FROM <http://example.org/> { ?s ?p ?o }",
        "SELECT * { ?s ?p ?o } ; DROP ALL",
        "\x00",
    ],
)
def test_what_is_no_query_or_would_reach_elsewhere_is_refused(directory: Served, query: str) -> None:
    problem(directory.ask(query), 400)


def test_an_update_is_refused_however_it_is_sent(directory: Served) -> None:
    update = "DROP ALL"
    problem(
        directory.guest.post("/search/sparql", content=update, headers={"Content-Type": "application/sparql-update"}),
        400,
    )
    problem(directory.guest.post("/search/sparql", data={"update": update}), 400)
    problem(directory.http.post("/search/sparql", data={"query": update}), 400)
    assert directory.ask("ASK { ?kind rdfs:label ?label }").json()["boolean"] is True


def test_a_query_sees_what_was_changed_a_moment_ago(directory: Served) -> None:
    for title in ("one", "two", "three"):
        directory.put(lamp(title=title))
        assert directory.ask(SELECT, Accept="text/csv").text == f"thing,title\r\n{LAMP},{title}\r\n"


def test_a_query_may_name_the_graphs_it_asks(directory: Served) -> None:
    directory.put(lamp())
    ask = "ASK { ?thing a td:Thing }"
    for graph, there in ((LAMP, True), ("urn:tegu-graph:vocabulary", False)):
        given = {"query": ask, "default-graph-uri": graph}
        assert directory.guest.get("/search/sparql", params=given).json()["boolean"] is there
        assert directory.ask(f"ASK FROM <{graph}> {{ ?thing a td:Thing }}").json()["boolean"] is there
    problem(directory.guest.get("/search/sparql", params={"query": ask, "default-graph-uri": "no iri"}), 400)
