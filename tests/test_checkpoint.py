"""What was committed is there, whatever killed the process; and a file that cannot be used says why."""

import sqlite3
import subprocess
import sys
from array import array
from pathlib import Path
from random import Random

import numpy as np
import pytest

from coordinator.checkpoint import Checkpoint
from coordinator.federation import Federation
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.wire import F32
from tegu.wire.messages import Ack
from tegu.wire.update import encode_update

MODEL = Model("1 | dense 2 linear")
ZEROS = np.zeros(MODEL.size, dtype=np.float32)
KILLS = 20

# Counts versions up for ever. A version is two commits: one of three updates, then one that raises the model to it. Every
# line it prints is a step that is done, so that the test can kill it between any two of them.
WRITER = """
import sys
from pathlib import Path
import numpy as np
from tegu.model import Model
from coordinator.checkpoint import Checkpoint
checkpoint = Checkpoint(Path(sys.argv[1]), "m", Model("1 | dense 2 linear"))
version = checkpoint.load().version
while True:
    version += 1
    if not list(checkpoint.payloads(version)):
        checkpoint.begin()
        for device in "abc":
            checkpoint.add_update((device, version, 7, version), float(version), b"%s %d" % (device.encode(), version))
            print("added", version, flush=True)
        checkpoint.commit()
        print("updates", version, flush=True)
    checkpoint.begin()
    checkpoint.save_model(version, version - 1, 2 * version, "b", version % 2 == 0, np.full(4, version, np.float32))
    checkpoint.add_history(version, 2 * version, 0.5, 3, "{}", 0.0, 1.0)
    print("saved", version, flush=True)
    checkpoint.commit()
    print("model", version, flush=True)
"""


def opened(folder: Path, model: Model = MODEL, name: str = "m") -> Checkpoint:
    return Checkpoint(folder / "c.sqlite", name, model)


def kept_rows(checkpoint: Checkpoint, version: int) -> list[bytes]:
    return list(checkpoint.payloads(version))


# --- kept and given back ---


