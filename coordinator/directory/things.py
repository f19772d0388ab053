"""The Things API: create, retrieve, update, patch and delete one thing (W3C WoT Discovery, section 7.3.2.1)."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Path, Request, Response
from pyoxigraph import NamedNode, RdfFormat, serialize

from ..documents.entries import iri_of
from ..documents.things import BRIEF, HIDDEN, Entry, Fault, Json
from ..sparql.results import used
from .examples import A_PATCH, A_THING, sends
from .negotiation import best
from .parts import Here, MayWrite, Parts, in_thread, json_body
from .problems import Problem

T = TypeVar("T")
TD_MEDIA = ("application/td+json", "application/ld+json", "application/json")
RDF_MEDIA = {"text/turtle": RdfFormat.TURTLE, "application/n-triples": RdfFormat.N_TRIPLES}
TAKEN = ("application/td+json", "application/ld+json", "application/json")
RDF_TAG = re.compile(r'\+rdf(-brief)?"$')  # its end
MERGE_PATCH = ("application/merge-patch+json",)
Id = Annotated[
    str,
    Path(description="The thing's id, percent-encoded.", openapi_examples={"one": {"value": A_THING["id"]}}),
]
IfMatch = Annotated[str, Header(description="Only if the thing's ETag is (one of) this; `*`: only if it is there.")]
IfNoneMatch = Annotated[str, Header(description="Not if the thing's ETag is this; `*`: only if it is not there.")]
WRONG: dict[int | str, dict[str, Any]] = {
    400: {"description": "What was sent is not valid; `validationErrors` says what, and where"},
    401: {"description": "The token is missing or wrong"},
    403: {"description": "The service has no token: it is for reading"},
    412: {"description": "If-Match or If-None-Match does not hold"},
}
THERE_IS_NONE: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such thing"}}
router = APIRouter(prefix="/things", tags=["Things"])


@router.post(
    "",
    summary="Register a thing that has no id",
    status_code=201,
    dependencies=[MayWrite],
    response_class=Response,
    responses=WRONG | {201: {"description": "`Location` is where it is; its id is a random UUID"}},
    openapi_extra=sends(TAKEN, {name: value for name, value in A_THING.items() if name != "id"}),
)
async def create(request: Request, parts: Here) -> Response:
    """One with an id of its own is PUT."""
    document = await json_body(request, TAKEN)
    if "id" in document:
        raise Problem(400, "A thing that has an id is PUT to /things/{id}", [Fault("id", "must not be there")])
    kept, _ = await in_thread(lambda: parts.things.put(document))
    return Response(status_code=201, headers={"Location": f"/things/{kept.id}", "ETag": f'"{kept.etag}"'})


@router.get(
    "/{id:path}",
    summary="Retrieve a thing",
    response_class=Response,
    responses=THERE_IS_NONE
    | {
        200: {"content": {media: {} for media in (*TD_MEDIA, *RDF_MEDIA)}},
        304: {"description": "It is the one you have"},
    },
)
async def retrieve(request: Request, parts: Here, id: Id, if_none_match: IfNoneMatch = "") -> Response:
    """With `registration`: when it was created and modified here, and when it expires. As Turtle or N-Triples by `Accept`."""
    media = best(request.headers.get("accept", ""), (*TD_MEDIA, *RDF_MEDIA))
    entry = await in_thread(lambda: parts.things.get(id))
    if entry is None:
        raise _none(id)
    tag = _tag(parts, entry, media)
    headers = {"ETag": tag, "Vary": "Accept"}
    if _among(tag, if_none_match):
        return Response(status_code=304, headers=headers)
    if media in RDF_MEDIA:
        return Response(await in_thread(lambda: _rdf(parts, id, RDF_MEDIA[media])), 200, headers, media)
    return sent(entry.enriched, media, headers)


@router.put(
    "/{id:path}",
    summary="Register a thing, or replace it",
    status_code=201,
    dependencies=[MayWrite],
    response_class=Response,
    responses=WRONG | {201: {"description": "It is new"}, 204: {"description": "It is replaced"}},
    openapi_extra=sends(TAKEN, A_THING),
)
async def put(
    request: Request, parts: Here, id: Id, if_match: IfMatch = "", if_none_match: IfNoneMatch = ""
) -> Response:
    """The id in the path and the one in the document are the same.

    A device that announces something new over MQTT replaces it again; what should outlive that is PATCHed.
    """
    document = await json_body(request, TAKEN)
    if document.get("id") != id:
        raise Problem(400, "The document is not of this thing", [Fault("id", f"must be {id}, as in the path")])
    allow = _allow(if_match, if_none_match)
    kept, new = await _change(id, lambda: parts.things.put(document, allow))
    return Response(status_code=201 if new else 204, headers={"ETag": f'"{kept.etag}"'})


@router.patch(
    "/{id:path}",
    summary="Change a part of a thing",
    status_code=204,
    dependencies=[MayWrite],
    response_class=Response,
    responses=WRONG | THERE_IS_NONE,
    openapi_extra=sends(MERGE_PATCH, A_PATCH),
)
async def patch(
    request: Request, parts: Here, id: Id, if_match: IfMatch = "", if_none_match: IfNoneMatch = ""
) -> Response:
    """A JSON Merge Patch (RFC 7396). Of a device it is kept, and applied to all that the device announces later.

    `{}` changes nothing, and lets a registration with a `ttl` begin anew.
    """
    change = await json_body(request, MERGE_PATCH)
    allow = _allow(if_match, if_none_match)
    kept = await _change(id, lambda: parts.things.patch(id, change, allow))
    return Response(status_code=204, headers={"ETag": f'"{kept.etag}"'})


@router.delete(
    "/{id:path}",
    summary="Forget a thing",
    status_code=204,
    dependencies=[MayWrite],
    response_class=Response,
    responses=WRONG | THERE_IS_NONE,
)
async def delete(parts: Here, id: Id, if_match: IfMatch = "", if_none_match: IfNoneMatch = "") -> Response:
    """A device that announces itself anew comes back."""
    allow = _allow(if_match, if_none_match)
    await _change(id, lambda: parts.things.remove(id, allow))
    return Response(status_code=204)


def _allow(match: str, none_match: str) -> Callable[[Entry | None], None]:
    """Raises Problem 412 if the preconditions do not hold (RFC 9110, section 13)."""

    def allow(entry: Entry | None) -> None:
        here = f'"{entry.etag}"' if entry is not None else ""
        if match and not (entry is not None and _among(here, match, strong=True)):
            raise Problem(412, "If-Match: the thing is not, or no longer, as you know it")
        if none_match and entry is not None and _among(here, none_match):
            raise Problem(412, "If-None-Match: the thing is there already")

    return allow


async def _change(id: str, change: Callable[[], T]) -> T:
    try:
        return await in_thread(change)
    except KeyError:
        raise _none(id) from None


def _among(tag: str, given: str, strong: bool = False) -> bool:
    """Whether an entity tag is one of a list; all forms of a thing are changed under the same."""
    known = [one.strip() for one in given.split(",")]
    if not strong:
        return "*" in known or tag in [one.removeprefix("W/") for one in known]
    return "*" in known or tag in [RDF_TAG.sub('"', one) for one in known]


def _tag(parts: Parts, entry: Entry, media: str) -> str:
    if media not in RDF_MEDIA:
        return f'"{entry.etag}"'
    iri = iri_of(entry.id)
    brief = "-brief" if parts.registry.facts(iri, BRIEF, iri) else ""  # the rest of its triples is to follow
    return f'"{entry.etag}+rdf{brief}"'


def _none(id: str) -> Problem:
    return Problem(404, f"There is no thing {id}")


def _rdf(parts: Parts, id: str, form: RdfFormat) -> bytes:
    """What is known of a thing, but for what the registry keeps to itself."""
    iri: NamedNode = iri_of(id)
    triples = [
        triple for triple in parts.registry.graph(iri) if triple.subject != iri or triple.predicate not in HIDDEN
    ]
    return serialize(triples, format=form, prefixes=used(triples)) or b""


def sent(document: Json | list[Json], media: str, headers: dict[str, str] | None = None) -> Response:
    """JSON, as it is kept."""
    return Response(json.dumps(document, ensure_ascii=False).encode(), 200, headers, media)
