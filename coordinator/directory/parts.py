"""What every route has at hand, and who may write.

A route takes `parts: Here`. One that changes something says `dependencies=[MayWrite]` to its decorator; it then wants the token.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import anyio
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ..documents.things import Json, Things
from ..registry import Registry
from ..semantics import things as descriptions
from ..sparql.asking import Asking
from .changes import Changes
from .problems import Problem, busy
from .settings import DirectorySettings

T = TypeVar("T")
BEARER = HTTPBearer(auto_error=False, scheme_name="token", description="The token that the service was started with.")


@dataclass
class Parts:
    """The service's parts."""

    registry: Registry
    things: Things
    settings: DirectorySettings
    changes: Changes
    asking: Asking
    queries: anyio.CapacityLimiter  # foreign SPARQL
    questions: anyio.CapacityLimiter  # questions of ours
    exports: anyio.CapacityLimiter  # files that are still being read


async def in_thread(function: Callable[[], T]) -> T:
    """What takes longer than a moment must not hold up everybody else."""
    return await anyio.to_thread.run_sync(function)


async def in_turn(limiter: anyio.CapacityLimiter, wait_s: float, what: str, function: Callable[[], T]) -> T:
    """The same, only so many at once. Problem 503: none was done in time for this one."""
    try:
        with anyio.fail_after(wait_s):
            await limiter.acquire_on_behalf_of(function)
    except TimeoutError:
        raise busy(f"{limiter.total_tokens:g} {what} are being answered, and no more at once: come again") from None
    try:
        return await anyio.to_thread.run_sync(function, limiter=anyio.CapacityLimiter(1))
    finally:
        limiter.release_on_behalf_of(function)


async def json_body(request: Request, media: tuple[str, ...]) -> Json:
    """The object that was sent. Problem 415: it is said to be something else. Problem 400: it is no such thing."""
    given = request.headers.get("content-type", media[0]).partition(";")[0].strip().lower()
    if given not in media:
        raise Problem(415, f"{', '.join(media)} is taken here, not {given}")
    body = await request.body()
    try:
        return descriptions.read(body)
    except descriptions.Faulty as error:
        raise Problem(400, "The body cannot be read", [error.fault]) from error


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Here = Annotated[Parts, Depends(_parts)]


def _may_write(parts: Here, given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
    if not parts.settings.token:
        raise Problem(
            403, "Only reading is allowed here: start the service with a token, and send it, to change anything"
        )
    if given is None or not hmac.compare_digest(*map(_hashed, (given.credentials, parts.settings.token))):
        raise Problem(
            401, "To change anything, send the service's token", headers={"WWW-Authenticate": 'Bearer realm="registry"'}
        )


def _hashed(text: str) -> bytes:
    """Of one length, whatever was sent."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


MayWrite = Depends(_may_write)
