"""The application: all routers, and what lives as long as they do."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from ..deploying.deployments import Deployments
from ..documents.things import Things
from ..registry import Registry
from ..sparql.asking import Asking
from . import deployments, docs, events, graphs, listing, models, own, problems, questions, rounds, search, things
from .changes import Changes
from .guard import Guard
from .parts import Parts, in_thread
from .settings import DirectorySettings

log = logging.getLogger("tegu.registry")
ABOUT = """The devices of a site, the models that fit them, and what has become of both: one graph.

**Things, search and events** follow [W3C WoT Discovery](https://www.w3.org/TR/wot-discovery/); what is under `/registry` is Tegu's.
Reading is free, changing wants the service's token (*Authorize*). Errors are problem details (RFC 9457)."""
TAGS = [
    {
        "name": "Things",
        "description": "Thing Descriptions: the devices that announced themselves, and those that people registered.",
    },
    {"name": "Search", "description": "SPARQL over everything, with limits on time, memory, rows and bytes."},
    {"name": "Events", "description": "What changes, as it changes."},
    {
        "name": "Questions",
        "description": "What is asked most often, with a name: which devices can run a model, which sensor is missing, ...",
    },
    {"name": "Rounds", "description": "For whom a round is: asked by coordinators."},
    {"name": "Deployments", "description": "A model to devices, stage by stage, and back."},
    {"name": "Models", "description": "What models need of a device."},
    {"name": "Registry", "description": "The graph as a whole."},
    {"name": "Directory", "description": "The service itself."},
]
ROUTERS = (own, listing, things, search, events, questions, models, rounds, deployments, graphs)


def make_app(
    registry: Registry, things: Things, settings: DirectorySettings, known: Deployments | None = None
) -> FastAPI:
    """The application. known: the deployments, where there is a broker."""
    app = FastAPI(
        title=f"Registry of {registry.site}",
        version="1",
        summary="Which model fits which device",
        description=ABOUT,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=_alive,
        redirect_slashes=False,
    )
    app.state.parts = Parts(
        registry,
        things,
        settings,
        Changes(settings.history),
        Asking(registry, settings.queries, settings.snapshots),
        anyio.CapacityLimiter(settings.queries.at_once),
        anyio.CapacityLimiter(settings.questions_at_once),
        anyio.CapacityLimiter(settings.exports_at_once),
    )
    app.state.deployments = known
    app.state.strangers = set()
    all_routers = [module.router for module in ROUTERS]
    problems.install(app, all_routers)
    docs.install(app)
    app.add_api_route("/", _start, include_in_schema=False)
    for router in all_routers:
        app.include_router(router)
    app.add_middleware(Guard, settings=settings)
    return app


async def _start() -> RedirectResponse:
    return RedirectResponse("/docs")


@asynccontextmanager
async def _alive(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    parts.things.watchers.append(parts.changes.take)
    tasks = [asyncio.create_task(_warm(parts), name="warm"), asyncio.create_task(_expire(parts), name="expire")]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        parts.things.watchers.remove(parts.changes.take)
        parts.changes.close()
        await in_thread(parts.asking.close)


async def _warm(parts: Parts) -> None:
    """The first query need not wait for a process."""
    with contextlib.suppress(OSError):
        await in_thread(parts.asking.warm)


async def _expire(parts: Parts) -> None:
    """Registrations whose time is over go, again and again."""
    while True:
        try:
            for id in await in_thread(parts.things.expire):
                log.info("%s has expired", id)
        except Exception:  # the next ones are to go all the same
            log.exception("registrations that have expired are not removed")
        await asyncio.sleep(parts.settings.expiry_s)
