"""The report and the screen, judged by what they write: files on a disk, characters on a (pseudo) terminal."""

import csv
import io
import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("rich")

from rich.console import Console

from experiments.charts import Line as ChartLine
from experiments.charts import apart, chart, rounds_axis, steps, value_axis
from experiments.report import page, write
from experiments.results import Curve, DeviceRow, Result, RoundRow, bytes_text, joules_text, number_text
from experiments.screen import Screen, sparkline
from experiments.sentences import compared

NAMES = {"index.html", "rounds.csv", "devices.csv", "curves.csv", "settings.json"}
VOID = {"meta", "link", "br", "hr", "img", "input"}
EVIL = "<script>alert(1)</script>\"'&\x1b[31m\u202e"


def curve(label: str, *score: float) -> Curve:
    return Curve(label, (0, 8), (0.5, 0.25), score, "balanced accuracy")


def device(name: str = "room-1", simulated: bool = False) -> DeviceRow:
    return DeviceRow(name, "room 917810", simulated, 3, 96, 1234, 8640, 5000, 1.5, "modelled", 0.25, 0.25, 1.0)


def result() -> Result:
    return Result(
        task="presence",
        title="A room that never took part",
        unseen="room 42",
        unseen_simulated=False,
        data_note="Two rooms.",
        curves=(curve("Tegu initialization", 0.83, 0.87), curve("random initialization", 0.5, 0.65)),
        rounds=(
            RoundRow(1, 1, 2, 0, 0, 834, 5000, 0.7, 0.5, 0.125),
            RoundRow(2, 2, 1, 1, 0, 400, 5000, 0.6, 1 / 3, 0.25),
        ),
        devices=(device(), device("sim-2", simulated=True)),
        settings={"seed": 7, "command": "tegu demo --seed 7", "top_p": 10},
        broker="mosquitto on 127.0.0.1",
        seconds=8.4,
        notes=("Labels from a PIR.",),
    )


