"""What the tests of `tegu watch` stand on: a small building worked out by hand, written by the real store, and the page served.

room-1  takes part, is up to date, told its error just now
room-2  was last heard three hours ago: it is silent
room-3  sleeps, its battery is low
"""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from coordinator.metrics import STATES, Point, Value, make_point
from coordinator.sinks.store import Store as Sink

NS = 10**9
SITE, MODEL = "house", "presence"
DEADLINE_S = 30.0
COMMAND = "import sys; from dashboards.watch.command import run; sys.exit(run(sys.argv[1:]))"


def point(name: str, tags: tuple[str, ...], time_s: float, **values: Value | None) -> Point:
    """tags: those after the site; empty: only the model."""
    made = make_point(name, (SITE, *(tags or (MODEL,))), values, round(time_s * NS))
    assert made is not None
    return made


class Written:
    """A store that is being written. Use it as a context."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sink = Sink(path, 365.0)
        self._count = 0

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *error: object) -> None:
        self._sink.close(DEADLINE_S)

    def put(self, *points: Point) -> None:
        """Write them, and come back when they are in the file."""
        self._sink.put(points)
        self._count += len(points)
        deadline_s = time.monotonic() + DEADLINE_S
        while self._sink.numbers()["written_points"] < self._count:
            assert time.monotonic() < deadline_s, self._sink.numbers()
            time.sleep(0.005)


def write(path: Path, points: Sequence[Point]) -> Path:
    """A whole store, at rest."""
    sink = Sink(path, 365.0)
    sink.put(points)
    sink.close(DEADLINE_S)
    return path


def status(device: str, state: str, time_s: float, **values: Value) -> Point:
    told: dict[str, Value] = {
        "state": state,
        "state_code": STATES[state],
        "trouble": "",
        "trouble_code": 0,
        "starts": 0,
    }
    told |= {"boot": 1, "version": 5, "behind": 0, "heard_s": int(time_s), "silent_s": 0.0}
    return point("status", (device, MODEL), time_s, **(told | values))


def round_closed(number: int, time_s: float, **values: Value) -> Point:
    told: dict[str, Value] = {
        "round_num": number,
        "version": number,
        "ready": 2,
        "quorum": 2,
        "accepted": 2,
        "duplicate": 0,
    }
    told |= {"late": 0, "stale": 0, "limited": 0, "invalid": 0, "extended": 0, "quorum_s": 3.0, "lasted_s": 5.0}
    told |= {"update_bytes": 200, "dense_bytes": 3200, "said_bytes": 500, "joules": 1.0, "outer_step_size": 0.3}
    return point("round", (), time_s, **(told | values))


def minute(time_s: float, **values: Value) -> list[Point]:
    """What is written every minute."""
    fleet = dict.fromkeys(STATES, 0) | {"devices": 3, "ready": 1, "silent": 1, "sleeping": 1, "version": 5}
    health: dict[str, Value] = {
        "epoch": 1,
        "connected": 1,
        "queue_messages": 0,
        "commit_ms": 2.0,
        "round_age_s": 4.0,
        "failing": 0,
    }
    health |= {"memory_bytes": 50_000_000, "cpu_percent": 3.0, "disk_free_bytes": 20_000_000_000, "dropped_messages": 0}
    return [point("fleet", (), time_s, **fleet), point("coordinator", (), time_s, **(health | values))]


def ledger(device: str, time_s: float, down: int, up: int, telemetry: int, gap: int = 0) -> Point:
    return point(
        "bytes", (device, MODEL), time_s, model_down=down, update_up=up, telemetry_up=telemetry, dense_up=16 * up,
        model_down_device=10 * down, model_down_coordinator=10 * down, model_down_gap=0,
        update_up_device=10 * up, update_up_coordinator=10 * up - gap, update_up_gap=gap,
        telemetry_up_device=10 * telemetry, telemetry_up_coordinator=10 * telemetry, telemetry_up_gap=0, gap=gap,
    )  # fmt: skip


def building(now_s: float) -> list[Point]:
    """The building of the head of this file, as it was over the last hour."""
    points = [
        status("room-1", "ready", now_s - 20),
        status("room-2", "silent", now_s - 600, heard_s=int(now_s) - 3 * 3600, version=2, trouble="silent", trouble_code=2),
        status("room-3", "sleeping", now_s - 300, trouble="battery at 20 %", trouble_code=1),
        point("device", ("room-1", MODEL), now_s - 5, version=6, loss_before=0.5, loss_after=0.2, uptime_s=1000.0, samples=64, updates=8),
        point("device", ("room-3", MODEL), now_s - 300, version=5, loss_before=0.4, loss_after=0.3, battery_percent=20.0, uptime_s=100.0),
        ledger("room-1", now_s - 5, 1000, 100, 50),
        ledger("room-3", now_s - 300, 2000, 200, 60, gap=8),
        point("energy", ("room-1", MODEL, "modelled"), now_s - 5, joules=1.0, compute_joules=0.25, radio_joules=0.5, session_joules=0.125, total_joules=20.0),
        point("energy", ("room-3", MODEL, "measured"), now_s - 300, joules=3.0, total_joules=50.0),
        point("update", ("room-1", MODEL, "accepted"), now_s - 6, bytes=100, version=5, behind=0),
        point("update", ("room-1", MODEL, "late"), now_s - 60, bytes=100, version=4, behind=1),
        point("reading", ("room-1", "co2"), now_s - 7, value=612.0),
        point("event", (MODEL, "restart"), now_s - 3000, text="the coordinator's start number 1", version=1),
        point("event", (MODEL, "trouble"), now_s - 600, text="room-2: silent for 15 min", version=5),
        point("event", (MODEL, "version"), now_s - 60, text="version 5", version=5),
    ]  # fmt: skip
    for number, (before, after) in enumerate(
        ((1.0, 0.8), (0.9, 0.8), (0.8, 0.6), (0.7, 0.5), (0.6, 0.4), (0.6, 0.4)), 1
    ):
        late = 1 if number == 6 else 0
        points.append(round_closed(number, now_s - 60 * (7 - number), loss_before=before, loss_after=after, late=late))
    for device, version, time_s, losses in (
        ("room-1", 1, now_s - 2900, (1.0, 0.9)),
        ("room-1", 6, now_s - 5, (0.8, 0.4)),
        ("room-3", 5, now_s - 300, (0.4, 0.2)),
    ):
        for samples, loss in zip((0, 4), losses, strict=True):
            points.append(point("adaptation", (device, MODEL, str(samples)), time_s, loss=loss, version=version))
    points += [told for ago_s in range(3540, -1, -60) for told in minute(now_s - ago_s)]
    return sorted(points, key=lambda told: told.time_ns)


@contextlib.contextmanager
def served(store: Path, *options: str) -> Iterator[str]:
    """The address of `tegu watch` on this store; it is ended as Ctrl-C ends it, which must do, and it must say nothing else."""
    command = [sys.executable, "-c", COMMAND, str(store), "--no-browser", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+/", process.stdout.readline() + process.stdout.readline())
        assert found is not None, process.communicate(timeout=DEADLINE_S)
        yield found.group().rstrip("/")
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, said, complaint) == (0, "", "")
    finally:
        process.kill()
        process.wait()
