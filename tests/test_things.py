"""Things: Thing Descriptions of ours round trip, faults are told with their path, facts are worked by hand.

The reference for triples is a JSON-LD processor (pyoxigraph's) that is given the whole context: it takes ten times as long.
"""

import json
from typing import Any

import pytest
from pyoxigraph import BlankNode, CanonicalizationAlgorithm, Dataset, Literal, NamedNode, Quad, RdfFormat, Triple, parse

from coordinator.semantics import terms, thing_terms, things
from coordinator.semantics.terms import term
from coordinator.semantics.things import Faulty
from tegu.thing import LIMIT_BYTES, THING_MODEL
from tests.example_things import BOARD, EXAMPLES, LAMP, TD_1_0, TD_1_1, VARIABLES, Json, changed, device

DEVICE = NamedNode("urn:tegu:home:room-7")
MEMORY = "ssn:hasSubSystem.0.s3n:hasSystemCapability.ssns:hasSystemProperty.0"  # as faults have it
RAM = "ssn:hasSubSystem.0.s3n:hasSystemCapability.0.ssns:hasSystemProperty.0"
CO2 = "properties.co2.forms.0"
FACTS = {  # worked by hand from BOARD
    ("tegu:ramBytes", "120000"),
    ("tegu:flashBytes", "400000"),
    ("tegu:sensor", "urn:tegu-terms:Co2Sensor"),
    ("tegu:sensor", "http://tinyml-schema.org/sosa_extend/Thermometer"),
    ("tegu:room", "urn:tegu:home:room:b1-2-07"),
    ("tegu:radio", "wifi"),
    ("tegu:energySource", "battery"),
    ("tegu:firmware", "0.1.0"),
    ("schema:name", "Room 7"),
}

LAMP_IN_TURTLE = """
@prefix td: <https://www.w3.org/2019/wot/td#> .
@prefix h: <https://www.w3.org/2019/wot/hypermedia#> .
@prefix js: <https://www.w3.org/2019/wot/json-schema#> .
@prefix sec: <https://www.w3.org/2019/wot/security#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix schema: <https://schema.org/> .

<urn:dev:lamp-1> a td:Thing ;
  td:title "Desk lamp" ; schema:name "Desk lamp" ;
  td:description "Left of the window" ; schema:description "Left of the window" ;
  td:hasSecurityConfiguration "open" ; td:definesSecurityScheme [ td:name "open" ; a sec:NoSecurityScheme ] ;
  td:hasPropertyAffordance [ td:name "on" ; a js:BooleanSchema ; td:isObservable true ;
    td:hasForm [ h:hasTarget "coap://lamp.example/on"^^xsd:anyURI ] ] ;
  td:hasPropertyAffordance [ td:name "level" ; a js:IntegerSchema ; js:minimum 0 ; js:maximum 100 ; js:default 50 ;
    schema:unitCode "percent" ; td:hasForm [ h:hasTarget "coap://lamp.example/level"^^xsd:anyURI ;
      h:hasOperationType td:readProperty, td:writeProperty ] ] ;
  td:hasActionAffordance [ td:name "fade" ; td:isIdempotent true ;
    td:hasInputSchema [ a js:ObjectSchema ; js:required "to" ;
      js:properties [ js:propertyName "to" ; a js:IntegerSchema ] ,
        [ js:propertyName "seconds" ; a js:NumberSchema ; js:exclusiveMinimum 0 ] ] ;
    td:hasOutputSchema [ a js:NullSchema ] ;
    td:hasForm [ h:hasTarget "coap://lamp.example/fade"^^xsd:anyURI ; h:hasOperationType td:invokeAction ;
      h:forContentType "application/cbor" ] ] ;
  td:hasEventAffordance [ td:name "hot" ;
    td:hasNotificationSchema [ a js:NumberSchema ; schema:unitCode "Cel" ] ; td:hasSubscriptionSchema [ a js:ObjectSchema ] ;
    td:hasForm [ h:hasTarget "coap://lamp.example/hot"^^xsd:anyURI ; h:hasOperationType td:subscribeEvent ;
      h:forSubProtocol "longpoll" ] ] .
"""


def said(document: Json, *names: str) -> set[tuple[str, str]]:
    """What the thing itself is said to have, of these properties."""
    found = set()
    for triple in things.triples(document):
        for name in names:
            if triple.subject == NamedNode(document["id"]) and triple.predicate == term(name):
                assert isinstance(triple.object, NamedNode | Literal)
                found.add((name, triple.object.value))
    return found


