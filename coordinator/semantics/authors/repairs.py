"""The terms and values that the authors' descriptions get wrong, one triple at a time: repaired and reported.

Meant is the TinyML neural-network ontology 3.0 (nnet:) with S3N, SSN-Systems and schema.org for memory, W3C WoT Thing
Description 1.1 (its RDF form, with hctl:, jsonschema: and wotsec:) for devices, and OM 2 for units, or QUDT where OM has
none. A number that is 0 where 0 cannot be measured, and a text that only says that nothing is known, are left out.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from pyoxigraph import Literal, NamedNode, Triple

from ..terms import PREFIXES, short, term
from .defects import (
    Defects,
    Stated,
    tail,
    unknown,
)

STALE = {  # namespaces as they once were -> as they are
    "http://tinyml-schema.org/networkschema#": PREFIXES["nnet"],
    "http://tinyml-schema.org/s3n_extend#": PREFIXES["s3nx"],
    "http://www.w3.org/ns/td#": PREFIXES["td"],
    "http://schema.org/": PREFIXES["schema"],
}
MOVED = {  # namespaces of the authors' later files -> those of their earlier ones, which are ours
    f"https://w3id.org/tinyml-schema/neural-network-schema/{name}_extend/": PREFIXES[f"{name}x"]
    for name in ("s3n", "sosa", "ssn")
}
TERMS = {
    "schema:Sensor": "sosa:Sensor",
    "schema:url": "schema:URL",
    "s3n:Microcontroller": "s3n:MicroController",
    "nnet:AvgPool2D": "nnet:AveragePool2D",
    "td:href": "hctl:hasTarget",
    "td:op": "hctl:hasOperationType",
    "td:unit": "schema:unitCode",
    "td:type": "rdf:type",
    "td:scheme": "rdf:type",
    "td:maximum": "jsonschema:maximum",
    "td:minimum": "jsonschema:minimum",
    "td:readOnly": "jsonschema:readOnly",
    "td:securityDefinitions": "td:definesSecurityScheme",
}
WORDS = {  # texts that stand for a term, by the predicate as it was written
    "td:type": {
        name: f"jsonschema:{name.capitalize()}Schema"
        for name in ("number", "integer", "boolean", "string", "array", "object", "null")
    },
    "td:scheme": {"nosec": "wotsec:NoSecurityScheme", "basic": "wotsec:BasicSecurityScheme"},
    "td:op": {
        "readproperty": "td:readProperty",
        "writeproperty": "td:writeProperty",
        "observeproperty": "td:observeProperty",
        "unobserveproperty": "td:unobserveProperty",
    },
}
UNITS = {  # as they were written -> as OM 2 or QUDT has them
    "degree_Celsius": "om:degreeCelsius",
    "micro_tesla": "om:microtesla",
    "degress_per_second": "unit:DEG-PER-SEC",
    "degrees_per_second": "unit:DEG-PER-SEC",
    "gravity": "unit:G",
    "kB": "om:kilobyte",
    "KB": "om:kilobyte",
    "KiB": "om:kibibyte",
    "B": "unit:BYTE",
}
NUMBERS = frozenset(
    term(name)
    for name in (
        "schema:value",
        "schema:minValue",
        "nnet:hasMetricValue",
        "nnet:hasMultiplyAccumulateOps",
        "nnet:hasIndex",
    )
)
WHOLE = frozenset([term("nnet:hasMultiplyAccumulateOps"), term("nnet:hasIndex")])
TRUTHS = frozenset([term("td:isObservable"), term("jsonschema:readOnly")])
SHAPES = frozenset([term("nnet:shapeIn"), term("nnet:shapeOut")])
UNIT, TARGET, MADE = term("schema:unitCode"), term("hctl:hasTarget"), term("schema:dateCreated")
METRIC, SUBCLASS = term("nnet:hasMetricValue"), term("rdfs:subClassOf")
INTEGER, BOOLEAN = term("xsd:integer"), term("xsd:boolean")
WORDED = frozenset([term("xsd:string"), term("rdf:langString")])
NUMBER = re.compile(r"-?\d+")
FOR_A_TERM = "A text stands where a term should be and is read as the term"


Say = Callable[[str, str], None]  # sentence, example


def repair(stated: list[Stated], defects: Defects) -> list[Stated]:
    """The same triples with the right terms and values, in their order; some are left out, none is added."""
    repaired = []
    for one in stated:
        moved = Triple(*(_in_place(part, one, defects) for part in one.triple))
        triple = Triple(*(_renamed(part, one, defects) for part in moved))
        value = _value(triple.predicate, short(moved.predicate.value), triple.object, partial(_say, defects, one))
        if value is None or _class_of_classes(triple, one, defects):
            continue
        repaired.append(replace(one, triple=Triple(triple.subject, triple.predicate, value)))
    return repaired


def _say(defects: Defects, one: Stated, sentence: str, example: str) -> None:
    defects.note(sentence, one, example)


def _in_place(part: Any, one: Stated, defects: Defects) -> Any:
    """A term in the namespace where it is today."""
    if isinstance(part, NamedNode):
        for how, table in (("stale", STALE), ("later", MOVED)):
            for old, new in table.items():
                if part.value.startswith(old):
                    defects.note(f"Terms of the {how} namespace <{old}> are read in <{new}>", one)
                    return NamedNode(new + part.value.removeprefix(old))
    return part


def _renamed(part: Any, one: Stated, defects: Defects) -> Any:
    name = short(part.value) if isinstance(part, NamedNode) else ""
    if name not in TERMS:
        return part
    defects.note("A term does not exist; the one that is meant is read", one, f"{name} as {TERMS[name]}")
    return term(TERMS[name])


def _class_of_classes(triple: Triple, one: Stated, defects: Defects) -> bool:
    name = short(triple.subject.value) if isinstance(triple.subject, NamedNode) else ""
    if triple.predicate != SUBCLASS or triple.object != term("rdfs:Class") or not name.startswith("nnet:"):
        return False
    defects.note(
        "A class is called a subclass of rdfs:Class, as if its instances were classes; this is left out", one, name
    )
    return True


def _value(predicate: NamedNode, written: str, value: Any, say: Say) -> Any:
    """What should stand there; None: nothing. written: the predicate as the file has it."""
    if not isinstance(value, Literal):
        return value
    if written in WORDS:
        return _word(written, value, say)
    name = short(predicate.value)
    if unknown(value.value):
        say("A text only says that nothing is known and is left out", f"{value.value!r} of {name}")
        return None
    if predicate in NUMBERS:
        return _number(predicate, value, say)
    for told, read in ((TRUTHS, _truth), (SHAPES, _shape), ({UNIT}, _unit), ({TARGET}, _target), ({MADE}, _day)):
        if predicate in told:
            return read(name, value, say)
    return _text(name, value, say)


def _word(written: str, value: Literal, say: Say) -> NamedNode | None:
    meant = WORDS[written].get(value.value)
    if meant is None:
        say("A text stands where a term should be and is not known; it is left out", f"{value.value!r} of {written}")
        return None
    say(FOR_A_TERM, f"{value.value!r} as {meant}")
    return term(meant)


def _number(predicate: NamedNode, value: Literal, say: Say) -> Literal | None:
    name = short(predicate.value)
    try:
        number = Decimal(value.value)
    except InvalidOperation:
        say("A text stands where a number should be and is left out", f"{value.value!r} of {name}")
        return None
    if value.datatype in WORDED:
        say("A number is written as a text and is read as a number", f"{value.value!r} of {name}")
        value = Literal(value.value, datatype=INTEGER if number == int(number) else term("xsd:decimal"))
    if predicate == METRIC and number == 0:
        say("A metric of 0 stands for one that nobody measured; its value is left out", "")
        return None
    if predicate in WHOLE and value.datatype != INTEGER and number == int(number):
        say("What is counted is written with an exponent; it is read as an integer", name)
        return Literal(str(int(number)), datatype=INTEGER)
    return value


def _truth(name: str, value: Literal, say: Say) -> Literal:
    if value.datatype == BOOLEAN or value.value.lower() not in ("true", "false"):
        return value
    say("A text stands for true or false and is read as a boolean", f"{value.value!r} of {name}")
    return Literal(value.value.lower(), datatype=BOOLEAN)


def _shape(name: str, value: Literal, say: Say) -> Literal:
    good = f"[{', '.join(re.findall(NUMBER, value.value))}]"
    if good == value.value or not re.fullmatch(r"[\s\[\](),\d-]*", value.value):
        return value
    say("A shape is text as numpy prints it, like '[ 1 59]', and is read as the list '[1, 59]'", name)
    return Literal(good)


def _unit(predicate: str, value: Literal, say: Say) -> NamedNode | None:
    name = tail(value.value.replace("om:", "/"))
    if not re.fullmatch(r"[\w.-]+", name):
        say("A text stands where a term should be and is not known; it is left out", f"{value.value!r} of {predicate}")
        return None
    meant = UNITS.get(name, f"om:{name}")
    say(FOR_A_TERM, f"{value.value!r} as {meant}")
    return term(meant)


def _target(_: str, value: Literal, say: Say) -> Literal:
    if value.language:
        say("The address of a form is a text in a language; it is read as an address", "")
    return Literal(value.value, datatype=term("xsd:anyURI"))


def _day(name: str, value: Literal, say: Say) -> Literal:
    if value.datatype not in WORDED or not re.fullmatch(r"\d{4}-\d\d-\d\d", value.value):
        return value
    say("A day is a text and is read as a date", name)
    return Literal(value.value, datatype=term("xsd:date"))


def _text(name: str, value: Literal, say: Say) -> Literal:
    good = value.value.strip()
    if good == value.value or value.datatype not in WORDED:
        return value
    say("A text begins or ends with blanks, which are left out", name)
    return Literal(good, language=value.language) if value.language else Literal(good)
