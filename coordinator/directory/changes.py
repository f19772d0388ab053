"""The changes of things, as they are told to those who listen: the last ones are kept for those who come back.

An event's id is `life-number`: numbers count from 1 in each life of the service. Whoever reads more slowly than the history
passes is dropped, and comes back with the id of the last event it has seen.
"""

import asyncio
import json
import re
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..documents.merge_patch import difference
from ..documents.things import Json

COUNT = re.compile(r"[0-9]{1,18}")
KINDS = ("thing_created", "thing_updated", "thing_deleted")
Waiting = tuple[asyncio.AbstractEventLoop, asyncio.Event]


@dataclass(frozen=True)
class Change:
    """data: JSON with the thing's id; whole: with what is new, too."""

    number: int
    kind: str
    data: str
    whole: str


class Changes:
    """The last ones. `take` is a Watcher of documents.Things, called from any thread; the rest is for the event loop."""

    def __init__(self, most: int) -> None:
        self._life = secrets.token_hex(4)
        self._kept: deque[Change] = deque(maxlen=most)
        self._number = 0
        self._changing = threading.Lock()
        self._waiting: set[Waiting] = set()
        self._closed = False

    def take(self, kind: str, id: str, before: Json, after: Json) -> None:
        """One has come."""
        name: Json = {"id": id}
        whole = {"thing_created": after, "thing_updated": name | difference(before, after)}.get(kind, name)
        with self._changing:
            self._number += 1
            self._kept.append(Change(self._number, kind, json.dumps(name), json.dumps(whole)))
            self._wake()

    def close(self) -> None:
        """Nobody listens any more."""
        with self._changing:
            self._closed = True
            self._wake()

    @property
    def readers(self) -> int:
        """So many listen."""
        return len(self._waiting)

    def id(self, change: Change) -> str:
        """As the reader gives it back when it comes again."""
        return f"{self._life}-{change.number}"

    def since(self, last_id: str) -> tuple[int, bool]:
        """The number after which a reader wants to hear, and whether all since then is still known. "": from now on."""
        with self._changing:
            if not last_id:
                return self._number, True
            life, _, number = last_id.partition("-")
            first = self._kept[0].number if self._kept else self._number + 1
            if life != self._life or not COUNT.fullmatch(number) or int(number) > self._number:
                return first - 1, False
            return max(int(number), first - 1), int(number) >= first - 1

    async def after(self, number: int) -> AsyncIterator[Change]:
        """All changes after this one, as they come, until close(), or until some are forgotten before they are read."""
        waiting = asyncio.get_running_loop(), asyncio.Event()
        with self._changing:
            self._waiting.add(waiting)
        try:
            while not self._closed:
                waiting[1].clear()
                for change in self._newer(number):
                    if change.number != number + 1:
                        return
                    number = change.number
                    yield change
                await waiting[1].wait()
        finally:
            with self._changing:
                self._waiting.discard(waiting)

    def _newer(self, number: int) -> list[Change]:
        with self._changing:
            missing = self._number - number
            return list(self._kept)[-missing:] if missing > 0 else []

    def _wake(self) -> None:
        for loop, event in self._waiting:
            loop.call_soon_threadsafe(event.set)
