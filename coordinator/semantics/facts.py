"""The facts that questions read of a device, made from its full description, in bytes and kinds of sensors.

    <device> ssn:hasSubSystem [ s3n:hasSystemCapability [ ssns:hasSystemProperty [ a s3nx:RAM ; schema:value ; schema:unitCode ] ] ]
    <device> ssn:hasSubSystem [ a sosa:Sensor ; tegu:channel "co2" ]

become `<device> tegu:ramBytes 120000 ; tegu:sensor tegu:Co2Sensor`. A thing that is no device has a name and a description
for those who search, and no more. Works on expanded JSON-LD (expansion.py).
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from pyoxigraph import Literal, NamedNode, Triple

from .naming import Json, is_sensor_kind, own_ids
from .terms import NOT_SENSED, PREFIXES, sensor_kind, term

BYTES = {  # in one of each; QUDT's and OM's kilobyte are 1000 bytes
    PREFIXES["unit"] + "BYTE": 1,
    PREFIXES["unit"] + "KiloBYTE": 1000,
    PREFIXES["unit"] + "MegaBYTE": 1_000_000,
    PREFIXES["unit"] + "KibiBYTE": 1024,
    PREFIXES["unit"] + "MebiBYTE": 1024 * 1024,
    PREFIXES["om"] + "byte": 1,
    PREFIXES["om"] + "kilobyte": 1000,
    PREFIXES["om"] + "megabyte": 1_000_000,
}
MOST_BYTES = 1 << 53  # what every program that reads JSON can count
DEVICE, SMART_SENSOR, SENSOR = (term(name).value for name in ("tegu:Device", "s3n:SmartSensor", "tegu:sensor"))
PART, CAPABILITY, QUALITY = (
    term(name).value for name in ("ssn:hasSubSystem", "s3n:hasSystemCapability", "ssns:hasSystemProperty")
)
VALUE, UNIT, CHANNEL = (term(name).value for name in ("schema:value", "schema:unitCode", "tegu:channel"))
MEMORY_FACTS = {"s3nx:RAM": "tegu:ramBytes", "s3nx:Flash": "tegu:flashBytes"}
MEMORIES = {term(kind).value: fact for kind, fact in MEMORY_FACTS.items()}
SAID = ("tegu:radio", "tegu:energySource", "tegu:firmware")
TEXTS = {term("td:title").value: "schema:name", term("td:description").value: "schema:description"}
INTEGER = PREFIXES["xsd"] + "integer"


def add_facts(tree: Json) -> None:
    """Into an expanded thing, what questions read of it."""
    for said, name in TEXTS.items():
        texts = [one["@value"] if isinstance(one, dict) else one for one in tree.get(said, ())]
        _add(tree, term(name).value, texts)
    classes = tree["@type"]
    if SMART_SENSOR not in classes and own_ids(tree["@id"]) is None:
        return
    classes += [name for name in (SMART_SENSOR, DEVICE) if name not in classes]
    for part in _nodes(tree, PART):
        _add(tree, SENSOR, [{"@id": kind} for kind in _kinds(part) if {"@id": kind} not in tree.get(SENSOR, ())])
        for capability in _nodes(part, CAPABILITY):
            for quality in _nodes(capability, QUALITY):
                for kind in MEMORIES.keys() & set(quality.get("@type", ())):
                    found = _size_bytes(quality)
                    made = {"@value": str(found), "@type": INTEGER}
                    _add(tree, term(MEMORIES[kind]).value, [made] if found is not None else [])


def brief(document: Json) -> list[Triple]:
    """What questions read of a device, at once: of a document that tegu.thing.describe made, a part of its triples.

    The whole takes ten times as long; when many devices are born at once, it follows.
    """
    iri, rdf_type = NamedNode(document["id"]), term("rdf:type")
    found: list[tuple[NamedNode, NamedNode | Literal]]
    found = [(rdf_type, term("td:Thing")), (rdf_type, term("s3n:SmartSensor")), (rdf_type, term("tegu:Device"))]
    found.append((term("schema:name"), Literal(document["title"])))
    for part in document["ssn:hasSubSystem"]:
        if "tegu:channel" in part and part["tegu:channel"] not in NOT_SENSED:
            found.append((term("tegu:sensor"), sensor_kind(part["tegu:channel"])))
        for capability in part.get("s3n:hasSystemCapability", ()):
            for quality in capability["ssns:hasSystemProperty"]:
                found.append((term(MEMORY_FACTS[quality["@type"]]), Literal(quality["schema:value"])))
    found += [(term(name), Literal(document[name])) for name in SAID if name in document]
    if "tegu:room" in document:
        found.append((term("tegu:room"), NamedNode(document["tegu:room"]["@id"])))
    return [Triple(iri, predicate, value) for predicate, value in found]


def _kinds(part: Json) -> Iterator[str]:
    """The kinds of sensors that a part is; a channel makes it one."""
    classes = part.setdefault("@type", [])
    for channel in part.get(CHANNEL, ()):
        if isinstance(channel, str) and channel not in NOT_SENSED:
            try:
                kind = sensor_kind(channel).value
            except ValueError:  # no word for a topic: the shapes say so
                continue
            if kind not in classes:
                classes.append(kind)
    yield from filter(is_sensor_kind, classes)


def _size_bytes(quality: Json) -> int | None:
    """Of a memory; None if it has no unit of bytes, or its value is no whole number of them."""
    units = [BYTES.get(one["@id"] if isinstance(one, dict) and "@id" in one else "") for one in quality.get(UNIT, ())]
    values = [one["@value"] if isinstance(one, dict) and "@value" in one else one for one in quality.get(VALUE, ())]
    if len(units) != 1 or len(values) != 1 or units[0] is None or isinstance(values[0], bool | dict):
        return None
    try:
        found = Decimal(str(values[0])) * units[0]
        return int(found) if 0 <= found < MOST_BYTES and found == int(found) else None
    except InvalidOperation:  # no number, or a signalling one
        return None


def _nodes(node: Json, name: str) -> Iterator[Json]:
    """The objects with statements of their own that a property has."""
    return (one for one in node.get(name, ()) if isinstance(one, dict) and "@value" not in one)


def _add(node: Json, name: str, values: list[Any]) -> None:
    if values:
        node.setdefault(name, []).extend(values)