def first(document: Json) -> str:
    """The first fault."""
    return str(things.check(document)[0])


def one_graph(triples: list[Triple]) -> Dataset:
    graph = Dataset(Quad(*triple) for triple in triples)
    graph.canonicalize(CanonicalizationAlgorithm.UNSTABLE)
    return graph


def by_a_processor(document: Json) -> Dataset:
    """A document's triples by JSON-LD 1.1 with our terms as its context; without facts."""
    own = [part for part in document["@context"] if isinstance(part, dict)] if document["@context"] != TD_1_1 else []
    language = next((part["@language"] for part in own if "@language" in part), None)
    context = thing_terms.context()
    own = [{name: iri for name, iri in part.items() if not name.startswith("@")} for part in own]
    text = json.dumps(
        document | {"@context": [*own, _spoken(context, language)], "@type": ["Thing", *_list(document.get("@type"))]}
    )
    return one_graph([quad.triple for quad in parse(text.encode(), RdfFormat.JSON_LD)])


def _list(types: Any) -> list[str]:
    return [] if types is None else [types] if isinstance(types, str) else [name for name in types if name != "Thing"]


def _spoken(context: Json, language: str | None) -> Json:
    """The context with a default language for texts that people read."""
    for name, meant in context.items():
        if language and name in ("title", "description"):
            context[name] = meant | {"@language": language}
        elif isinstance(meant, dict) and "@context" in meant:
            _spoken(meant["@context"], language)
    return context


# --- examples ---


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid(name: str) -> None:
    assert things.check(EXAMPLES[name]) == []


@pytest.mark.parametrize("name", [*EXAMPLES, "device"])
def test_an_example_says_what_a_json_ld_processor_reads_in_it(name: str) -> None:
    document = EXAMPLES.get(name) or device()
    expected = by_a_processor(document)
    facts = {
        term(fact) for fact in ("schema:name", "schema:description", "tegu:ramBytes", "tegu:flashBytes", "tegu:sensor")
    }
    kinds = {term("tegu:Device"), term("tegu:Co2Sensor"), term("sosax:Thermometer")}
    found = [
        triple
        for triple in things.triples(document)
        if triple.predicate not in facts and (triple.predicate != term("rdf:type") or triple.object not in kinds)
    ]
    units = [triple for triple in found if triple.predicate == term("schema:unitCode")]
    if name == "extended":  # a unit with a prefix is an IRI here, and a text to a context
        assert [str(triple.object) for triple in units] == [f"<{terms.PREFIXES['om']}watt>"]
        index = found.index(units[0])
        found[index] = Triple(units[0].subject, units[0].predicate, Literal("om:watt"))
    assert one_graph(found) == expected


def test_a_lamp_is_a_thing_with_a_name_and_no_device() -> None:
    lamp = NamedNode("urn:dev:lamp-1")
    found = set(map(str, things.triples(LAMP)))
    assert str(Triple(lamp, term("rdf:type"), term("td:Thing"))) in found
    assert said(LAMP, "schema:name", "schema:description", "tegu:ramBytes") == {
        ("schema:name", "Desk lamp"),
        ("schema:description", "Left of the window"),
    }
    assert not any("tegu" in line for line in found)
    of_lamp = [triple for triple in things.triples(LAMP) if triple.subject == lamp]
    assert len(of_lamp) == 11  # class, 2 titles, 2 descriptions, security and its definition, 4 affordances


def test_every_statement_about_a_lamp_is_as_written_by_hand() -> None:
    expected = parse(LAMP_IN_TURTLE.encode(), RdfFormat.TURTLE)
    assert one_graph(things.triples(LAMP)) == one_graph([quad.triple for quad in expected])


def test_a_title_in_another_language_is_marked_so() -> None:
    found = {
        str(triple.object) for triple in things.triples(EXAMPLES["languages"]) if triple.predicate == term("td:title")
    }
    assert found == {'"Tür"@de', '"Offen"@de'}
    assert said(EXAMPLES["languages"], "schema:name") == {("schema:name", "Tür")}


def test_a_document_of_td_1_0_is_accepted() -> None:
    assert things.check(LAMP | {"@context": TD_1_0}) == []
    assert things.check(LAMP | {"@context": [TD_1_0, {"ex": "http://example.org/"}]}) == []


