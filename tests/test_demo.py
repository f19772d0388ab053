"""`tegu demo` as a user runs it: real processes, a report at the end, and nothing left behind whatever happens."""

import csv
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.registry import Registry

from .parts import needs

DEADLINE_S = 90.0
MARK = "TEGU_TEST_MARK"


def start(folder: Path, mark: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tegu_command", "demo", "--task", "sine", "--devices", "3", *options]
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """Read what it says up to the line with `words`."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    pytest.fail(f"it ended without saying {words!r}: {said}", pytrace=False)


def marked(mark: str) -> list[str]:
    """The processes that carry the mark in their environment: the demo's children and theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes():
                found.append(path.parent.joinpath("cmdline").read_text().replace("\0", " "))
        except (OSError, ValueError):
            continue
    return found


def none_left(mark: str) -> bool:
    deadline = time.monotonic() + 10
    while marked(mark):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_the_demo_runs_to_its_report_and_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    if kind == "mosquitto":
        needs("mosquitto")
    mark = secrets.token_hex(8)
    process = start(tmp_path, mark, "--rounds", "4", "--broker", kind, "--out", "out")
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    assert none_left(mark), marked(mark)
    rounds = list(csv.DictReader((tmp_path / "out" / "rounds.csv").open()))
    assert [row["accepted"] for row in rounds] == ["3"] * 4
    devices = list(csv.DictReader((tmp_path / "out" / "devices.csv").open()))
    assert [row["updates"] for row in devices] == ["4"] * 3
    assert sum(int(row["bytes_up"]) for row in rounds) == sum(int(row["bytes_up"]) for row in devices)
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["seed"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-registry", "out.sqlite"]
    assert "tegu watch out.sqlite" in said
    assert "tegu registry match --folder out-registry" in said
    graph = Registry(tmp_path / "out-registry", "demo")
    known = graph.select("SELECT ?device { ?device tegu:ramBytes ?ram ; tegu:takesPart/tegu:needsRamBytes ?needs }")
    assert {row["device"] for row in known} >= {f"urn:tegu:demo:device-{n}" for n in (1, 2, 3)}
    with closing(sqlite3.connect(tmp_path / "out.sqlite")) as db:
        assert db.execute("SELECT count(*), sum(accepted) FROM round").fetchone() == (4, 12)
        assert db.execute("SELECT max(gap), count(DISTINCT device) FROM bytes").fetchone() == (0, 3)


@pytest.mark.parametrize("words", ["Starting a broker", "round 2/"])
def test_an_interrupted_demo_leaves_no_process_and_no_file(tmp_path: Path, words: str) -> None:
    mark = secrets.token_hex(8)
    process = start(tmp_path, mark, "--rounds", "500")
    wait_for(process, words)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert none_left(mark), marked(mark)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    process = start(tmp_path, mark, "--rounds", "500")
    wait_for(process, "round 1/")
    assert len(marked(mark)) >= 6  # broker, coordinator, three devices, itself
    process.kill()
    process.wait()
    assert none_left(mark), marked(mark)


def test_wrong_options_are_told_before_anything_starts(tmp_path: Path) -> None:
    process = start(tmp_path, "none", "--rounds", "0")
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "--rounds must be 1 to 100000" in said
