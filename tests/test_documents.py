"""Thing Descriptions as documents: what devices announce, what people put and patch, what stays and what goes."""

import gc
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyoxigraph import Literal, NamedNode, Triple

from coordinator.documents.merge_patch import compose, difference, merge
from coordinator.documents.things import Invalid, Things
from coordinator.registry import Registry
from coordinator.semantics.terms import LIVE, term
from tegu.thing import announce, describe

OFFICE = "urn:tegu:home:office-12"
LAMP = "urn:dev:ops:32473-lamp-1"
ROOM = {"tegu:room": {"@id": "urn:tegu:home:room:b1-2-07"}}
START = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    """It goes only when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Home:
    """A registry, its things, and what was told of them."""

    def __init__(self, folder: Path | None = None) -> None:
        self.clock = Clock()
        self.registry = Registry(folder)
        self.things = Things(self.registry, self.clock)
        self.told: list[tuple[str, str]] = []
        self.registry.listeners.append(lambda kind, iri: self.told.append((kind, iri)))

    def value(self, iri: str, short: str) -> Any:
        return self.registry.facts(NamedNode(iri), term(short))


@pytest.fixture
def home() -> Home:
    return Home()


def lamp(**more: Any) -> dict[str, Any]:
    return {
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "id": LAMP,
        "title": "Lamp",
        "securityDefinitions": {"nosec_sc": {"scheme": "nosec"}},
        "security": "nosec_sc",
    } | more


def announced(title: str = "Office 12", ram: int = 100_000, device: str = "office-12") -> dict[str, Any]:
    """What the registry makes of a board's announcement."""
    said = json.loads(announce(title, "presence", {"co2": "ppm"}, ram=ram, flash=500_000, radio="wifi"))
    return describe("home", device, said)


# --- announcing ---


def test_an_announcement_is_in_the_graph_with_its_facts(home: Home) -> None:
    assert home.things.announce([announced()], retained=False) == [OFFICE]
    assert home.value(OFFICE, "tegu:ramBytes") == [100_000]
    assert home.value(OFFICE, "tegu:announced") == [True]
    entry = home.things.get(OFFICE)
    assert entry is not None
    assert (entry.document["title"], entry.announced) == ("Office 12", True)
    assert (entry.created, entry.modified) == ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z")
    assert home.told == [("thing_created", OFFICE)]


def test_the_same_announcement_again_changes_nothing(home: Home) -> None:
    home.things.announce([announced()], retained=False)
    changes = home.registry.changes
    home.clock.later(60)
    assert home.things.announce([announced()], retained=True) == []
    assert home.things.announce([announced()], retained=False) == []
    assert home.registry.changes == changes
    assert home.told == [("thing_created", OFFICE)]


def test_many_announcements_are_one_change_of_the_graph_and_of_two_of_a_device_the_last_counts(home: Home) -> None:
    other = announced("Office 13", device="office-13")
    changes = home.registry.changes
    ids = home.things.announce([announced("first"), other, announced("second")], retained=False)
    assert ids == [OFFICE, "urn:tegu:home:office-13"]
    assert home.registry.changes == changes + 1
    entry = home.things.get(OFFICE)
    assert entry is not None and entry.document["title"] == "second"


def test_what_people_patched_outlives_the_next_announcement(home: Home) -> None:
    home.things.announce([announced(ram=100_000)], retained=False)
    home.things.patch(OFFICE, ROOM)
    home.clock.later(3600)
    home.things.announce([announced("Office 12, new firmware", ram=90_000)], retained=False)
    entry = home.things.get(OFFICE)
    assert entry is not None
    assert entry.document["tegu:room"] == {"@id": "urn:tegu:home:room:b1-2-07"}
    assert entry.document["title"] == "Office 12, new firmware"
    assert home.value(OFFICE, "tegu:room") == ["urn:tegu:home:room:b1-2-07"]
    assert home.value(OFFICE, "tegu:ramBytes") == [90_000]
    assert (entry.created, entry.modified) == ("2026-07-01T12:00:00Z", "2026-07-01T13:00:00Z")


