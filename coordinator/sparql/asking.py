"""Asks foreign queries of a snapshot of the registry, in a process of its own (answering.py) that is ended at the time limit.

Nothing that a query does can stop the service: not its time, not its memory, not a crash. A process that was ended is
started anew at the next query.
"""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..registry import Registry
from .snapshots import Snapshots

START_S = 20.0  # for a process to come up, on a slow machine


@dataclass(frozen=True)
class Limits:
    """Of one query; at_once: how many are answered at the same time."""

    query_s: float = 5.0
    export_s: float = 60.0
    most_rows: int = 10_000
    most_bytes: int = 8 << 20
    memory_bytes: int = 512 << 20
    at_once: int = 2


@dataclass(frozen=True)
class Answer:
    """kind: rows or graph. cut: why this is not all of it, "": it is."""

    kind: str
    body: bytes
    count: int
    cut: str


class TooMuch(Exception):
    """The query would have taken more time or memory than it may."""


class Refused(ValueError):
    """The query is none that is answered here."""


class Asking:
    """Asks of one registry. Its methods may be called from any thread; each call takes a process for itself, or waits for one."""

    def __init__(self, registry: Registry, limits: Limits, folder: Path | None = None) -> None:
        self.limits = limits
        self._snapshots = Snapshots(registry, folder)
        self._processes = [_Process(limits.memory_bytes) for _ in range(limits.at_once)]
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        for process in self._processes:
            self._free.put(process)

    def warm(self) -> None:
        """Start the processes, before anybody asks."""
        for process in self._processes:
            process.start()

    def ask(self, text: str, rows: str, graph: str, default_graphs: list[str], named_graphs: list[str]) -> Answer:
        """The answer, as rows (json, xml, csv, tsv) or as a graph (turtle, ntriples, jsonld). Refused. TooMuch."""
        limits = self.limits
        order = {
            "query": text,
            "rows": rows,
            "graph": graph,
            "most_rows": limits.most_rows,
            "most_bytes": limits.most_bytes,
            "default_graphs": default_graphs,
            "named_graphs": named_graphs,
        }
        said, body = self._order(order, limits.query_s)
        return Answer(said["kind"], body, said["count"], said["cut"])

    def select(self, text: str) -> list[dict[str, Any]]:
        """The rows of a SELECT, IRIs and literals as text. ValueError: it is none, or gives or takes more than it may."""
        try:
            answer = self.ask(text, "json", "ntriples", [], [])
        except TooMuch as error:
            raise ValueError(f"the query takes more than it may: {error}") from error
        if answer.kind != "rows" or answer.cut:
            raise ValueError(answer.cut or "this is no SELECT query")
        found = json.loads(answer.body)
        names = found["head"].get("vars", [])
        return [
            {name: row[name]["value"] if name in row else None for name in names}
            for row in found.get("results", {}).get("bindings", [])
        ]

    def export(self, form: str) -> BinaryIO:
        """All of it, in a file that has no name any more. form: turtle, trig or nquads. TooMuch."""
        path = self._snapshots.spare()
        try:
            self._order({"export": form, "to": str(path)}, self.limits.export_s)
            return path.open("rb")
        finally:
            path.unlink()

    def _order(self, order: Mapping[str, Any], most_s: float) -> tuple[dict[str, Any], bytes]:
        process = self._free.get()
        try:
            snapshot = self._snapshots.newest(process)
            whole = {**order, "snapshot": str(snapshot), "cpu_s": 2 * most_s}
            said, body = process.exchange(json.dumps(whole).encode() + b"\n", most_s)
        finally:
            self._free.put(process)
            self._snapshots.forget()
        if "error" in said:
            raise Refused(said["error"])
        return said, body

    def close(self) -> None:
        """End the processes, and remove the snapshots."""
        for process in self._processes:
            process.end()
        self._snapshots.close()


class _Process:
    """One that answers. It is started when it is needed."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._running: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._late = False

    def start(self) -> subprocess.Popen[bytes]:
        """OSError: it cannot be started."""
        with self._starting:
            if self._running is None or self._running.poll() is not None:
                self.end()
                command = [sys.executable, "-m", f"{__package__}.answering", str(self._memory_bytes)]
                self._running = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
                )
                if self._line(self._running, START_S) != b"ready\n":
                    self.end()
                    raise OSError("the process that answers queries does not start")
            return self._running

    def exchange(self, order: bytes, most_s: float) -> tuple[dict[str, Any], bytes]:
        """TooMuch: it took longer than that, or all the memory it may have, and was ended."""
        running = self.start()
        assert running.stdin and running.stdout
        ending = self._deadline(running, most_s)
        try:
            running.stdin.write(order)
            running.stdin.flush()
            said = json.loads(running.stdout.readline() or b"null")
            body = running.stdout.read(said["bytes"]) if said else b""
        except (BrokenPipeError, ValueError):
            said, body = None, b""
        finally:
            ending.cancel()
        if said is None or len(body) < said["bytes"]:
            raise TooMuch(self._why(running, most_s))
        if self._late:  # it has answered in the very last moment
            self.end()
        return said, body

    def _why(self, running: subprocess.Popen[bytes], most_s: float) -> str:
        self.end()
        if self._late or running.returncode == -signal.SIGXCPU:
            return f"it was ended after {most_s:g} s"
        if running.returncode == -signal.SIGSEGV:
            return "it is nested too deeply"
        return f"it was ended: it wanted more memory than {self._memory_bytes >> 20} MiB"

    def _line(self, running: subprocess.Popen[bytes], most_s: float) -> bytes:
        assert running.stdout
        ending = self._deadline(running, most_s)
        try:
            return running.stdout.readline()
        finally:
            ending.cancel()

    def _deadline(self, running: subprocess.Popen[bytes], most_s: float) -> threading.Timer:
        self._late = False

        def end() -> None:
            self._late = True
            running.kill()

        ending = threading.Timer(most_s, end)
        ending.daemon = True
        ending.start()
        return ending

    def end(self) -> None:
        """Also if it does not run."""
        running, self._running = self._running, None
        if running is None:
            return
        running.kill()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        running.wait()
