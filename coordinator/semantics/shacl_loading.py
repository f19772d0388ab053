"""Shapes from a file in Turtle: the part of SHACL Core (W3C, 2017) that our shapes use, and no other.

    targets      sh:targetClass, sh:targetObjectsOf
    paths        a property, or a sequence of properties
    constraints  sh:minCount, sh:maxCount, sh:datatype, sh:class, sh:nodeKind (sh:IRI), sh:in, sh:pattern, sh:minLength,
                 sh:maxLength, sh:minInclusive, sh:maxInclusive, sh:or, sh:not, sh:node, sh:property

A file that uses anything else is refused when it is loaded: a constraint that is not understood must not count as fulfilled.
A shape whose violations are told, and that has more than counts, has a sh:message, which says after `must be` what is wanted.
"""

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from pyoxigraph import Literal, NamedNode, RdfFormat, parse

from .shacl import TYPE, Graph, Rule, Shape, Shapes, Value
from .terms import term

FIRST, REST, NIL = term("rdf:first"), term("rdf:rest"), term("rdf:nil")
LEXICAL = {  # the datatypes that shapes may ask for, and how their values are written
    term("xsd:string"): re.compile(r".*", re.DOTALL),
    term("xsd:integer"): re.compile(r"[+-]?[0-9]+"),
    term("xsd:boolean"): re.compile(r"true|false|0|1"),
}
NUMBERS = frozenset(term("xsd:" + name) for name in ("integer", "decimal", "double", "float"))


def load(text: bytes) -> Shapes:
    """The shapes of a file. ValueError: it uses what is not known here, or a part of it is for nothing."""
    loader = _Loader(Graph(quad.triple for quad in parse(text, RdfFormat.TURTLE)))
    return Shapes(loader.by_class, loader.by_property)