def test_what_people_took_out_of_an_announcement_stays_out(home: Home) -> None:
    home.things.announce([announced() | {"description": "in the corner"}], retained=False)
    home.things.patch(OFFICE, {"description": None})
    home.things.announce([announced("new") | {"description": "in the corner"}], retained=False)
    entry = home.things.get(OFFICE)
    assert entry is not None and "description" not in entry.document


def test_of_a_patch_that_does_not_fit_any_more_the_rest_is_kept(home: Home) -> None:
    lights = {"properties": {"light": {"forms": [{"href": "coap://x.example/light"}]}}}
    home.things.announce([announced() | lights], retained=False)
    home.things.patch(OFFICE, {"properties": {"light": {"title": "Brightness"}}, **ROOM})
    home.things.announce([announced("without light") | {"properties": {}}], retained=False)
    entry = home.things.get(OFFICE)
    assert entry is not None
    assert entry.document["properties"] == {}  # a property with a title and no form is none
    assert entry.document["tegu:room"] == {"@id": "urn:tegu:home:room:b1-2-07"}


def test_a_put_replaces_announcement_and_patch_until_the_device_says_something_new(home: Home) -> None:
    home.things.announce([announced()], retained=False)
    home.things.patch(OFFICE, ROOM)
    entry, new = home.things.put(announced("by hand"))
    assert (new, entry.announced, "tegu:room" in entry.document) == (False, True, False)
    assert home.things.announce([announced()], retained=False) == []
    kept = home.things.get(OFFICE)
    assert kept is not None and kept.document["title"] == "by hand"
    assert home.things.announce([announced("by itself")], retained=False) == [OFFICE]
    kept = home.things.get(OFFICE)
    assert kept is not None and kept.document["title"] == "by itself"


def test_a_removed_device_does_not_come_back_by_what_the_broker_redelivers(home: Home) -> None:
    home.things.announce([announced()], retained=False)
    home.things.remove(OFFICE)
    assert home.things.announce([announced()], retained=True) == []
    assert home.things.get(OFFICE) is None
    assert home.things.announce([announced()], retained=False) == [OFFICE]
    home.things.remove(OFFICE)
    assert home.things.announce([announced("changed while nobody listened")], retained=True) == [OFFICE]
    kinds = [kind for kind, _ in home.told]
    assert kinds == ["thing_created", "thing_deleted", "thing_created", "thing_deleted", "thing_created"]


def test_a_device_that_came_back_can_be_removed_again(home: Home) -> None:
    for _ in range(2):
        assert home.things.announce([announced()], retained=False) == [OFFICE]
        home.things.remove(OFFICE)
        assert home.things.announce([announced()], retained=True) == []


def test_a_document_cannot_say_what_is_the_registrys_to_say(home: Home) -> None:
    ours = {"tegu": "urn:tegu-terms:", "dct": "http://purl.org/dc/terms/"}
    lies = {"dct:created": "1970-01-01T00:00:00Z", "created": "1970-01-01T00:00:00Z"}
    document = lamp(**lies) | {"@context": ["https://www.w3.org/2022/wot/td/v1.1", ours]}
    home.things.put(document)
    assert home.value(LAMP, "dct:created") == ["2026-07-01T12:00:00Z"]
    with pytest.raises(Invalid):
        home.things.put(document | {"tegu:digest": "0", "tegu:announced": True})


# --- people ---


def test_a_put_thing_is_kept_as_it_came(home: Home) -> None:
    entry, new = home.things.put(lamp())
    assert (new, entry.id, entry.announced, entry.document) == (True, LAMP, False, lamp())
    assert home.things.get(LAMP) == entry
    assert home.things.put(lamp(title="Lamp 2"))[1] is False
    assert home.told == [("thing_created", LAMP), ("thing_updated", LAMP)]


