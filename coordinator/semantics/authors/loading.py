"""The authors' graph: the TinyML ontologies, models and devices of arXiv 2405.07601, read as they published them.

Their Turtle says in many triples what our questions read in few, and it has defects. `load` reads it (salvage), sets right
its terms and values (repairs) and its references (links), reports each defect in a sentence, and adds the facts that our
questions read: of a device (s3n:SmartSensor) its free RAM and flash and its sensors, of a model (nnet:NeuralNetwork) what
it needs of them. The full structure stays, with memory in the unit in which it was written; facts are in bytes.

A kilobyte is 1000 bytes, as OM 2 defines om:kilobyte and as the authors count (their flash figure is the length of the
model's file by 1000). Part of a byte is counted against the match: needs are rounded up, what is free is rounded down.
If something is said twice, the less favourable counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from pathlib import Path

from pyoxigraph import Literal, NamedNode, Triple

from ..terms import PREFIXES, short, term
from .defects import Defects, Stated
from .links import Graph, Subject, join
from .repairs import repair
from .salvage import read

KNOWN = PREFIXES | {  # the authors' names of the namespaces too, for files that use one and do not declare it
    "ssn-system": PREFIXES["ssns"],
    "s3n_extend": PREFIXES["s3nx"],
    "sosa_extend": PREFIXES["sosax"],
    "ssn_extend": PREFIXES["ssnx"],
}
BYTES = {
    "unit:BYTE": 1,
    "unit:KiloBYTE": 1000,
    "unit:KibiBYTE": 1024,
    "unit:MegaBYTE": 1_000_000,
    "om:byte": 1,
    "om:kilobyte": 1000,
    "om:kibibyte": 1024,
    "om:megabyte": 1_000_000,
}
NO_SENSORS = frozenset(
    term(name) for name in ("s3n:MicroController", "s3n:CommunicatingSystem", "sosa:Sensor", "ssn:System")
)
TYPE, INTEGER = term("rdf:type"), term("xsd:integer")
MEMORIES = (("s3nx:RAM", "Ram"), ("s3nx:Flash", "Flash"))


@dataclass(frozen=True)
class Imported:
    """What was read. triples: repaired, with the facts; defects: one sentence each, the same ones for the same files."""

    triples: list[Triple]
    defects: list[str]
    devices: list[NamedNode]
    models: list[NamedNode]


def load(folder: Path) -> Imported:
    """All .ttl files under a folder. ValueError: there is none. OSError: one cannot be opened."""
    paths = sorted(folder.rglob("*.ttl"))
    if not paths:
        raise ValueError(f"there is no .ttl file in {folder}")
    defects = Defects()
    stated = [one for path in paths for one in _read(path, path.relative_to(folder).as_posix(), defects)]
    stated = join(repair(stated, defects), defects)
    graph = Graph(stated)
    devices = [one for one in graph.of_kind("s3n:SmartSensor") if isinstance(one, NamedNode)]
    models = [one for one in graph.of_kind("nnet:NeuralNetwork") if isinstance(one, NamedNode)]
    facts = [fact for device in devices for fact in _device(device, graph, defects)]
    facts += [fact for model in models for fact in _model(model, graph, defects)]
    _unmet(facts, graph, defects)
    triples = dict.fromkeys([*(one.triple for one in stated), *facts])
    return Imported(list(triples), defects.sentences(), devices, models)


def _read(path: Path, name: str, defects: Defects) -> list[Stated]:
    raw = path.read_bytes()
    text = raw.decode("utf-8", errors="replace").removeprefix("\ufeff")
    if "\ufffd" in text:
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        defects.note_line("A file is not UTF-8; the bytes that are not are read as a question mark", name, line)
    return read(name, text, KNOWN, defects)


def _device(device: NamedNode, graph: Graph, defects: Defects) -> Iterator[Triple]:
    yield Triple(device, TYPE, term("tegu:Device"))
    for predicate, told in (("schema:name", "td:title"), ("schema:description", "td:description")):
        if not graph.about(device, predicate):
            for one in graph.about(device, told)[:1]:
                yield Triple(device, term(predicate), Literal(str(getattr(one.triple.object, "value", ""))))
    for part in graph.values(device, "ssn:hasSubSystem"):
        for kind in graph.kinds(part.triple.object):
            if kind not in NO_SENSORS:
                yield Triple(device, term("tegu:sensor"), kind)
    stated = [
        one
        for capability in ("s3n:hasSystemCapability", "ssns:hasSystemCapability")
        for one in graph.values(device, "ssn:hasSubSystem", capability, "ssns:hasSystemProperty")
    ]
    for memory, word in MEMORIES:
        free = _bytes(stated, memory, "schema:value", graph, defects)
        if free:
            yield _fact(device, f"tegu:{word.lower()}Bytes", min(free))
        else:
            what = f"does not say how much {memory[5:]} is free; it fits no model that needs any"
            _missing(device, what, graph, defects)


def _model(model: NamedNode, graph: Graph, defects: Defects) -> Iterator[Triple]:
    stated = graph.values(model, "s3n:hasProcedureFeature", "ssns:inCondition")
    for memory, word in MEMORIES:
        needs = _bytes(stated, memory, "schema:minValue", graph, defects)
        if needs:
            yield _fact(model, f"tegu:needs{word}Bytes", max(needs))
        else:
            _missing(model, f"does not say how much {memory[5:]} it needs", graph, defects)
    inputs = {one.triple.object for one in graph.about(model, "ssn:hasInput")}
    for sensor, said in graph.by.items():
        if any(one.triple.object in inputs for one in said.get(term("ssnx:provideInput"), [])):
            for kind in graph.kinds(sensor):
                if kind not in NO_SENSORS:
                    yield Triple(model, term("tegu:needsSensor"), kind)


def _bytes(stated: list[Stated], memory: str, predicate: str, graph: Graph, defects: Defects) -> list[int]:
    """What is said of a memory, s3nx:RAM or s3nx:Flash. predicate: schema:value (is free) or schema:minValue (is needed)."""
    found = []
    rounding = ROUND_FLOOR if predicate == "schema:value" else ROUND_CEILING
    for side in dict.fromkeys(one.triple.object for one in stated if term(memory) in graph.kinds(one.triple.object)):
        units = [short(getattr(one.triple.object, "value", "")) for one in graph.about(side, "schema:unitCode")]
        for one in graph.about(side, predicate):
            number = _decimal(one)
            if number is None or number < 0 or len(units) != 1 or units[0] not in BYTES:
                said = f"{getattr(one.triple.object, 'value', '?')} {' '.join(units) or 'of no unit'}"
                defects.note("An amount of memory cannot be understood; no fact is made of it", one, said)
                continue
            if units[0] == "om:kilobyte":
                free = (
                    "Free memory, which is not what a data sheet says," if rounding == ROUND_FLOOR else "Memory needed"
                )
                defects.note(f"{free} is stated in kilobytes; the facts are in bytes, at 1000 bytes a kilobyte", one)
            found.append(int((number * BYTES[units[0]]).to_integral_value(rounding)))
    if len(set(found)) > 1:
        defects.note("An amount of memory is said more than once; the less favourable counts", stated[0], memory)
    return found


def _decimal(one: Stated) -> Decimal | None:
    try:
        number = Decimal(str(getattr(one.triple.object, "value", "")))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _fact(subject: NamedNode, predicate: str, number: int) -> Triple:
    return Triple(subject, term(predicate), Literal(str(number), datatype=INTEGER))


def _missing(subject: Subject, what: str, graph: Graph, defects: Defects) -> None:
    defects.note(f"A description {what}", graph.about(subject, TYPE)[0], graph.name(subject))


def _unmet(facts: list[Triple], graph: Graph, defects: Defects) -> None:
    """Models that need a kind of sensor that no device has."""
    had = {fact.object for fact in facts if fact.predicate == term("tegu:sensor")}
    for fact in facts:
        kind = fact.object
        if had and fact.predicate == term("tegu:needsSensor") and kind not in had and isinstance(kind, NamedNode):
            sentence = f"A model needs {short(kind.value)}, which no device has: it fits none"
            defects.note(sentence, graph.about(fact.subject, TYPE)[0], graph.name(fact.subject))
