"""`tegu watch --terminal`, and what the command says when there is nothing to show."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from dashboards.watch.command import run
from dashboards.watch.store import NS, Store
from dashboards.watch.terminal import _print, picture, read

from .watching import COMMAND, DEADLINE_S, Written, building, minute, round_closed, status, write

SIZE = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"}
LEAVE_SCREEN = b"\x1b[?1049l"


def test_a_missing_store_is_told_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([str(tmp_path / "telemetry.sqlite"), "--no-browser"]) == 1
    told = capsys.readouterr().err
    assert "there is no store" in told
    assert "tegu coordinator SETTINGS" in told
    assert "[monitor]" in told


def test_a_file_that_is_no_store_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "junk").write_text("no database " * 100)
    assert run([str(tmp_path / "junk"), "--terminal"]) == 1
    assert "is no store of Tegu" in capsys.readouterr().err


def test_a_pipe_gets_one_snapshot_in_80_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "s.sqlite", building(time.time()))
    command = [sys.executable, "-c", COMMAND, str(path), "--terminal"]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Tegu  house  presence  live, round closed ")
    assert lines[1] == "2 of 3 devices there, 1 needs a visit, 1 to keep an eye on, version 6"
    assert [line.split()[0] for line in lines[4:7]] == ["room-2", "room-3", "room-1"]
    assert lines[4].split()[1:6] == ["Silent", "silent", "for", "3", "h"]
    assert "battery at 20 %" in lines[5]
    assert lines[8].startswith("round 6, ") and "2 merged, 1 set aside, took 5 s, error 0.600 to 0.400" in lines[8]
    assert lines[12].endswith("improving, 50 % lower")
    assert lines[13] == "bytes   3 kB model, 300 B updates (uncompressed: 4.8 kB), 110 B reports"
    assert lines[14] == "energy  4 J in the last hour"


def test_what_a_pipe_cannot_say_becomes_a_question_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "s.sqlite", building(time.time()))
    command = [sys.executable, "-c", COMMAND, str(path), "--terminal"]
    environment = {**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="ascii", timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert "room-1  Ready         ?" in done.stdout


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_a_device_says_is_shown_and_never_obeyed_by_a_terminal(tmp_path: Path, is_terminal: bool) -> None:
    now_s = 1_790_000_040
    evil = "\x1b]0;owned\x07 \x1b[31mred \x9b2J\x7f \r\nline \u202etxt"
    refused = status("room-\x9b1", "refused", now_s, trouble=evil, trouble_code=2)
    with Store(write(tmp_path / "s.sqlite", [*minute(now_s), refused])).reading(now_s * NS) as at:
        found = read(at)
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=is_terminal, color_system=None, highlight=False)
    if is_terminal:
        console.print(picture(found, 120, 24))
    else:
        _print(console, picture(found, 120, None))
    shown = out.getvalue()
    if is_terminal:  # bold and dim are the only orders, and ours
        shown = re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert [letter for letter in shown if not letter.isprintable()] == ["\n"] * shown.count("\n")
    (line,) = (line for line in shown.splitlines() if line.startswith("room-?1"))
    assert "?]0;owned? ?[31mred ?2J? ??line ?txt" in line


def test_80_by_24_is_enough_for_a_thousand_devices(tmp_path: Path) -> None:
    now_s = 1_790_000_040
    states = [status(f"room-{number}", "ready", now_s) for number in range(1000)]
    points = [*minute(now_s), *states, *(round_closed(number, now_s - 9 + number) for number in range(1, 9))]
    with Store(write(tmp_path / "s.sqlite", points)).reading(now_s * NS) as at:
        found = read(at)
    console = Console(width=80, height=24, record=True, file=(tmp_path / "out").open("w"))
    console.print(picture(found, 80, 24))
    lines = console.export_text().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("and 990 more, all of them fine") for line in lines)


def test_a_terminal_is_redrawn_as_rounds_close_and_left_as_it_was(tmp_path: Path) -> None:
    with Written(tmp_path / "s.sqlite") as written:
        written.put(*building(time.time()))
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", COMMAND, str(written.path), "--terminal"]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, **SIZE})
        os.close(theirs)
        try:
            _wait_for(ours, b"round 6, ")
            written.put(round_closed(7, time.time()))
            _wait_for(ours, b"round 7, just now")
            process.send_signal(signal.SIGINT)
            _wait_for(ours, LEAVE_SCREEN)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.wait()
            os.close(ours)


def _wait_for(terminal: int, words: bytes) -> None:
    """Until the process has said these words on its terminal."""
    said, deadline_s = b"", time.monotonic() + DEADLINE_S
    while words not in said:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline_s - time.monotonic()))
        assert ready, said
        said += os.read(terminal, 65536)
