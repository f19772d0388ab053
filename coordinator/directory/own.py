"""The directory's own Thing Description, at /.well-known/wot (W3C WoT Discovery, sections 6.2 and 7.3.2).

What it says follows the Thing Model of a directory there: names of affordances, paths, methods and status codes.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from ..documents.entries import DISCOVERY
from ..documents.things import Json
from .negotiation import best
from .parts import Here
from .things import TD_MEDIA, sent

TD = "https://www.w3.org/2022/wot/td/v1.1"
PROBLEM = "application/problem+json"
EMPTY = "application/x-empty"  # a form has to name a content type, also of nothing
ID = {"id": {"type": "string", "format": "iri-reference", "title": "id of the thing, percent-encoded"}}
QUERY = {"query": {"type": "string", "title": "SPARQL 1.1: SELECT, ASK, CONSTRUCT or DESCRIBE"}}
DIFF = {"diff": {"type": "boolean", "title": "what is new, too"}}
PAGE = {
    "offset": {"type": "integer", "minimum": 0, "default": 0, "title": "things to leave out"},
    "limit": {"type": "integer", "minimum": 1, "title": "things to give, at most"},
    "format": {"type": "string", "enum": ["array", "collection"], "default": "array"},
}
THING = {"type": "object", "title": "Thing Description"}
router = APIRouter(tags=["Directory"])


@router.get("/.well-known/wot", summary="What this directory is, as a Thing Description", response_class=Response)
def own(request: Request, parts: Here) -> Response:
    """Its affordances are the operations of the Directory Service API, with the security that each wants."""
    media = best(request.headers.get("accept", ""), TD_MEDIA)
    return sent(description(parts.registry.site, str(request.base_url), bool(parts.settings.token)), media)


def description(site: str, url: str, with_token: bool) -> Json:
    """The directory as a thing. with_token: whether there is one to write with."""
    definitions: Json = {"nosec_sc": {"scheme": "nosec"}}
    if with_token:
        definitions["bearer_sc"] = {"scheme": "bearer", "in": "header", "name": "Authorization"}
    writing = _writing() if with_token else {}
    return {
        "@context": [TD, DISCOVERY, {"htv": "http://www.w3.org/2011/http#"}],
        "@type": "ThingDirectory",
        "title": f"Registry of {site}",
        "description": "Thing Descriptions of the devices of a site, and which models fit them.",
        "base": url,
        "securityDefinitions": definitions,
        "security": "nosec_sc",
        "links": [
            {"rel": "service-doc", "href": "docs", "type": "text/html"},
            {"rel": "service-desc", "href": "openapi.json", "type": "application/json"},
        ],
        "properties": {"things": _things()},
        "actions": _reading() | writing,
        "events": {name: _event(f"thing_{word}") for name, word in EVENTS.items()},
    }


EVENTS = {"thingCreated": "created", "thingUpdated": "updated", "thingDeleted": "deleted"}


def _form(href: str, method: str, status: int, media: str, errors: tuple[int, ...], **more: Any) -> Json:
    wrong = [{"success": False, "contentType": PROBLEM, "htv:statusCodeValue": error} for error in errors]
    answer = {"contentType": media, "htv:statusCodeValue": status}
    return {"href": href, "htv:methodName": method, "response": answer, "additionalResponses": wrong, **more}


def _things() -> Json:
    form = _form("things{?offset,limit,format}", "GET", 200, "application/ld+json", (400,), op="readproperty")
    one = {"type": "array", "items": THING}, {"type": "object", "title": "a page with its place in the whole"}
    return {"readOnly": True, "oneOf": list(one), "uriVariables": PAGE, "forms": [form]}


def _reading() -> Json:
    asked = {"safe": True, "idempotent": True}
    retrieve = _form("things/{id}", "GET", 200, "application/td+json", (404,))
    get = _form("search/sparql{?query}", "GET", 200, "application/json", (400, 503, 504))
    post = _form(
        "search/sparql", "POST", 200, "application/json", (400, 503, 504), contentType="application/sparql-query"
    )
    return {
        "retrieveThing": {"uriVariables": ID, "output": THING, "forms": [retrieve], **asked},
        "searchSPARQL": {"uriVariables": QUERY, "forms": [get, post], **asked},
    }


def _writing() -> Json:
    told: Json = {"security": "bearer_sc", "contentType": "application/td+json"}
    merge = told | {"contentType": "application/merge-patch+json"}
    forms = {
        "createAnonymousThing": _form("things", "POST", 201, EMPTY, (400, 401), **told),
        "createThing": _form("things/{id}", "PUT", 201, EMPTY, (400, 401, 412), **told),
        "updateThing": _form("things/{id}", "PUT", 204, EMPTY, (400, 401, 412), **told),
        "partiallyUpdateThing": _form("things/{id}", "PATCH", 204, EMPTY, (400, 401, 404, 412), **merge),
        "deleteThing": _form("things/{id}", "DELETE", 204, EMPTY, (401, 404, 412), security="bearer_sc"),
    }
    return {
        name: {"forms": [form]} | ({"uriVariables": ID} if "{id}" in form["href"] else {}) | _input(name)
        for name, form in forms.items()
    }


def _input(name: str) -> Json:
    return {} if name == "deleteThing" else {"input": THING}


def _event(kind: str) -> Json:
    deleted = kind == "thing_deleted"
    form = {"op": "subscribeevent", "href": f"events/{kind}" + ("" if deleted else "{?diff}"), "subprotocol": "sse"}
    form |= {"contentType": "text/event-stream"}
    return {"data": THING, "forms": [form]} | ({} if deleted else {"uriVariables": DIFF})
