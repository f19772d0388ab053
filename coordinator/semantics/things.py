"""Things: what a device announces as a Thing Description, what is wrong with one, and what it is in RDF.

A thing is checked by the JSON Schema of W3C's TD 1.1 (thing.schema.json), by what one place says of another (references.py), by
what it may say at all (expansion.py), and by SHACL shapes of ours (shapes.ttl). Its triples are those of JSON-LD, with the
facts that questions read (facts.py). Nothing is ever fetched: a context elsewhere says nothing here.
"""

import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
from pyoxigraph import RdfFormat, Triple, parse

from tegu import thing
from tegu.topics import check_id

from . import expansion, faults, references, shapes, terms
from .facts import MOST_BYTES, add_facts, brief
from .faults import Fault, Faulty, shown
from .naming import unread_contexts

__all__ = [
    "Fault",
    "Faulty",
    "brief",
    "check",
    "examine",
    "expand",
    "is_modelled",
    "read",
    "triples",
    "unread_contexts",
]
Triples = list[Triple]
SCHEMA = Path(__file__).parents[1] / "thing.schema.json"
DOCUMENT_BYTES = 64 * 1024
ANNOUNCED_BYTES = 16 * 1024  # a Thing Description by MQTT
FAULTS = 20  # told of one document, at most
TRIPLES = 10_000  # of one document, at most
KEPT = 64  # documents
NO_ID = "urn:uuid:00000000-0000-0000-0000-000000000000"  # stands in for an id while a thing without one is checked
UNIT = re.compile(r"[^\s:<>\"{}|\\^`\x00-\x1f]{0,16}")  # SenML's, and what one could take for one
RADIOS = ("wifi", "ble", "802.15.4", "lora", "ethernet")


def check(document: dict[str, Any]) -> list[Fault]:
    """What is wrong with a Thing Description, the most useful first; [] is valid."""
    return examine(document)[0]


def triples(document: dict[str, Any]) -> Triples:
    """A Thing Description in RDF, with the facts that questions read. The same document gives the same triples.

    Its subjects are the thing itself and blank nodes of its own. Faulty (a ValueError, `path: what is wrong`) if it has no id,
    is too large or too deep, or says what it may not; what the schema or the shapes would say is not looked at.
    """
    return list(_triples(_text(document)))


def examine(document: dict[str, Any]) -> tuple[list[Fault], Triples]:
    """check() and triples() in one go, for those who need both; no triples if there are faults."""
    if not isinstance(document, dict):
        return [Fault(faults.ROOT, f"must be an object, not {shown(document)}")], []
    try:
        text = _text(document if "id" in document else document | {"id": NO_ID})
        found = list(islice(_faults(document), FAULTS))
        made = list(_triples(text)) if not found else []
    except Faulty as fault:
        return [fault.fault], []
    found += shapes.ours().faults(made)
    return found[:FAULTS], [] if found else made