def test_a_thing_with_no_id_is_given_a_random_uuid(home: Home) -> None:
    nameless = {name: value for name, value in lamp().items() if name != "id"}
    one, other = home.things.put(nameless)[0], home.things.put(nameless)[0]
    assert one.id != other.id
    for entry in (one, other):
        assert entry.id.startswith("urn:uuid:") and entry.id[23] == "4"  # version 4
        assert entry.document == nameless | {"id": entry.id}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"id": LAMP}, "title"),
        (lamp(id="no iri"), "id"),
        (lamp(id="urn:x:" + "y" * 600), "id"),
        (lamp(id="urn:tegu:home:model:presence"), "id"),
        (lamp(id="urn:tegu-graph:live"), "id"),
        (lamp(id=7), "id"),
        (lamp(registration={"ttl": -1}), "registration.ttl"),
        (lamp(registration={"ttl": "a minute"}), "registration.ttl"),
        (lamp(registration={"ttl": True}), "registration.ttl"),
        (lamp(registration={"ttl": 1e300}), "registration.ttl"),
        (lamp(registration={"expires": "tomorrow"}), "registration.expires"),
        (lamp(registration={"expires": "2027-01-01T00:00:00"}), "registration.expires"),
        (lamp(registration="yes"), "registration"),
        (lamp(properties={"on": {"forms": [{"href": 5}]}}), "properties.on.forms.0.href"),
    ],
)
def test_an_invalid_document_is_refused_with_the_place_of_the_fault(home: Home, document: Any, where: str) -> None:
    with pytest.raises(Invalid) as raised:
        home.things.put(document)
    assert where in [fault.path for fault in raised.value.faults]
    assert home.things.count() == 0 and home.told == []


def test_the_name_of_something_else_is_no_things(home: Home) -> None:
    iri = NamedNode("https://example.org/graph")
    home.registry.replace_graph(iri, [Triple(iri, term("schema:name"), Literal("something"))])
    with pytest.raises(Invalid, match="names something else"):
        home.things.put(lamp(id=iri.value))
    assert home.value(iri.value, "schema:name") == ["something"]


def test_a_patch_of_what_people_put_changes_the_document(home: Home) -> None:
    home.things.put(lamp(description="old"))
    entry = home.things.patch(LAMP, {"title": "Bulb", "description": None})
    assert entry.document == lamp(title="Bulb")
    assert home.value(LAMP, "tegu:patch") == []


def test_a_patch_that_makes_it_invalid_changes_nothing(home: Home) -> None:
    home.things.put(lamp())
    before = home.things.get(LAMP)
    with pytest.raises(Invalid) as raised:
        home.things.patch(LAMP, {"title": None})
    assert [fault.path for fault in raised.value.faults] == ["title"]
    with pytest.raises(Invalid, match="cannot be changed"):
        home.things.patch(LAMP, {"id": "urn:dev:other"})
    assert home.things.get(LAMP) == before


def test_two_patches_of_a_device_do_what_one_after_the_other_did(home: Home) -> None:
    home.things.announce([announced() | {"support": "mailto:a@example.org"}], retained=False)
    home.things.patch(OFFICE, {"description": "a text", "support": None})
    entry = home.things.patch(OFFICE, {"descriptions": {"en": "a text", "de": "ein Text"}})
    assert entry.document["description"] == "a text"
    assert entry.document["descriptions"] == {"en": "a text", "de": "ein Text"}
    assert "support" not in entry.document


def test_what_people_took_out_and_put_in_again_has_nothing_of_the_devices(home: Home) -> None:
    home.things.announce([announced() | {"version": {"instance": "1", "model": "2"}}], retained=False)
    home.things.patch(OFFICE, {"version": None})
    entry = home.things.patch(OFFICE, {"version": {"instance": "3"}})
    assert entry.document["version"] == {"instance": "3"}
    assert home.things.get(OFFICE) == entry


def test_what_is_not_there_cannot_be_patched_or_removed(home: Home) -> None:
    for id in (LAMP, "no iri", "urn:tegu-graph:live"):
        with pytest.raises(KeyError):
            home.things.patch(id, {})
        with pytest.raises(KeyError):
            home.things.remove(id)
        assert home.things.get(id) is None


def test_the_etag_changes_with_the_document_and_with_nothing_else(home: Home) -> None:
    first = home.things.put(lamp())[0].etag
    same = home.things.get(LAMP)
    assert same is not None and same.etag == first
    second = home.things.patch(LAMP, {"title": "Bulb"}).etag
    home.clock.later(1)
    third = home.things.patch(LAMP, {}).etag  # modified later
    assert len({first, second, third}) == 3


# --- registration ---


