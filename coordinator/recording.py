"""The monitor: a process of its own beside the coordinator, so that watching costs training next to nothing.

The coordinator passes on what went through its hands (coordinator.observing says how an event looks), in frames over a pipe: 4
bytes of length, then a list of events as `marshal` writes it, for both ends are the same interpreter. The monitor works out
the points and gives them to its outputs. It ends when the pipe does, and writes first what it has. If it dies it is started
again and told what still holds; training goes on all the while. What does not fit into MOST_EVENTS meanwhile is counted.
"""

import logging
import marshal
import os
import resource
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tegu import topics

from . import prometheus
from .metrics import Point, make_point
from .newest import Newest
from .observing import HEADER_BYTES, Event, Observed
from .settings import MonitorSettings
from .sinks import Output, open_outputs

log = logging.getLogger("tegu.monitor")
MOST_EVENTS = 50_000  # that wait for the pipe
MOST_PAYLOAD = 4096  # bytes of a message that are passed on: nothing that is read is longer
SEND_S = 0.05  # between two frames
LOOK_S = 0.25  # how late the monitor may notice that time has passed
CLOSE_S = 5.0  # for what is left to be written
HEALTHY_S = 60.0  # a monitor that lived so long may be started again at once
NICE = 10  # the monitor gives way to the coordinator where both want the processor
RESTART_S = (1.0, 60.0)  # pause before a monitor that died is started again: the first, the longest
SAID_WHOLE = ("manifest", "round", "ack")  # of what else the coordinator says the size is enough
Numbers = dict[str, float]


@dataclass(frozen=True)
class Watched:
    """What the monitor must know of the coordinator beside its settings."""

    site: str
    model: str
    epoch: int
    version: int
    began_ns: int  # since 1970


# --- the coordinator's side ------------------------------------------------------------------------------------------


