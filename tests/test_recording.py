"""The monitor as a process: what the coordinator passes on is in the store, whatever becomes of the monitor meanwhile."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coordinator.recording import Frames, Monitor, Recorder, Watched, frame, version_in
from coordinator.settings import MonitorSettings
from tegu import topics
from tegu.wire.messages import Round, State

DEADLINE_S = 20.0
ROUND_11 = Round(round_num=1, version=11, opens_s=0, closes_s=60, quorum=2).encode()
BEGAN_NS = time.time_ns()  # older rows than keep_days are deleted
WATCHED = Watched("home", "m", 3, 7, BEGAN_NS)


def rows(store: Path, question: str) -> list[tuple[Any, ...]]:
    if not store.exists():
        return []
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5.0)) as db:
        return db.execute(question).fetchall()


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for it, at most DEADLINE_S."""
    waiting, deadline_s = threading.Event(), time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline_s, what
        waiting.wait(0.05)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.sqlite"


@pytest.fixture
def recorder(store: Path) -> Iterator[Recorder]:
    made = Recorder(MonitorSettings(store=str(store), every_s=0.2), WATCHED, lambda: {"queue_messages": 5})
    yield made
    made.close()


def born(recorder: Recorder, device: str, boot: int = 1) -> None:
    state = State(state="ready", boot=boot, model="m").encode()
    recorder.heard("state", topics.device("home", device, "state"), state, False)


def test_what_was_passed_on_is_in_the_store_when_close_returns(recorder: Recorder, store: Path) -> None:
    born(recorder, "a")
    for n in range(1000):
        payload = b'[{"n":"co2","u":"ppm","v":%d}]' % n
        recorder.heard("sense", topics.device("home", "a", "sense", "co2"), payload, False)
    recorder.close()
    assert rows(store, "SELECT count(*), sum(value), min(value), max(value) FROM reading") == [
        (1000, 499500.0, 0.0, 999.0)
    ]
    assert rows(store, "SELECT kind, text, time_ns FROM event") == [
        ("restart", "the coordinator's start number 3", BEGAN_NS)
    ]
    assert rows(store, "SELECT DISTINCT queue_messages, epoch, lost_points FROM coordinator") == [(5, 3, 0)]


def test_a_monitor_that_is_killed_is_started_again_and_told_what_still_holds(
    recorder: Recorder, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Round(round_num=1, version=7, opens_s=0, closes_s=60, quorum=2).encode()
    recorder.said(topics.model("home", "m", "round"), opened, True)
    born(recorder, "a")
    born(recorder, "b")
    until(
        lambda: len(rows(store, "SELECT 1 FROM fleet WHERE devices = 2")) > 0 if store.exists() else False, "no fleet"
    )
    first = recorder._process.pid
    with caplog.at_level(logging.ERROR):
        os.kill(first, signal.SIGKILL)
        until(lambda: recorder._process.pid != first, "the monitor was not started again")
    assert "the monitor ended (exit code -9); training goes on" in caplog.text
    moment_ns = time.time_ns()
    until(lambda: bool(rows(store, f"SELECT 1 FROM fleet WHERE devices = 2 AND time_ns > {moment_ns}")), "it forgot")
    recorder.heard("sense", topics.device("home", "b", "sense", "co2"), b'[{"v":1}]', False)
    recorder.close()
    assert rows(store, "SELECT device, value FROM reading") == [("b", 1.0)]


def test_a_monitor_that_hangs_does_not_keep_a_coordinator_from_ending(store: Path) -> None:
    made = Recorder(MonitorSettings(store=str(store)), WATCHED, dict)
    os.kill(made._process.pid, signal.SIGSTOP)
    payload = b'[{"v":1}]' + b" " * 4000
    for _ in range(1000):  # more than a pipe holds
        made.heard("sense", topics.device("home", "a", "sense", "co2"), payload, False)
    began_s = time.monotonic()
    made.close()
    assert time.monotonic() - began_s < 15


def test_a_monitor_that_is_started_again_counts_nothing_twice_and_marks_no_rollback(
    recorder: Recorder, store: Path
) -> None:
    recorder.said(topics.model("home", "m", "round"), ROUND_11, True)
    born(recorder, "a")
    tell(recorder, 1000.0)
    until(lambda: bool(rows(store, "SELECT 1 FROM energy")) if store.exists() else False, "no energy")
    first = recorder._process.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: recorder._process.pid != first, "the monitor was not started again")
    tell(recorder, 1003.0)
    tell(recorder, 1005.0)
    recorder.close()
    assert rows(store, "SELECT joules, total_joules FROM energy ORDER BY time_ns") == [
        (1000.0, 1000.0),
        (0.0, 1003.0),  # what was spent meanwhile is nobody's
        (2.0, 1005.0),
    ]
    assert rows(store, "SELECT kind FROM event") == [("restart",)]


def tell(recorder: Recorder, joules: float) -> None:
    """A heartbeat of a device that has fetched nothing and sent nothing."""
    numbers = {"boot": 1, "energy_modelled": 0, "joules": joules, "bytes_model_down": 0, "bytes_update_up": 0}
    payload = json.dumps({**numbers, "bytes_telemetry_up": 0}).encode()
    recorder.heard("telemetry", topics.device("home", "a", "telemetry"), payload, False)


