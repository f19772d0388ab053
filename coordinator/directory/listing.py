"""The list of things, page by page (W3C WoT Discovery, section 7.3.2.1.5).

The order is that of Unicode's code points, of the id if nothing else is asked for. `etag` of the canonical link is the state of the
whole collection: while it is the same, pages fit together.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response

from ..documents.entries import DISCOVERY
from ..documents.things import SORTABLE, Entry, Json
from .negotiation import best
from .parts import Here, Parts, in_thread
from .problems import Problem

MEDIA = ("application/ld+json", "application/json")
router = APIRouter(prefix="/things", tags=["Things"])


@router.get(
    "",
    summary="List the things",
    response_class=Response,
    responses={
        200: {
            "description": "The things; `Link` has the `next` page, and the whole collection as `canonical` with its `etag`",
            "content": {media: {} for media in MEDIA},
        },
        304: {"description": "The page is the one you have"},
        400: {"description": "There can be no such page"},
    },
)
async def listing(
    request: Request,
    parts: Here,
    offset: Annotated[int, Query(ge=0, le=10**9, description="So many things are left out.")] = 0,
    limit: Annotated[
        int | None, Query(ge=1, le=10**9, description="At most so many are given; there may be fewer.")
    ] = None,
    format: Annotated[
        Literal["array", "collection"], Query(description="Just the things, or an object with `next`.")
    ] = "array",
    sort_by: Annotated[str, Query(description="`id`, `title`, `created` or `modified`.")] = "id",
    sort_order: Annotated[Literal["asc", "desc"], Query(description="Ascending or descending.")] = "asc",
    if_none_match: Annotated[str, Header(description="ETag of the page that you have.")] = "",
) -> Response:
    """Each with its registration information."""
    media = best(request.headers.get("accept", ""), MEDIA)
    key = sort_by.removeprefix("/")
    if key not in SORTABLE:
        raise Problem(400, f"The things can be sorted by {', '.join(SORTABLE)}, not by {sort_by[:40]}")
    wanted = limit if limit is not None else parts.settings.page
    most = min(wanted, parts.settings.most_page)
    state, total, entries = await in_thread(lambda: _page(parts, offset, most, key, sort_order == "desc"))
    asked = {name: value for name, value in request.query_params.items() if name in ("format", "sort_by", "sort_order")}
    more = offset + most < total
    following = f"/things?{urlencode({'offset': offset + most, 'limit': wanted} | asked)}" if more else ""
    tag = _tag(state, entries, format, offset)
    headers = {"ETag": tag, "Vary": "Accept", "Link": _links(following, state)}
    if tag in [one.strip().removeprefix("W/") for one in if_none_match.split(",")]:
        return Response(status_code=304, headers=headers)
    things = [entry.enriched for entry in entries]
    if format == "collection":
        here = f"/things?{urlencode({'offset': offset, 'limit': wanted} | asked)}"
        return _sent(_collection(things, total, here, following), headers, media)
    return _sent(things, headers, media)


def _page(parts: Parts, offset: int, most: int, key: str, descending: bool) -> tuple[str, int, list[Entry]]:
    """The state of the collection in this order, its size, and a piece of it."""
    ids = parts.things.ids(key)
    state = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:20]
    return state + "-desc" * descending, len(ids), parts.things.page(offset, most, key, descending)


def _tag(state: str, entries: Sequence[Entry], form: str, offset: int) -> str:
    said = [state, form, str(offset), *(entry.etag for entry in entries)]
    return f'"{hashlib.sha256(" ".join(said).encode()).hexdigest()[:20]}"'


def _links(following: str, state: str) -> str:
    links = [f'<{following}>; rel="next"'] if following else []
    return ", ".join([*links, f'</things>; rel="canonical"; etag="{state}"'])


def _collection(things: list[Json], total: int, here: str, following: str) -> Json:
    page: Json = {"@context": DISCOVERY, "@type": "ThingCollection", "@id": here, "total": total, "members": things}
    return page | ({"next": following} if following else {})


def _sent(document: Json | list[Json], headers: dict[str, str], media: str) -> Response:
    return Response(json.dumps(document, ensure_ascii=False).encode(), 200, headers, media)