def test_the_same_document_gives_the_same_triples_and_two_things_share_no_blank_node() -> None:
    other = things.expand("home", "room-8", BOARD)
    assert things.triples(device()) == things.triples(json.loads(json.dumps(device())))
    nodes = [
        {triple.subject for triple in things.triples(document) if isinstance(triple.subject, BlankNode)}
        for document in (device(), other)
    ]
    assert len(nodes[0]) == len(nodes[1]) > 20
    assert not nodes[0] & nodes[1]


def test_contexts_elsewhere_are_named_and_never_fetched() -> None:
    document = LAMP | {"@context": [TD_1_1, "https://nobody.invalid/context.jsonld"]}
    assert things.check(document) == []
    assert things.unread_contexts(document) == ["https://nobody.invalid/context.jsonld"]
    assert things.triples(document) == things.triples(LAMP)


# --- faults ---

FAULTS = [
    (LAMP, "title", ..., "title: is missing"),
    (LAMP, "security", [], "security: must be text, or an array of at least one text, not []"),
    (LAMP, "security", "key", "security: must be a name defined in securityDefinitions, not 'key'"),
    (LAMP, "@context", "https://example.org/", f"@context: must be {TD_1_1} or {TD_1_0}, not 'https://example.org/'"),
    (
        LAMP,
        "@type",
        "tm:ThingModel",
        "@type: must be a class or an array of classes, and not tm:ThingModel: a Thing Model",
    ),
    (LAMP, "id", "lamp 1", "id: must be an absolute IRI, as urn:dev:lamp-1, not 'lamp 1'"),
    (LAMP, "created", "yesterday", "created: must be a time, as 2026-03-01T12:00:00Z, not 'yesterday'"),
    (LAMP, "titles", {"not a tag": ""}, "titles: has a name that is not a language tag, as en or de-AT"),
    (LAMP, "version", {}, "version.instance: is missing"),
    (LAMP, "properties.on.forms", [], "properties.on.forms: must be an array of at least one form, not []"),
    (LAMP, "properties.on.forms.0.href", ..., "properties.on.forms.0.href: is missing"),
    (LAMP, "properties.level.minimum", 0.5, "properties.level.minimum: must be a whole number, not 0.5"),
    (LAMP, "properties.level.minItems", -4, "properties.level.minItems: must be a whole number of at least 0, not -4"),
    (
        LAMP,
        "properties.level.type",
        "byte",
        "properties.level.type: must be boolean, integer, number, string, object, array",
    ),
    (
        LAMP,
        "properties.level.enum",
        [1, 1],
        "properties.level.enum: must be an array of at least one value, each there once",
    ),
    (
        LAMP,
        "actions.fade.forms.0.op",
        "readproperty",
        "actions.fade.forms.0.op: must be invokeaction, queryaction or cancel",
    ),
    (
        LAMP,
        "events.hot.forms.0.op",
        ["x"],
        "events.hot.forms.0.op.0: must be subscribeevent or unsubscribeevent, not 'x'",
    ),
    (LAMP, "links", [{"href": "x", "sizes": "1x1"}], "links.0.rel: is missing"),
    (LAMP, "forms", [{"href": "x"}], "forms.0.op: is missing"),
    (
        LAMP,
        "uriVariables",
        {"x": {"type": "array"}},
        "uriVariables.x.type: must be boolean, integer, number, string or null",
    ),
    (
        LAMP,
        "properties.on.id",
        "urn:dev:lamp-2",
        "properties.on.id: is for the thing alone: what it consists of has no id",
    ),
    (VARIABLES, "securityDefinitions.flow.token", ..., "securityDefinitions.flow.token: is missing"),
    (
        VARIABLES,
        "securityDefinitions.login.allOf",
        ["a", "b"],
        "securityDefinitions.login: must be a combination by oneOf",
    ),
    (
        VARIABLES,
        "securityDefinitions.login.oneOf",
        ["no"],
        "securityDefinitions.login.oneOf: must be an array of at least two",
    ),
    (VARIABLES, "securityDefinitions.own.scheme", "own", "securityDefinitions.own.scheme: must be nosec, auto, combo"),
    (VARIABLES, "uriVariables.token", {}, "securityDefinitions.key.name: is a name in uriVariables too"),
    (
        VARIABLES,
        "schemaDefinitions",
        {},
        "properties.forecast.forms.0.additionalResponses.0.schema: must be a name defined",
    ),
    (
        EXAMPLES["composed"],
        "links.0.rel",
        "type",
        "links.1.rel: is the second of relation type: a thing is of one Thing Model",
    ),
    (
        device(),
        f"{CO2}.mqv:filter",
        "tegu/1/home/device/room-8/sense/co2",
        f"{CO2}.mqv:filter: must be a topic of this device",
    ),
    (device(), f"{CO2}.mqv:filter", "#", f"{CO2}.mqv:filter: must be a topic of this device"),
    (device(), f"{CO2}.href", "mqtt://broker/tegu/1/home/join/x", f"{CO2}.href: must be a topic of this device"),
    (
        device(),
        "tegu:room",
        {"@id": "urn:tegu:other:room:x"},
        'tegu:room: must be {"@id": "urn:tegu:home:room:NAME"}, not',
    ),
    (device(), "tegu:radio", "zigbee", "tegu:radio: must be wifi, ble, 802.15.4, lora or ethernet, not 'zigbee'"),
    (device(), "tegu:firmware", "", "tegu:firmware: must be a version, as text of 1 to 64 letters, not ''"),
    (device(), "tegu:energySource", ["mains", "battery"], "tegu:energySource: must be there at most 1 times, not 2"),
    (device(), "title", "", "title: must be a text of 1 to 200 letters, not ''"),
    (device(), "ssn:hasSubSystem.1.tegu:channel", "CO 2", "ssn:hasSubSystem.1: must be a sensor with one tegu:channel"),
    (
        device(),
        f"{RAM}.schema:value",
        -4,
        f"{MEMORY}: must be memory with one schema:value, a whole number of at least 0",
    ),
    (
        device(),
        f"{RAM}.schema:unitCode",
        "kB",
        f"{MEMORY}: must be memory with one schema:value, a whole number of at least 0",
    ),
]


