"""What the authors' descriptions say of one another: references, the order of layers, and texts against numbers.

Repaired is what has one meaning: the security of a thing, the index of a layer. All else is reported and left as it is.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pyoxigraph import BlankNode, Literal, NamedNode, Triple

from ..terms import PREFIXES, short, term
from .defects import Defects, Stated
from .salvage import AUTHORS

VOCABULARIES = tuple(PREFIXES[name] for name in ("nnet", "sosax", "ssnx", "s3nx", "s3n", "ssns"))
TYPE, NAME, INDEX = term("rdf:type"), term("schema:name"), term("nnet:hasIndex")
SECURITY, SCHEMES = term("td:hasSecurityConfiguration"), term("td:definesSecurityScheme")
CLASSES = frozenset([term("owl:Class"), term("rdfs:Class")])
WINDOW = re.compile(r"window of length (\d+) on (\d+)d\b")
CLASS = re.compile(r"(?<!\w)(\d+):")

Subject = NamedNode | BlankNode


class Graph:
    """Statements by subject and predicate."""

    def __init__(self, stated: Iterable[Stated]) -> None:
        self.by: dict[Subject, dict[NamedNode, list[Stated]]] = defaultdict(lambda: defaultdict(list))
        for one in stated:
            if isinstance(one.triple.subject, NamedNode | BlankNode):
                self.by[one.triple.subject][one.triple.predicate].append(one)

    def about(self, subject: object, predicate: str | NamedNode) -> list[Stated]:
        """The statements that a subject has this predicate."""
        wanted = term(predicate) if isinstance(predicate, str) else predicate
        known = self.by.get(subject) if isinstance(subject, NamedNode | BlankNode) else None
        return known.get(wanted, []) if known else []

    def values(self, subjects: object, *path: str) -> list[Stated]:
        """The statements at the end of a path of predicates from a subject."""
        found: list[Stated] = []
        ends = [subjects]
        for predicate in path:
            found = [one for end in ends for one in self.about(end, predicate)]
            ends = [one.triple.object for one in found]
        return found

    def kinds(self, subject: object) -> list[NamedNode]:
        """Its types."""
        return [one.triple.object for one in self.about(subject, TYPE) if isinstance(one.triple.object, NamedNode)]

    def of_kind(self, kind: str) -> list[Subject]:
        """Who has a type, in the order of the files."""
        wanted = term(kind)
        return [subject for subject in self.by if wanted in self.kinds(subject)]

    def name(self, subject: object) -> str:
        """For people: its schema:name or td:title, else its IRI."""
        told = [*self.about(subject, NAME), *self.about(subject, "td:title")]
        return str(getattr(told[0].triple.object if told else subject, "value", subject))


def join(stated: list[Stated], defects: Defects) -> list[Stated]:
    """The same statements with references and indices as they are meant."""
    graph = Graph(stated)
    better = {**_security(graph, defects), **_order(graph, defects)}
    joined = [better.get(id(one), one) for one in stated]
    graph = Graph(joined)
    _undefined(joined, graph, defects)
    _individuals(joined, graph, defects)
    for model in graph.of_kind("nnet:NeuralNetwork"):
        _texts(model, graph, defects)
    return joined


def _security(graph: Graph, defects: Defects) -> dict[int, Stated]:
    """A thing whose security names no scheme that there is, but which defines one, has that one."""
    better = {}
    for subject in graph.by:
        schemes = graph.about(subject, SCHEMES)
        for one in graph.about(subject, SECURITY):
            if len(schemes) == 1 and one.triple.object not in graph.by:
                sentence = "The security of a thing names a scheme that is nowhere; the one that it defines is taken"
                defects.note(sentence, one, short(getattr(one.triple.object, "value", "")))
                better[id(one)] = replace(one, triple=Triple(subject, SECURITY, schemes[0].triple.object))
    return better


def _order(graph: Graph, defects: Defects) -> dict[int, Stated]:
    """Middle layers counted from 1, as the input layer is, while the output layer has the number of all layers: from 2."""
    better = {}
    for model in graph.of_kind("nnet:NeuralNetwork"):
        first, last = (graph.values(model, f"nnet:{name}", "nnet:hasIndex") for name in ("inputLayer", "outputLayer"))
        middle = graph.values(model, "nnet:middleLayer", "nnet:hasIndex")
        numbers = sorted(map(_number, middle))
        ends = [*map(_number, first), *map(_number, last)]
        if numbers != list(range(1, len(middle) + 1)) or ends != [1, len(middle) + 2]:
            continue
        for one in middle:
            defects.note("A middle layer is counted from 1 like the input layer; it is counted from 2", one)
            number = Literal(str(_number(one) + 1), datatype=term("xsd:integer"))
            better[id(one)] = replace(one, triple=Triple(one.triple.subject, INDEX, number))
    return better


def _undefined(stated: list[Stated], graph: Graph, defects: Defects) -> None:
    """References to what is not in these files, and terms of their vocabularies that these do not define."""
    defined = {part for part in VOCABULARIES for subject in graph.by if _in(subject, part)}
    for one in stated:
        for part in (one.triple.predicate, one.triple.object):
            if not isinstance(part, NamedNode) or part in graph.by or part.value in VOCABULARIES:
                continue
            if any(part.value.startswith(space) for space in VOCABULARIES):
                if any(part.value.startswith(space) for space in defined):
                    defects.note(
                        "A term is used that its vocabulary here does not define; it is kept", one, short(part.value)
                    )
            elif part.value.startswith(AUTHORS):
                defects.note("A reference leads to nothing that is described; it is kept", one, f"<{part.value}>")


def _in(subject: Subject, space: str) -> bool:
    return isinstance(subject, NamedNode) and subject.value.startswith(space)


def _individuals(stated: list[Stated], graph: Graph, defects: Defects) -> None:
    for one in stated:
        kind = one.triple.object
        if one.triple.predicate == TYPE and isinstance(kind, NamedNode):
            types = set(graph.kinds(kind))
            if types and not types & CLASSES:
                defects.note(
                    "An individual is used as a class; it is kept, as questions read it", one, short(kind.value)
                )


def _texts(model: Subject, graph: Graph, defects: Defects) -> None:
    """What the texts about a model's input and output say against its shapes. What they do not say is not judged."""
    for one, told, size in (*_windows(model, graph), *_answers(model, graph)):
        if told != size:
            example = f"{graph.name(model)} says {told} and its shape {size}"
            defects.note("A text says another number of values than the shape does; both are kept", one, example)


def _windows(model: Subject, graph: Graph) -> Iterator[tuple[Stated, int, int]]:
    sizes = [_size(one) for one in graph.values(model, "nnet:inputLayer", "nnet:shapeIn")]
    for one in graph.values(model, "ssn:hasInput", "nnet:hasInputInfo"):
        window = WINDOW.search(_value(one))
        if window and sizes and "PCA" not in _value(one):
            yield one, int(window[1]) * int(window[2]), sizes[0]


def _answers(model: Subject, graph: Graph) -> Iterator[tuple[Stated, int, int]]:
    sizes = [_size(one) for one in graph.values(model, "nnet:outputLayer", "nnet:shapeOut")]
    for one in graph.values(model, "ssn:hasOutput", "nnet:hasOutputInfo"):
        answers = CLASS.findall(_value(one))
        if answers and sizes:
            yield one, len(answers), sizes[0]


def _value(one: Stated) -> str:
    return str(getattr(one.triple.object, "value", ""))


def _number(one: Stated) -> int:
    return int(_value(one)) if _value(one).isdigit() else -1


def _size(one: Stated) -> int:
    return math.prod(map(int, re.findall(r"\d+", _value(one))))
