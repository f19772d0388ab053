"""Errors as Problem Details (RFC 9457), with the list `validationErrors` of W3C WoT Discovery, section 7.3.2.1.6."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from ..documents.things import Fault, Invalid

log = logging.getLogger("tegu.registry")
MEDIA = "application/problem+json"
ASK_AGAIN_S = "2"


class Problem(Exception):
    """A request that is not answered as it wished. detail: a sentence for whoever sent it."""

    def __init__(
        self, status: int, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.faults, self.headers = status, detail, faults, dict(headers or {})

    def response(self) -> Response:
        """What is sent."""
        said = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        faults = [{"field": fault.path, "description": fault.message} for fault in self.faults]
        body = json.dumps(said | ({"validationErrors": faults} if faults else {}), ensure_ascii=False)
        return Response(body.encode("utf-8", "replace"), self.status, self.headers, MEDIA)


def busy(detail: str) -> Problem:
    """Not now."""
    return Problem(503, detail, headers={"Retry-After": ASK_AGAIN_S})


def invalid(error: Invalid) -> Problem:
    """A document that is not kept."""
    return Problem(400, "The Thing Description is not valid", error.faults)


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """All that goes wrong in the app is told in this form. routers: all that are in it."""

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def not_valid(_: Request, error: Exception) -> Response:
        assert isinstance(error, Invalid)
        return invalid(error).response()

    async def not_understood(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [Fault(".".join(map(str, fault["loc"][1:])), fault["msg"]) for fault in error.errors()]
        return Problem(400, "A parameter of the request cannot be used", faults).response()

    async def no_such(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = _allowed(request, routers)
            return Problem(405, f"{request.method} is not for this path", headers={"Allow": allowed}).response()
        detail = "There is nothing at this path" if error.status_code == 404 else str(error.detail)
        return Problem(error.status_code, detail, headers=error.headers).response()

    async def ours(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return Problem(500, "Something went wrong here; the service's log says what").response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(Invalid, not_valid)
    app.add_exception_handler(RequestValidationError, not_understood)
    app.add_exception_handler(HTTPException, no_such)
    app.add_exception_handler(Exception, ours)


def _allowed(request: Request, routers: Sequence[APIRouter]) -> str:
    """The methods of all routes of a path."""
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    methods = set[str]()
    for route in routes:
        if route.path_regex.fullmatch(request.url.path):
            methods |= route.methods or set()
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
