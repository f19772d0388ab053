"""What people put into the registry: descriptions of devices and models, rooms, imports; and what is checked before."""

import argparse
from pathlib import Path
from typing import Any

from pyoxigraph import Literal, NamedNode, Quad, RdfFormat, Triple, parse

from tegu.topics import check_id

from ..semantics import models, terms, things
from ..semantics.faults import Fault
from ..semantics.model_files import keras_file, tflite
from ..semantics.terms import PREFIXES, term
from . import answers
from .access import Access
from .names import resolve
from .tables import many, say, size

DOCUMENTS = (".json", ".jsonld")
MODELS = {".tflite": tflite.read, ".keras": keras_file.read, ".h5": keras_file.read}
FORMATS = {".ttl": RdfFormat.TURTLE, ".trig": RdfFormat.TRIG, ".nq": RdfFormat.N_QUADS, ".nt": RdfFormat.N_TRIPLES}


# --- add ---


def add(to: Access, told: argparse.Namespace) -> int:
    """A Thing Description, or a model."""
    if told.file and told.file.suffix.lower() in DOCUMENTS:
        id, new = to.put_thing(_document(told.file))
        return say(
            {"id": id, "new": new} if told.json else [f"{answers.short_name(id)} is {'new' if new else 'replaced'}."]
        )
    description = _description(told)
    name = check_id(told.name or told.file.name.partition(".")[0].lower().replace("_", "-"), "model")
    if to.select(f"SELECT ?v {{ {terms.model(to.site, name)} tegu:currentVersion ?v }}"):
        raise ValueError(
            f"a coordinator serves {name}, and describes it: [about] in its settings says what people know; take another --name"
        )
    iri = to.put_model(name, description)
    if told.json:
        return say({"id": iri, "ram_bytes": description.ram_bytes, "flash_bytes": description.flash_bytes})
    training = description.training_ram_bytes
    learning = f", {size(training)} to learn" if training is not None else ""
    return say(
        [
            f"{name} is described: {size(description.ram_bytes)} of RAM{learning}, {size(description.flash_bytes)} of flash."
        ]
    )


def _document(path: Path) -> dict[str, Any]:
    return things.read(path.read_bytes())


def _description(told: argparse.Namespace) -> models.Description:
    facts: dict[str, Any] = {"licence": told.licence, "data": told.data, "name": told.title}
    facts["sensors"] = [word.strip() for word in told.sensors.split(",") if word.strip()]
    facts["metrics"] = {name: _number(value) for name, value in (text.split("=", 1) for text in told.metric)}
    facts = {name: value for name, value in facts.items() if value}
    if told.spec:
        return models.describe_spec(facts.pop("name", told.name), told.spec, **facts)
    read = MODELS.get(told.file.suffix.lower())
    if read is None:
        known = ", ".join([*DOCUMENTS, *MODELS])
        raise ValueError(f"{told.file} is none of {known}; Turtle and its like are for `tegu registry import`")
    return read(told.file, **facts)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--metric: {text!r} is no number") from None


# --- place ---


def place(to: Access, told: argparse.Namespace) -> int:
    """A device into a room. What is said of the room stands in the room's own graph, once for all its devices."""
    device = resolve(to.select, told.device, ["device"])
    room = terms.room(to.site, told.room)
    to.patch_thing(device, {"tegu:room": {"@id": room.value}})
    said = {"tegu:roomType": told.type, "tegu:floor": told.floor, "tegu:building": told.building}
    if any(said.values()):
        to.put_graphs({room: _room(to, room, told.room, said)})
    return say(
        {"device": device, "room": room.value} if told.json else [f"{answers.short_name(device)} is in {told.room}."]
    )


