"""What no request gets past: a host name that is not ours, a body too large or too slow. And HEAD, which is GET with no body.

W3C WoT Discovery, section 7.3.2: every endpoint that answers GET answers HEAD.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import Problem
from .settings import DirectorySettings

IMPORT = "/registry/import"
ENDLESS = "/events"  # answers HEAD itself
ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, settings: DirectorySettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        answering = _with_headers(send)
        if (problem := self._refused(headers)) is not None:
            await problem.response()(scope, receive, answering)
            return
        if scope["method"] == "HEAD" and not scope["path"].startswith(ENDLESS):
            scope, answering = {**scope, "method": "GET"}, _without_body(answering)
        most_bytes = self._most_bytes(scope["path"])
        if _length(headers) > most_bytes:
            await _too_large(most_bytes).response()(scope, receive, answering)
            return
        await self._app(scope, _limited(receive, most_bytes, self._settings.body_s), answering)

    def _refused(self, headers: dict[bytes, bytes]) -> Problem | None:
        names = self._settings.answers_to
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        if names and name not in names:
            return Problem(421, "This service does not answer to that host name")
        if b"content-length" in headers and b"transfer-encoding" in headers:  # where the next request begins is unclear
            return Problem(400, "A body has one length", headers={"Connection": "close"})
        return None

    def _most_bytes(self, path: str) -> int:
        return self._settings.most_import_bytes if path == IMPORT else self._settings.most_body_bytes


def _length(headers: dict[bytes, bytes]) -> int:
    given = headers.get(b"content-length", b"0")
    return int(given) if given.isdigit() and len(given) < 20 else 0


def _too_large(most_bytes: int) -> Problem:
    return Problem(413, f"A body has at most {most_bytes} bytes here", headers={"Connection": "close"})


def _limited(receive: Receive, most_bytes: int, most_s: float) -> Receive:
    """Problem: more has come than that, or it takes longer."""
    left, until, whole = most_bytes, asyncio.get_running_loop().time() + most_s, False

    async def limited() -> Message:
        nonlocal left, whole
        if whole:
            return await receive()  # tells when the other side is gone
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise Problem(408, f"A request arrives within {most_s:g} s", headers={"Connection": "close"}) from None
        left -= len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if left < 0:
            raise _too_large(most_bytes)
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *ALWAYS]}
        await send(message)

    return with_headers


def _without_body(send: Send) -> Send:
    async def without_body(message: Message) -> None:
        if message["type"] == "http.response.body":
            if message.get("more_body", False):
                return
            message = {"type": "http.response.body"}
        await send(message)

    return without_body
