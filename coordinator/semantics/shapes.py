"""Our shapes (coordinator/shapes.ttl), and where in a document what they find fault with stands."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pyoxigraph import Literal, NamedNode, Triple

from .faults import Fault, dotted, shown
from .shacl import Graph, Result, Value
from .shacl_loading import load
from .terms import PREFIXES, term
from .thing_terms import NAME as NAMED
from .thing_terms import scope

NAME = NamedNode(NAMED)
LONGEST_FIRST = sorted(PREFIXES.items(), key=lambda known: -len(known[1]))
FILE = Path(__file__).parents[1] / "shapes.ttl"
# What is written in a document under another name than it is said by. Facts are named by their document's terms.
NAMES = {term("schema:name"): "title", term("schema:description"): "description"} | {
    NamedNode(found.iri): name
    for inside in ((), ("data",), ("form",), ("link",), ("security",))
    for name, found in scope(*inside).terms.items()
}


class OurShapes:
    """The shapes of a file in Turtle. ValueError: it uses more of SHACL than is known here."""

    def __init__(self, text: bytes) -> None:
        self._shapes = load(text)

    def faults(self, triples: Iterable[Triple]) -> list[Fault]:
        """What is wrong with a thing, a room or a model; [] is nothing."""
        triples = list(triples)
        results = self._shapes.results(triples)
        if not results:
            return []
        graph = Graph(triples)
        return list(dict.fromkeys(Fault(_place(graph, result), _sentence(result)) for result in results))


@cache
def ours() -> OurShapes:
    """Those of this distribution."""
    return OurShapes(FILE.read_bytes())


def _sentence(result: Result) -> str:
    if isinstance(result.value, Literal | NamedNode):
        return f"{result.message}, not {shown(result.value.value)}"
    return result.message


def _place(graph: Graph, result: Result) -> str:
    """The way from the root of a description to what is wrong, as dotted names."""
    above: dict[Value, tuple[Value, NamedNode, list[Value]]] = {
        value: (subject, predicate, values)
        for subject, said in graph.said.items()
        for predicate, values in said.items()
        for value in values
        if not isinstance(value, Literal)
    }
    path: list[str | int] = []
    focus: Value = result.focus
    if (
        result.path and result.value is not None and result.value in above
    ):  # the value is a node: its own place says which of several
        focus = result.value
    path += [_name(predicate) for predicate in result.path] if focus is result.focus else []
    seen = set()
    while focus in above and focus not in seen:
        seen.add(focus)
        subject, predicate, values = above[focus]
        names = [value.value for value in graph.values(focus, NAME) if isinstance(value, Literal)]
        if names:
            path.insert(0, names[0])
        elif len(values) > 1 or predicate == term("td:hasForm"):
            path.insert(0, values.index(focus))
        path.insert(0, _name(predicate))
        focus = subject
    return dotted(path)


def _name(predicate: NamedNode) -> str:
    if predicate not in NAMES:
        for prefix, iri in LONGEST_FIRST:
            if predicate.value.startswith(iri):
                return f"{prefix}:{predicate.value[len(iri) :]}"
    return NAMES.get(predicate, predicate.value)
