"""Which devices a round is for: what a coordinator asks before it opens one (coordinator.admission)."""

from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from ..registry import Registry
from ..selecting import select
from ..semantics import terms
from ..semantics.terms import term
from .parts import Here, MayWrite, in_thread
from .problems import Problem

MOST_DEVICES = 100_000
PATIENCE_S, LOOK_S = 1.0, 0.05
Name = Annotated[str, Field(min_length=1, max_length=32, pattern="^[a-z0-9-]+$")]
router = APIRouter(prefix="/registry", tags=["Rounds"])


class RoundAsked(BaseModel):
    """A round that is to be opened."""

    site: Name
    model: Name
    round_num: Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
    where: Annotated[str, Field(max_length=10_000)] = Field(
        "", examples=["room type = office, has CO2, battery >= 30 %"]
    )
    ready: Annotated[list[Name], Field(max_length=MOST_DEVICES)] = Field(
        [], description="Devices that are waiting for it"
    )


class RoundAnswered(BaseModel):
    """For whom it is, and why not for the others."""

    devices: list[str]
    outside: dict[str, str]
    where: str


@router.post(
    "/rounds",
    summary="Which devices a round is for",
    dependencies=[MayWrite],
    responses={400: {"description": "The condition cannot be read, or another site is asked for"}},
)
async def opened(asked: RoundAsked, request: Request, parts: Here) -> RoundAnswered:
    """The devices that take part in the model, have the memory and the sensors that it needs to learn, and meet the condition.

    The answer is kept with the round.
    """
    if asked.site != parts.registry.site:
        raise Problem(400, f"This is the registry of {parts.registry.site}, not of {asked.site}")
    await _wait_for(parts.registry, asked.ready, request.app.state.strangers)
    try:
        answer: dict[str, Any] = await in_thread(
            lambda: select(parts.registry, asked.model, asked.round_num, asked.where, asked.ready, parts.asking.select)
        )
    except ValueError as error:
        raise Problem(400, f"The condition cannot be read: {error}") from error
    return RoundAnswered(**answer)


async def _wait_for(registry: Registry, ready: list[str], strangers: set[str]) -> None:
    """A device says that it is ready and announces itself in one breath, and a coordinator may be faster than this: a moment for
    those that are not in the graph yet. Once for each: some never announce themselves."""
    unknown = set(ready) - strangers
    with anyio.move_on_after(PATIENCE_S):
        while unknown := {name for name in unknown if not _is_known(registry, name)}:
            await anyio.sleep(LOOK_S)
    strangers |= unknown


def _is_known(registry: Registry, name: str) -> bool:
    iri = terms.device(registry.site, name)
    return registry.has(iri) or bool(registry.facts(iri, term("tegu:quarantined")))
