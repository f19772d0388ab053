"""Our shapes: what they refuse, and that our evaluator finds what pyshacl finds, an evaluator of all of SHACL."""

import random
from collections.abc import Iterable
from typing import Any

import pyshacl
import pytest
from pyoxigraph import BlankNode, Literal, NamedNode, RdfFormat, Triple, parse
from rdflib import SH, XSD, BNode, Graph, URIRef
from rdflib import Literal as Text

from coordinator.semantics import facts, shapes, things
from coordinator.semantics.shacl_loading import load
from coordinator.semantics.terms import term
from tegu import thing
from tests.example_things import EXAMPLES, device

PREFIXES = """
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix tegu: <urn:tegu-terms:> .
@prefix schema: <https://schema.org/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix nnet: <https://w3id.org/tinyml-schema/neural-network-schema#> .
@prefix ssns: <http://www.w3.org/ns/ssn/systems/> .
@prefix s3nx: <http://tinyml-schema.org/s3n_extend/> .
"""
MODEL = """
<urn:m> a nnet:NeuralNetwork ; schema:name "presence" ; tegu:needsRamBytes 12000 ; tegu:needsTrainingRamBytes 15000 ;
  tegu:needsFlashBytes 50000 ; tegu:needsSensor tegu:Co2Sensor ; nnet:hasMultiplyAccumulateOps 1.2e5 ; tegu:shapeHash 7 ;
  nnet:hasMetric [ a nnet:Metric, nnet:Top_1_accuracy ; nnet:hasMetricValue 91.4 ],
    [ a nnet:Metric, tegu:metric-loss ; nnet:hasMetricValue 250.5 ] .
<urn:r> a tegu:Room ; schema:name "Lab" ; tegu:roomType "office" ; tegu:floor "2" ; tegu:building "b1" .
"""
ODD = [  # values that take the place of others
    Literal(-4),
    Literal(0),
    Literal(101),
    Literal(2**40),
    Literal(0.5),
    Literal("12k"),
    Literal("12k", datatype=term("xsd:integer")),
    Literal(""),
    Literal("x" * 300),
    Literal("wifi"),
    Literal("wifi", language="en"),
    Literal("mains"),
    Literal(True),
    NamedNode("urn:tegu:home:room:x"),
    NamedNode("urn:x"),
    term("unit:BYTE"),
    term("om:kilobyte"),
    term("s3nx:RAM"),
    term("sosa:Sensor"),
    term("nnet:Top_1_accuracy"),
    term("tegu:Device"),
    BlankNode("odd"),
]
Found = set[tuple[str, tuple[str, ...]]]  # focus, path


def read(text: str) -> list[Triple]:
    return [quad.triple for quad in parse((PREFIXES + text).encode(), RdfFormat.TURTLE)]


def ours(text: bytes, triples: Iterable[Triple]) -> Found:
    return {
        (str(result.focus), tuple(f"<{name.value}>" for name in result.path)) for result in load(text).results(triples)
    }


def theirs(text: bytes, triples: Iterable[Triple]) -> Found:
    """pyshacl's results: no inference, no extensions."""
    graph = Graph()
    for triple in triples:
        graph.add((_node(triple.subject), _node(triple.predicate), _node(triple.object)))
    wanted = Graph().parse(data=text, format="turtle")
    conforms, report, _ = pyshacl.validate(graph, shacl_graph=wanted, inference="none", advanced=False)
    found = set()
    assert isinstance(report, Graph)
    for result in report.objects(None, SH.result):  # and not what is below them, sh:detail
        focus, path = report.value(result, SH.focusNode), report.value(result, SH.resultPath)
        assert focus is not None
        steps = [] if path is None else [path] if isinstance(path, URIRef) else list(report.items(path))
        found.add((focus.n3(), tuple(step.n3() for step in steps)))
    assert conforms == (not found)
    return found


