"""The Events API: changes of things as server-sent events (W3C WoT Discovery, section 7.3.2.2)."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from .changes import KINDS, Changes
from .parts import Here, Parts
from .problems import Problem, busy

STREAM: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Events as they happen, until the connection is closed",
            "content": {
                "text/event-stream": {
                    "example": f"id: 5f0c3a11-7\nevent: thing_created\ndata: {json.dumps({'id': 'urn:tegu:home:office-12'})}\n\n"
                }
            },
        },
        503: {"description": "Too many listen already"},
    },
}
Diff = Annotated[bool, Query(description="Of a new thing all of it, of a changed one what is new (RFC 7396).")]
LastEventId = Annotated[str, Header(description="Go on after this event; those in between are told first.")]
Kind = Annotated[
    str,
    Path(
        description="thing_created, thing_updated or thing_deleted.",
        openapi_examples={kind: {"value": kind} for kind in KINDS},
    ),
]
router = APIRouter(prefix="/events", tags=["Events"])


@router.get("", summary="Hear of every change", **STREAM)
async def every(parts: Here, diff: Diff = False, last_event_id: LastEventId = "") -> Response:
    """Each event has an id. The last thousand are known: who comes back with `Last-Event-ID` misses none of them."""
    return _stream(parts, KINDS, diff, last_event_id)


@router.get("/{kind}", summary="Hear of one kind of change", **STREAM)
async def of_kind(parts: Here, kind: Kind, diff: Diff = False, last_event_id: LastEventId = "") -> Response:
    """As `/events`, but only of things that are new, or changed, or gone."""
    if kind not in KINDS:
        raise Problem(404, f"The kinds of events are {', '.join(KINDS)}")
    return _stream(parts, (kind,), diff, last_event_id)


def _stream(parts: Parts, kinds: tuple[str, ...], diff: bool, last_id: str) -> Response:
    if parts.changes.readers >= parts.settings.most_readers:
        raise busy(f"{parts.settings.most_readers} listen already, and that is as many as may")
    settings = parts.settings
    # What cannot be sent for so long is for a reader that no longer reads.
    return EventSourceResponse(
        _events(parts.changes, kinds, diff, last_id),
        ping=settings.heartbeat_s,
        send_timeout=settings.reader_s,
        sep="\n",
    )


for path, route in (("", every), ("/{kind}", of_kind)):  # the stream ends where it would begin
    router.add_api_route(path, route, methods=["HEAD"], include_in_schema=False, response_class=Response)


async def _events(changes: Changes, kinds: tuple[str, ...], diff: bool, last_id: str) -> AsyncIterator[ServerSentEvent]:
    number, whole = changes.since(last_id)
    yield ServerSentEvent(comment="listening" if whole else "some events in between are no longer known")
    async for change in changes.after(number):
        if change.kind in kinds:
            yield ServerSentEvent(change.whole if diff else change.data, event=change.kind, id=changes.id(change))