class Recorder:
    """Passes on events to a monitor process, which it starts. All methods return at once; any thread may call heard and said.

    numbers: called every every_s on a thread of its own, for what the coordinator knows of itself.
    """

    def __init__(self, settings: MonitorSettings, watched: Watched, numbers: Callable[[], Numbers]) -> None:
        for output in open_outputs(settings):  # a setting that is wrong is told now
            output.close(0.0)
        if settings.prometheus:
            prometheus.require()
        self.lost = 0  # events for which there was no room
        self._settings = settings
        self._watched = watched
        self._numbers = numbers
        self._events: deque[Event] = deque()
        self._standing: dict[str, Event] = {}  # by topic: what holds until something else is said
        self._stopping = threading.Event()
        self._process = self._start(False)
        self._thread = threading.Thread(target=self._send_all, name="recorder", daemon=True)
        self._thread.start()

    def heard(self, kind: str, topic: str, payload: bytes, retained: bool) -> None:
        """A message of a device. kind: as tegu.topics.parse has it."""
        kept = payload[: HEADER_BYTES if kind == "update" else MOST_PAYLOAD + 1]
        event = ("heard", time.time_ns(), topic, kept, len(payload), retained)
        self._put(event)
        if kind == "state":
            self._stand(event)

    def said(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message of the coordinator; to be called before it is published."""
        words = None if "/ack/" in topic else topics.parse(topic)
        kind = words[3] if words else "ack"
        event = ("said", time.time_ns(), topic, payload if kind in SAID_WHOLE else b"", len(payload), retained)
        self._put(event)
        if kind in ("manifest", "round", "delta"):
            self._stand(event)

    def close(self) -> None:
        """Send what waits, let the monitor write it, and end it. A monitor that hangs is killed."""
        self._stopping.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():  # it waits for a pipe that nobody empties
            self._process.kill()
            self._thread.join()
        try:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.wait(2 * CLOSE_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def _put(self, event: Event) -> None:
        if len(self._events) < MOST_EVENTS:
            self._events.append(event)
        else:
            self.lost += 1

    def _stand(self, event: Event) -> None:
        """It holds until something else is said on its topic."""
        if event[4]:
            self._standing[event[2]] = (*event[:5], True)
        else:
            self._standing.pop(event[2], None)

    def _start(self, again: bool) -> "subprocess.Popen[bytes]":
        """A monitor; again: it takes the place of one that was told everything so far."""
        command = [sys.executable, "-P", "-m", "coordinator.recording"]  # -P: nothing from the folder that one is in
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        told = {"settings": asdict(self._settings), "watched": asdict(self._watched), "again": again}
        process.stdin.write(frame(told))
        process.stdin.flush()
        return process

    def _send_all(self) -> None:
        pause_s, told_s, began_s = RESTART_S[0], 0.0, time.monotonic()
        while True:
            last = self._stopping.wait(SEND_S)
            events: list[Event] = []
            try:
                if time.monotonic() - told_s >= self._settings.every_s or last:
                    told_s = time.monotonic()
                    self._send({**self._known(), "lost_points": self.lost, **spent()})
                events = [self._events.popleft() for _ in range(len(self._events))]
                self._send(events)
            except OSError:
                if last:
                    return
                self._events.extendleft(reversed(events))
                pause_s = RESTART_S[0] if time.monotonic() - began_s > HEALTHY_S else pause_s
                log.error("the monitor ended (%s); training goes on, it starts again in %.0f s", self._ended(), pause_s)
                self._stopping.wait(pause_s)
                pause_s, began_s = min(2 * pause_s, RESTART_S[1]), time.monotonic()
                self._begin_again()
            if last:
                return

    def _known(self) -> Numbers:
        """What the coordinator knows of itself; nothing while it cannot tell."""
        try:
            return self._numbers()
        except (OSError, ValueError) as error:
            log.warning("the coordinator's own figures cannot be had: %s", error)
            return {}

    def _begin_again(self) -> None:
        try:
            self._process = self._start(True)
            self._send(sorted(self._standing.copy().values(), key=_order))
        except OSError as error:
            log.error("the monitor cannot be started: %s", error)

    def _ended(self) -> str:
        try:
            return f"exit code {self._process.wait(CLOSE_S)}"
        except subprocess.TimeoutExpired:
            self._process.kill()
            return f"killed, exit code {self._process.wait()}"

    def _send(self, what: "list[Event] | Numbers") -> None:
        if what and self._process.stdin is not None:
            self._process.stdin.write(frame(what))
            self._process.stdin.flush()


def _order(event: Event) -> tuple[bool, bool, bool, str]:
    """What holds, in the order in which it may be told again: deltas, manifest, round, then states."""
    words = topics.parse(event[2])
    kind = words[3] if words else ""
    return event[0] != "said", kind == "round", kind == "manifest", event[2]


def frame(what: Any) -> bytes:
    """What the pipe carries for it."""
    data = marshal.dumps(what)
    return len(data).to_bytes(4, "little") + data


def spent() -> Numbers:
    """Of this process: memory_bytes now, cpu_s since its start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) if sys.platform == "linux" else 0
    return {
        "memory_bytes": pages * resource.getpagesize() or used.ru_maxrss * 1024,
        "cpu_s": used.ru_utime + used.ru_stime,
    }


# --- the monitor's side ----------------------------------------------------------------------------------------------


@dataclass
class Frames:
    """Cuts what comes from a pipe into frames."""

    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Any]:
        """The frames that data completes."""
        self._rest += data
        at = 0
        while len(self._rest) - at >= 4:
            size = int.from_bytes(self._rest[at : at + 4], "little")
            if len(self._rest) - at - 4 < size:
                break
            yield marshal.loads(bytes(self._rest[at + 4 : at + 4 + size]))
            at += 4 + size
        del self._rest[:at]


