"""A batch that a database does not simply take: in halves when it is too large; and which of its lines are refused.

A database that refuses a line refuses the whole request (InfluxDB 2: a line that cannot be read) or writes the others
(a field of another type; a limit). It then tells a number, of 1.x for one shard only. So a refused batch is written
again in parts, until each part is taken or refused whole; a line that was written before is overwritten by itself.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .influxdb import Outcome

MOST_TRIES = 40  # refusals of a batch's parts, until the rest is counted as the database does
CONFLICT = re.compile(r'field "?([^" ]+)"? on measurement "?([^" ]+)"? is type')
DROPPED = re.compile(r" dropped=\d+")


class Refusal(NamedTuple):
    """So many lines are refused, for this reason; `lines` are just these, or more if it took too long to find them."""

    reason: str
    refused: int
    lines: list[bytes]


def deliver(write: Callable[[bytes], Outcome], lines: bytes) -> tuple[Outcome, list[Refusal]]:
    """Write lines: (done, what was refused), or (wait, nothing), and all of them must be written again."""
    todo = [lines.split(b"\n")]
    refusals: list[Refusal] = []
    tries = 0
    while todo:
        part = todo.pop()
        outcome = write(b"\n".join(part))
        if outcome.kind == "wait":
            return outcome, []
        if outcome.kind == "done":
            continue
        tries += outcome.kind == "refused"
        alone = len(part) == 1 or outcome.dropped >= len(part)
        if alone or tries > MOST_TRIES:
            reason = DROPPED.sub("", outcome.detail) or outcome.reason
            refusals.append(Refusal(reason, outcome.dropped or len(part), part))
        else:
            todo += reversed(_parts(part, outcome))
    return Outcome("done"), refusals


def _parts(lines: list[bytes], outcome: Outcome) -> list[list[bytes]]:
    """Two parts, neither empty: the lines that the reason names and the others, or else two halves."""
    if found := CONFLICT.search(outcome.detail):
        field, measurement = (name.encode() for name in found.groups())
        named = [_names(line, field, measurement) for line in lines]
        parts = [_where(lines, named), _where(lines, (not is_named for is_named in named))]
        if all(parts):
            return parts
    return [lines[: len(lines) // 2], lines[len(lines) // 2 :]]


def _where(lines: list[bytes], wanted: Iterable[bool]) -> list[bytes]:
    return [line for line, is_wanted in zip(lines, wanted, strict=True) if is_wanted]


def _names(line: bytes, field: bytes, measurement: bytes) -> bool:
    return (
        line.startswith((measurement + b",", measurement + b" "))
        and re.search(rb"[ ,]" + re.escape(field) + b"=", line) is not None
    )