def test_a_new_file_knows_nothing(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    assert checkpoint.load() is None
    assert checkpoint.norms(1) == []
    assert kept_rows(checkpoint, 1) == []


def test_all_that_was_committed_is_given_back(tmp_path: Path) -> None:
    before = opened(tmp_path)
    before.begin()
    before.save_model(3, 2, 5, "b", True, np.array([1.5, -2.0, 0.0, 1e-38], dtype=np.float32))
    before.add_update(("b", 3, 1, 9), 2.5, b"of b")
    before.add_update(("a", 3, 4, 2), 1.5, b"of a")
    before.set_boot("c", 6)
    before.commit()
    before.close()
    after = opened(tmp_path)
    kept = after.load()
    assert kept is not None
    assert (kept.version, kept.closed, kept.round_num, kept.turn, kept.is_open) == (3, 2, 5, "b", True)
    assert kept.initialization.tolist() == np.array([1.5, -2.0, 0.0, 1e-38], dtype=np.float32).tolist()
    assert kept.last == {"a": ("a", 3, 4, 2), "b": ("b", 3, 1, 9)}
    assert kept.boots == {"a": 4, "b": 1, "c": 6}
    assert kept_rows(after, 3) == [b"of a", b"of b"]  # by device id
    assert after.norms(3) == [1.5, 2.5]


def test_the_last_key_of_a_device_stays_when_the_updates_of_its_version_are_dropped(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    checkpoint.begin()
    checkpoint.add_update(("a", 1, 1, 1), 1.0, b"x")
    checkpoint.save_model(2, 1, 1, "", False, ZEROS)
    checkpoint.commit()
    kept = checkpoint.load()
    assert kept is not None
    assert kept.last == {"a": ("a", 1, 1, 1)}
    assert kept_rows(checkpoint, 1) == []


def test_boot_numbers_only_grow(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    checkpoint.begin()
    checkpoint.save_model(1, 0, 0, "", False, ZEROS)
    for boot in (5, 3, 4):
        checkpoint.set_boot("a", boot)
    checkpoint.commit()
    kept = checkpoint.load()
    assert kept is not None
    assert kept.boots == {"a": 5}


def test_a_device_has_one_update_a_version(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    checkpoint.begin()
    checkpoint.add_update(("a", 1, 1, 1), 1.0, b"first")
    with pytest.raises(sqlite3.IntegrityError):
        checkpoint.add_update(("a", 1, 2, 1), 1.0, b"second")
    checkpoint.rollback()


def test_models_of_other_names_in_the_file_are_left_alone(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.begin()
    first.save_model(4, 3, 3, "", True, ZEROS)
    first.add_update(("a", 4, 1, 1), 1.0, b"x")
    first.commit()
    first.close()
    other = opened(tmp_path, Model("2 | dense 1 linear"), "other")
    assert other.load() is None
    assert kept_rows(other, 4) == []
    other.begin()
    other.save_model(9, 8, 8, "", True, np.zeros(3, dtype=np.float32))
    other.commit()
    other.close()
    again = opened(tmp_path)
    kept = again.load()
    assert kept is not None
    assert kept.version == 4
    assert kept_rows(again, 4) == [b"x"]


def test_the_epoch_grows_at_each_start(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        checkpoint = opened(tmp_path)
        epochs.append(checkpoint.next_epoch())
        checkpoint.close()
    assert epochs == [1, 2, 3]


# --- rollback ---


def test_what_is_rolled_back_was_never_there(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    checkpoint.begin()
    checkpoint.save_model(1, 0, 1, "", True, ZEROS)
    checkpoint.commit()
    checkpoint.begin()
    checkpoint.add_update(("a", 1, 3, 1), 1.0, b"x")
    checkpoint.save_model(2, 1, 2, "", True, ZEROS)
    checkpoint.rollback()
    kept = checkpoint.load()
    assert kept is not None
    assert (kept.version, kept.last, kept.boots) == (1, {}, {})
    assert kept_rows(checkpoint, 1) == []


def test_a_rollback_without_a_transaction_is_nothing(tmp_path: Path) -> None:
    opened(tmp_path).rollback()


def test_what_was_not_committed_when_the_file_was_closed_was_never_there(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path)
    checkpoint.begin()
    checkpoint.add_update(("a", 1, 1, 1), 1.0, b"x")
    checkpoint.close()
    assert kept_rows(opened(tmp_path), 1) == []


class PowerCut(BaseException):
    """Stands for any end within a batch."""


def test_a_batch_that_is_cut_short_leaves_nothing_and_can_come_again(tmp_path: Path) -> None:
    told = Settings(
        LinkSettings(checkpoint=tmp_path / "c.sqlite"),
        ModelSettings(name="m", spec=MODEL.spec),
        RoundSettings(rounds=1, quorum=2),
    )
    payload = bytes(encode_update(MODEL, array("f", [1, 0, 0, 0]), array("H", [0]), F32, 1, 1, 1, 4))
    messages = [(topics.device("home", device, "update", "m"), payload) for device in "ab"]

    class CutShort(list[tuple[str, bytes]]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield messages[0]
            raise PowerCut

    first = Federation(told, lambda: 0.0)
    first.rounds.start(0.0)
    with pytest.raises(PowerCut):
        first.batch(CutShort())
    assert kept_rows(first.checkpoint, 1) == []
    first.checkpoint.close()
    second = Federation(told, lambda: 0.0)
    second.rounds.start(0.0)
    assert [Ack.decode(ack).result for _, ack, _ in second.batch(messages)] == ["accepted", "accepted"]


# --- files that cannot be used ---


def test_another_model_under_the_same_name_is_an_error_that_shows_both(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.begin()
    first.save_model(1, 0, 0, "", False, ZEROS)
    first.commit()
    first.close()
    other = opened(tmp_path, Model("1 | dense 3 linear"))
    with pytest.raises(ValueError, match=r"holds m as '1 \| dense 2 linear', .* say '1 \| dense 3 linear'"):
        other.load()


def test_a_file_that_is_no_database_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"holiday pictures" * 1000)
    with pytest.raises(ValueError, match=r"c\.sqlite is not a checkpoint of Tegu"):
        opened(tmp_path)
    assert path.read_bytes() == b"holiday pictures" * 1000


def test_another_programs_database_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE states (entity TEXT)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"c\.sqlite"):
        opened(tmp_path)
    assert path.read_bytes() == before


def test_another_format_is_an_error_that_names_it(tmp_path: Path) -> None:
    opened(tmp_path).close()
    newer = sqlite3.connect(tmp_path / "c.sqlite")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(ValueError, match=r"c\.sqlite has checkpoint format 99, this version of Tegu reads 1"):
        opened(tmp_path)


def test_a_folder_that_is_not_there_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unable to open") as caught:
        opened(tmp_path / "none")
    assert "another coordinator" not in str(caught.value)


# --- other processes ---


def writer(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> list[str]:
    """SIGKILL; returns the whole lines that it had printed and nobody had read."""
    process.kill()
    assert process.stdout is not None
    with process, process.stdout:
        return [line for line in process.stdout.readlines() if line.endswith("\n")]


def begun(folder: Path) -> Checkpoint:
    """A checkpoint that the writer can go on from, at version 0."""
    checkpoint = opened(folder)
    checkpoint.begin()
    checkpoint.save_model(0, -1, 0, "b", True, ZEROS)
    checkpoint.commit()
    return checkpoint


def test_a_second_process_is_told_that_another_one_is_running(tmp_path: Path) -> None:
    begun(tmp_path).close()
    first = writer(tmp_path / "c.sqlite")
    assert first.stdout is not None
    try:
        assert first.stdout.readline() == "added 1\n"
        with pytest.raises(OSError, match=r"c\.sqlite.* locked.* another coordinator is running"):
            opened(tmp_path)
    finally:
        kill(first)
    opened(tmp_path).close()  # a killed process holds nothing


def test_what_was_committed_survives_sigkill_at_any_moment(tmp_path: Path) -> None:
    draw = Random(1)
    begun(tmp_path).close()
    done = {"added": 0, "updates": 0, "saved": 0, "model": 0}
    for _ in range(KILLS):
        process = writer(tmp_path / "c.sqlite")
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(draw.randint(1, 40))]
        for line in lines + kill(process):
            step, number = line.split()
            done[step] = int(number)
        checkpoint = opened(tmp_path)
        check_what_is_there(checkpoint, done)
        checkpoint.close()
    assert done["model"] > KILLS


def check_what_is_there(checkpoint: Checkpoint, done: dict[str, int]) -> None:
    """All that was said to be on disk, and beyond it at most the commit that was under way, and that whole."""
    kept = checkpoint.load()
    assert kept is not None
    version = kept.version
    assert done["model"] <= version <= done["saved"]
    assert (kept.closed, kept.round_num, kept.turn, kept.is_open) == (version - 1, 2 * version, "b", version % 2 == 0)
    assert kept.initialization.tolist() == [version] * 4
    last = max((key[1] for key in kept.last.values()), default=0)
    assert max(done["updates"], version) <= last <= min(done["added"], version + 1)
    assert kept.last == {device: (device, last, 7, last) for device in "abc" if last}
    assert kept.boots == {device: 7 for device in "abc" if last}
    assert kept_rows(checkpoint, version - 1) == []
    for number in (version, version + 1):
        batch = [f"{device} {number}".encode() for device in "abc"] if 0 < number <= last else []
        assert kept_rows(checkpoint, number) == batch
        later = [float(n) for n in range(number, last + 1) for _ in "abc"]  # norms of that version and all later ones
        assert sorted(checkpoint.norms(number)) == (later if number > 0 else sorted(checkpoint.norms(0)))