class Monitor:
    """Events and the coordinator's own numbers in, points to the outputs."""

    def __init__(self, settings: MonitorSettings, watched: Watched, outputs: list[Output], again: bool = False) -> None:
        fresh = watched.epoch == 1 and not again
        self.observed = Observed(watched.site, watched.model, settings.silent_s, settings.every_s, fresh)
        self.outputs = outputs
        self.newest: Newest | None = None  # for Prometheus
        self._watched = watched
        self._numbers: Numbers = {}
        self._numbers_ns = 0
        self._written = self._lost = 0.0

    def begin(self, version_before: int) -> None:
        """Mark the coordinator's start. version_before: the newest in the store."""
        told = self._watched
        self._put(self.observed.restarted(told.epoch, told.version, version_before, told.began_ns))

    def take(self, what: "list[Event] | Numbers", now_ns: int) -> None:
        """One frame."""
        if isinstance(what, dict):
            lost = what.get("lost_points", 0)
            if lost > self._lost:
                self.observed.ledger.forgive()
            self._lost = lost
            self._put(self._coordinator(what, now_ns))
            return
        points: list[Point] = []
        for event in what:
            points += self.observed.take(event)
        self._put(points)

    def tick(self, now_ns: int) -> None:
        self._put(self.observed.tick(now_ns))

    def _put(self, points: list[Point]) -> None:
        if points:
            for output in self.outputs:
                output.put(points)
            if self.newest is not None:
                self.newest.put(points)

    def _coordinator(self, numbers: Numbers, now_ns: int) -> list[Point]:
        """The point of the coordinator's health: what it says, what this process took, and how the outputs are."""
        here = spent()
        cpu_s = numbers.pop("cpu_s", 0.0) + here["cpu_s"]
        passed_s = (now_ns - self._numbers_ns) / 1e9
        before = self._numbers.get("cpu_s", cpu_s)
        values: dict[str, Any] = {**numbers, "epoch": self._watched.epoch, "bad_messages": self.observed.bad}
        values["memory_bytes"] = numbers.get("memory_bytes", 0) + here["memory_bytes"]
        values["cpu_percent"] = 100 * (cpu_s - before) / passed_s if self._numbers_ns and passed_s > 0 else None
        sums: Numbers = {}
        for output in self.outputs:
            for name, value in output.numbers().items():
                sums[name] = max(sums.get(name, 0), value) if name == "spool_percent" else sums.get(name, 0) + value
        written = sums.pop("written_points", 0.0)
        values["lost_points"] = numbers.get("lost_points", 0) + sums.pop("lost_points", 0)
        values |= sums
        values["written_points"], self._written = written - self._written, written
        self._numbers, self._numbers_ns = {"cpu_s": cpu_s}, now_ns
        point = make_point("coordinator", (self._watched.site, self._watched.model), values, now_ns)
        return [point] if point else []


def version_in(store: str, site: str, model: str) -> int:
    """The newest initialization that an embedded store knows of; 0 if none."""
    if not store or not Path(store).exists():
        return 0
    question = "SELECT version FROM fleet WHERE site = ? AND model = ? AND version > 0 ORDER BY time_ns DESC LIMIT 1"
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=1.0)) as db:
            row = db.execute(question, (site, model)).fetchone()
    except sqlite3.Error:
        return 0
    return int(row[0]) if row else 0


def watch(descriptor: int) -> None:
    """Be the monitor: read frames until the pipe ends."""
    told = Frames()
    with ExitStack() as stack:
        monitor: Monitor | None = None
        while True:
            if select.select([descriptor], [], [], LOOK_S)[0]:
                data = os.read(descriptor, 1 << 20)
                if not data:
                    break
                for what in told.feed(data):
                    if monitor is None:
                        settings, watched = MonitorSettings(**what["settings"]), Watched(**what["watched"])
                        monitor = begin(settings, watched, what["again"], stack)
                    else:
                        monitor.take(what, time.time_ns())
            if monitor is not None:
                monitor.tick(time.time_ns())
        if monitor is not None:
            monitor.tick(time.time_ns())


def begin(settings: MonitorSettings, watched: Watched, again: bool, stack: ExitStack) -> Monitor:
    """A monitor with all that it writes to; the stack closes that."""
    before = version_in(settings.store, watched.site, watched.model)
    outputs = open_outputs(settings)
    for output in outputs:
        stack.callback(output.close, CLOSE_S)
    monitor = Monitor(settings, watched, outputs, again)
    if settings.prometheus:
        newest = Newest()
        try:
            stack.callback(prometheus.serve(settings.prometheus, newest.points).close)
            monitor.newest = newest
        except OSError as error:
            log.error("Prometheus is not served: %s", error)
    if not again:
        monitor.begin(before)
    return monitor


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pipe's end is the word to leave: until then there is work
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICE)
    try:
        watch(sys.stdin.fileno())
    except (ValueError, OSError) as error:
        sys.stderr.write(f"tegu coordinator: monitor: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