def test_a_ttl_is_counted_from_the_last_change_and_overrules_expires(home: Home) -> None:
    given = {"ttl": 3600, "expires": "2030-01-01T00:00:00Z", "created": "1999-01-01T00:00:00Z", "retrieved": "x"}
    entry, _ = home.things.put(lamp(registration=given))
    assert entry.enriched["registration"] == {
        "created": "2026-07-01T12:00:00Z",
        "modified": "2026-07-01T12:00:00Z",
        "expires": "2026-07-01T13:00:00Z",
        "ttl": 3600,
    }
    home.clock.later(1800)
    assert home.things.patch(LAMP, {}).expires == "2026-07-01T13:30:00Z"


def test_expires_is_taken_as_it_is_if_there_is_no_ttl(home: Home) -> None:
    entry, _ = home.things.put(lamp(registration={"expires": "2026-07-02T02:00:00+02:00"}))
    assert (entry.expires, entry.ttl_s) == ("2026-07-02T00:00:00Z", 0)
    later = home.things.patch(LAMP, {"registration": {"expires": "2026-07-03T00:00:00.5Z"}})
    assert later.expires == "2026-07-03T00:00:00.5Z"
    assert home.things.get(LAMP) == later


def test_what_has_expired_is_forgotten_and_told(home: Home) -> None:
    home.things.put(lamp(registration={"ttl": 60}))
    home.things.put(lamp(id="urn:dev:stays"))
    home.clock.later(59.9)
    assert home.things.expire() == []
    home.clock.later(0.1)
    assert home.things.expire() == [LAMP]
    assert home.things.expire() == []
    assert [entry.id for entry in home.things.page(0, 10)] == ["urn:dev:stays"]
    assert home.told[-1] == ("thing_deleted", LAMP)


def test_a_device_with_a_ttl_stays_as_long_as_it_announces_itself(home: Home) -> None:
    document = announced() | {"registration": {"ttl": 60}}
    home.things.announce([document], retained=False)
    home.clock.later(50)
    assert home.things.announce([document], retained=True) == []  # the broker says it, not the device
    assert home.things.announce([document], retained=False) == [OFFICE]
    home.clock.later(50)
    assert home.things.expire() == []
    home.clock.later(10)
    assert home.things.expire() == [OFFICE]


def test_what_is_renewed_while_others_expire_stays(home: Home) -> None:
    ids = [f"urn:dev:{number}" for number in range(3)]
    for id in ids:
        home.things.put(lamp(id=id, registration={"ttl": 60}))
    home.clock.later(60)
    renewed: list[str] = []

    def renew(kind: str, id: str, *_: Any) -> None:
        if kind == "thing_deleted" and not renewed:
            renewed.extend(other for other in ids if other != id)
            for other in renewed:
                home.things.patch(other, {})

    home.things.watchers.append(renew)
    gone = home.things.expire()
    assert len(gone) == 1 and sorted([*gone, *renewed]) == ids
    assert home.things.ids() == sorted(renewed)


