"""What the tests of the directory stand on: a registry in memory, served by a real server on a free port, and a clock of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from coordinator.directory import Directory, DirectorySettings
from coordinator.documents.things import Things
from coordinator.registry import Registry

TOKEN = "let-me-write"
LAMP = "urn:dev:ops:32473-lamp-1"
DEADLINE_S = 20.0
START = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


class Event(NamedTuple):
    """One that was sent."""

    id: str
    kind: str
    data: dict[str, Any]


class Served:
    """A directory and two who ask: one with the token (`http`), one without (`guest`)."""

    def __init__(self, settings: DirectorySettings, folder: Path | None = None) -> None:
        self.now = START
        self.registry = Registry(folder)
        self.things = Things(self.registry, lambda: self.now)
        self.directory = Directory(self.registry, self.things, settings)
        self.directory.start()
        self.url = self.directory.url
        self.http = httpx.Client(
            base_url=self.url, timeout=DEADLINE_S, headers={"Authorization": f"Bearer {settings.token}"}
        )
        self.guest = httpx.Client(base_url=self.url, timeout=DEADLINE_S)

    def close(self) -> None:
        self.http.close()
        self.guest.close()
        self.directory.stop()

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def put(self, document: dict[str, Any], **headers: str) -> httpx.Response:
        return self.http.put(f"/things/{document['id']}", json=document, headers=headers)

    def patch(self, id: str, change: Any, **headers: str) -> httpx.Response:
        headers = {"Content-Type": "application/merge-patch+json"} | headers
        return self.http.patch(f"/things/{id}", content=json.dumps(change), headers=headers)

    def ask(self, query: str, **headers: str) -> httpx.Response:
        return self.guest.get("/search/sparql", params={"query": query}, headers=headers)

    @contextmanager
    def listening(self, path: str = "/events", last_id: str = "") -> Iterator["Heard"]:
        """Events from now on, or after an earlier one."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with self.guest.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            yield Heard(answer)


class Heard:
    """A stream of events, as it is read."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()
        self.greeting = self._block()[0]

    def take(self, count: int) -> list[Event]:
        """The next ones."""
        found: list[Event] = []
        while len(found) < count:
            fields = dict(line.split(": ", 1) for line in self._block() if not line.startswith(":"))
            if fields:
                found.append(Event(fields["id"], fields["event"], json.loads(fields["data"])))
        return found

    def _block(self) -> list[str]:
        block: list[str] = []
        for line in self._lines:
            if not line:
                return block
            block.append(line)
        raise EOFError("the stream is over")


@contextmanager
def served(folder: Path | None = None, **settings: Any) -> Iterator[Served]:
    """A directory with these settings; with a token, unless they say otherwise."""
    told = replace(DirectorySettings(port=0, token=TOKEN), **settings)
    running = Served(told, folder)
    try:
        yield running
    finally:
        running.close()


def lamp(**more: Any) -> dict[str, Any]:
    """A Thing Description that is valid."""
    return {
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "id": LAMP,
        "title": "Lamp",
        "securityDefinitions": {"nosec_sc": {"scheme": "nosec"}},
        "security": "nosec_sc",
    } | more


def nameless(**more: Any) -> dict[str, Any]:
    """The same, of a thing with no id."""
    return {name: value for name, value in lamp(**more).items() if name != "id"}
