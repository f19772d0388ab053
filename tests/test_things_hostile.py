"""Things that lie, overreach or are malformed: faults or ValueError, never a crash, and never a word about anybody else."""

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pyoxigraph import BlankNode, NamedNode, RdfFormat, Store, Triple, serialize

from coordinator.semantics import things
from coordinator.semantics.faults import Faulty
from tests.example_things import LAMP, TD_1_1, Json, device

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
OTHER = "urn:tegu:home:room-8"
ADMITTED_S = 2.0  # for the worst document; a good one takes a thousandth


def with_context(**names: Any) -> Json:
    document = device()
    document["@context"][1] |= names
    return document


def with_member(name: str, value: Any) -> Json:
    return device() | {name: value}


def nested(levels: int) -> Any:
    found: Any = {}
    for _ in range(levels):
        found = {"items": found}
    return found


OVERREACHING = [
    (with_context(tegu="http://evil.example/"), "@context.1.tegu: must be urn:tegu-terms:, not 'http://evil.example/'"),
    (with_context(title="http://evil.example/"), "@context.1.title: is a term of the Thing Description"),
    (with_context(id="http://evil.example/"), "@context.1.id: is a term of the Thing Description"),
    (with_context(urn="http://evil.example/"), "@context.1.urn: cannot be a prefix or a term"),
    (with_context(**{"@base": "urn:tegu:home:"}), "@context.1.@base: is not allowed"),
    (with_context(**{"@vocab": "urn:tegu-terms:"}), "@context.1.@vocab: is not allowed"),
    (with_context(**{"@import": "http://evil.example/"}), "@context.1.@import: is not allowed"),
    (with_context(**{"schema:name": "urn:x:y"}), "@context.1.schema:name: cannot be a prefix or a term"),
    (with_context(kind="@type"), "@context.1.kind: must be an absolute IRI, not '@type'"),
    (with_context(me={"@id": "@id"}), '@context.1.me: must be an IRI, as text, not {"@id": "@id"}'),
    (with_member("@id", OTHER), "@id: is not allowed here"),
    (with_member("@graph", [{"@id": OTHER, "title": "x"}]), "@graph: is not allowed here"),
    (with_member("@included", [{"@id": OTHER, "title": "x"}]), "@included: is not allowed here"),
    (with_member("@reverse", {"tegu:room": {"@id": OTHER}}), "@reverse: is not allowed here"),
    (with_member("@nest", {"title": "x"}), "@nest: is not allowed here"),
    (with_member("sosa:hosts", {"@id": OTHER, "schema:name": "x"}), "sosa:hosts: must be a mere reference"),
    (with_member("sosa:hosts", {"@context": {}, "schema:name": "x"}), "sosa:hosts.@context: is not allowed here"),
    (with_member("sosa:hosts", {"@id": "_:b0"}), "sosa:hosts.@id: must be an absolute IRI, not '_:b0'"),
    (with_member("sosa:hosts", {"@id": 'urn:x">'}), """sosa:hosts: 'urn:x">' makes no IRI"""),
    (with_member("tegu:ramBytes", 10**9), "tegu:ramBytes: is not for a Thing Description to say"),
    (with_member("urn:tegu-terms:state", "ready"), "urn:tegu-terms:state: is not for a Thing Description to say"),
    (with_member("tegu:document", "{}"), "tegu:document: is not for a Thing Description to say"),
    (
        with_member("http://www.w3.org/ns/prov#used", {"@id": OTHER}),
        "http://www.w3.org/ns/prov#used: is not for a Thing",
    ),
    (with_member("@type", ["Thing", "tegu:Round"]), "@type: 'tegu:Round' is not for a Thing Description to say"),
    (with_context(t="urn:tegu-terms:") | {"t:state": "ready"}, "t:state: is not for a Thing Description to say"),
    (with_context(now="urn:tegu-terms:state") | {"now": "ready"}, "now: is not for a Thing Description to say"),
    (
        with_context(n="https://w3id.org/tinyml-schema/neural-network-schema#")
        | {"sosa:x": {"@type": "n:NeuralNetwork"}},
        "sosa:x.@type: 'n:NeuralNetwork' is not for a Thing Description to say",
    ),
    (with_context(rdf=RDF) | {"rdf:type": {"@id": "tegu:Round"}}, "rdf:type: is not for a Thing Description to say"),
    (with_member(RDF + "type", {"@id": "tegu:Round"}), RDF + "type: is not for a Thing Description to say"),
    (with_member("rdfs:subClassOf", {"@id": "tegu:Round"}), "rdfs:subClassOf: is not for a Thing Description to say"),
    (
        with_member("td:hasForm", {"hctl:hasTarget": "mqtt://b/tegu/1/x"}),
        "td:hasForm.hctl:hasTarget: must be a topic of",
    ),
    (with_member("td:hasForm", {"mqv:topic": "tegu/1/x"}), "td:hasForm.mqv:topic: must be a topic of this device"),
    (with_member("id", 'urn:x">'), "id: must be an absolute IRI"),
    (with_member("id", "http://[x"), "id: must be an absolute IRI"),
    (with_member("id", "urn:x\n"), "id: must be an absolute IRI"),
    (with_member("id", "_:b0"), "id: must be an absolute IRI"),
    (with_member("title", "\ud800"), "(root): is no JSON: 'utf-8' codec can't encode"),
    (with_member("sosa:x", float("nan")), "(root): is no JSON: Out of range float values are not JSON compliant"),
    (with_member("sosa:x", {"@value": {}}), "sosa:x: must be a single value, with a @type or a @language"),
    (with_member("sosa:x", {"@value": 1, "title": "x"}), "sosa:x.title: is not allowed beside @value"),
    (with_member("sosa:x", {"@list": [1]}), "sosa:x.@list: is not allowed here"),
    (with_member("sosa:x", nested(40)), "sosa:x.items: is more than 32 levels deep"),
    (with_member("uriVariables", {"a": nested(40)}), "uriVariables.a" + ".items" * 14),
    (with_member("nobody", nested(40)), "nobody: is more than 32 levels deep"),
    (with_member("nobody", nested(900)), "nobody: is more than 32 levels deep"),
    (with_member("properties", {str(at): {} for at in range(100_000)}), "(root): must have at most 65536 bytes, not"),
    (with_member("description", "x" * 70_000), "(root): must have at most 65536 bytes, not"),
    (with_member("sosa:x", [{}] * 12_000), "sosa:x."),
    (with_member("sosa:x", [1.5] * 11_000), "(root): says more than 10000 things"),
]