def test_figures_that_cannot_be_had_end_no_monitor(store: Path) -> None:
    def numbers() -> dict[str, float]:
        raise FileNotFoundError("the checkpoint's folder")

    made = Recorder(MonitorSettings(store=str(store), every_s=0.2), WATCHED, numbers)
    process = made._process
    until(lambda: len(rows(store, "SELECT 1 FROM coordinator")) > 3 if store.exists() else False, "no points")
    assert made._process is process
    made.close()


def test_passing_on_never_waits_for_a_monitor_that_hangs(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.recording.MOST_EVENTS", 2000)
    os.kill(recorder._process.pid, signal.SIGSTOP)
    try:
        payload = b'[{"n":"co2","u":"ppm","v":612}]' + b" " * 200
        longest_s = 0.0
        for _ in range(20_000):
            began_s = time.perf_counter()
            recorder.heard("sense", topics.device("home", "a", "sense", "co2"), payload, False)
            longest_s = max(longest_s, time.perf_counter() - began_s)
        assert longest_s < 0.5
        assert recorder.lost > 10_000
        assert len(recorder._events) <= 2000
    finally:
        os.kill(recorder._process.pid, signal.SIGCONT)


def test_a_coordinator_that_is_killed_takes_the_monitor_with_it_and_nothing_it_had_passed_on(store: Path) -> None:
    script = f"""
import os, signal
from coordinator.recording import Recorder, Watched
from coordinator.settings import MonitorSettings
from tegu import topics
from tegu.wire.messages import State
r = Recorder(MonitorSettings(store={str(store)!r}), Watched("home", "m", 1, 1, 0), dict)
r.heard("state", topics.device("home", "a", "state"), State(state="ready", boot=1, model="m").encode(), False)
for n in range(500):
    r.heard("sense", topics.device("home", "a", "sense", "co2"), b'[{{"v":%d}}]' % n, False)
r._stopping.set()
r._thread.join(10)  # all of it is in the pipe
print(r._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == -signal.SIGKILL
    monitor = int(done.stdout)
    until(lambda: not Path(f"/proc/{monitor}").exists() or "Z" in state_of(monitor), "the monitor lives on")
    assert rows(store, "SELECT count(*), sum(value) FROM reading") == [(500, 124750.0)]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_setting_that_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match=r"nowhere"):
        Recorder(MonitorSettings(store=str(tmp_path / "nowhere" / "s.sqlite")), WATCHED, dict)


def test_the_version_before_is_what_the_store_knows(recorder: Recorder, store: Path) -> None:
    opened = Round(round_num=1, version=7, opens_s=0, closes_s=60, quorum=2).encode()
    recorder.said(topics.model("home", "m", "round"), opened, True)
    recorder.close()
    assert version_in(str(store), "home", "m") == 7
    assert version_in(str(store), "home", "other") == 0
    assert version_in(str(store.with_name("none")), "home", "m") == 0
    assert version_in("", "home", "m") == 0
    back = Recorder(MonitorSettings(store=str(store)), Watched("home", "m", 4, 5, BEGAN_NS + 1), dict)
    back.close()
    assert rows(store, f"SELECT kind, text FROM event WHERE time_ns = {BEGAN_NS + 1}") == [
        ("rollback", "back from version 7 to 5")
    ]


def test_frames_come_out_as_they_went_in_however_the_pipe_cuts_them() -> None:
    sent = [{"a": 1.5}, [("heard", 1, "t", b"x" * 300, 300, True)], [], {"b": 2}]
    data = b"".join(map(frame, sent))
    for size in (1, 3, 7, 1000):
        frames = Frames()
        got = [what for at in range(0, len(data), size) for what in frames.feed(data[at : at + size])]
        assert got == sent


class Listing:
    """An output that keeps what it is given."""

    def __init__(self, **numbers: float) -> None:
        self.points: list[Any] = []
        self.told = {"written_points": 0.0, "lost_points": 0.0, "spool_percent": 0.0, **numbers}

    def put(self, points: Any) -> None:
        self.points += points

    def numbers(self) -> dict[str, float]:
        return self.told

    def close(self, deadline_s: float) -> None:
        pass


def test_the_coordinators_health_is_the_sum_of_what_all_its_parts_say() -> None:
    one = Listing(written_points=100, lost_points=2, spool_percent=10.0, failing=1, spool_bytes=7)
    two = Listing(written_points=40, lost_points=1, spool_percent=0.0, failing=0, spool_bytes=0)
    monitor = Monitor(MonitorSettings(), WATCHED, [one, two])
    second = 10**9
    monitor.take({"queue_messages": 4, "lost_points": 5, "cpu_s": 1.0, "memory_bytes": 10}, 100 * second)
    one.told["written_points"] = 160
    monitor.take({"queue_messages": 6, "lost_points": 5, "cpu_s": 6.0, "memory_bytes": 10}, 110 * second)
    first, last = (point.fields for point in one.points)
    assert (first["written_points"], last["written_points"]) == (140, 60)
    assert (last["lost_points"], last["spool_percent"], last["failing"], last["spool_bytes"]) == (8, 10.0, 1, 7)
    assert 50.0 <= last["cpu_percent"] < 60.0  # five seconds in ten, and the little that this process took
    assert last["epoch"] == 3
    assert two.points == one.points
