"""Questions of ours (coordinator/queries), with their parameters."""

import time
from typing import Any

from fastapi import APIRouter, Request

from ..matching import answer
from ..registry import Question, Row, questions
from .parts import Here, in_turn
from .problems import Problem

router = APIRouter(prefix="/registry", tags=["Questions"])


@router.get("/questions", summary="Which questions there are")
async def known() -> list[dict[str, Any]]:
    """Each with what it answers, and its parameters: an IRI, a text or a number."""
    return [_described(question) for question in questions().values()]


@router.get(
    "/questions/{name}",
    summary="Ask one of them",
    responses={
        400: {"description": "These are not its parameters"},
        404: {"description": "There is no such question"},
        503: {"description": "Others are being answered; `Retry-After` says when to come again"},
    },
)
async def ask(request: Request, parts: Here, name: str) -> dict[str, Any]:
    """Its parameters are those of the query, as in `/registry/questions/devices_that_can_run?model=urn:tegu:home:model:presence`."""
    question = questions().get(name)
    if question is None:
        raise Problem(404, f"There is no question {name[:60]}; /registry/questions has the list")
    given = _given(question, dict(request.query_params))
    limit, wait_s, most = parts.questions, parts.settings.queries_wait_s, parts.settings.queries.most_rows
    began = time.perf_counter()
    try:
        rows: list[Row] = await in_turn(
            limit, wait_s, "questions", lambda: answer(parts.registry, name, most + 1, **given)
        )
    except ValueError as error:
        raise Problem(400, f"The question cannot be answered: {error}") from error
    took_ms = round(1000 * (time.perf_counter() - began), 1)
    cut = {"cut": f"only the first {most} are given"} if len(rows) > most else {}
    return {"question": name, "rows": rows[:most], "took_ms": took_ms} | cut


def _described(question: Question) -> dict[str, Any]:
    parameters = {name: {"kind": kind, "means": means} for name, (kind, means) in question.parameters.items()}
    return {"name": question.name, "says": question.says, "parameters": parameters}


def _given(question: Question, given: dict[str, str]) -> dict[str, Any]:
    """The parameters, of their kind. Problem 400: they are others."""
    if given.keys() != question.parameters.keys():
        wanted = ", ".join(question.parameters) or "no parameter"
        raise Problem(400, f"{question.name} takes {wanted}, not {', '.join(given)[:100] or 'none'}")
    return {name: _of_kind(name, value, question.parameters[name][0]) for name, value in given.items()}


def _of_kind(name: str, value: str, kind: str) -> str | int | float:
    if kind != "number":
        return value
    try:
        return int(value) if value.lstrip("-").isdecimal() and len(value) < 19 else float(value)
    except ValueError:
        raise Problem(400, f"{name} is a number, not {value[:40]}") from None