def test_one_that_cannot_expire_keeps_none_of_the_others(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        home.things.put(lamp(id=f"urn:dev:{number}", registration={"ttl": 60}))
    for name, at in (("urn:x:a", "soon"), ("urn:x:b", "2001-01-01T00:00:00"), ("urn:x:c", "2001-01-01T00:00:00Z")):
        graph = NamedNode(name)  # an import, which is no thing
        home.registry.add(graph, [Triple(graph, term("tegu:expires"), Literal(at))])

    def fail(_: str, id: str, *__: Any) -> None:
        if id == "urn:dev:1":
            raise OSError("the disk is full")

    home.things.watchers.append(fail)
    home.clock.later(60)
    assert sorted(home.things.expire()) == ["urn:dev:0", "urn:dev:2"]
    assert "urn:dev:1 has expired, and cannot be removed" in caplog.text
    assert home.registry.has(NamedNode("urn:x:c"))


@pytest.mark.parametrize("modelled", [frozenset(), frozenset([OFFICE])])
def test_a_ttl_that_people_gave_a_device_is_renewed_as_it_announces_itself(
    home: Home, modelled: frozenset[str]
) -> None:
    home.things.announce([announced()], False, modelled)
    home.things.patch(OFFICE, {"registration": {"ttl": 60}})
    home.clock.later(50)
    assert home.things.announce([announced()], True, modelled) == []
    assert home.things.announce([announced()], False, modelled) == [OFFICE]
    home.clock.later(50)
    assert home.things.expire() == []
    home.things.patch(OFFICE, {"registration": None})
    assert home.things.announce([announced()], False, modelled) == []


def test_a_document_that_people_put_in_place_of_an_announced_one_is_renewed_whole(home: Home) -> None:
    home.things.announce([announced()], False, {OFFICE})
    home.things.put(lamp(id=OFFICE, registration={"ttl": 60}))
    stood = {triple for triple in home.registry.graph(NamedNode(OFFICE)) if triple.subject == NamedNode(OFFICE)}
    assert home.things.announce([announced()], False, {OFFICE}) == [OFFICE]
    stands = {triple for triple in home.registry.graph(NamedNode(OFFICE)) if triple.subject == NamedNode(OFFICE)}
    assert {triple.predicate for triple in stands} == {triple.predicate for triple in stood}


def test_a_removed_device_leaves_nothing_that_was_heard_of_it(home: Home) -> None:
    home.things.announce([announced()], retained=False)
    home.registry.set_facts(LIVE, [(NamedNode(OFFICE), term("tegu:state"), Literal("ready"))])
    home.things.remove(OFFICE)
    assert home.value(OFFICE, "tegu:state") == []


def test_a_newcomer_in_quarantine_can_be_removed(home: Home) -> None:
    device = NamedNode("urn:tegu:home:ghost")
    home.registry.set_facts(LIVE, [(device, term("rdf:type"), term("tegu:Device"))])
    home.registry.set_facts(LIVE, [(device, term("tegu:quarantined"), Literal("tm: is none that is known"))])
    home.things.remove(device.value)
    assert home.told == [("thing_deleted", device.value)]
    assert home.registry.ask("devices") == []
    with pytest.raises(KeyError):
        home.things.remove(device.value)


def test_what_the_live_graph_says_of_a_model_is_for_nobody_to_remove(home: Home) -> None:
    model = NamedNode("urn:tegu:home:model:presence")
    home.registry.set_facts(LIVE, [(model, term("tegu:currentVersion"), NamedNode(f"{model.value}:3"))])
    with pytest.raises(KeyError):
        home.things.remove(model.value)
    assert home.value(model.value, "tegu:currentVersion") == [f"{model.value}:3"]


def test_a_device_whose_registration_makes_no_sense_is_kept_without(home: Home) -> None:
    assert home.things.announce([announced() | {"registration": {"ttl": "long"}}], retained=False) == [OFFICE]
    entry = home.things.get(OFFICE)
    assert entry is not None and entry.expires == ""


def test_an_enriched_document_names_the_discovery_context_once_and_second(home: Home) -> None:
    entry, _ = home.things.put(lamp())
    contexts = ["https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2022/wot/discovery"]
    assert entry.enriched["@context"] == contexts
    again, new = home.things.put(entry.enriched)
    assert (new, again.enriched["@context"]) == (False, contexts)
    assert again.enriched["registration"] == entry.enriched["registration"]


# --- pages ---


def test_pages_are_in_the_order_of_code_points_of_the_id(home: Home) -> None:
    for name in ("b", "a", "Z", "é", "a1"):
        home.things.put(lamp(id=f"urn:x:{name}"))
    assert [entry.id for entry in home.things.page(0, 9)] == [f"urn:x:{name}" for name in ("Z", "a", "a1", "b", "é")]
    assert [entry.id for entry in home.things.page(1, 2)] == ["urn:x:a", "urn:x:a1"]
    assert [entry.id for entry in home.things.page(0, 1, descending=True)] == ["urn:x:é"]
    assert home.things.page(5, 2) == [] and home.things.count() == 5


def test_pages_are_sorted_by_title_and_by_when_things_changed(home: Home) -> None:
    home.things.put(lamp(id="urn:x:1", title="c"))
    home.clock.later(0.5)
    home.things.put(lamp(id="urn:x:2", title="a"))
    home.clock.later(0.5)
    home.things.put(lamp(id="urn:x:3", title="b"))
    home.clock.later(1)
    home.things.patch("urn:x:1", {})
    orders = {key: [entry.id[-1] for entry in home.things.page(0, 9, key)] for key in ("title", "created", "modified")}
    assert orders == {"title": ["2", "3", "1"], "created": ["1", "2", "3"], "modified": ["2", "3", "1"]}


def test_a_page_knows_what_was_changed_by_others_on_the_same_registry(home: Home) -> None:
    others = Things(home.registry, home.clock)
    assert home.things.count() == others.count() == 0
    home.things.put(lamp())
    assert others.count() == 1
    others.remove(LAMP)
    assert home.things.count() == 0


def test_things_are_there_after_a_restart_with_patch_digest_and_tombstones(tmp_path: Path) -> None:
    first = Home(tmp_path / "registry")
    gone = announced(device="gone")
    first.things.announce([announced(), gone], retained=False)
    first.things.patch(OFFICE, ROOM)
    first.things.remove("urn:tegu:home:gone")
    known = first.things.get(OFFICE)
    first.registry.close()
    del first
    gc.collect()  # the store lets go of its folder when nobody holds it
    second = Home(tmp_path / "registry")
    assert second.things.get(OFFICE) == known
    assert second.things.announce([announced(), gone], retained=True) == []


def test_watchers_hear_what_was_and_what_is(home: Home) -> None:
    heard: list[tuple[str, str | None, str | None]] = []
    home.things.watchers.append(
        lambda kind, _, before, after: heard.append((kind, before.get("title"), after.get("title")))
    )
    home.things.put(lamp())
    home.things.patch(LAMP, {"title": "Bulb"})
    home.things.remove(LAMP)
    assert heard == [
        ("thing_created", None, "Lamp"),
        ("thing_updated", "Lamp", "Bulb"),
        ("thing_deleted", "Bulb", None),
    ]


def test_a_change_that_is_not_allowed_is_not_made(home: Home) -> None:
    def never(_: object) -> None:
        raise PermissionError

    home.things.put(lamp())
    for change in (
        lambda: home.things.put(lamp(title="no"), never),
        lambda: home.things.patch(LAMP, {"title": "no"}, never),
        lambda: home.things.remove(LAMP, never),
    ):
        with pytest.raises(PermissionError):
            change()
    entry = home.things.get(LAMP)
    assert entry is not None and entry.document == lamp()


def test_who_is_told_of_a_change_does_not_hold_up_others(home: Home) -> None:
    changed: list[bool] = []

    def change() -> None:
        with home.registry.writing:
            changed.append(True)

    def hear(*_: str) -> None:
        other = threading.Thread(target=change, daemon=True)
        other.start()
        other.join(10)

    home.registry.listeners.append(hear)
    home.things.put(lamp())
    home.things.announce([announced()], retained=False)
    assert changed == [True, True]


# --- merge patches (RFC 7396) ---

EXAMPLES = [  # of the RFC's appendix A: target, patch, result
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), EXAMPLES)
def test_a_patch_does_what_the_rfc_says(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


NAMES = st.sampled_from("abc")
LEAVES = st.integers(0, 2) | st.booleans() | st.text("xy", max_size=2) | st.lists(st.integers(0, 1), max_size=2)
DOCUMENTS = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
)
PATCHES = st.dictionaries(
    NAMES, st.recursive(LEAVES | st.none(), lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=6)
)


@given(DOCUMENTS, DOCUMENTS)
def test_the_difference_of_two_documents_makes_one_of_the_other(before: Any, after: Any) -> None:
    assert _same(merge(before, difference(before, after)), after)


@given(DOCUMENTS, PATCHES, PATCHES)
def test_a_composed_patch_does_what_both_do_where_no_object_takes_the_place_of_a_value(
    document: Any, first: Any, second: Any
) -> None:
    if not _replaces(first, second):
        assert _same(merge(document, compose(first, second)), merge(merge(document, first), second))


def _replaces(first: Any, second: Any) -> bool:
    """The one case that compose() leaves out."""
    return any(
        isinstance(value, dict)
        and name in first
        and (not isinstance(first[name], dict) or _replaces(first[name], value))
        for name, value in second.items()
    )


def _same(one: Any, other: Any) -> bool:
    """1 is not true here."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
