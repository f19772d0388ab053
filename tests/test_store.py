"""The embedded store: what is put is there, in the types of metrics.py; readers, old rows, old files, SIGKILL."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from coordinator.checkpoint import Checkpoint
from coordinator.metrics import MEASUREMENTS, MOST_INT, Measurement, Point, Value, make_point
from coordinator.sinks import store as store_module
from coordinator.sinks.forgetting import Forgetting
from coordinator.sinks.store import Store
from tegu.model import Model
from tests.test_spool import full_disk
from tests.timeseries import until

NOW_NS = time.time_ns()
DAY_NS = 86_400_000_000_000
VALUES: dict[type, Value] = {int: MOST_INT, float: -1.5e-7, str: 'a "quoted" \\, b=c, é'}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.sqlite"


@contextmanager
def storing(path: Path, keep_days: float = 30.0, most_mb: float = 1000.0) -> Iterator[Store]:
    store = Store(path, keep_days, most_mb)
    try:
        yield store
    finally:
        store.close(10.0)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """As any reader of the store asks."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def full_point(told: Measurement) -> Point:
    """With all tags and all fields."""
    made = make_point(
        told.name,
        tuple(f"the {tag}" for tag in told.tags),
        {f.name: VALUES[f.kind] for f in told.fields.values()},
        NOW_NS,
    )
    assert made
    return made


def readings(first: int, count: int, age_ns: int = 0) -> list[Point]:
    """Of room-0 to room-9 in turn, a millisecond apart, that read 0.0, 1.0, ..."""
    made = []
    for number in range(first, first + count):
        time_ns = NOW_NS - age_ns + number * 1_000_000
        point = make_point("reading", ("home", f"room-{number % 10}", "co2"), {"value": float(number)}, time_ns)
        assert point
        made.append(point)
    return made


def test_every_measurement_is_a_table_with_its_tags_and_fields(path: Path) -> None:
    with storing(path) as store:
        store.put([full_point(told) for told in MEASUREMENTS.values()])
    names = {int: "integer", float: "real", str: "text"}
    for told in MEASUREMENTS.values():
        fields = list(told.fields.values())
        words = [*told.tags, *(field.name for field in fields)]
        columns = ", ".join(["time_ns", *(f'"{word}"' for word in words)])
        (found,) = rows(path, f'SELECT {columns} FROM "{told.name}"')
        tags = [f"the {tag}" for tag in told.tags]
        assert list(found) == [NOW_NS, *tags, *(VALUES[field.kind] for field in fields)], told.name
        typed = ", ".join(f'typeof("{field.name}")' for field in fields)
        assert rows(path, f'SELECT {typed} FROM "{told.name}"') == [tuple(names[field.kind] for field in fields)]


def test_a_field_that_a_point_does_not_have_is_null(path: Path) -> None:
    point = make_point("energy", ("home", "room-1", "presence", "measured"), {"joules": 2.5}, NOW_NS)
    assert point
    with storing(path) as store:
        store.put([point])
    assert rows(path, "SELECT joules, radio_joules, typeof(radio_joules) FROM energy") == [(2.5, None, "null")]


def test_points_are_there_within_two_seconds_and_counted_once(path: Path) -> None:
    with storing(path) as store:
        store.put(readings(0, 3))
        until(lambda: store.numbers()["written_points"] == 3, 2.0)
        assert rows(path, "SELECT value FROM reading ORDER BY time_ns") == [(0.0,), (1.0,), (2.0,)]
        store.put(readings(3, 12_000))  # two full batches and a rest
    assert rows(path, "SELECT count(*), sum(value) FROM reading") == [(12_003, 12_002 * 12_003 / 2)]
    numbers = store.numbers()
    assert (numbers["written_points"], numbers["waiting_points"], numbers["lost_points"]) == (12_003, 0, 0)
    assert (numbers["rejected_points"], numbers["failing"], numbers["spool_points"]) == (0, 0, 0)


def test_a_reader_in_the_middle_of_reading_keeps_nobody_from_writing(path: Path) -> None:
    with storing(path) as store, closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        store.put(readings(0, 10))
        until(lambda: store.numbers()["written_points"] == 10)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM reading").fetchone() == (10,)
        store.put(readings(10, 10))
        until(lambda: store.numbers()["written_points"] == 20, 3.0)
        assert reader.execute("SELECT count(*) FROM reading").fetchone() == (10,)  # its own moment
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM reading").fetchone() == (20,)