@pytest.mark.parametrize(("document", "expected"), OVERREACHING, ids=[expected[:40] for _, expected in OVERREACHING])
def test_what_a_thing_may_not_say_is_a_fault_in_little_time(document: Json, expected: str) -> None:
    started = time.monotonic()
    faults = things.check(document)
    assert str(faults[0]).startswith(expected)
    with pytest.raises(Faulty):
        things.triples(document)
    assert time.monotonic() - started < ADMITTED_S


def test_a_hostile_name_is_one_short_line_in_a_fault() -> None:
    document = LAMP | {"properties": {"\x1b[2J\n" + "x" * 5000: {}}}
    (fault,) = things.check(document)
    assert fault.path.startswith("properties.\\x1b[2J\\nxxx")
    assert str(fault).isprintable()
    assert len(str(fault)) < 130


def test_what_looks_like_a_keyword_in_data_is_only_data() -> None:
    document = copy.deepcopy(LAMP)
    document["properties"]["on"]["const"] = {"@id": OTHER, "@graph": [{"title": "x"}], "n": [1, None]}
    document["properties"]["@type"] = document["properties"].pop("on")
    assert things.check(document) == []
    texts = [str(triple.object) for triple in things.triples(document)]
    assert r'"{\"@graph\":[{\"title\":\"x\"}],\"@id\":\"urn:tegu:home:room-8\",\"n\":[1,null]}"' in " ".join(texts)
    assert f"<{OTHER}>" not in texts