class Page(HTMLParser):
    """What a browser would see: elements that close in order, what they load, and the words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "poster", "action"):
                (self.links if tag == "a" else self.loads).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# The files ----------------------------------------------------------------------------------------------


def test_a_report_is_a_directory_with_its_five_files(tmp_path: Path) -> None:
    made = write(result(), tmp_path / "new" / "report")
    assert made == tmp_path / "new" / "report"
    assert {path.name for path in made.iterdir()} == NAMES
    assert [path.name for path in made.parent.iterdir()] == ["report"]


def test_the_tables_hold_the_values_of_the_result_in_full(tmp_path: Path) -> None:
    given = result()
    made = write(given, tmp_path / "report")
    tables: dict[str, tuple[RoundRow | DeviceRow, ...]] = {
        "rounds.csv": given.rounds,
        "devices.csv": given.devices,
    }
    for name, rows in tables.items():
        read = rows_of(made / name)
        assert len(read) == len(rows)
        for line, row in zip(read, rows, strict=True):
            for field in fields(row):
                value = getattr(row, field.name)
                wanted = str(value).lower() if isinstance(value, bool) else str(value)
                assert line[field.name] == wanted
    assert float(rows_of(made / "rounds.csv")[1]["query_loss_after"]) == 1 / 3
    assert rows_of(made / "curves.csv")[1] == {
        "label": "Tegu initialization",
        "score_name": "balanced accuracy",
        "samples": "8",
        "loss": "0.25",
        "score": "0.87",
    }


def test_settings_are_exact_and_strict_json(tmp_path: Path) -> None:
    settings: dict[str, object] = {"seed": 7, "steps": (0.1, math.inf), "path": Path("a"), "odd": "\udcff"}
    made = write(replace(result(), settings=settings), tmp_path / "report")
    text = (made / "settings.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "seed": 7,
        "steps": [0.1, "inf"],
        "path": "a",
        "odd": "?",
    }


def test_a_name_that_a_spreadsheet_would_run_is_kept_as_text(tmp_path: Path) -> None:
    made = write(replace(result(), devices=(device("=HYPERLINK(1)"),)), tmp_path / "report")
    assert rows_of(made / "devices.csv")[0]["device"] == "'=HYPERLINK(1)"


class Interrupted(tuple[DeviceRow, ...]):
    """Devices during which someone presses Ctrl-C, once rounds.csv is already written."""

    def __iter__(self) -> Iterator[DeviceRow]:
        raise KeyboardInterrupt


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(replace(result(), devices=Interrupted()), tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_report_never_overwrites_another(tmp_path: Path) -> None:
    first = write(result(), tmp_path / "report")
    before = (first / "index.html").read_bytes()
    second = write(replace(result(), title="Another"), tmp_path / "report")
    assert (first.name, second.name) == ("report", "report-2")
    assert (first / "index.html").read_bytes() == before
    assert "Another" in (second / "index.html").read_text(encoding="utf-8")


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("mine")
    assert write(result(), tmp_path / "report").name == "report-2"
    assert (tmp_path / "report").read_text() == "mine"


def test_reports_written_at_once_get_a_folder_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: write(result(), tmp_path / "report"), range(8)))
    assert len(set(made)) == 8
    assert set(tmp_path.iterdir()) == set(made)
    assert all({path.name for path in folder.iterdir()} == NAMES for folder in made)


# The page -----------------------------------------------------------------------------------------------


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    seen = Page(page(result()))
    assert seen.open == []
    assert seen.loads == ["data:,"]  # the icon: empty, and inline
    assert seen.links == ["rounds.csv", "devices.csv", "curves.csv", "settings.json"]
    assert "script" not in seen.tags
    assert not re.search(r"url\(|@import|https?://", page(result()))


def test_the_page_says_the_numbers_and_what_is_simulated() -> None:
    words = Page(page(result())).words
    assert "Before learning from any sample there, Tegu initialization reaches a balanced accuracy of 0.83" in words
    assert "it reaches 0.87: 0.22 better than random initialization." in words
    assert "random initialization has not come that far after 8 samples" in words
    assert "1 of 2 devices learned from SIMULATED data, 1 from real data." in words
    assert "Together the devices sent 2.47 kB; dense float32 would have been 17.3 kB, 7.0 times as much." in words
    assert "The coordinator's rounds hold 1,234 bytes fewer." in words
    assert "Modelled, not measured: 3.00 J for all devices, most of it sessions (67%)." in words
    assert "tegu demo --seed 7" in words


def test_the_page_of_a_result_that_does_not_flatter_us_says_so() -> None:
    curves = (curve("Tegu initialization", 0.83, 0.86), curve("FedAvg", 0.87, 0.86))
    words = Page(page(replace(result(), curves=curves, unseen_simulated=True))).words
    assert "0.83: 0.04 worse than FedAvg. After 8 samples, it reaches 0.86: level with FedAvg." in words
    assert "FedAvg begins no worse" in words
    assert "The device that never took part has SIMULATED data." in words


def test_of_an_error_the_smaller_is_the_better() -> None:
    ours = Curve("ours", (0,), (1.0,), (0.5,), "mean squared error")
    assert compared(ours, replace(ours, label="other", score=(2.0,)), 0) == "1.50 better than other"


def test_text_from_outside_is_escaped_everywhere() -> None:
    hostile = replace(
        result(),
        task=EVIL,
        title=EVIL,
        unseen=EVIL,
        data_note=EVIL,
        broker=EVIL,
        notes=(EVIL,),
        settings={EVIL: EVIL, "seed": EVIL, "command": EVIL},
        curves=(curve(EVIL, 0.5, 0.6), curve(EVIL, 0.5, 0.6)),
        devices=(replace(device(EVIL), source=EVIL),),
    )
    html = page(hostile)
    seen = Page(html)
    assert seen.open == []
    assert "script" not in seen.tags
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert seen.words.count("<script>alert(1)</script>\"'&") >= 14


def test_a_page_can_be_drawn_of_a_run_in_which_nothing_worked() -> None:
    nan = math.nan
    broken = replace(
        result(),
        curves=(curve("ours", nan, nan), curve("other", nan, 0.5)),
        rounds=(RoundRow(1, 1, 0, 0, 0, 0, 0, nan, nan, nan),),
        devices=(replace(device(), bytes_up=0, dense_bytes_up=0, energy_joules=nan),),
    )
    empty = replace(result(), curves=(), rounds=(), devices=(), settings={}, notes=())
    for html in (page(broken), page(empty)):
        assert Page(html).open == []
        assert "nan" not in html
        assert "inf" not in Page(html).words


def test_many_devices_are_summed_up_and_the_rest_pointed_to() -> None:
    many = (*(device(f"sim-{i}", simulated=True) for i in range(299)), device("real-one"))
    words = Page(page(replace(result(), devices=many))).words
    assert "276 more devices in devices.csv." in words
    assert words.count("real-one") == 3  # bytes, energy, table: real devices are shown first


def test_a_value_that_is_not_finite_is_a_gap_in_its_line() -> None:
    line = ChartLine("loss", [1, 2, 3, 4], [1.0, math.nan, 1.0, 0.0], 0)
    drawn = chart([line], rounds_axis([1, 4]), value_axis([line], "loss"))
    path = re.search(r'class="line s0" d="([^"]*)"', drawn)
    assert path is not None
    assert re.sub(r"[\d. ]+", "", path[1]) == "MML"


def test_end_values_are_pushed_apart_and_stay_inside() -> None:
    assert apart([10, 12, 50], 14, 100) == [10, 24, 50]
    assert apart([98, 99, 100], 14, 100) == [72, 86, 100]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.5, 0.91, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), (0, 7, [0, 2, 4, 6, 8])],
)
def test_axis_steps_are_round_numbers_around_the_values(low: float, high: float, wanted: list[float]) -> None:
    assert steps(low, high) == wanted


def test_units_for_people() -> None:
    assert [bytes_text(n) for n in (0, 999, 6800, 153_000, 2_100_000)] == [
        "0 B",
        "999 B",
        "6.80 kB",
        "153 kB",
        "2.10 MB",
    ]
    assert [joules_text(j) for j in (0, 3.4e-5, 0.543, 1.234, 2000)] == [
        "0 J",
        "34.0 µJ",
        "543 mJ",
        "1.23 J",
        "2.00 kJ",
    ]
    assert [number_text(v) for v in (0.02345, 1234.5, math.nan)] == ["0.0234", "1,234", "-"]


# The screen ---------------------------------------------------------------------------------------------


def test_off_a_terminal_the_screen_says_plain_lines(tmp_path: Path) -> None:
    out, given = io.StringIO(), result()
    clock = iter(range(100))
    with Screen(Console(file=out, width=80), clock=lambda: float(next(clock))) as screen:
        screen.stage("Starting the broker")
        screen.note(f"port 1883 {EVIL} [red]kept[/red]")
        screen.round(given.rounds[0], devices_ready=2, total_rounds=2)
        screen.round(given.rounds[1], devices_ready=2, total_rounds=2)
        screen.curves(given.curves)
        screen.done(write(given, tmp_path / "report"))
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert any("[red]kept[/red]" in line for line in lines)
    assert lines[3].endswith(
        "round 2/2  devices ready 2  accepted 1 late 1 stale 0  up 400 B (total 1.23 kB)  "
        "down 5.00 kB (total 10.0 kB)  query loss 0.600 -> 0.333"
    )
    assert "random initialization      0.50  0.65" in lines
    assert lines[-1].endswith(f"Report: {tmp_path}/report/index.html")


def test_a_letter_the_terminal_does_not_have_is_no_error() -> None:
    out = io.BytesIO()
    with io.TextIOWrapper(out, encoding="ascii", write_through=True) as file:
        with Screen(Console(file=file)) as screen:
            screen.note("a Küche, 21 °C")
        assert b"a K?che, 21 ?C\n" in out.getvalue()


def test_a_sparkline_shows_the_whole_history() -> None:
    assert sparkline([8, 3, 1, math.nan]) == "█▃▁ "
    assert sparkline(range(100), columns=8) == "▁▂▃▄▅▆▇█"
    assert sparkline([]) == ""


LIVE = """
import signal, sys
from experiments.results import RoundRow
from experiments.screen import Screen
try:
    with Screen() as screen:
        screen.stage("Rounds")
        screen.round(RoundRow(3, 3, 2, 0, 0, 834, 5000, 0.7, 0.5, 0.1), 2, 9)
        signal.pause()
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_on_a_terminal_gives_the_cursor_back() -> None:
    here, there = pty.openpty()
    root = Path(__file__).parent.parent
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", LIVE], stdin=there, stdout=there, stderr=there, env=environment
    ) as child:
        os.close(there)
        seen = read_until(here, "query loss")
        assert "\x1b[?25l" in seen
        child.send_signal(signal.SIGINT)
        seen += read_until(here, None)
        assert child.wait(10) == 130
    os.close(here)
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "Interrupted after round 3." in seen
    assert "Traceback" not in seen


def read_until(terminal: int, wanted: str | None) -> str:
    """What the terminal shows until `wanted`, or until its other end is closed; at most 20 s."""
    seen, deadline_s = "", time.monotonic() + 20
    while (wanted is None or wanted not in seen) and time.monotonic() < deadline_s:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # Linux: the other end is closed
                break
            seen += part.decode(errors="replace")
    assert wanted is None or wanted in seen, seen
    return seen