class _Loader:
    """From triples about shapes to shapes."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._inner = 0  # within so many shapes that only ask whether something fits
        self._open: list[Value] = []  # shapes that are being read: none may be within itself
        self._read: set[Value] = set()
        self.by_class: list[tuple[NamedNode, Shape]] = []
        self.by_property: list[tuple[NamedNode, Shape]] = []
        for node, said in graph.said.items():
            for target in said.get(term("sh:targetClass"), ()):
                self.by_class.append((_iri(target), self._shape(node)))
            for target in said.get(term("sh:targetObjectsOf"), ()):
                self.by_property.append((_iri(target), self._shape(node)))
        unused = [node for node in graph.said if node not in self._read and FIRST not in graph.said[node]]
        if unused:
            raise ValueError(f"no target leads to the shape {unused[0]}")

    def _shape(self, node: Value) -> Shape:
        if node in self._open:
            raise ValueError(f"the shape {node} is within itself")
        self._open.append(node)
        self._read.add(node)
        said = self._graph.said.get(node, {})
        rules: list[Rule] = []
        least, most, message = 0, None, ""
        for predicate, values in said.items():
            name = predicate.value.removeprefix(term("sh:").value)
            if name in ("minCount", "maxCount", "path", "message") and len(values) != 1:
                raise ValueError(f"the shape {node} has more than one sh:{name}")
            if name == "minCount":
                least = _whole(values[0])
            elif name == "maxCount":
                most = _whole(values[0])
            elif name == "message":
                message = str(getattr(values[0], "value", ""))
            elif name in _RULES:
                rules += [_RULES[name](self, value) for value in values]
            elif name not in ("path", "property", "targetClass", "targetObjectsOf") and predicate != TYPE:
                raise ValueError(f"the shape {node} uses {predicate}, which is not known here")
        parts = tuple(self._shape(part) for part in said.get(term("sh:property"), ()))
        self._open.pop()
        if rules and not message and not self._inner:
            raise ValueError(f"the shape {node} has no sh:message")
        path = self._path(said[term("sh:path")][0]) if term("sh:path") in said else ()
        return Shape(path, least, most, tuple(rules), parts, message)

    def _path(self, node: Value) -> tuple[NamedNode, ...]:
        return (node,) if isinstance(node, NamedNode) else tuple(map(_iri, self._list(node)))

    def _list(self, node: Value) -> list[Value]:
        found = []
        while node != NIL:
            said = self._graph.said.get(node, {})
            if FIRST not in said or REST not in said:
                raise ValueError(f"{node} is no list")
            found.append(said[FIRST][0])
            node = said[REST][0]
        return found

    # --- each makes a rule of a constraint's value ---

    def datatype(self, value: Value) -> Rule:
        wanted = _iri(value)
        if wanted not in LEXICAL:
            raise ValueError(f"the datatype {wanted} is not known here")
        return lambda _, one: (
            isinstance(one, Literal) and one.datatype == wanted and bool(LEXICAL[wanted].fullmatch(one.value))
        )

    def in_class(self, value: Value) -> Rule:
        wanted = _iri(value)
        return lambda graph, one: graph.is_a(one, wanted)

    def kind(self, value: Value) -> Rule:
        if value != term("sh:IRI"):
            raise ValueError(f"the node kind {value} is not known here")
        return lambda _, one: isinstance(one, NamedNode)

    def among(self, value: Value) -> Rule:
        allowed = frozenset(self._list(value))
        return lambda _, one: one in allowed

    def pattern(self, value: Value) -> Rule:
        wanted = re.compile(str(getattr(value, "value", "")))
        return lambda _, one: (text := _text(one)) is not None and bool(wanted.search(text))

    def shortest(self, value: Value) -> Rule:
        letters = _whole(value)
        return lambda _, one: (text := _text(one)) is not None and len(text) >= letters

    def longest(self, value: Value) -> Rule:
        letters = _whole(value)
        return lambda _, one: (text := _text(one)) is not None and len(text) <= letters

    def lowest(self, value: Value) -> Rule:
        limit = _limit(value)
        return lambda _, one: (number := _number(one)) is not None and number >= limit

    def highest(self, value: Value) -> Rule:
        limit = _limit(value)
        return lambda _, one: (number := _number(one)) is not None and number <= limit

    def any_of(self, value: Value) -> Rule:
        shapes = [self._asked(one) for one in self._list(value)]
        return lambda graph, one: any(shape.fits(graph, one) for shape in shapes)

    def none_of(self, value: Value) -> Rule:
        shape = self._asked(value)
        return lambda graph, one: not shape.fits(graph, one)

    def all_of(self, value: Value) -> Rule:
        return self._asked(value).fits

    def _asked(self, node: Value) -> Shape:
        self._inner += 1
        shape = self._shape(node)
        self._inner -= 1
        return shape


_RULES: dict[str, Callable[[_Loader, Value], Rule]] = {
    "datatype": _Loader.datatype,
    "class": _Loader.in_class,
    "nodeKind": _Loader.kind,
    "in": _Loader.among,
    "pattern": _Loader.pattern,
    "minLength": _Loader.shortest,
    "maxLength": _Loader.longest,
    "minInclusive": _Loader.lowest,
    "maxInclusive": _Loader.highest,
    "or": _Loader.any_of,
    "not": _Loader.none_of,
    "node": _Loader.all_of,
}


def _iri(node: Value) -> NamedNode:
    if not isinstance(node, NamedNode):
        raise ValueError(f"{node} must be an IRI")
    return node


def _whole(node: Value) -> int:
    number = _number(node)
    if number is None or number != int(number):
        raise ValueError(f"{node} must be a whole number")
    return int(number)


def _limit(node: Value) -> Decimal:
    number = _number(node)
    if number is None:
        raise ValueError(f"{node} must be a number")
    return number


def _text(node: Value) -> str | None:
    """The text of an IRI or a literal."""
    return node.value if isinstance(node, NamedNode | Literal) else None


def _number(node: Value) -> Decimal | None:
    """A literal's number, None if it is none or not finite."""
    if not isinstance(node, Literal) or node.datatype not in NUMBERS:
        return None
    try:
        number = Decimal(node.value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
