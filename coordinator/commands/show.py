"""All that is known of one IRI, for people: what it says of itself by the labels of the vocabulary, and who names it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pyoxigraph import NamedNode

from ..semantics.terms import short
from .answers import short_name, shown, word
from .tables import many, pairs, table

Row = Mapping[str, Any]
Select = Callable[[str], list[dict[str, Any]]]
MOST = 1000  # statements of one kind
UNSAID = {  # what stands in the graph for other readers
    "tegu:document",
    "tegu:patch",
    "tegu:digest",
    "tegu:etag",
    "tegu:announced",
    "tegu:reportedVersion",
    "tegu:about",
    "tegu:brief",
    "tegu:kept",
    "ssn:hasSubSystem",
    "ssn:hasInput",
    "ssn:hasOutput",
    "s3n:hasProcedureFeature",
    "nnet:inputLayer",
    "nnet:middleLayer",
    "nnet:outputLayer",
    "nnet:hasMetric",
    "td:title",
    "td:description",
}
LABELS = {  # of terms that are not ours
    "rdf:type": "is",
    "schema:name": "name",
    "schema:description": "description",
    "schema:license": "licence",
    "schema:creator": "creator",
    "schema:runtimePlatform": "runs on",
    "nnet:hasMultiplyAccumulateOps": "multiply-accumulates",
    "nnet:hasCategory": "category",
    "nnet:trainingDataset": "trained on",
    "prov:wasDerivedFrom": "made from",
    "prov:wasGeneratedBy": "made by round",
    "prov:used": "starts from version",
    "prov:startedAtTime": "began",
    "prov:endedAtTime": "ended",
    "prov:wasAssociatedWith": "devices merged",
    "dct:created": "entered",
    "dct:modified": "changed",
}
NAMED_BY = {  # predicate of another -> what these others are for this one
    "tegu:room": "devices here",
    "tegu:takesPart": "devices that take part",
    "tegu:runs": "devices that run it",
    "tegu:inHand": "devices that hold it",
    "tegu:versionOf": "versions",
    "tegu:deploys": "deployments",
    "tegu:deployedTo": "deployments",
    "tegu:selected": "selected for rounds",
    "prov:wasAssociatedWith": "merged in rounds",
    "prov:used": "rounds from it",
    "prov:wasGeneratedBy": "versions from it",
    "prov:wasDerivedFrom": "next versions",
}
FIRST = ("name", "description", "is", "state", "room", "room type", "floor", "building")
NAMES = 5  # that a line names
METRICS = (
    "SELECT DISTINCT ?kind ?value {{ {iri} nnet:hasMetric ?metric . ?metric a ?kind ; nnet:hasMetricValue ?value }}"
)
LAYERS = """SELECT DISTINCT ?index ?type ?shapeIn ?shapeOut ?activation ?quantisation {{
    {iri} nnet:inputLayer|nnet:middleLayer|nnet:outputLayer ?layer . ?layer nnet:hasIndex ?index
    OPTIONAL {{ ?layer nnet:hasType ?type }} OPTIONAL {{ ?layer nnet:shapeIn ?shapeIn }}
    OPTIONAL {{ ?layer nnet:shapeOut ?shapeOut }} OPTIONAL {{ ?layer nnet:hasActivation ?activation }}
    OPTIONAL {{ ?layer nnet:hasQuantization ?quantisation }} }} ORDER BY ?index"""


def read(select: Select, iri: str) -> dict[str, Any]:
    """{iri, facts: {term: [values]}, metrics, layers, named_by: {term: [IRIs]}}; terms with their prefix. For --json too."""
    named = NamedNode(iri)
    said = select(f"SELECT DISTINCT ?p ?o {{ {named} ?p ?o FILTER(!isBlank(?o)) }} LIMIT {MOST}")
    naming = select(f"SELECT DISTINCT ?p ?s {{ ?s ?p {named} FILTER(isIRI(?s)) }} ORDER BY ?s LIMIT {MOST}")
    return {
        "iri": iri,
        "facts": _grouped(said, "o"),
        "metrics": {
            short_name(row["kind"]): row["value"]
            for row in select(METRICS.format(iri=named))
            if short(row["kind"]) != "nnet:Metric"
        },
        "layers": select(LAYERS.format(iri=named)),
        "named_by": {key: value for key, value in _grouped(naming, "s").items() if key in NAMED_BY},
    }


def _grouped(rows: list[dict[str, Any]], column: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(short(row["p"]), []).append(row[column])
    return found


def lines(found: Mapping[str, Any], labels: Mapping[str, str], columns: int | None) -> list[str]:
    """labels: of our terms, by the vocabulary. A room's type and floor are those of the device's room too."""
    told = [(_label(name, labels), _values(name, values)) for name, values in found["facts"].items() if _is_told(name)]
    told += list(found["metrics"].items())
    told.sort(key=lambda one: (FIRST.index(one[0]) if one[0] in FIRST else len(FIRST), one[0]))
    told += [(NAMED_BY[name], _names(values)) for name, values in found["named_by"].items()]
    made = [found["iri"], *pairs(told, columns)]
    if found["layers"]:
        rows = [[word(row[name]) for name in row] for row in found["layers"]]
        heads = ("layer", "kind", "in", "out", "activation", "weights")
        made += ["", many(len(rows), "layer"), *table(heads, rows, columns)]
    return made


def labels(select: Select) -> dict[str, str]:
    """The labels of our own terms, by their short names."""
    rows = select("SELECT ?term ?label { GRAPH graph:vocabulary { ?term a rdf:Property ; rdfs:label ?label } }")
    return {short(row["term"]): row["label"] for row in rows}


def _is_told(name: str) -> bool:
    return name not in UNSAID and not name.startswith(("td:", "hctl:", "wotsec:", "jsonschema:"))


def _label(name: str, labels: Mapping[str, str]) -> str:
    return LABELS.get(name) or labels.get(name) or name.partition(":")[2] or name


def _values(name: str, values: list[Any]) -> str | list[Any]:
    told = [shown(name, value) for value in values]
    if name == "rdf:type":  # what it is in our words, if there are any
        told = [one for one in told if ":" not in one] or told
    return sorted(told) if all(isinstance(one, str) for one in told) else told


def _names(iris: list[str]) -> str:
    """Devices in the order of their names, versions and rounds the newest first."""
    told = sorted(map(short_name, iris), key=_natural, reverse=any(":" in short_name(iri) for iri in iris))
    rest = f" and {len(told) - NAMES:,} more" if len(told) > NAMES else ""
    return ", ".join(told[:NAMES]) + rest


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts room-2 before room-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
