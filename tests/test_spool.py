"""The spool: order, bound and counts, and what SIGKILL, a full disk or a damaged file do to it."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from coordinator.sinks.spool import Batch, Spool

MB = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


def batch(first: int, points: int = 1) -> Batch:
    return Batch(points, b"\n".join(b"m v=%di %d" % (number, number) for number in range(first, first + points)))


def noise(seed: int, size: int = 100_000) -> bytes:
    """Bytes that no compression makes smaller."""
    return random.Random(seed).randbytes(size)


def test_batches_come_back_oldest_first_also_after_a_restart(path: Path) -> None:
    with closing(Spool(path, MB)) as spool:
        for first in (0, 2, 4):
            spool.append(batch(first, 2))
    with closing(Spool(path, MB)) as spool:
        assert (spool.points, spool.lost) == (6, 0)
        spool.append(batch(6, 2))
        seen = []
        while taken := spool.oldest(2):
            seen.append(taken.lines)
            spool.remove(taken)
        assert seen == [batch(first, 2).lines for first in (0, 2, 4, 6)]
        assert (spool.points, spool.bytes) == (0, 0)


def test_small_batches_come_back_together_up_to_the_wish(path: Path) -> None:
    with closing(Spool(path, MB)) as spool:
        for first in (0, 3, 6):
            spool.append(batch(first, 3))
        assert spool.oldest(8) == (6, batch(0, 6).lines, 2)  # 9 would be more than 8
        assert spool.oldest(1) == (3, batch(0, 3).lines, 1)  # a batch is never cut


def test_nothing_is_forgotten_before_it_is_removed(path: Path) -> None:
    with closing(Spool(path, MB)) as spool:
        spool.append(batch(0))
        assert spool.oldest(9) == spool.oldest(9)
        assert spool.points == 1


def test_beyond_its_size_the_oldest_go_and_are_counted(path: Path) -> None:
    with closing(Spool(path, MB)) as spool:
        for number in range(20):
            spool.append(Batch(7, noise(number)))
        # Nine batches of 100,000 bytes fit into 1,000,000; with SQLite's own bytes ten do not.
        assert (spool.points, spool.lost) == (9 * 7, 11 * 7)
        assert 900_000 <= spool.bytes <= MB
        first = spool.oldest(7)
        assert first and first.lines == noise(11)
    assert path.stat().st_size < MB + 2 * 102_400


def test_a_batch_larger_than_the_spool_is_lost_and_counted(path: Path) -> None:
    with closing(Spool(path, MB)) as spool:
        spool.append(batch(0, 3))
        spool.append(Batch(5, noise(1, 1_100_000)))
        assert (spool.points, spool.lost, spool.oldest(9)) == (0, 8, None)


def test_the_file_of_a_long_outage_is_small_again_after_it(path: Path) -> None:
    with closing(Spool(path, 20 * MB)) as spool:
        for number in range(60):
            spool.append(Batch(1, noise(number)))
        while taken := spool.oldest(20):
            spool.remove(taken)
    assert path.stat().st_size < 100_000


APPENDS = """
import sys
from pathlib import Path
from coordinator.sinks.spool import Batch, Spool
spool = Spool(Path(sys.argv[1]), 100_000_000)
number = 0
while True:
    spool.append(Batch(1, b"m v=%di %d" % (number, number)))
    number += 1
    print(number, flush=True)
"""


def test_what_was_appended_outlives_sigkill_in_order(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", APPENDS, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = 0
        for row in process.stdout:
            told = int(row)
            if told == 100:
                os.kill(process.pid, signal.SIGKILL)
    assert told >= 100 and process.returncode == -signal.SIGKILL
    with closing(Spool(path, 100 * MB)) as spool:
        assert told <= spool.points <= told + 1  # one may have been committed and not told
        kept = spool.oldest(spool.points)
        assert kept and kept.lines == batch(0, spool.points).lines


def test_a_second_coordinator_on_the_same_spool_does_not_start(path: Path) -> None:
    with closing(Spool(path, MB)), pytest.raises(OSError, match="another coordinator is running on it"):
        Spool(path, MB)
    Spool(path, MB).close()


def test_a_file_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE holiday (day TEXT)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is a database of another program; name another file for the spool"):
        Spool(path, MB)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + bytes(5000), b"hello" * 200])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is no spool of Tegu, or is damaged .*; remove it or name another file"):
        Spool(path, MB)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot use the spool .*nowhere/spool.sqlite: unable to open database file"):
        Spool(tmp_path / "nowhere" / "spool.sqlite", MB)


def test_a_spool_whose_tables_are_damaged_is_refused(path: Path) -> None:
    with closing(Spool(path, MB)) as spool:
        for first in range(60):
            spool.append(batch(first))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)  # all but the first page
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged .*; remove it or name another file"):
        Spool(path, MB)


def test_a_damaged_batch_is_counted_as_lost_and_the_others_stay(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Spool(path, MB)) as spool:
        for first in (0, 4, 8):
            spool.append(batch(first, 4))
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE batch SET lines = x'00' WHERE id = 2")
        other.commit()
    with closing(Spool(path, MB)) as spool:
        assert spool.oldest(99) == (8, batch(0, 4).lines + b"\n" + batch(8, 4).lines, 3)
        assert (spool.points, spool.lost) == (8, 4)
    assert f"4 points in {path} are damaged and lost" in caplog.text


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that: the system refuses the write, as it does when the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_that_changes_nothing(path: Path) -> None:
    with closing(Spool(path, 10 * MB)) as spool:
        spool.append(batch(0, 3))
        with full_disk(300_000), pytest.raises(OSError, match="cannot use the spool"):
            for number in range(20):
                spool.append(Batch(1, noise(number)))
        kept = spool.points
        assert 3 <= kept < 23 and spool.lost == 0
        spool.append(batch(3, 2))  # there is room again
        assert spool.points == kept + 2
    with closing(Spool(path, 10 * MB)) as spool:
        assert spool.points == kept + 2
        first = spool.oldest(3)
        assert first and first.lines == batch(0, 3).lines