def _room(to: Access, room: NamedNode, name: str, said: dict[str, str]) -> list[Triple]:
    """What was known of it, but for what is said anew."""
    rows = to.select(f"SELECT ?p ?o {{ GRAPH {room} {{ {room} ?p ?o }} }}")
    facts = {term("schema:name").value: name}
    facts |= {row["p"]: str(row["o"]) for row in rows if row["p"] != term("rdf:type").value}
    facts |= {term(predicate).value: text for predicate, text in said.items() if text}
    triples = [Triple(room, NamedNode(predicate), Literal(text)) for predicate, text in facts.items()]
    return [Triple(room, term("rdf:type"), term("tegu:Room")), *triples]


# --- import ---


def import_(to: Access, told: argparse.Namespace) -> int:
    """A file as a graph of its own; one that names graphs, as an export does, as these graphs unless a --name is given."""
    name = check_id(told.name or told.path.resolve().stem.lower().replace("_", "-"), "name of an import")
    if told.authors:
        return _authors(to, told, name)
    form = FORMATS.get(told.path.suffix.lower())
    if form is None:
        raise ValueError(f"{told.path}: the name must end with one of {', '.join(FORMATS)}")
    graphs: dict[NamedNode, list[Triple]] = {}
    for quad in _quads(told.path, form):
        named = quad.graph_name if isinstance(quad.graph_name, NamedNode) and not told.name else terms.imported(name)
        graphs.setdefault(named, []).append(quad.triple)
    to.put_graphs(graphs)
    count = sum(map(len, graphs.values()))
    if told.json:
        return say({"graphs": sorted(named.value for named in graphs), "statements": count})
    return say([f"{many(count, 'statement')} in {many(len(graphs), 'graph')}."])


def _quads(path: Path, form: RdfFormat) -> list[Quad]:
    try:
        return list(parse(path=path, format=form, rename_blank_nodes=True))
    except SyntaxError as error:
        raise ValueError(f"{path}: {error}") from error


def _authors(to: Access, told: argparse.Namespace, name: str) -> int:
    from ..semantics.authors import loading as authors

    found = authors.load(told.path)
    graph = terms.imported(name)
    to.put_graphs({graph: found.triples})
    if told.json:
        return say(
            {
                "graphs": [graph.value],
                "statements": len(found.triples),
                "devices": [iri.value for iri in found.devices],
                "models": [iri.value for iri in found.models],
                "defects": found.defects,
            }
        )
    counts = f"{many(len(found.devices), 'device')}, {many(len(found.models), 'model')}"
    return say(
        [
            *found.defects,
            "",
            f"{counts}, {many(len(found.triples), 'statement')}; {many(len(found.defects), 'defect')}.",
        ]
    )


# --- validate ---


def validate(to: Access | None, told: argparse.Namespace) -> int:
    """Thing Descriptions, and the whole graph (to: whose). 1: something is not valid."""
    found = {str(path): _faults_of(path) for path in told.files}
    if to is not None:
        found |= _faults_of_graph(to.export(RdfFormat.N_QUADS))
    if told.json:
        say({"faults": [{"file": path, **fault} for path, faults in found.items() for fault in faults]})
    else:
        say([line for path, faults in found.items() for line in answers.faults(path, faults)])
    return 1 if any(found.values()) else 0


def _faults_of(path: Path) -> list[dict[str, str]]:
    try:
        return _told(things.check(_document(path)))
    except things.Faulty as error:
        return _told([error.fault])


def _faults_of_graph(content: bytes) -> dict[str, list[dict[str, str]]]:
    """Of each thing, room and model that has a graph of its own. Imports are somebody else's words and are not held to our shapes."""
    from ..semantics.shapes import ours

    graphs: dict[str, list[Triple]] = {}
    for quad in parse(content, RdfFormat.N_QUADS):
        if isinstance(quad.graph_name, NamedNode) and not quad.graph_name.value.startswith(PREFIXES["graph"]):
            graphs.setdefault(quad.graph_name.value, []).append(quad.triple)
    found = {name: _told(ours().faults(triples)) for name, triples in graphs.items()}
    return {name: faults for name, faults in found.items() if faults} or {"the graph": []}


def _told(faults: list[Fault]) -> list[dict[str, str]]:
    return [{"path": fault.path, "message": fault.message} for fault in faults]
