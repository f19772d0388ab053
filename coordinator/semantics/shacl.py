"""Whether a graph has the shapes that it should (SHACL, W3C 2017): targets, paths and counts, and the results.

Which part of SHACL there is, and what its constraints are, is in shacl_loading.py. Classes are of RDF Schema as far as the graph
itself says so, with no other inference, as SHACL has it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pyoxigraph import BlankNode, Literal, NamedNode, Triple

from .terms import term

Value = NamedNode | BlankNode | Literal | Triple
Said = dict[NamedNode, list[Value]]
Rule = Callable[["Graph", Value], bool]
TYPE, SUBCLASS = term("rdf:type"), term("rdfs:subClassOf")


class Graph:
    """Triples by subject; what is of a class is also of its superclasses, as far as the triples say so."""

    def __init__(self, triples: Iterable[Triple]) -> None:
        self.said: dict[Value, Said] = {}
        for subject, predicate, value in triples:
            self.said.setdefault(subject, {}).setdefault(predicate, []).append(value)
        self._has_subclasses = any(SUBCLASS in said for said in self.said.values())

    def values(self, node: Value, predicate: NamedNode) -> list[Value]:
        return self.said.get(node, {}).get(predicate, [])

    def is_a(self, node: Value, wanted: NamedNode) -> bool:
        if not self._has_subclasses:
            return wanted in self.values(node, TYPE)
        classes = list(self.values(node, TYPE))
        for one in classes:
            if one == wanted:
                return True
            classes += [above for above in self.values(one, SUBCLASS) if above not in classes]
        return False

    def walk(self, node: Value, path: Iterable[NamedNode]) -> list[Value]:
        """What a path leads to, each once."""
        found = [node]
        for predicate in path:
            found = list(dict.fromkeys(value for one in found for value in self.values(one, predicate)))
        return found


class Result(NamedTuple):
    """A violation. path: empty if it is of the focus itself. value: None if it is of how many there are."""

    focus: Value
    path: tuple[NamedNode, ...]
    value: Value | None
    message: str


@dataclass(frozen=True)
class Shape:
    """What a node, or what a path leads to from it, must be like."""

    path: tuple[NamedNode, ...] = ()
    least: int = 0
    most: int | None = None
    rules: tuple[Rule, ...] = ()
    parts: tuple["Shape", ...] = ()
    message: str = ""

    def results(self, graph: Graph, focus: Value) -> Iterator[Result]:
        """The violations at a node."""
        values = graph.walk(focus, self.path)
        if len(values) < self.least:
            yield Result(focus, self.path, None, "is missing")
        if self.most is not None and len(values) > self.most:
            yield Result(focus, self.path, None, f"must be there at most {self.most} times, not {len(values)}")
        for value in values:
            for rule in self.rules:
                if not rule(graph, value):
                    yield Result(focus, self.path, value, f"must be {self.message}")
            for part in self.parts:
                yield from part.results(graph, value)

    def fits(self, graph: Graph, node: Value) -> bool:
        return next(self.results(graph, node), None) is None


class Shapes:
    """Shapes with their targets: classes, and properties whose values are meant. shacl_loading makes them of a file."""

    def __init__(
        self, by_class: Iterable[tuple[NamedNode, Shape]], by_property: Iterable[tuple[NamedNode, Shape]]
    ) -> None:
        self._by_class, self._by_property = list(by_class), list(by_property)

    def results(self, triples: Iterable[Triple]) -> list[Result]:
        """All violations in a graph; [] is one that conforms."""
        graph = Graph(triples)
        found: list[Result] = []
        for wanted, shape in self._by_class:
            for node in graph.said:
                if graph.is_a(node, wanted):
                    found += shape.results(graph, node)
        for predicate, shape in self._by_property:
            targets = dict.fromkeys(value for said in graph.said.values() for value in said.get(predicate, ()))
            for target in targets:
                found += shape.results(graph, target)
        return found
