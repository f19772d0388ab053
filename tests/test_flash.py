"""The slots of a board: what a power cut, a full flash or a rotten bit leaves, and what a save costs.

tests/flash has what MicroPython runs on a littlefs over flash in RAM; run with -s to see the figures. The second half
is under CPython: on files in memory that have no file system's protection, and on real files.
"""

import copy
import errno
import importlib.util
import io
import json
import os
import random
import struct
import subprocess
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parts import find_micropython, needs

HERE = Path(__file__).parent
FIRMWARE = HERE.parent / "mcu_firmware"


def load() -> Any:
    spec = importlib.util.spec_from_file_location("slots", FIRMWARE / "slots.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


slots = load()
Slots = slots.Slots


# --- on littlefs, under MicroPython ---


def micropython(script: str, *arguments: str, heap: str = "4m") -> Any:
    needs("micropython")
    command = [str(find_micropython()), "-X", f"heapsize={heap}", str(HERE / "flash" / script), str(FIRMWARE)]
    done = subprocess.run(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout[-2000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    print(script, json.dumps(figures))  # noqa: T201
    return figures


@pytest.fixture(scope="module")
def cuts() -> Any:
    return micropython("cuts.py", "1")


def test_a_power_cut_at_any_operation_of_42_saves_leaves_the_old_state_or_the_new_one(cuts: Any) -> None:
    """12 of 4 B, one of 4.8 KB and one of 20 KB, three times: 699 operations, torn in four ways; 2,796 cuts."""
    assert cuts["stories"] == []
    assert cuts["single"] >= 2700  # another littlefs may need some operations more or fewer
    for counts in cuts["tally"].values():
        assert [counts[field] for field in ("none", "wrong", "stuck", "unmounted")] == [0, 0, 0, 0]
        assert counts["old"] + counts["new"] == counts["cuts"]


def test_500_saves_cut_twice_leave_a_state_of_before_or_after_a_cut(cuts: Any) -> None:
    assert cuts["double"] == 2 * 500
    assert cuts["stories"] == []


def test_the_new_state_is_there_only_when_the_last_operation_was_whole(cuts: Any) -> None:
    """Else the cuts would not have been where a state becomes another. (A flipped bit can fall on a filler.)"""
    assert cuts["tally"]["nothing"]["new"] == cuts["tally"]["half"]["new"] == 0
    assert cuts["tally"]["whole"]["new"] >= 42


@pytest.fixture(scope="module")
def faults() -> Any:
    return micropython("faults.py", "1")


def test_a_rotten_bit_in_a_file_costs_at_most_the_last_save(faults: Any) -> None:
    ages = faults["rot_in_files"]
    assert {key.split()[1] for key in ages} == {"0", "1"}
    assert ages["init 1"] > 50


def test_a_rotten_bit_in_the_records_of_littlefs_may_cost_many_saves_but_never_gives_a_wrong_state(faults: Any) -> None:
    """littlefs forgets what it recorded after the rotten entry, so this is beyond what two files in it can hold."""
    assert {key.split()[1] for key in faults["rot_in_records"]} <= {"0", "1", "older"}


@pytest.mark.parametrize("failure", ["code", "exception"])
def test_a_device_that_fails_once_refuses_one_save_and_takes_the_next(faults: Any, failure: str) -> None:
    results = faults["stumble_" + failure]
    assert set(results) <= {"old, goes on", "new, goes on"}
    assert sum(results.values()) > 200


@pytest.fixture(scope="module")
def full() -> Any:
    return micropython("full.py")


def test_a_state_that_does_not_grow_is_saved_on_a_full_flash(full: Any) -> None:
    """For the blocks of the slot are free before the new body is written."""
    assert full["same"] == [[True, None, "None", True, True]] * 24


def test_a_state_that_grows_is_refused_on_a_full_flash_and_the_old_one_stays(full: Any) -> None:
    """40,960 bytes and the seal are 11 blocks of 4,096."""
    for room, (saved, number, text, length) in enumerate(full["growing"]):
        assert saved == (room >= 11)
        assert length == (40960 if saved else 4)
        assert saved or number == errno.ENOSPC
        assert saved or "cannot save to /f/boot.0: the file system is full; what counted before still counts" in text


def test_a_read_only_flash_refuses_and_is_read(full: Any) -> None:
    number, text, kept = full["read_only"]
    assert number == errno.EROFS
    assert "the file system is read-only" in text
    assert kept is True


@pytest.fixture(scope="module")
def costs() -> Any:
    return micropython("saves.py")


def test_10000_saves_leave_no_byte_on_the_heap(costs: Any) -> None:
    after_100, after_10000, _, _ = costs["heap"]
    assert after_10000 == after_100


def test_a_save_erases_the_blocks_of_its_body_and_hardly_another(costs: Any) -> None:
    """A header in front would have each body written twice: 6 erases for 9,500 bytes."""
    for size, blocks in ((4, 0), (200, 1), (4800, 2), (9500, 3), (20000, 5)):
        _, programmed_bytes, erases, _ = costs["wear"][str(size)]
        assert blocks <= erases <= blocks + 0.1
        assert programmed_bytes <= size + 24 + 2 * 96


def test_200_kb_are_saved_copied_and_read_by_a_heap_that_cannot_hold_them_twice(tmp_path: Path) -> None:
    assert micropython("large.py", str(tmp_path), heap="280k") < 100_000


# --- on files that nothing protects ---

TEARS = ("nothing", "half", "flipped", "whole", "lost")


class Disk:
    """Files in memory. Every truncation, every `grain` bytes written and every sync is an operation.

    The operation number `cut_at` is torn, and then everything fails; a disk that lies tears it and says nothing.
    `lost`: what was written first since the last sync never came to the disk, and all after it did.
    """

    def __init__(self, grain: int) -> None:
        self.files: dict[str, bytearray] = {}
        self.grain = grain
        self.lies = False
        self.revive()

    def revive(self, cut_at: int = 0, tear: str = "whole") -> None:
        self.cut_at, self.tear = cut_at, tear
        self.operations = 0
        self.dead = False
        self.first: tuple[str, int, int] | None = None

    def open(self, path: str, mode: str) -> Any:
        self._alive()
        if mode == "wb":
            return Writing(self, path)
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        return io.BytesIO(bytes(self.files[path]))

    def truncate(self, path: str) -> None:
        tear = self._operate()
        file = self.files.setdefault(path, bytearray())
        if tear == "flipped" and file:
            file[len(file) // 2] ^= 4
        elif tear == "half":
            del file[len(file) // 2 :]
        elif tear in ("whole", "lost"):
            file.clear()
        self._alive()

    def put(self, path: str, start: int, data: bytes) -> None:
        tear = self._operate()
        file = self.files[path]
        file.extend(bytes(max(0, start - len(file))))
        done = data[: {"nothing": 0, "half": len(data) // 2}.get(tear, len(data))]
        file[start : start + len(done)] = done
        if tear == "flipped":
            file[start + len(data) // 2] ^= 16
        self.first = self.first or (path, start, start + len(data))
        self._lose(tear)
        self._alive()

    def sync(self) -> None:
        self._lose(self._operate())
        self._alive()
        self.first = None

    def _lose(self, tear: str) -> None:
        if tear == "lost" and self.first:
            path, start, end = self.first
            self.files[path][start:end] = bytes(end - start)

    def _operate(self) -> str:
        self._alive()
        self.operations += 1
        if self.operations != self.cut_at:
            return "whole"
        self.dead = not self.lies
        return self.tear

    def _alive(self) -> None:
        if self.dead:
            raise OSError(errno.EIO, "no power")


class Writing:
    """A file of a Disk that is being written, from its beginning."""

    def __init__(self, disk: Disk, path: str) -> None:
        self.disk, self.path, self.at = disk, path, 0
        disk.truncate(path)

    def write(self, data: bytes) -> int:
        for start in range(0, len(data), self.disk.grain):
            piece = bytes(data[start : start + self.disk.grain])
            self.disk.put(self.path, self.at, piece)
            self.at += len(piece)
        return len(data)

    def flush(self) -> None:
        self.disk.sync()

    def close(self) -> None:
        self.disk._alive()


@pytest.fixture
def new_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Disk]:
    """Makes the disk that Slots are on."""

    def make(grain: int) -> Disk:
        disk = Disk(grain)
        monkeypatch.setattr(slots, "open", disk.open, raising=False)
        monkeypatch.setattr(slots, "_sync", lambda file: file.flush())
        return disk

    return make


def body(size: int, number: int) -> bytes:
    return random.Random(number * 100_003 + size).randbytes(size)


def held(path: str = "x") -> bytes | None:
    found = Slots(path).open()
    if found is None:
        return None
    file, length = found
    with file:
        content: bytes = file.read(length)
    return content


def each_cut(disk: Disk, size: int, number: int) -> Any:
    """Tears save `number` at each operation in each way, and gives whether it was refused; last, saves it whole."""
    before = copy.deepcopy(disk.files)
    disk.revive()
    Slots("x").write(body(size, number))
    for cut_at in range(1, disk.operations + 1):
        for tear in TEARS:
            disk.files = copy.deepcopy(before)
            disk.revive(cut_at, tear)
            try:
                Slots("x").write(body(size, number))
                refused = False
            except OSError:
                refused = True
            disk.revive()
            yield refused
    disk.files = before
    Slots("x").write(body(size, number))


# The size of a body, how finely it is cut, and the operations of a save: truncation, body, seal, two syncs.
@pytest.mark.parametrize(
    ("size", "grain", "operations"),
    [(4, 1, 4 + 24 + 3), (200, 1, 200 + 24 + 3), (4800, 64, 75 + 1 + 3), (20000, 256, 79 + 1 + 3)],
)
def test_two_slots_hold_by_themselves_wherever_a_write_is_torn(
    new_disk: Callable[[int], Disk], size: int, grain: int, operations: int
) -> None:
    """6,300 cuts in all: three saves of each size, at every piece of every write, in five ways."""
    disk = new_disk(grain)
    cuts = 0
    for number in (1, 2, 3):
        old = body(size, number - 1) if number > 1 else None
        for refused in each_cut(disk, size, number):
            cuts += 1
            assert refused
            assert held() in (old, body(size, number))
            Slots("x").write(body(size, 99))
            assert held() == body(size, 99)
    assert cuts == 3 * 5 * operations


def test_a_disk_that_lies_is_found_out_before_the_save_is_said_to_be_safe(new_disk: Callable[[int], Disk]) -> None:
    disk = new_disk(8)
    Slots("x").write(body(40, 1))
    disk.lies = True
    results = []
    for refused in each_cut(disk, 40, 2):
        results.append(refused)
        assert held() in ((body(40, 1), body(40, 2)) if refused else (body(40, 2),))
    assert sum(results) >= 8 * 4  # the eight pieces that are written


def test_a_lie_is_a_sentence(new_disk: Callable[[int], Disk]) -> None:
    disk = new_disk(64)
    disk.lies = True
    disk.revive(3, "flipped")
    with pytest.raises(
        OSError, match=r"cannot save to x\.0: .*it reads back as something else; what counted before still"
    ):
        Slots("x").write(body(40, 1))


@pytest.mark.parametrize("cut_at", [4, 8])
def test_a_refused_save_is_over_and_the_same_slots_can_begin_another(
    new_disk: Callable[[int], Disk], cut_at: int
) -> None:
    """Operations: truncation, sync, five pieces of the body (put), the seal (commit)."""
    disk = new_disk(64)
    piece = Slots("x")
    piece.write(b"old")
    disk.revive(cut_at, "nothing")
    with pytest.raises(OSError, match="cannot save to"):
        piece.write(body(300, 1))
    for call in (lambda: piece.put(b"x"), piece.commit):
        with pytest.raises(ValueError, match="no save was begun, or it failed"):
            call()
    disk.revive()
    assert held() == b"old"
    piece.write(b"new")
    assert held() == b"new"


# --- on files ---


def numbers(path: Path) -> list[int | None]:
    """The save numbers in the two seals."""
    found: list[int | None] = []
    for end in (".0", ".1"):
        file = Path(str(path) + end)
        found.append(struct.unpack("<I", file.read_bytes()[-16:-12])[0] if file.exists() else None)
    return found


def crc(data: bytes) -> int:
    """CRC-32, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def slot(content: bytes, number: int, format_number: int = 1) -> bytes:
    """A whole slot, by the table."""
    seal = struct.pack("<4sIIII", b"Tegu", format_number, number, len(content), crc(content))
    return content + seal + struct.pack("<I", crc(seal))


def test_a_slot_has_the_bytes_of_the_table(tmp_path: Path) -> None:
    """The CRC-32 of 123456789 is CBF43926: its published check value."""
    Slots(str(tmp_path / "x"), 0x0203).write(b"1234", b"56789")
    seal = bytes.fromhex("54656775 03020000 01000000 09000000 2639f4cb")
    assert (tmp_path / "x.0").read_bytes() == b"123456789" + seal + crc(seal).to_bytes(4, "little")
    assert not (tmp_path / "x.1").exists()


@pytest.mark.parametrize("machine", ["a computer", "a board that has os.sync", "a board that has none"])
def test_a_save_is_synced_when_it_is_empty_and_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    """By the size of the file at each sync: what Python has not flushed is not in it. Without a word for sync: flush."""
    sizes: list[int] = []
    spy = lambda *_: sizes.append((tmp_path / "x.0").stat().st_size)  # noqa: E731
    if machine == "a computer":
        monkeypatch.setattr(os, "fsync", spy)
    else:
        monkeypatch.delattr(os, "fsync")
        monkeypatch.setattr(os, "sync", spy)
    if machine == "a board that has none":
        monkeypatch.delattr(os, "sync")
    Slots(str(tmp_path / "x")).write(b"12345")
    assert sizes == ([] if machine == "a board that has none" else [0, 29])
    assert held(str(tmp_path / "x")) == b"12345"


def test_a_new_board_has_no_state(tmp_path: Path) -> None:
    buffer = bytearray(b"as it was")
    assert Slots(str(tmp_path / "x")).open() is None
    assert Slots(str(tmp_path / "x")).read_into(buffer) is False
    assert buffer == b"as it was"
    assert list(tmp_path.iterdir()) == []


def test_saves_take_turns_and_their_numbers_grow_by_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for number, expected in enumerate(([1, None], [1, 2], [3, 2], [3, 4]), 1):
        Slots(str(path)).write(bytes([number]))
        assert numbers(path) == expected
        assert held(str(path)) == bytes([number])


def test_parts_are_read_back_as_they_were_given(tmp_path: Path) -> None:
    piece = Slots(str(tmp_path / "x"))
    piece.write(b"head", array("f", [1.5, -2.0]), memoryview(b"tail"))
    head, weights, tail = bytearray(4), array("f", [0.0, 0.0]), bytearray(4)
    assert piece.read_into(head, weights, tail) is True
    assert (bytes(head), weights.tolist(), bytes(tail)) == (b"head", [1.5, -2.0], b"tail")


def test_an_empty_body_is_a_state(tmp_path: Path) -> None:
    Slots(str(tmp_path / "x")).write()
    assert held(str(tmp_path / "x")) == b""


@pytest.mark.parametrize(("size", "more"), [(11, 1), (13, -1), (0, 12), (60, -24)])
def test_a_body_of_another_length_than_the_buffers_is_a_value_error(tmp_path: Path, size: int, more: int) -> None:
    """The seal is behind the body: a buffer of 60 bytes has it too, and must not pass for read."""
    piece = Slots(str(tmp_path / "x"))
    piece.write(bytes(12))
    with pytest.raises(ValueError, match=f"has {more} bytes more than the buffers"):
        piece.read_into(bytearray(size))


def test_the_save_number_wraps(tmp_path: Path) -> None:
    path = tmp_path / "x"
    (tmp_path / "x.0").write_bytes(slot(b"last but one", 0xFFFFFFFE))
    (tmp_path / "x.1").write_bytes(slot(b"last", 0xFFFFFFFF))
    assert held(str(path)) == b"last"
    for content, expected in (
        (b"first", [0, 0xFFFFFFFF]),
        (b"second", [0, 1]),
        (b"third", [2, 1]),
    ):
        Slots(str(path)).write(content)
        assert numbers(path) == expected
        assert held(str(path)) == content


def test_of_two_equal_numbers_the_first_slot_counts_and_the_second_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x"
    (tmp_path / "x.0").write_bytes(slot(b"one", 7))
    (tmp_path / "x.1").write_bytes(slot(b"two", 7))
    assert held(str(path)) == b"one"
    Slots(str(path)).write(b"three")
    assert numbers(path) == [7, 8]
    assert held(str(path)) == b"three"


def test_a_slot_of_another_format_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Slots(path, 1).write(b"of the old firmware")
    assert Slots(path, 2).open() is None
    Slots(path, 2).write(b"of the new one")
    assert held(path) is None
    (tmp_path / "x.0").write_bytes(slot(b"of a third one", 9, 3))
    (tmp_path / "x.1").write_bytes(slot(b"ours", 8, 1))
    assert held(path) == b"ours"


def pair(tmp_path: Path) -> tuple[str, Path, bytes]:
    """(path, newest slot, its bytes): b"old" was saved, then b"the new state"."""
    Slots(str(tmp_path / "x")).write(b"old")
    Slots(str(tmp_path / "x")).write(b"the new state")
    newest = tmp_path / "x.1"
    return str(tmp_path / "x"), newest, newest.read_bytes()


def test_any_one_flipped_bit_of_the_newest_slot_leaves_the_one_before(tmp_path: Path) -> None:
    path, newest, content = pair(tmp_path)
    for bit in range(8 * len(content)):
        torn = bytearray(content)
        torn[bit // 8] ^= 1 << bit % 8
        newest.write_bytes(torn)
        assert held(path) == b"old"


def test_a_newest_slot_of_any_other_length_leaves_the_one_before(tmp_path: Path) -> None:
    path, newest, content = pair(tmp_path)
    for length in range(len(content)):
        newest.write_bytes(content[:length])
        assert held(path) == b"old"
        newest.write_bytes(content[length + 1 :])
        assert held(path) == b"old"
    for more in (b"\0", b"\xff" * 24, content):
        newest.write_bytes(content + more)
        assert held(path) == b"old"


@pytest.mark.parametrize("garbage", [b"", b"Tegu", bytes(24), b"\xff" * 24, bytes(4096), b"Tegu" * 6, body(5000, 1)])
def test_two_files_of_garbage_are_a_new_board_which_can_save(tmp_path: Path, garbage: bytes) -> None:
    for end in "01":
        (tmp_path / f"x.{end}").write_bytes(garbage)
    assert held(str(tmp_path / "x")) is None
    Slots(str(tmp_path / "x")).write(b"state")
    assert held(str(tmp_path / "x")) == b"state"


def test_a_slot_that_cannot_be_read_does_not_hide_the_other_one(tmp_path: Path) -> None:
    (tmp_path / "x.0").mkdir()
    (tmp_path / "x.1").write_bytes(slot(b"state", 5))
    assert held(str(tmp_path / "x")) == b"state"
    with pytest.raises(OSError, match=r"cannot save to .*x\.0: "):
        Slots(str(tmp_path / "x")).write(b"next")
    assert held(str(tmp_path / "x")) == b"state"


def test_an_unreadable_slot_alone_is_an_error_and_not_a_new_board(tmp_path: Path) -> None:
    """Taken for a new board it would begin again at boot 1."""
    (tmp_path / "x.0").mkdir()
    for call in (Slots(str(tmp_path / "x")).open, Slots(str(tmp_path / "x")).begin):
        with pytest.raises(OSError, match="cannot read the state in"):
            call()


def test_the_old_state_can_be_read_while_the_new_one_is_written(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Slots(path).write(body(50_000, 1))
    piece = Slots(path)
    piece.begin()
    source, left = piece.open()
    with source:
        while left:
            block = source.read(min(left, 1000))
            left -= len(block)
            piece.put(block[::-1])
    assert held(path) == body(50_000, 1)
    piece.commit()
    expected = body(50_000, 1)
    assert held(path) == b"".join(expected[i : i + 1000][::-1] for i in range(0, 50_000, 1000))


@pytest.mark.parametrize("leave", ["abandon", "begin", "forget"])
def test_a_save_that_is_not_committed_does_not_count(tmp_path: Path, leave: str) -> None:
    path = str(tmp_path / "x")
    Slots(path).write(b"old")
    piece = Slots(path)
    piece.begin()
    piece.put(b"half")
    if leave != "forget":
        getattr(piece, leave)()
    assert held(path) == b"old"
    Slots(path).write(b"new")
    assert held(path) == b"new"


@pytest.mark.parametrize("call", [lambda piece: piece.put(b"x"), lambda piece: piece.commit()])
@pytest.mark.parametrize("before", [lambda _: None, lambda piece: piece.write(b"x"), lambda piece: piece.abandon()])
def test_put_and_commit_want_a_save_that_was_begun(
    tmp_path: Path, call: Callable[[Any], None], before: Callable[[Any], None]
) -> None:
    piece = Slots(str(tmp_path / "x"))
    before(piece)
    with pytest.raises(ValueError, match="no save was begun"):
        call(piece)


def test_a_read_only_folder_refuses_and_is_read() -> None:
    """As a user who may not write there: root may everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "x")
        Slots(path).write(b"one")
        Slots(path).write(b"two")
        for file in (*Path(folder).iterdir(), Path(folder)):
            file.chmod(0o555)
        user = os.geteuid()
        try:
            os.seteuid(user or 65534)
            with pytest.raises(
                OSError, match=r"cannot save to .*x\.0: .*denied.*; what counted before still counts"
            ) as refused:
                Slots(path).write(b"three")
            assert refused.value.errno == errno.EACCES
            assert held(path) == b"two"
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o755)