def _node(value: Any) -> Any:
    if isinstance(value, NamedNode):
        return URIRef(value.value)
    if isinstance(value, BlankNode):
        return BNode(value.value)
    if value.language:
        return Text(value.value, lang=value.language)
    plain = value.datatype.value == str(XSD.string)
    return Text(value.value) if plain else Text(value.value, datatype=URIRef(value.datatype.value))


def of_device() -> list[Triple]:
    """A device's triples with only what shapes look at, and some of what they do not: pyshacl is slow."""
    return [triple for triple in things.triples(device()) if "wot" not in triple.predicate.value]


def mutated(triples: list[Triple], chance: random.Random) -> list[Triple]:
    """Some statements left out, repeated with another value, or with one in their value's place."""
    found = list(triples)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(found))
        other = Triple(found[at].subject, found[at].predicate, chance.choice(ODD))
        match chance.randrange(3):
            case 0:
                del found[at]
            case 1:
                found[at] = other
            case _:
                found.append(other)
    return found


# --- against an independent evaluator ---


@pytest.mark.parametrize("name", ["device", "model", *EXAMPLES])
def test_what_is_valid_is_so_for_pyshacl_too(name: str) -> None:
    triples = of_device() if name == "device" else read(MODEL) if name == "model" else things.triples(EXAMPLES[name])
    text = shapes.FILE.read_bytes()
    assert ours(text, triples) == theirs(text, triples) == set()


@pytest.mark.parametrize("seed", range(60))
def test_mutations_are_judged_as_pyshacl_judges_them(seed: int) -> None:
    chance = random.Random(seed)
    triples = mutated(of_device() if seed % 2 else read(MODEL), chance)
    text = shapes.FILE.read_bytes()
    assert ours(text, triples) == theirs(text, triples)


def test_most_of_these_mutations_are_violations() -> None:
    text = shapes.FILE.read_bytes()
    found = [ours(text, mutated(of_device() if seed % 2 else read(MODEL), random.Random(seed))) for seed in range(60)]
    assert sum(map(bool, found)) >= 20


def test_classes_below_a_class_are_of_it_as_far_as_the_graph_says() -> None:
    text = shapes.FILE.read_bytes()
    triples = read(
        "<urn:d> a <urn:C> . <urn:C> rdfs:subClassOf <urn:B> . <urn:B> rdfs:subClassOf tegu:Device, <urn:C> ."
    )
    expected = {("<urn:d>", ("<https://schema.org/name>",))}
    assert ours(text, triples) == theirs(text, triples) == expected


SMALL = [  # a shape of X, a graph, whether it conforms
    ("sh:property [ sh:path ( tegu:a tegu:b ) ; sh:minCount 2 ]", "<urn:x> tegu:a [ tegu:b 1 ], [ tegu:b 2 ] .", True),
    ("sh:property [ sh:path ( tegu:a tegu:b ) ; sh:minCount 2 ]", "<urn:x> tegu:a [ tegu:b 1 ], [ tegu:b 1 ] .", False),
    ("sh:property [ sh:path tegu:a ; sh:in ( 1 2 ) ; sh:message 'x' ]", "<urn:x> tegu:a 1 , 2 .", True),
    ("sh:property [ sh:path tegu:a ; sh:in ( 1 2 ) ; sh:message 'x' ]", "<urn:x> tegu:a 1.0 .", False),
    ("sh:property [ sh:path tegu:a ; sh:maxInclusive 2 ; sh:message 'x' ]", "<urn:x> tegu:a 2.0, 1e0 .", True),
    ("sh:property [ sh:path tegu:a ; sh:maxInclusive 2 ; sh:message 'x' ]", "<urn:x> tegu:a '1' .", False),
    ("sh:property [ sh:path tegu:a ; sh:pattern 'b+' ; sh:message 'x' ]", "<urn:x> tegu:a 'abba', <urn:b> .", True),
    ("sh:property [ sh:path tegu:a ; sh:pattern '^b' ; sh:message 'x' ]", "<urn:x> tegu:a [] .", False),
    ("sh:property [ sh:path tegu:a ; sh:datatype xsd:boolean ; sh:message 'x' ]", "<urn:x> tegu:a true .", True),
    (
        "sh:property [ sh:path tegu:a ; sh:datatype xsd:boolean ; sh:message 'x' ]",
        "<urn:x> tegu:a 'x'^^xsd:boolean .",
        False,
    ),
    ("sh:property [ sh:path tegu:a ; sh:minLength 2 ; sh:message 'x' ]", "<urn:x> tegu:a '1' .", False),
    ("sh:property [ sh:path tegu:a ; sh:property [ sh:path tegu:b ; sh:minCount 1 ] ]", "<urn:x> tegu:a [] .", False),
    ("sh:not [ sh:class tegu:Y ] ; sh:message 'x'", "<urn:x> a tegu:Y .", False),
    ("sh:nodeKind sh:IRI ; sh:message 'x'", "[] a tegu:X .", False),
]