@pytest.mark.parametrize(("document", "path", "value", "expected"), FAULTS)
def test_a_fault_is_told_with_its_path_in_our_words(document: Json, path: str, value: Any, expected: str) -> None:
    assert first(changed(document, (path, value))).startswith(expected)


def test_a_valid_device_has_no_fault() -> None:
    assert things.check(device()) == []


def test_a_body_s_parameter_is_a_json_pointer_in_td_1_1_only() -> None:
    scheme = {"scheme": "basic", "in": "body", "name": "key"}
    document = LAMP | {"securityDefinitions": {"open": scheme}}
    assert first(document) == "securityDefinitions.open.name: must be a JSON pointer, as /key, not 'key'"
    assert things.check(document | {"@context": TD_1_0}) == []
    assert things.check(changed(document, ("securityDefinitions.open.name", "/key"))) == []


def test_many_faults_are_told_up_to_twenty() -> None:
    document = LAMP | {"properties": {f"p{at}": {} for at in range(100)}}
    assert len(things.check(document)) == 20


def test_an_id_of_what_only_the_registry_names_is_no_thing_s() -> None:
    for iri in ("urn:tegu-graph:live", "urn:tegu:home:model:presence", "urn:tegu:home:room:x", "URN:tegu-terms:room"):
        assert first(LAMP | {"id": iri}).startswith("id: must be urn:tegu:SITE:DEVICE, or not begin with urn:tegu")


def test_a_thing_without_an_id_is_valid_and_has_no_triples() -> None:
    document = changed(LAMP, ("id", ...))
    assert things.check(document) == []
    with pytest.raises(ValueError, match=r"^id: is missing$"):
        things.triples(document)


# --- facts ---


def test_the_facts_of_a_board_are_those_it_announced() -> None:
    assert said(device(), *{name for name, _ in FACTS}) == FACTS
    kinds = {
        triple.object
        for triple in things.triples(device())
        if (triple.subject, triple.predicate) == (DEVICE, term("rdf:type"))
    }
    assert kinds == {term("td:Thing"), term("s3n:SmartSensor"), term("tegu:Device")}