def test_odd_text_comes_through_a_store_unharmed() -> None:
    title = 'a "quoted" \\ text\n<urn:x> .} \x07 ünï 🌡'
    found = things.triples(LAMP | {"title": title})
    store = Store()
    store.update("INSERT DATA {" + "".join(f"{triple} ." for triple in found) + "}")
    names = [
        quad.object.value for quad in store.quads_for_pattern(NamedNode(LAMP["id"]), None, None) if "name" in str(quad)
    ]
    assert title in names


def about_itself(document: Json, triples: list[Triple]) -> bool:
    """Whether all subjects are the thing and blank nodes that hang on it."""
    reached = {NamedNode(document["id"])}
    for triple in triples:  # they come from the top down
        if triple.subject not in reached:
            return False
        if isinstance(triple.object, BlankNode):
            reached.add(triple.object)
    return True


def test_a_valid_device_speaks_of_itself_alone() -> None:
    assert about_itself(device(), things.triples(device()))
    lie = Triple(NamedNode(OTHER), NamedNode("urn:p"), NamedNode("urn:o"))
    assert not about_itself(device(), [*things.triples(device()), lie])


KEYS = [
    *(
        "@context",
        "@id",
        "@type",
        "@graph",
        "@included",
        "@reverse",
        "@nest",
        "@index",
        "@list",
        "@set",
        "@value",
        "@json",
    ),
    *(
        "id",
        "title",
        "titles",
        "properties",
        "events",
        "forms",
        "href",
        "op",
        "links",
        "security",
        "securityDefinitions",
    ),
    *(
        "tegu:room",
        "tegu:channel",
        "ssn:hasSubSystem",
        "schema:value",
        "schema:unitCode",
        "const",
        "enum",
        "items",
        "unit",
    ),
    *(
        "urn:tegu-terms:state",
        "http://x/y",
        "_:b",
        "a b",
        "",
        "\x00",
        "x\n>",
        "uriVariables",
        "schemaDefinitions",
        "scheme",
    ),
]
WORDS = ["", "x", OTHER, "_:b1", "http://e/", "tegu:Device", "a>b", 'a"b', "\x00", "\ud800", "nosec", "readproperty"]
SCALARS = some.one_of(
    some.none(), some.booleans(), some.integers(), some.floats(), some.sampled_from(WORDS), some.text(max_size=5)
)
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.lists(some.tuples(some.integers(0, 500), some.sampled_from(KEYS), VALUES), min_size=1, max_size=4))
def test_no_change_of_a_document_crashes_or_makes_it_speak_of_others(changes: list[tuple[int, str, Any]]) -> None:
    document = device()
    for at, key, value in changes:
        places = list(_objects(document))
        places[at % len(places)][key] = value
    for fault in things.check(document):
        assert str(fault).isprintable()
    try:
        found = things.triples(document)
    except Faulty as fault:
        assert str(fault).isprintable()
        return
    assert about_itself(document, found)
    assert serialize(found, format=RdfFormat.N_TRIPLES)


def _objects(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(one)


@given(some.binary(max_size=200) | some.text(alphabet='{}[]":,\\ud8E-9.N', max_size=60).map(str.encode))
def test_no_bytes_crash_the_reading_of_an_announcement(payload: bytes) -> None:
    try:
        found = things.expand("home", "room-7", payload)
    except Faulty:
        return
    assert found["id"] == "urn:tegu:home:room-7"


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(Faulty, match="is no JSON"):
        things.read(b'{"title": "\\ud800"}')
    assert things.read(b'{"title": "\\ud83c\\udf21"}') == {"title": "\U0001f321"}


def test_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(Faulty, match="is no JSON"):
        things.read(b"\xef\xbb\xbf" + json.dumps(LAMP | {"@context": TD_1_1}).encode())