def read(payload: bytes, most_bytes: int = DOCUMENT_BYTES) -> dict[str, Any]:
    """A JSON object, read strictly: UTF-8, no name twice, no NaN. Faulty: it is none, or longer."""
    if len(payload) > most_bytes:
        raise Faulty([], f"must have at most {most_bytes} bytes, not {len(payload)}")
    try:
        found = json.loads(payload.decode(), object_pairs_hook=_object, parse_constant=_no_number)
        if b"\\u" in payload:  # half of a surrogate pair may hide there, which is no text
            json.dumps(found, ensure_ascii=False).encode()
    except Faulty:
        raise
    except RecursionError:
        raise Faulty([], f"is more than {expansion.LEVELS} levels deep") from None
    except ValueError as error:
        raise Faulty([], f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Faulty([], f"must be an object, not {shown(found)}")
    return found


def expand(site: str, device: str, payload: bytes) -> dict[str, Any]:
    """A device's announcement as a Thing Description: one in full, or what its Thing Model's parameters say.

    Faulty, with the name of what is wrong. A description in full is not checked here, but for its id.
    """
    announced = read(payload, ANNOUNCED_BYTES)
    if "tm" not in announced:
        own = terms.device(site, device).value
        if announced.get("id") != own:
            raise Faulty(["id"], f"must be {own}, the device's own, not {shown(announced.get('id'))}")
        return announced
    if len(payload) > thing.LIMIT_BYTES:
        raise Faulty([], f"must have at most {thing.LIMIT_BYTES} bytes with tm, not {len(payload)}")
    _check_parameters(announced)
    try:
        return thing.describe(site, device, announced)
    except ValueError as error:
        path, _, message = str(error).partition(": ")
        raise Faulty([path], message) from None


def is_modelled(payload: bytes) -> bool:
    """Whether an announcement that expand() took is of a Thing Model: then its document is our own writing, and valid."""
    return "tm" in json.loads(payload)


def _check_parameters(announced: dict[str, Any]) -> None:
    if announced["tm"] != thing.THING_MODEL:
        raise Faulty(["tm"], f"must be a Thing Model known here, {thing.THING_MODEL}, not {shown(announced['tm'])}")
    unknown = announced.keys() - {"tm", "title", "model", "sensors", *thing.PARTS}
    if unknown:
        raise Faulty([min(unknown)], f"is no parameter of {thing.THING_MODEL}")
    for name, value in announced.items():
        if name in ("ram", "flash") and (type(value) is not int or not 0 <= value < MOST_BYTES):
            raise Faulty([name], f"must be a whole number of bytes, not {shown(value)}")
        if name in ("title", "firmware") and not (isinstance(value, str) and value.strip()):
            raise Faulty([name], f"must be text, not {shown(value)}")
        if name in ("model", "room"):
            _check_word((name,), value)
    for name, words in (("radio", RADIOS), ("energy", thing.ENERGY_SOURCES)):
        if name in announced and announced[name] not in words:
            raise Faulty([name], f"must be one of {', '.join(words)}, not {shown(announced[name])}")
    _check_sensors(announced.get("sensors", {}))


def _check_sensors(sensors: Any) -> None:
    if not isinstance(sensors, dict):
        raise Faulty(["sensors"], f'must be an object of units by channel, as {{"co2": "ppm"}}, not {shown(sensors)}')
    for channel, unit in sensors.items():
        _check_word(("sensors", channel), channel)
        if not (isinstance(unit, str) and UNIT.fullmatch(unit)):
            raise Faulty(["sensors", channel], f"must be a unit, as Cel or %RH, not {shown(unit)}")


def _check_word(path: tuple[str, ...], word: Any) -> None:
    try:
        check_id(word if isinstance(word, str) else "")
    except ValueError:
        raise Faulty(path, f"must be 1 to 32 of a-z, 0-9 and '-', not {shown(word)}") from None


def _text(document: dict[str, Any]) -> bytes:
    """A document as JSON, if it is JSON, and not too much of it."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise Faulty([], f"is more than {expansion.LEVELS} levels deep") from None
    except (TypeError, ValueError) as error:
        raise Faulty([], f"is no JSON: {error}") from None
    if len(text) > DOCUMENT_BYTES:
        raise Faulty([], f"must have at most {DOCUMENT_BYTES} bytes, not {len(text)}")
    return text


@cache
def _schema() -> tuple[dict[str, Any], jsonschema_rs.Validator]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema, jsonschema_rs.validator_for(schema, validate_formats=True)


def _faults(document: dict[str, Any]) -> Iterator[Fault]:
    schema, validator = _schema()
    try:
        valid = validator.is_valid(document)
    except ValueError as error:  # too deep for it
        raise Faulty([], f"cannot be checked: {error}") from None
    if valid:
        yield from references.broken(document)
    else:
        yield from faults.of_schema(schema, validator.iter_errors(document))


@lru_cache(maxsize=KEPT)
def _triples(text: bytes) -> tuple[Triple, ...]:
    """Of a document as JSON. Kept, as who checks a document goes on to ask for its triples."""
    tree = expansion.expand(json.loads(text))
    add_facts(tree)
    try:
        made = tuple(quad.triple for quad in parse(json.dumps(tree, ensure_ascii=False).encode(), RdfFormat.JSON_LD))
    except SyntaxError as error:
        raise Faulty([], f"cannot be said in RDF: {error}") from None
    if len(made) > TRIPLES:
        raise Faulty([], f"says more than {TRIPLES} things")
    return made


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise Faulty([next(name for name in names if names.count(name) > 1)], "is there twice")
    return made


def _no_number(word: str) -> Any:
    raise Faulty([], f"{word} is no number of JSON")
