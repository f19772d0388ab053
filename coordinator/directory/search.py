"""The Search API: SPARQL 1.1 over everything in the registry (W3C WoT Discovery, section 7.3.2.3; SPARQL 1.1 Protocol, section 2.1).

Queries of anybody are answered by another process, from a snapshot, with limits (coordinator.sparql). Our prefixes are known.
"""

from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response

from ..sparql.asking import Answer, Refused, TooMuch
from .examples import A_QUERY
from .negotiation import best, maybe
from .parts import Here, Parts, in_turn
from .problems import Problem

ROWS = {
    "application/json": "json",
    "application/sparql-results+json": "json",
    "application/sparql-results+xml": "xml",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
}
GRAPHS = {"application/ld+json": "jsonld", "text/turtle": "turtle", "application/n-triples": "ntriples"}
QUERY, FORM = "application/sparql-query", "application/x-www-form-urlencoded"
WHAT = "SELECT, ASK, CONSTRUCT and DESCRIBE are answered here"
SEARCH: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Rows, or a graph; the header `Tegu-Cut` says if these are not all",
            "content": {media: {} for media in (*ROWS, *GRAPHS)},
        },
        400: {"description": "It is no query that is answered here"},
        503: {"description": "Others are being answered; `Retry-After` says when to come again"},
        504: {"description": "It took more time than a query may have, and was ended"},
        507: {"description": "It took more memory than a query may have, and was ended"},
    },
}
Graphs = Annotated[list[str] | None, Query(description="Graphs of the registry to ask, instead of all.")]
router = APIRouter(prefix="/search", tags=["Search"])


@router.get("/sparql", summary="Ask anything, in SPARQL", operation_id="search_sparql", **SEARCH)
async def get(
    request: Request,
    parts: Here,
    query: Annotated[
        str, Query(description=f"SPARQL 1.1: {WHAT}.", openapi_examples={"memory": {"value": A_QUERY}})
    ] = "",
    default_graph_uri: Annotated[
        list[str] | None, Query(alias="default-graph-uri", description="Graphs to ask, instead of all.")
    ] = None,
    named_graph_uri: Annotated[
        list[str] | None, Query(alias="named-graph-uri", description="Graphs for GRAPH.")
    ] = None,
) -> Response:
    """All graphs together are asked, and our prefixes (`tegu:`, `td:`, `sosa:`, `nnet:`, `schema:`, `prov:`, ...) need not be declared.

    Rows come as JSON, XML, CSV or TSV, graphs as JSON-LD, Turtle or N-Triples, by `Accept`. Nothing is fetched: SERVICE is refused.
    """
    return await _answered(request, parts, query, default_graph_uri or [], named_graph_uri or [])


@router.post(
    "/sparql",
    summary="Ask anything, in SPARQL, at any length",
    operation_id="search_sparql_by_post",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                QUERY: {"schema": {"type": "string"}, "example": A_QUERY},
                FORM: {"schema": {"type": "object", "properties": {"query": {"type": "string"}}}},
            },
        }
    },
    **SEARCH,
)
async def post(request: Request, parts: Here) -> Response:
    """The query is the body, or the field `query` of a form."""
    media = request.headers.get("content-type", QUERY).partition(";")[0].strip().lower()
    if media == "application/sparql-update":
        raise Problem(400, f"Only {WHAT}: nothing is changed by SPARQL")
    if media not in (QUERY, FORM):
        raise Problem(415, f"A query comes as {QUERY} or {FORM}, not as {media}")
    try:
        body = (await request.body()).decode()
    except UnicodeDecodeError:
        raise Problem(400, "The query is not in UTF-8") from None
    fields = {**parse_qs(request.url.query), **(parse_qs(body) if media == FORM else {"query": [body]})}
    query = fields.get("query", [""])
    if len(query) > 1:
        raise Problem(400, "One query at a time")
    return await _answered(
        request, parts, query[0], fields.get("default-graph-uri", []), fields.get("named-graph-uri", [])
    )


async def _answered(request: Request, parts: Parts, query: str, default: list[str], named: list[str]) -> Response:
    if not query.strip():
        raise Problem(400, f"There is no query; {WHAT}")
    if len(query.encode()) > parts.settings.most_query_bytes:
        raise Problem(413, f"A query has at most {parts.settings.most_query_bytes} bytes")
    accept = request.headers.get("accept", "")
    rows, graph = maybe(accept, list(ROWS)), maybe(accept, list(GRAPHS))
    if not rows and not graph:
        best(accept, [*ROWS, *GRAPHS])
    forms = ROWS.get(rows, "json"), GRAPHS.get(graph, "jsonld")
    try:
        found = await in_turn(
            parts.queries,
            parts.settings.queries_wait_s,
            "queries",
            lambda: parts.asking.ask(query, *forms, default, named),
        )
    except Refused as error:
        raise Problem(400, f"The query is not answered: {error}. {WHAT}") from error
    except TooMuch as error:
        raise Problem(504 if "after" in str(error) else 507, f"The query took too much: {error}") from error
    return _sent(found, rows, graph)


def _sent(found: Answer, rows: str, graph: str) -> Response:
    media = rows if found.kind == "rows" else graph
    if not media:
        raise Problem(
            406, f"The answer is {found.kind}, and comes in {', '.join(ROWS if found.kind == 'rows' else GRAPHS)}"
        )
    headers = {"Vary": "Accept"} | ({"Tegu-Cut": found.cut} if found.cut else {})
    return Response(found.body, 200, headers, media)