@pytest.mark.parametrize(("shape", "graph", "conforms"), SMALL)
def test_each_constraint_is_judged_as_worked_by_hand_and_by_pyshacl(shape: str, graph: str, conforms: bool) -> None:
    text = (PREFIXES + f"tegu:S a sh:NodeShape ; sh:targetClass tegu:X ; {shape} .").encode()
    triples = read("<urn:x> a tegu:X . " + graph)
    found = ours(text, triples)
    assert (not found) == conforms
    assert found == theirs(text, triples)


# --- loading ---


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("sh:targetClass tegu:X ; sh:closed true", "uses <http://www.w3.org/ns/shacl#closed>, which is not known here"),
        ("sh:targetNode tegu:X ; sh:nodeKind sh:IRI", "no target leads to the shape"),
        ("sh:targetClass tegu:X ; sh:property [ sh:path [ sh:inversePath tegu:a ] ; sh:minCount 1 ]", "is no list"),
        ("sh:targetClass tegu:X ; sh:nodeKind sh:Literal ; sh:message 'x'", "the node kind"),
        ("sh:targetClass tegu:X ; sh:datatype xsd:gYear ; sh:message 'x'", "the datatype"),
        ("sh:targetClass tegu:X ; sh:nodeKind sh:IRI", "has no sh:message"),
        ("sh:targetClass tegu:X ; sh:node tegu:S ; sh:message 'x'", "is within itself"),
        ("sh:targetClass tegu:X ; sh:minCount 1, 2", "has more than one sh:minCount"),
        ("sh:targetClass tegu:X ; sh:maxCount 1.5", "must be a whole number"),
        ("sh:targetClass tegu:X ; sh:minInclusive 'x' ; sh:message 'x'", "must be a number"),
        ("sh:targetClass tegu:X ; sh:deactivated true", "which is not known here"),
    ],
)
def test_a_file_that_uses_what_is_not_known_is_refused(shape: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        load((PREFIXES + f"tegu:S a sh:NodeShape ; {shape} .").encode())


# --- in our words ---


def test_a_model_that_needs_less_than_nothing_is_told_so() -> None:
    found = shapes.ours().faults(read(MODEL.replace("12000", "-1").replace("91.4", "104")))
    assert {str(fault) for fault in found} == {
        "tegu:needsRamBytes: must be a whole number of bytes of at least 0, not '-1'",
        "nnet:hasMetric.0: must be a metric with one nnet:hasMetricValue, a number, and 0 to 100 if it is an accuracy in percent",
    }


def test_words_and_units_are_those_that_the_program_knows() -> None:
    known = {str(getattr(triple.object, "value", "")) for triple in _file() if triple.predicate == term("rdf:first")}
    assert known >= set(things.RADIOS) | set(thing.ENERGY_SOURCES) | facts.BYTES.keys()


def _file() -> list[Triple]:
    return [quad.triple for quad in parse(shapes.FILE.read_bytes(), RdfFormat.TURTLE)]