def test_queries_by_device_and_by_time_use_an_index(path: Path) -> None:
    with storing(path):
        pass
    for where, index in (("device = 'a' AND time_ns > 5", "reading_device"), ("time_ns > 5", "reading_time_ns")):
        assert index in rows(path, f"EXPLAIN QUERY PLAN SELECT * FROM reading WHERE {where}")[0][3]


def test_put_does_not_wait_while_another_program_holds_the_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with storing(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        longest_s = 0.0
        for first in range(0, 20_000, 1_000):
            points = readings(first, 1_000)
            began = time.perf_counter()
            store.put(points)
            longest_s = max(longest_s, time.perf_counter() - began)
        until(lambda: store.numbers()["failing"] == 1)
        assert store.numbers()["waiting_points"] == 20_000
        assert longest_s < 0.2  # the lock is waited for 1 s
        other.execute("COMMIT")
        until(lambda: store.numbers()["written_points"] == 20_000)
    assert rows(path, "SELECT count(*), sum(value) FROM reading") == [(20_000, 19_999 * 20_000 / 2)]
    told = [record.message for record in caplog.records]
    assert told == [
        f"cannot write to the store {path}: database is locked; points wait in memory",
        f"the store {path} takes points again",
    ]


def test_a_full_disk_is_told_and_what_waits_is_written_after_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with storing(path) as store:
        store.put(readings(0, 5_000))
        until(lambda: store.numbers()["written_points"] == 5_000)
        with full_disk(path.stat().st_size):
            store.put(readings(5_000, 20_000))
            until(lambda: store.numbers()["failing"] == 1)
        until(lambda: store.numbers()["written_points"] == 25_000)
    assert f"cannot write to the store {path}" in caplog.text
    assert rows(path, "SELECT count(*), sum(value) FROM reading") == [(25_000, 24_999 * 25_000 / 2)]


def test_more_than_memory_may_hold_is_counted_as_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.sinks.pending.MOST", 7_000)
    with storing(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(readings(0, 5_000))
        until(lambda: store.numbers()["failing"] == 1)  # these 5,000 are in the thread's hands
        store.put(readings(5_000, 6_000))
        store.put(readings(11_000, 3_000))
        assert store.numbers()["lost_points"] == 2_000
        other.execute("COMMIT")
    assert rows(path, "SELECT count(*), max(value) FROM reading") == [(12_000, 11_999.0)]


@pytest.mark.parametrize(
    "bad",
    [
        Point("nothing", (), {"value": 1.0}, NOW_NS),
        Point("reading", ("home",), {"value": 1.0}, NOW_NS),
        Point("reading", ("home", "room-1", "co2"), {"value": "high"}, NOW_NS),
        Point("round", ("home", "presence"), {"version": 2**63}, NOW_NS),
        Point("event", ("home", "presence", "trouble"), {"text": "\ud800"}, NOW_NS),
    ],
    ids=["measurement", "tags", "kind", "size", "letters"],
)
def test_a_point_that_is_not_of_the_table_is_counted_and_the_others_are_kept(path: Path, bad: Point) -> None:
    with storing(path) as store:
        store.put([*readings(0, 2), bad, *readings(2, 2)])
    assert rows(path, "SELECT count(*), sum(value) FROM reading") == [(4, 6.0)]
    assert (store.numbers()["written_points"], store.numbers()["rejected_points"]) == (4, 1)


def test_rows_older_than_the_days_to_keep_go_and_no_others(path: Path) -> None:
    with storing(path, keep_days=3650) as store:
        store.put(readings(0, 9_000, age_ns=5 * DAY_NS) + readings(9_000, 7, age_ns=3 * DAY_NS) + readings(9_007, 1))
    with storing(path, keep_days=4) as store:
        store.put(readings(9_008, 2))
        until(lambda: rows(path, "SELECT count(*) FROM reading") == [(10,)])
    assert rows(path, "SELECT min(value), max(value) FROM reading") == [(9_000.0, 9_009.0)]


@contextmanager
def month_old(path: Path, last_age_ns: int = 0) -> Iterator[Forgetting]:
    """What forgets in a store of 3,000 readings of the last three days and one of that age, which are kept for 30 days."""
    with storing(path) as store:
        store.put(readings(0, 3_000, age_ns=3 * DAY_NS) + readings(3_000, 1, age_ns=last_age_ns))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield Forgetting(db, path, 30.0, 1000.0)


def clock(monkeypatch: pytest.MonkeyPatch, ahead_ns: int) -> None:
    monkeypatch.setattr("coordinator.sinks.forgetting.time.time_ns", lambda: NOW_NS + ahead_ns)


def test_a_clock_that_is_a_year_ahead_for_some_looks_deletes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with month_old(path) as forgetting:
        forgetting.look()
        for ahead_ns in (365 * DAY_NS, 365 * DAY_NS, 0, 0):
            clock(monkeypatch, ahead_ns)
            forgetting.look()
    assert rows(path, "SELECT count(*) FROM reading") == [(3_001,)]
    assert [record.message for record in caplog.records] == [
        f"the clock jumped by 365 days: for 6 h no point in {path} goes for its age"
    ]


def test_a_clock_that_stays_where_it_jumped_is_believed_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with month_old(path) as forgetting:
        monkeypatch.setattr("coordinator.sinks.forgetting.DOUBT_S", 0.05)
        clock(monkeypatch, 365 * DAY_NS)
        forgetting.look()
        assert rows(path, "SELECT count(*) FROM reading") == [(3_001,)]
        until(lambda: forgetting.look() or rows(path, "SELECT count(*) FROM reading") == [(0,)])


def test_a_clock_that_is_far_from_the_last_points_at_the_start_deletes_nothing_yet(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, 365 * DAY_NS)
    with month_old(path) as forgetting:
        forgetting.look()
        assert rows(path, "SELECT count(*) FROM reading") == [(3_001,)]
    monkeypatch.setattr("coordinator.sinks.forgetting.DOUBT_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        Forgetting(db, path, 30.0, 1000.0).look()
    assert rows(path, "SELECT count(*) FROM reading") == [(0,)]


def test_a_flood_takes_no_more_than_the_store_may_and_the_newest_stay(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with storing(path, most_mb=2) as store:
        store.put([full_point(MEASUREMENTS["round"]), *readings(0, 60_000)])  # 100 bytes each, 6 MB
        until(lambda: store.numbers()["written_points"] == 60_001)
        store.put(readings(60_000, 30_000, age_ns=DAY_NS))  # by a clock that went back: newer all the same
        until(lambda: store.numbers()["written_points"] == 90_001)
        assert (store.numbers()["lost_points"], store.numbers()["failing"]) == (0, 0)
    assert path.stat().st_size < 3_000_000  # and one batch
    ((count, first, last),) = rows(path, "SELECT count(*), min(value), max(value) FROM reading")
    assert (first, last) == (90_000 - count, 89_999)
    assert 10_000 < count < 25_000
    assert rows(path, "SELECT count(*) FROM round") == [(1,)]
    assert [record.message for record in caplog.records] == [
        f"the store {path} is full at 2 MB: the oldest points go; raise store_mb"
    ]


def test_a_disk_that_is_almost_full_is_left_to_the_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("coordinator.sinks.pending.MOST", 7_000)
    with storing(path) as store:
        with monkeypatch.context() as almost_full:
            almost_full.setattr(store_module, "LEAST_FREE_MB", 10**12)
            store.put(readings(0, 5_000))
            until(lambda: store.numbers()["failing"] == 1)
            store.put(readings(5_000, 8_000))
            assert (store.numbers()["written_points"], store.numbers()["lost_points"]) == (0, 1_000)
            assert rows(path, "SELECT count(*) FROM reading") == [(0,)]
        until(lambda: store.numbers()["written_points"] == 12_000)
        assert store.numbers()["failing"] == 0
    assert [record.message for record in caplog.records] == [
        f"cannot write to the store {path}: less than 1000000000000 MB are free on its disk,"
        " which the checkpoint may need; points wait in memory",
        f"the store {path} takes points again",
    ]


@pytest.mark.parametrize("gone", ["the file", "the file and its log", "replaced"])
def test_a_store_that_is_deleted_or_replaced_is_told_and_opened_anew(
    path: Path, gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = path.with_name("other.sqlite")
    with storing(other) as store:
        store.put(readings(700, 1))
    with storing(path) as store:
        store.put(readings(0, 3_000))
        until(lambda: store.numbers()["written_points"] == 3_000)
        if gone == "replaced":
            other.replace(path)
        for name in path.parent.glob(f"{path.name}{'*' if gone == 'the file and its log' else ''}"):
            if gone != "replaced":
                name.unlink()
        store.put(readings(3_000, 2))
        until(lambda: store.numbers()["written_points"] == 3_002)
        assert store.numbers()["failing"] == 0
    before = [(700.0,)] if gone == "replaced" else []
    assert rows(path, "SELECT value FROM reading") == [*before, (3_000.0,), (3_001.0,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert [record.message for record in caplog.records] == [
        f"the store {path} was deleted or replaced while it was written: it is opened anew"
    ]


def test_a_store_whose_folder_is_away_for_a_while_fails_and_comes_back(path: Path) -> None:
    folder = path.parent / "disk"
    folder.mkdir()
    with storing(folder / path.name) as store:
        folder.rename(path.parent / "away")
        store.put(readings(0, 3))
        until(lambda: store.numbers()["failing"] == 1)
        assert store.numbers()["waiting_points"] == 3
        folder.mkdir()
        until(lambda: store.numbers()["written_points"] == 3)
    assert rows(folder / path.name, "SELECT count(*) FROM reading") == [(3,)]


def test_an_older_file_gets_the_columns_that_are_new(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = MEASUREMENTS["round"]
    older = Measurement(now.name, now.help, ("site",), {name: now.fields[name] for name in ("version", "accepted")})
    with monkeypatch.context() as earlier:
        earlier.setitem(MEASUREMENTS, "round", older)
        with storing(path) as store:
            store.put([Point("round", ("home",), {"version": 4, "accepted": 2}, NOW_NS)])
    with storing(path) as store:
        store.put([Point("round", ("home", "presence"), {"version": 5, "joules": 1.5}, NOW_NS + 1)])
    query = "SELECT site, model, version, accepted, joules FROM round ORDER BY time_ns"
    assert rows(path, query) == [("home", None, 4, 2, None), ("home", "presence", 5, None, 1.5)]


def test_a_column_of_another_type_is_refused_with_its_name(path: Path) -> None:
    with storing(path):
        pass
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE reading")
        other.execute(
            "CREATE TABLE reading (time_ns INTEGER, site TEXT, device TEXT, channel TEXT, value INTEGER) STRICT"
        )
    sentence = "has reading.value as INTEGER, this version of Tegu as REAL; name another store"
    with pytest.raises(ValueError, match=sentence):
        Store(path, 30.0)


def test_the_checkpoint_is_not_taken_for_the_store(path: Path) -> None:
    Checkpoint(path, "presence", Model("2 | dense 2 softmax")).close()
    with pytest.raises(ValueError, match="is a database of another program; name another file for the store"):
        Store(path, 30.0)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("dear diary" * 100)
    with pytest.raises(ValueError, match="is no store of Tegu, or is damaged"):
        Store(path, 30.0)


def test_a_store_of_a_later_format_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(store_module, "FORM", 2)
        with storing(path):
            pass
    with pytest.raises(ValueError, match="has store format 2, this version of Tegu reads 1"):
        Store(path, 30.0)


PUTS = """
import sys, time
from pathlib import Path
from coordinator.sinks.store import Store
from tests.test_store import readings
store = Store(Path(sys.argv[1]), 30.0)
for first in range(0, 1_000_000, 1_000):
    while store.numbers()["waiting_points"] > 20_000:
        time.sleep(0.001)
    store.put(readings(first, 1_000))
    print(int(store.numbers()["written_points"]), flush=True)
"""


def test_sigkill_in_the_middle_of_writing_leaves_whole_transactions(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PUTS, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = 0
        for row in process.stdout:
            told = int(row)
            if told >= 40_000:
                os.kill(process.pid, signal.SIGKILL)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    ((count, total),) = rows(path, "SELECT count(*), sum(value) FROM reading")
    assert count >= told >= 40_000
    assert count % 5_000 == 0  # full batches, each in one transaction
    assert total == count * (count - 1) / 2  # the first `count` that were put, each once
    with storing(path) as store:
        store.put(readings(count, 1))
    assert rows(path, "SELECT count(*) FROM reading") == [(count + 1,)]


def test_close_gives_up_at_its_deadline_and_says_what_is_lost(
    path: Path, caplog: pytest.LogCaptureFixture, make_store: Callable[[Path], Store]
) -> None:
    store = make_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put(readings(0, 3))
        with caplog.at_level(logging.ERROR):
            began = time.monotonic()
            store.close(0.3)
            assert time.monotonic() - began < 0.9
    assert f"3 points for {path} are lost: no time to write them" in caplog.text


@pytest.fixture
def make_store() -> Iterator[Callable[[Path], Store]]:
    """A store whose thread has ended when the test is over."""
    made: list[Store] = []

    def make(path: Path) -> Store:
        made.append(Store(path, 30.0))
        return made[-1]

    yield make
    for store in made:
        store.close(10.0)
