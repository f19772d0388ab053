"""Which IRI people mean: `office-12` is a device, `presence` a model, `presence:3` its version, `b1-2-07` a room.

A name fits an IRI that ends with it, behind a colon, a slash or a hash, so imported things have short names too; a title is
a name as well. What
somebody knows of the kind (a device is wanted, a model is wanted) decides between a device and a model of one name.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pyoxigraph import Literal, NamedNode

from ..semantics.terms import term
from .answers import IRI

CLASSES = {
    "device": "tegu:Device",
    "model": "nnet:NeuralNetwork",
    "room": "tegu:Room",
    "version": "tegu:Version",
    "round": "tegu:Round",
    "deployment": "tegu:Deployment",
}
SHOWN = 10
Select = Callable[[str], list[dict[str, Any]]]


def resolve(select: Select, name: str, kinds: Sequence[str] = tuple(CLASSES)) -> str:
    """The IRI of the one thing of these kinds with a name. ValueError: there is none, or more than one, and which."""
    if IRI.fullmatch(name) and _known(select, name):
        return name
    found = _ending(select, name, kinds)
    if not found:
        raise ValueError(f"no {_either(kinds)} {name!r} is in the registry; `tegu registry find` searches")
    if len(found) > 1:
        told = ", ".join(sorted(found)[:SHOWN])
        raise ValueError(f"{name!r} may be {told}: say the whole of one")
    return found[0]


def _known(select: Select, iri: str) -> bool:
    """Whether anything is said of it, or with it. ValueError: it is no IRI."""
    named = NamedNode(iri)
    return bool(select(f"SELECT ?known {{ {{ {named} ?known ?o }} UNION {{ ?s ?known {named} }} }} LIMIT 1"))


def _ending(select: Select, name: str, kinds: Sequence[str]) -> list[str]:
    """IRIs of these kinds that end with the name; an exact id before one that only ends so."""
    classes = ", ".join(CLASSES[kind] for kind in kinds)
    ends = " || ".join(
        f"STRENDS(STR(?iri), {Literal(mark + word)})" for mark in ":/#" for word in {name, name.replace("/", ":")}
    )
    titled = f"UNION {{ ?iri schema:name {Literal(name)} ; a ?class FILTER(?class IN ({classes})) }}"
    rooms = "UNION { ?device tegu:room ?iri }" if "room" in kinds else ""
    rows = select(
        f"""SELECT DISTINCT ?iri ?class {{
            {{ {{ ?iri a ?class FILTER(?class IN ({classes})) }} {rooms} FILTER({ends}) }} {titled} }}"""
    )
    by_kind = [{row["iri"] for row in rows if row.get("class") == _class(kind)} for kind in kinds]
    by_kind.append({row["iri"] for row in rows if not row.get("class")})
    return list(next((found for found in by_kind if found), ()))


def _class(kind: str) -> str:
    return term(CLASSES[kind]).value


def _either(kinds: Sequence[str]) -> str:
    return f"{', '.join(kinds[:-1])} or {kinds[-1]}" if len(kinds) > 1 else kinds[0]
