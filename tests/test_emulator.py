"""The emulated board: it is the microcontroller it says it is, and its figures are the same in every run.

The memory map and the limits are those of mcu_firmware/boards/emulated_m4f/board.h.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator import HEAP_BYTES, ROOT, BoardError, EmulatedBoard, build_firmware, make_image, read_image
from tests.parts import needs

# A loop of three instructions between two looks at the timer, which counts down 1.6 ticks in an instruction.
COUNT_LOOP = """
import array
@micropython.asm_thumb
def spin(r0, r1):
    movwt(r2, 0x40000004)
    ldr(r3, [r2, 0])
    label(AGAIN)
    nop()
    sub(r0, r0, 1)
    bne(AGAIN)
    ldr(r2, [r2, 0])
    str(r3, [r1, 0])
    str(r2, [r1, 4])
seen = array.array('I', [0, 0])
spin(1_000_000, seen)
before, after = (((0xffffffff - value) * 5 + 7) // 8 for value in seen)
print(after - before)
"""


@pytest.fixture(scope="module")
def firmware() -> Path:
    """The firmware that starts at the prompt."""
    for part in ("qemu-system-arm", "arm-none-eabi-gcc"):
        needs(part)
    return build_firmware()


@pytest.fixture
def board(firmware: Path) -> Iterator[EmulatedBoard]:
    with EmulatedBoard(firmware) as board:
        yield board


@pytest.fixture
def image(tmp_path: Path) -> Path:
    needs("micropython")
    return make_image({"settings.json": b'{"site": "lab"}', "lib/room.py": b"FLOOR = 3\n"}, tmp_path / "flash.img")


def test_it_is_a_cortex_m4f_and_counts_in_float32(board: EmulatedBoard) -> None:
    names = board.run("import sys, machine; print(sys.implementation[2], sys.implementation._mpy >> 10 & 63)")
    assert names == "mps2-an386 with Cortex-M4F of 256 KB 7\n"  # 7: native code for armv7emsp
    assert board.run("import array; print(16777216.0 + 1.0 == 16777216.0, 1e30 * 1e30)") == "True inf\n"


def test_the_floating_point_unit_computes(board: EmulatedBoard) -> None:
    script = """
@micropython.asm_thumb
def multiply(r0):
    vldr(s0, [r0, 0])
    vldr(s1, [r0, 4])
    vmul(s2, s0, s1)
    vstr(s2, [r0, 8])
import array
numbers = array.array('f', [1.5, -2.25, 0])
multiply(numbers)
print(numbers[2])
"""
    assert board.run(script) == "-3.375\n"


def test_256_kilobytes_of_memory_are_there_and_not_a_byte_more(board: EmulatedBoard) -> None:
    assert board.run("from machine import mem8, mem32; mem8[0x2003ffff]; print(mem32[0x20000000] != None)") == "True\n"
    with pytest.raises(BoardError, match=r"HardFault exception caught:\s+R0:   20040000"):
        board.run("from machine import mem8; mem8[0x20040000]")


@pytest.mark.parametrize("address", ["0x20000000 + 243 * 1024", "0x00200000", "0x21100000"])
def test_what_is_not_on_the_map_faults(board: EmulatedBoard, address: str) -> None:
    """The kilobyte under the stack, the machine's memory behind the code, what comes after the flash."""
    with pytest.raises(BoardError, match="HardFault"):
        board.run(f"from machine import mem8; mem8[{address}]")


def test_code_cannot_be_written(board: EmulatedBoard) -> None:
    with pytest.raises(BoardError, match="HardFault"):
        board.run("from machine import mem8; mem8[0x1000] = 0")


def test_the_heap_has_the_size_it_was_built_with(board: EmulatedBoard) -> None:
    """All but the collector's table, two bits for 16 bytes and one for finalisers: 128/131 of it."""
    free, used = (int(word) for word in board.run("import gc; print(gc.mem_free(), gc.mem_alloc())").split())
    assert HEAP_BYTES * 128 / 132 < free + used < HEAP_BYTES
    with pytest.raises(BoardError, match="MemoryError"):
        board.run(f"bytearray({HEAP_BYTES})")


def test_too_deep_a_recursion_is_an_exception_and_not_a_crash(board: EmulatedBoard) -> None:
    with pytest.raises(BoardError, match="maximum recursion depth exceeded"):
        board.run("def deeper():\n    return deeper() + 1\ndeeper()")
    assert board.run("print('alive')") == "alive\n"


def test_a_million_rounds_of_three_instructions_count_three_million(board: EmulatedBoard) -> None:
    assert int(board.run(COUNT_LOOP)) == 3_000_000 + 1  # the look itself


def test_the_same_script_takes_the_same_instructions_in_every_run(firmware: Path) -> None:
    script = """
from board_emulated import instructions
before = instructions()
numbers = sorted(hash(str(i * 1.1)) % 1000 for i in range(2000))
print(numbers[1000], instructions() - before)
"""
    said = []
    for _ in range(2):
        with EmulatedBoard(firmware) as board:
            said.append(board.run(script))
    assert said[0] == said[1]


def test_ticks_are_forty_nanoseconds_and_a_sleep_lasts_as_long_as_it_says(board: EmulatedBoard) -> None:
    script = """
import time, board_emulated
start, ticks = time.ticks_ms(), board_emulated.ticks()
time.sleep_ms(300)
print(time.ticks_diff(time.ticks_ms(), start), (board_emulated.ticks() - ticks & 0x3fffffff) // 25000)
"""
    board.run("import time, board_emulated")
    start = time.monotonic()
    milliseconds = [int(word) for word in board.run(script).split()]
    assert time.monotonic() - start >= 0.3
    assert all(300 <= number < 1000 for number in milliseconds)


def test_ctrl_c_stops_a_program_that_sleeps(board: EmulatedBoard) -> None:
    board.run("print('at the prompt')")
    board.send(b"import time\nprint('sleeping')\ntime.sleep(1000)\x04")
    board.read_until(b"sleeping\r\n")
    board.send(b"\x03")
    assert b"KeyboardInterrupt" in board.read_until(b"\x04>", timeout_s=5)


def test_four_kilobytes_come_back_unchanged_over_the_data_link(board: EmulatedBoard) -> None:
    sent = bytes(i * 7 + i // 256 & 255 for i in range(4096))
    with socket.create_connection(("127.0.0.1", board.uart1_port), timeout=20) as link:
        board.run("import board_emulated; link = board_emulated.Uart1(); print(link.any(), link.read(10))")
        link.sendall(sent)
        script = """
import select
ready = select.poll()
ready.register(link, select.POLLIN)
buffer, there = memoryview(bytearray(4096)), 0
while there < 4096:
    ready.poll(5000)
    there += link.readinto(buffer[there:]) or 0
sent = 0
while sent < 4096:
    sent += link.write(buffer[sent:]) or 0
print(there, sent, link.read(10))
"""
        assert board.run(script) == "4096 4096 None\n"
        back = b""
        while len(back) < 4096:
            back += link.recv(4096)
    assert back == sent


def test_nothing_on_the_data_link_is_none_and_not_an_error(board: EmulatedBoard) -> None:
    script = "from board_emulated import Uart1; u = Uart1(); print(u.any(), u.read(1), u.readinto(bytearray(4)))"
    assert board.run(script) == "0 None None\n"


def test_files_made_here_are_read_there_and_what_is_written_there_outlives_a_loss_of_power(
    firmware: Path, image: Path
) -> None:
    with EmulatedBoard(firmware, image) as board:
        assert board.run("import room; print(room.FLOOR, open('/settings.json').read())") == '3 {"site": "lab"}\n'
        board.run(
            "file = open('/boot', 'w'); file.write('41'); file.close(); lost = open('/lost', 'w'); lost.write('x')"
        )
    kept = read_image(image)
    assert kept["boot"] == b"41" and kept["settings.json"] == b'{"site": "lab"}'
    assert not kept.get("lost")  # it was never closed
    with EmulatedBoard(firmware, image) as board:
        assert board.run("print(int(open('/boot').read()) + 1)") == "42\n"


def test_a_blank_flash_is_not_mounted_until_it_is_formatted(firmware: Path, tmp_path: Path) -> None:
    needs("micropython")
    with EmulatedBoard(firmware, tmp_path / "new.img") as board:
        with pytest.raises(BoardError, match="OSError"):
            board.run("open('/a', 'w')")
        board.run("import board_emulated; board_emulated.format()\nwith open('/lost', 'w') as file: file.write('x')")
        board.run("board_emulated.format()\nwith open('/a', 'w') as file: file.write('b')")
        assert board.run("import vfs; print(len(vfs.mount()))") == "1\n"
    assert read_image(tmp_path / "new.img") == {"a": b"b"}


def test_writing_to_the_flash_only_clears_bits_until_the_block_is_erased(board: EmulatedBoard) -> None:
    script = """
from board_emulated import Flash
flash, byte = Flash(), bytearray(1)
def after(value):
    flash.writeblocks(255, bytes([value]), 4095)
    flash.readblocks(255, byte, 4095)
    return byte[0]
flash.ioctl(6, 255)
print(flash.ioctl(4, 0), flash.ioctl(5, 0), after(0xf0), after(0x3c), flash.ioctl(6, 255), after(0x3c))
"""
    assert board.run(script) == "256 4096 240 48 0 60\n"
    for wrong in ("readblocks(256, byte)", "readblocks(255, bytearray(2), 4095)", "ioctl(6, 256)"):
        with pytest.raises(BoardError, match="EINVAL"):
            board.run(f"flash.{wrong}")


def test_a_main_in_the_flash_runs_after_every_reset_of_the_machine(firmware: Path, tmp_path: Path) -> None:
    needs("micropython")
    main = b"""
import machine
try:
    lives = int(open('lives').read())
except OSError:
    lives = 0
print('life', lives)
with open('lives', 'w') as file:
    file.write(str(lives + 1))
if lives < 2:
    machine.reset()
import board_emulated
board_emulated.exit(1)
"""
    with EmulatedBoard(firmware, make_image({"main.py": main}, tmp_path / "flash.img")) as board:
        assert [board.read_line() for _ in range(3)] == ["life 0", "life 1", "life 2"]
        assert board.wait_end() == 1


@pytest.mark.usefixtures("firmware")
def test_a_frozen_main_runs_at_once_and_the_prompt_follows(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import sys\nprint('frozen', 'main' in sys.modules, __name__)\n")
    (tmp_path / "manifest.py").write_text('freeze(".", "main.py")\n')
    frozen = build_firmware(tmp_path / "manifest.py")
    with EmulatedBoard(frozen) as board:
        assert board.read_line() == "frozen False __main__"
        assert board.run("print(2)") == "2\n"
        board.send(b"\x02")  # to the other prompt, which does not run it again
        assert b"frozen" not in board.read_until(b">>> ")
        board.send(b"\x04")  # a soft reset does
        board.read_until(b"frozen False __main__")


@pytest.mark.usefixtures("firmware")
def test_what_was_frozen_before_does_not_stay_when_older_files_are_frozen(tmp_path: Path) -> None:
    for year, word in ((2020, "newer"), (2010, "older")):
        folder = tmp_path / word
        folder.mkdir()
        (folder / "main.py").write_text(f"print('{word}')\n")
        (folder / "manifest.py").write_text('freeze(".", "main.py")\n')
        for path in (folder / "main.py", folder / "manifest.py"):
            os.utime(path, (0, (year - 1970) * 31556952))
        with EmulatedBoard(build_firmware(folder / "manifest.py")) as board:
            assert board.read_line() == word


def test_a_soft_reset_gives_a_new_heap(board: EmulatedBoard) -> None:
    free = "import gc; gc.collect(); print(gc.mem_free())"
    first = int(board.run(free))
    board.run("big = bytearray(100_000)")
    board.soft_reset()
    assert abs(int(board.run(free)) - first) < 1000
    with pytest.raises(BoardError, match="NameError"):
        board.run("big")


def test_nothing_of_this_machine_is_in_the_build_scripts() -> None:
    for path in [ROOT / "mcu_firmware/Makefile", *(ROOT / "mcu_firmware/boards").rglob("*.*")]:
        assert not any(word in path.read_text() for word in ("http:", "https:", "/home/", "/tmp/")), path