@pytest.mark.parametrize(
    ("value", "unit", "size_bytes"),
    [
        (120_000, "http://qudt.org/vocab/unit/BYTE", "120000"),
        (120, "http://qudt.org/vocab/unit/KiloBYTE", "120000"),
        (2, "http://qudt.org/vocab/unit/MegaBYTE", "2000000"),
        (172, "http://www.ontology-of-units-of-measure.org/resource/om-2/kilobyte", "172000"),
        (64, "http://qudt.org/vocab/unit/KibiBYTE", "65536"),
        (0, "http://qudt.org/vocab/unit/BYTE", "0"),
    ],
)
def test_memory_is_in_bytes_whatever_its_unit(value: int, unit: str, size_bytes: str) -> None:
    document = changed(device(), (f"{RAM}.schema:value", value))
    document = changed(document, (f"{RAM}.schema:unitCode", {"@id": unit}))
    assert things.check(document) == []
    assert said(document, "tegu:ramBytes") == {("tegu:ramBytes", size_bytes)}


def test_what_a_model_makes_is_no_sensor_and_an_unknown_channel_is_a_kind_of_its_own() -> None:
    channels = {"presence": "", "lux-2": "lx"}
    document = things.expand("home", "room-7", json.dumps({"tm": THING_MODEL, "sensors": channels}).encode())
    assert said(document, "tegu:sensor") == {("tegu:sensor", "urn:tegu-terms:sensor-lux-2")}


def test_a_smart_sensor_of_somebody_else_is_a_device_too() -> None:
    document = LAMP | {"@context": [TD_1_1, {"s3n": "http://w3id.org/s3n/"}], "@type": "s3n:SmartSensor"}
    found = {triple.object for triple in things.triples(document) if triple.predicate == term("rdf:type")}
    assert term("tegu:Device") in found


# --- announcements ---


def announced(**parts: Any) -> bytes:
    return json.dumps({"tm": THING_MODEL} | parts).encode()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (announced(ram="12k"), "ram: must be a whole number of bytes, not '12k'"),
        (announced(ram=-1), "ram: must be a whole number of bytes, not -1"),
        (announced(flash=1.5), "flash: must be a whole number of bytes, not 1.5"),
        (announced(flash=True), "flash: must be a whole number of bytes, not true"),
        (announced(radio="zigbee"), "radio: must be one of wifi, ble, 802.15.4, lora, ethernet, not 'zigbee'"),
        (announced(energy={}), "energy: must be one of mains, battery, harvest, not {}"),
        (announced(room="B1"), "room: must be 1 to 32 of a-z, 0-9 and '-', not 'B1'"),
        (announced(model=7), "model: must be 1 to 32 of a-z, 0-9 and '-', not 7"),
        (announced(title=" "), "title: must be text, not ' '"),
        (announced(sensors=["co2"]), 'sensors: must be an object of units by channel, as {"co2": "ppm"}, not ["co2"]'),
        (announced(sensors={"CO2": "ppm"}), "sensors.CO2: must be 1 to 32 of a-z, 0-9 and '-', not 'CO2'"),
        (announced(sensors={"co2": 1}), "sensors.co2: must be a unit, as Cel or %RH, not 1"),
        (announced(colour="red"), f"colour: is no parameter of {THING_MODEL}"),
        (b'{"tm":"urn:x"}', f"tm: must be a Thing Model known here, {THING_MODEL}, not 'urn:x'"),
        (announced(title="x" * LIMIT_BYTES), "(root): must have at most 512 bytes with tm, not 555"),
        (json.dumps(LAMP).encode(), "id: must be urn:tegu:home:room-7, the device's own, not 'urn:dev:lamp-1'"),
        (b'{"tm":"a","tm":"b"}', "tm: is there twice"),
        (b'{"ram":NaN}', "(root): NaN is no number of JSON"),
        (b"[]", "(root): must be an object, not []"),
        (b"{", "(root): is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[" * 5000, "(root): is more than 32 levels deep"),
        (b" " * 20_000, "(root): must have at most 16384 bytes, not 20000"),
    ],
)
def test_an_announcement_that_cannot_be_read_names_what_is_wrong(payload: bytes, expected: str) -> None:
    with pytest.raises(Faulty) as raised:
        things.expand("home", "room-7", payload)
    assert str(raised.value) == expected


def test_a_full_description_is_taken_as_it_is() -> None:
    document = device() | {"title": "Other"}
    assert things.expand("home", "room-7", json.dumps(document).encode()) == document


def test_a_bare_reference_to_the_thing_model_is_a_valid_device() -> None:
    document = things.expand("home", "room-7", announced())
    assert things.check(document) == []
    assert said(document, "schema:name", "tegu:ramBytes") == {("schema:name", "room-7")}
