"""The registry as a whole: how it is, exports of all of it, and imports of graphs that others have published."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, BinaryIO, Literal

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pyoxigraph import NamedNode, RdfFormat, Triple, parse
from starlette.types import Receive, Scope, Send

from ..documents.things import BRIEF, OURS
from ..registry import questions
from ..semantics.terms import PREFIXES, imported
from ..sparql.asking import TooMuch
from .examples import A_GRAPH, sends
from .parts import Here, MayWrite, Parts, in_thread, in_turn
from .problems import Problem, busy

EXPORTS = {"turtle": "text/turtle", "trig": "application/trig", "nquads": "application/n-quads"}
IMPORTS = {
    "text/turtle": RdfFormat.TURTLE,
    "application/trig": RdfFormat.TRIG,
    "application/n-quads": RdfFormat.N_QUADS,
    "application/n-triples": RdfFormat.N_TRIPLES,
}
PIECE_BYTES = 1 << 16
NAME = re.compile(r"[a-z0-9-]{1,32}")
Name = Annotated[
    str,
    Query(
        description="a-z, 0-9 and '-'; a graph of that name is replaced.", openapi_examples={"one": {"value": "rooms"}}
    ),
]
router = APIRouter(prefix="/registry", tags=["Registry"])


@router.get("/status", summary="How the registry is")
async def status(parts: Here) -> dict[str, Any]:
    """So many things, questions and readers of events; `changes` counts since the start."""
    registry = parts.registry
    return {
        "site": registry.site,
        "things": await in_thread(parts.things.count),
        "changes": registry.changes,
        "questions": len(questions()),
        "readers": parts.changes.readers,
        "writable": bool(parts.settings.token),
    }


@router.get(
    "/export",
    summary="All that is in the registry",
    response_class=StreamingResponse,
    responses={
        200: {"content": {media: {} for media in EXPORTS.values()}},
        503: {"description": "Others are being answered; `Retry-After` says when to come again"},
        504: {"description": "It took too long, and was ended"},
    },
)
async def export(
    parts: Here,
    format: Annotated[Literal["turtle", "trig", "nquads"], Query(description="Turtle has all graphs in one.")] = "trig",
) -> StreamingResponse:
    """TriG and N-Quads keep the graphs apart."""
    wait_s, place = parts.settings.queries_wait_s, object()
    try:
        parts.exports.acquire_on_behalf_of_nowait(place)
    except anyio.WouldBlock:
        raise busy(f"{parts.exports.total_tokens:g} exports are being read, and no more at once: come again") from None
    try:
        file = await in_turn(parts.queries, wait_s, "queries", lambda: parts.asking.export(format))
    except BaseException as error:
        parts.exports.release_on_behalf_of(place)
        if isinstance(error, TooMuch):
            raise Problem(504, f"The export took too much: {error}") from error
        raise
    return _Export(file, EXPORTS[format], lambda: parts.exports.release_on_behalf_of(place))


@router.post(
    "/import",
    summary="Add a graph of others",
    dependencies=[MayWrite],
    responses={400: {"description": "It cannot be read"}, 401: {"description": "The token is missing or wrong"}},
    openapi_extra=sends(list(IMPORTS), A_GRAPH),
)
async def import_graph(request: Request, parts: Here, name: Name) -> dict[str, Any]:
    """Turtle, TriG, N-Quads or N-Triples; each graph that is in it replaces the one of the same name here.

    What stands in no graph goes into the graph of that name. Graphs of things, and those that the service writes itself, are
    not for imports.
    """
    if not NAME.fullmatch(name):
        raise Problem(400, "The name of an import is 1 to 32 of a-z, 0-9 and '-'")
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in IMPORTS:
        raise Problem(415, f"{', '.join(IMPORTS)} is taken here, not {media or 'what does not say what it is'}")
    body = await request.body()
    counts = await in_thread(lambda: _import(parts, imported(name), body, IMPORTS[media]))
    return {"graphs": counts, "triples": sum(counts.values())}


@router.delete(
    "/import",
    summary="Remove a graph of others",
    status_code=204,
    dependencies=[MayWrite],
    responses={404: {"description": "There is no such import"}},
)
async def remove_import(parts: Here, name: Name) -> None:
    """All of it."""
    if not NAME.fullmatch(name) or not parts.registry.has(imported(name)):
        raise Problem(404, f"There is no import {name[:40]}")
    await in_thread(lambda: parts.registry.remove_graph(imported(name)))
    parts.registry.tell("import_deleted", imported(name).value)


class _Export(StreamingResponse):
    """A file that is there for as long as it is sent; over: is called when it is gone."""

    def __init__(self, file: BinaryIO, media: str, over: Callable[[], None]) -> None:
        size_bytes = os.fstat(file.fileno()).st_size
        super().__init__(_pieces(file), 200, {"Content-Length": f"{size_bytes}"}, media)
        self._file, self._over = file, over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
            self._over()


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _import(parts: Parts, graph: NamedNode, body: bytes, form: RdfFormat) -> dict[str, int]:
    """The graphs that were replaced, and how many triples each has now."""
    graphs: dict[NamedNode, set[Triple]] = {} if form.supports_datasets else {graph: set()}  # also an empty one
    try:
        # Blank nodes are renamed: those of two imports are never the same.
        for quad in parse(body, form, base_iri=f"{graph.value}#", rename_blank_nodes=True):
            named = quad.graph_name if isinstance(quad.graph_name, NamedNode) else graph
            graphs.setdefault(named, set()).add(quad.triple)
    except (SyntaxError, ValueError) as error:
        raise Problem(400, f"The graph cannot be read: {error}") from error
    for named, triples in graphs.items():
        if _is_ours(parts, named.value):
            raise Problem(400, f"The graph {named.value} is not for imports: the registry writes it itself")
        for triple in triples:
            _check(parts, named.value, triple)
    parts.registry.replace_graphs(graphs)
    for named in graphs:
        is_model = named.value.startswith(f"urn:tegu:{parts.registry.site}:model:")
        parts.registry.tell("model_updated" if is_model else "import_updated", named.value)
    return {named.value: len(triples) for named, triples in graphs.items()}


def _is_ours(parts: Parts, graph: str) -> bool:
    """Things, also those that may still announce themselves, and graphs that are written from messages."""
    if graph.startswith("urn:tegu-graph:"):
        return not graph.startswith("urn:tegu-graph:import:")
    if graph.startswith("urn:tegu:"):
        return not _is_of_people(parts, graph)
    return graph.startswith("urn:tegu-") or parts.things.get(graph) is not None


def _is_of_people(parts: Parts, iri: str) -> bool:
    """A room or a model of this site: what stands in its graph people may write."""
    words = iri.split(":")
    return len(words) == 5 and words[2] == parts.registry.site and words[3] in ("room", "model")


def _check(parts: Parts, graph: str, triple: Triple) -> None:
    """Questions read all graphs as one: no import may say facts about what the registry itself speaks of. Problem 400."""
    if triple.predicate in OURS or triple.predicate == BRIEF:
        raise Problem(400, f"{triple.predicate.value} is the registry's own to say")
    subject = triple.subject.value if isinstance(triple.subject, NamedNode) else ""
    about = subject.partition("#")[0]
    ours = about.startswith("urn:tegu:") and not about.startswith(f"urn:tegu:{parts.registry.site}:room:")
    foreign = about != graph and (ours or parts.things.get(about) is not None)
    if foreign and triple.predicate.value.startswith((PREFIXES["tegu"], PREFIXES["prov"], PREFIXES["rdf"])):
        raise Problem(400, f"{subject} is described in a graph of its own, and not in {graph}")
