"""The memory contract, on the firmware itself: with just as much free heap as tegu.memory says, a round can be played."""

from pathlib import Path

import pytest

from tegu.memory import heap_bytes
from tegu.model import Model

from .emulator import EmulatedBoard, build_firmware, make_image
from .parts import needs

FIRMWARE = Path(__file__).parent.parent / "mcu_firmware"
SAMPLES = 32
ATTEMPT = """
import gc

import board_emulated
gc.threshold(1024)

def free():
    gc.collect()
    return gc.mem_free()

def attempt(played, least):
    "Bytes of the smaller update if two rounds can be played with `least` bytes free, else 0."
    board_emulated.format()
    filler = bytearray(max(0, free() - least - 16))
    if free() > least:
        return -1
    try:
        session = played.session("/")
        return min(played.play(session, 1), played.play(session, 2))
    except MemoryError:
        return 0
"""
PRESENCE = "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax"
SINE = "1 | dense 32 relu | dense 32 relu | dense 1 linear"
GRID = "14x14x1 | conv 8 3x3 stride 2 same relu | conv 16 3x3 stride 2 same relu | dense 5 softmax"
MIDDLE = "100 | dense 100 tanh | dense 50 tanh | dense 10 softmax"  # 15,660 parameters
LARGE = "1 | dense 222 relu | dense 222 relu | dense 1 linear"  # 50,173


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> EmulatedBoard:
    needs("qemu-system-arm")
    image = make_image({}, tmp_path_factory.mktemp("memory") / "flash.img")
    with EmulatedBoard(build_firmware(FIRMWARE / "manifest.py"), image) as started:
        yield started


def attempt(board: EmulatedBoard, spec: str, top_p: float, residual: int, share: float) -> int:
    """Plays two rounds with `share` of the contract's bytes free; the update's bytes."""
    least = int(share * heap_bytes(Model(spec), top_p, residual=bool(residual)))
    board.soft_reset()
    script = (FIRMWARE.parent / "tests" / "board" / "a_round.py").read_text() + ATTEMPT
    script += f"print(attempt(Played({spec!r}, {top_p}, {SAMPLES}, {residual}), {least}))\n"
    return int(board.run(script, 60).split()[-1])


@pytest.mark.parametrize(
    ("spec", "top_p", "residual"),
    [
        (PRESENCE, 10, 1),
        (PRESENCE, 100, 1),
        (SINE, 10, 1),
        (GRID, 10, 1),
        (MIDDLE, 10, 1),
        (MIDDLE, 25, 0),
        (LARGE, 1, 0),
    ],
)
def test_two_rounds_need_no_more_than_the_contract(
    board: EmulatedBoard, spec: str, top_p: float, residual: int
) -> None:
    assert attempt(board, spec, top_p, residual, 1.0) > 0


@pytest.mark.parametrize(("spec", "share"), [(PRESENCE, 0.6), (SINE, 0.6), (GRID, 0.6), (MIDDLE, 0.85)])
def test_the_contract_asks_for_not_much_more_than_a_round_needs(board: EmulatedBoard, spec: str, share: float) -> None:
    assert attempt(board, spec, 10, 1, share) == 0


def test_the_contract_by_hand() -> None:
    """4 x (1153 weights + 65 outputs + 2 x 32 deltas + 1 input) and 116 entries of 2 bytes: twice to be chosen, or once with their values."""
    update = 32 + 116 * (6 + 9) // 8
    total = 11700 + 3 * 320 + 4 * 1283 + max(2 * 232 + update, update + 6 * 116)
    assert heap_bytes(Model(SINE), 10) == total + total // 128
