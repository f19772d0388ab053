"""What learning and encoding cost a microcontroller, in instructions of an emulated Cortex-M4F: the table of docs/results/board.md.

Measured on the firmware that users get (tests/emulator.py), beside it plain loops in C without any interpreter
(tests/bench/bare_metal). Instructions are counted, not timed: they are the same in every run, and this script makes all of
them twice to say so. Cycles and joules are modelled. `--write` writes the page.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tegu.energy import JOULES_PER_BYTE, JOULES_PER_CYCLE
from tests.emulator import FIRMWARE, EmulatedBoard, build_firmware, build_native, make_image

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "results" / "board.md"
SCRIPT = HERE.parent / "board" / "instructions.py"

AIFES_INSTRUCTIONS = (
    141_105  # a step of 1-32-32-1 by AIfES, float32, -O2, default configuration, in such an emulator, another day
)
AIFES_CYCLES = 233_000  # the same, its trace times the cycle table
CYCLES_PER_INSTRUCTION = (
    2.1  # 24,500-27,300 cycles for 11,700-13,100 instructions of a step in C: traces times TI's table
)
SAMPLES = 32
DENSE_BYTES = 4 * 1153

SINE = "1 | dense 32 relu | dense 32 relu | dense 1 linear"
TANH = "1 | dense 32 tanh | dense 32 tanh | dense 1 linear"
PRESENCE = "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax"
LARGE = "1 | dense 222 relu | dense 222 relu | dense 1 linear"
GRID = "14x14x1 | conv 8 3x3 stride 2 same relu | conv 16 3x3 stride 2 same relu | dense 5 softmax"


@dataclass(frozen=True)
class Case:
    """A step that is counted. defines: what bare_metal/SOURCE is compiled with for the same."""

    name: str
    spec: str
    source: str
    defines: str
    active: bool = False


def dense(inputs: int, hidden_1: int, hidden_2: int, outputs: int, **flags: int) -> str:
    """The -D options of bare_metal/dense.c."""
    sizes = {"INPUTS": inputs, "HIDDEN_1": hidden_1, "HIDDEN_2": hidden_2, "OUTPUTS": outputs}
    given = {"TANH": 0, "SOFTMAX": 0, "ACTIVE": 0, **flags}
    return " ".join(f"-D{name}={value}" for name, value in {**sizes, **given}.items())


CASES = (
    Case("1-32-32-1 relu, all units active", SINE, "dense.c", dense(1, 32, 32, 1, ACTIVE=1), True),
    Case("1-32-32-1 relu, {units} of 64 active", SINE, "dense.c", dense(1, 32, 32, 1)),
    Case("1-32-32-1 tanh", TANH, "dense.c", dense(1, 32, 32, 1, TANH=1)),
    Case("11-24-16-2 tanh, softmax", PRESENCE, "dense.c", dense(11, 24, 16, 2, TANH=1, SOFTMAX=1)),
    Case("1-222-222-1 relu, {units} of 444 active", LARGE, "dense.c", dense(1, 222, 222, 1)),
    Case("14x14x1, conv 8 and conv 16 3x3 stride 2 relu, softmax 5", GRID, "convolution.c", ""),
)
WAYS = {
    "Python": "import tegu.learner, tegu.sparse, tegu.wire.update\n"
    "for module in (tegu.learner, tegu.sparse, tegu.wire.update):\n    module.native = None\n",
    "native module": "import sys, tegu_natmod\nsys.modules['tegu_native'] = tegu_natmod\n",
    "user module": "",
}
STEPS = {"Python": 2, "native module": 20, "user module": 20}


@dataclass(frozen=True)
class Figures:
    """All that is measured. steps: of each case a way's instructions, bare metal under "C"; units: active ones of each case.

    sent: for a spec (instructions to select, to encode, bytes of the update, of the int8 initialization, entries).
    heap: bytes of the weights, and of all there is to learn 1-32-32-1.
    """

    steps: tuple[dict[str, int], ...]
    units: tuple[int, ...]
    sent: dict[str, tuple[int, ...]]
    heap: tuple[int, ...]


def bare_metal(case: Case, folder: Path) -> tuple[int, int]:
    """(instructions a step, the first output) of the plain loop."""
    source, program = HERE / "bare_metal", folder / "program.elf"
    flags = "-std=gnu11 -Wall -Wextra -O2 -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard -ffreestanding"
    command = ["arm-none-eabi-gcc", *flags.split(), "-nostartfiles", "-T", str(source / "memory.ld")]
    command += [*case.defines.split(), str(source / case.source), "-o", str(program), "-lm", "-lc", "-lgcc"]
    subprocess.run(command, check=True)
    machine = "-machine mps2-an386 -nodefaults -nic none -display none -monitor none -semihosting -icount shift=6"
    started = ["qemu-system-arm", *machine.split(), "-serial", "stdio", "-kernel", str(program)]
    said = subprocess.run(started, capture_output=True, text=True, check=True, timeout=60).stdout
    spent, output = (int(word) for word in said.split())
    return spent, output


def on_board(board: EmulatedBoard, way: str, call: str) -> tuple[int, ...]:
    """The numbers that one call of tests/board/instructions.py prints."""
    board.soft_reset()
    return tuple(int(word) for word in board.run(f"{WAYS[way]}{SCRIPT.read_text()}\n{call}\n", 120).split())


def count_steps(board: EmulatedBoard, case: Case, folder: Path) -> tuple[dict[str, int], int]:
    """(instructions a step of each way, active units). All ways must have learned the same."""
    spent, wanted = bare_metal(case, folder)
    found = {"C": spent}
    for way, steps in STEPS.items():
        spent, native, units, output = on_board(board, way, f"step({case.spec!r}, {case.active}, {steps})")
        if native != (way != "Python"):
            raise SystemExit(f"{case.spec}: not done by the {way}")
        if steps == STEPS["user module"] and abs(output - wanted) > 20:
            raise SystemExit(f"{case.spec}: {way} has learned {output}, plain C {wanted}")
        found[way] = spent
    return found, units


def measure() -> Figures:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        module = (build_native("armv7emsp") / "tegu_native.mpy").read_bytes()
        image = make_image({"lib/tegu_natmod.mpy": module}, folder / "flash.img")
        with EmulatedBoard(build_firmware(FIRMWARE / "manifest.py"), image) as board:
            steps, units = zip(*(count_steps(board, case, folder) for case in CASES), strict=True)
            sent = {spec: on_board(board, "user module", f"sending({spec!r}, 10)") for spec in (SINE, LARGE)}
            return Figures(steps, units, sent, on_board(board, "user module", f"heap({SINE!r})"))


def held(good: bool) -> str:
    return "**held**" if good else "**not held**"


def step_lines(figures: Figures) -> list[str]:
    lines = [
        "| a step, one sample | plain Python | native module (.mpy) | user module | plain C, no interpreter | user module / C |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for case, spent, units in zip(CASES, figures.steps, figures.units, strict=True):
        numbers = [f"{spent[way]:,}" for way in ("Python", "native module", "user module", "C")]
        lines.append(
            f"| {case.name.format(units=units)} | {' | '.join(numbers)} | {spent['user module'] / spent['C']:.2f} |"
        )
    return lines


def judged(figures: Figures) -> list[str]:
    """The goals for a step and the heap, each with what came out."""
    first, grid = figures.steps[0], figures.steps[-1]
    share, times = AIFES_INSTRUCTIONS / first["user module"], grid["user module"] / grid["C"]
    weights, whole = figures.heap
    return [
        f"- A step of 1-32-32-1 by AIfES takes {AIFES_INSTRUCTIONS:,} instructions. This figure is quoted: it was counted on another machine, "
        f"not by this script. Ours take a {share:.1f}th with all units active, a "
        f"{AIFES_INSTRUCTIONS / figures.steps[1]['user module']:.1f}th with half of them; goal a tenth: {held(share >= 10)} with all.",
        f"- The convolution takes {times:.2f} times its plain loop; goal at most 1.5: {held(times <= 1.5)}.",
        f"- Heap to learn 1-32-32-1, beyond the interpreter and its modules: {whole:,} bytes, of which the weights are {weights:,}; "
        f"goal 5.6 KB: {held(whole <= 5.6 * 1024)}.",
    ]


def sending_lines(figures: Figures) -> list[str]:
    lines = [
        "| Top-P% and encoding, P = 10 %, int8 | select | encode | together | steps | bytes |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, spec, at in (("1,153", SINE, 1), ("50,173", LARGE, 4)):
        selecting, encoding, update, _, entries = figures.sent[spec]
        steps = (selecting + encoding) / figures.steps[at]["user module"]
        numbers = f"{selecting:,} | {encoding:,} | {selecting + encoding:,} | {steps:.2f} | {update:,}"
        lines.append(f"| {name} parameters, {entries:,} sent | {numbers} |")
    return lines


def millijoules(instructions: float, payload_bytes: int) -> tuple[float, float]:
    """(computing, radio), modelled."""
    computing = instructions * CYCLES_PER_INSTRUCTION * JOULES_PER_CYCLE
    return 1000 * computing, 1000 * payload_bytes * JOULES_PER_BYTE["ble"]


def energy_lines(figures: Figures) -> list[str]:
    selecting, encoding, update, whole, _ = figures.sent[SINE]
    instructions = SAMPLES * figures.steps[0]["user module"] + selecting + encoding
    reference = 1000 * (SAMPLES * AIFES_CYCLES * JOULES_PER_CYCLE + 2 * DENSE_BYTES * JOULES_PER_BYTE["ble"])
    lines = [
        "| a round of 1-32-32-1, 32 samples, BLE, modelled | down | up | computing | radio | together | less than AIfES by | a tenth |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---|")
    lines.append(
        f"| AIfES, dense float32 both ways | {DENSE_BYTES:,} B | {DENSE_BYTES:,} B | | | {reference:.2f} mJ | | |"
    )
    for name, down in (("int8 whole down, P = 10 % up", whole), ("sparse delta P = 10 % down, P = 10 % up", update)):
        computing, radio = millijoules(instructions, down + update)
        times = reference / (computing + radio)
        lines.append(
            f"| {name} | {down:,} B | {update:,} B | {computing:.3f} mJ | {radio:.3f} mJ | {computing + radio:.3f} mJ "
            f"| {times:.1f} times | {held(times >= 10)} |"
        )
    return lines


def page(figures: Figures) -> str:
    parts = [
        "# On a board",
        "Made by `python -m tests.bench.instructions --write` in a checkout, with Debian's packages qemu-system-arm, gcc-arm-none-eabi and "
        "libnewlib-arm-none-eabi. **Measured**: instructions, bytes and heap, on an emulated Cortex-M4F with 256 KB of RAM (QEMU's "
        "mps2-an386) that runs the firmware of `make -C mcu_firmware firmware` as it is; each figure is the same in every run with the same "
        "compilers, and this page was counted twice. **Modelled**: cycles and joules. No figure here was taken on hardware.",
        "\n".join(step_lines(figures)),
        "A step is `learner.step(x, y)`, its call in Python included; plain Python includes the garbage that it collects on the way. Weights and "
        "samples are the same in all columns, and all C must end at the same output. The plain loops are tests/bench/bare_metal at -O2, where "
        "the compiler may fuse multiplications and additions, which ours may not: it gives Python's bits. The firmware is built at -Os, as MicroPython is.",
        "\n".join(judged(figures)),
        "\n".join(sending_lines(figures)),
        f"By the user module, on what {SAMPLES} samples have changed; `steps` is in steps of the same model by the user module, half of the units active.",
        "\n".join(energy_lines(figures)),
        f"Cycles are instructions times {CYCLES_PER_INSTRUCTION}, which is an estimate: traces of a step in C, 11,700 to 13,100 instructions, times "
        "TI's table of cycles for the Cortex-M4F gave 24,500 to 27,300, without wait states. "
        f"155 pJ a cycle and 0.235 µJ a byte are those of `tegu.energy`, for an nRF52840; AIfES has {AIFES_CYCLES:,} cycles a step by the same "
        "table. A step counts with all units active, the dearest case. Bytes are payloads; the delta down is taken to be as long as the update.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    options = parser.parse_args()
    figures = measure()
    if figures != measure():
        raise SystemExit("two runs gave different figures")
    if options.write:
        PAGE.write_text(page(figures))
    else:
        print(page(figures), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
