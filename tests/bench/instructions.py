"""What learning and encoding cost a microcontroller, in instructions of an emulated Cortex-M4F: the table of docs/results/board.md.

Measured on the firmware that users get (tests/emulator.py), beside it plain loops in C without any interpreter
(tests/bench/bare_metal). Instructions are counted, not timed, and all are counted twice: a step in C is the same to the
instruction in both runs; where the collector of garbage takes part, which sees what lies on the stack, they may differ by
COLLECTOR_SHARE. Cycles and joules are modelled. `--write` writes the page.
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

# A step of 1-32-32-1 by AIfES, float32, default configuration, -O2, in such an emulator on another day; cycles by the table.
AIFES_INSTRUCTIONS, AIFES_CYCLES = 141_105, 233_000
# 24,500 to 27,300 cycles for 11,700 to 13,100 instructions of a step in C: traces times TI's table for the Cortex-M4F.
CYCLES_PER_INSTRUCTION = 2.1
# The loops of native/kernels.h over eight weights: (instructions, cycles by the same table: VLDM and VSTM 9, VMLA and VMLS 3,
# SUBS 1, BNE 3). dot; carry_and_move_row.
DOT, CARRY_AND_MOVE = (13, 46), (24, 97)
EIGHTS = 132  # of each in a step of 1-32-32-1 with all units active: 32 rows of 32 and one
COLLECTOR_SHARE = 0.002
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
STEPS = {"Python": 1, "native module": 20, "user module": 20}
ALL_HEAP, GC_BYTES = (
    -1,
    1024,
)  # bytes of garbage before a collection: only when the heap is full; as mcu_firmware/main.py has it


@dataclass(frozen=True)
class Figures:
    """All that is measured. steps: of each case a way's instructions, bare metal under "C"; units: active ones of each case.

    sent: for a spec (instructions to select, to encode, bytes of the update, of the int8 initialization, entries,
    instructions of a collection).
    heap: bytes that the weights, a Model and a Learner of 1-32-32-1 take. often: a step of it in Python with GC_BYTES.
    """

    steps: tuple[dict[str, int], ...]
    units: tuple[int, ...]
    sent: dict[str, tuple[int, ...]]
    heap: tuple[int, ...]
    often: int


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
        spent, native, units, output = on_board(board, way, f"step({case.spec!r}, {case.active}, {steps}, {ALL_HEAP})")
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
            heap = on_board(board, "user module", f"heap({SINE!r})")
            often = on_board(board, "Python", f"step({SINE!r}, True, 1, {GC_BYTES})")[0]
            return Figures(steps, units, sent, heap, often)


def alike(one: Figures, other: Figures) -> bool:
    """Whether two runs have counted the same, as the head of this file says it."""

    def in_c(figures: Figures) -> object:
        steps = [{way: spent for way, spent in step.items() if way != "Python"} for step in figures.steps]
        return steps, figures.units, figures.heap, [sent[2:5] for sent in figures.sent.values()]

    def collecting(figures: Figures) -> list[int]:
        sent = [number for numbers in figures.sent.values() for number in numbers[:2] + numbers[5:]]
        return [*(step["Python"] for step in figures.steps), *sent, figures.often]

    pairs = zip(collecting(one), collecting(other), strict=True)
    return in_c(one) == in_c(other) and all(abs(a - b) <= COLLECTOR_SHARE * a for a, b in pairs)


def short(number: int) -> str:
    """To the thousands, where there are hundreds of them."""
    return f"{round(number / 1000):,} k" if number >= 100_000 else f"{number:,}"


def held(good: bool) -> str:
    return "**held**" if good else "**not held**"


def step_lines(figures: Figures) -> list[str]:
    lines = [
        "| a step, one sample | plain Python | native module (.mpy) | user module | plain C, no interpreter | user module / C |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for case, spent, units in zip(CASES, figures.steps, figures.units, strict=True):
        numbers = [short(spent["Python"]), *(f"{spent[way]:,}" for way in ("native module", "user module", "C"))]
        lines.append(
            f"| {case.name.format(units=units)} | {' | '.join(numbers)} | {spent['user module'] / spent['C']:.2f} |"
        )
    return lines


def careful_cycles(figures: Figures) -> int:
    """Of a step of 1-32-32-1 with all units active: its inner loops by the table, the rest by CYCLES_PER_INSTRUCTION."""
    rest = figures.steps[0]["user module"] - EIGHTS * (DOT[0] + CARRY_AND_MOVE[0])
    return round(EIGHTS * (DOT[1] + CARRY_AND_MOVE[1]) + rest * CYCLES_PER_INSTRUCTION)


def size_of_module() -> int:
    """Bytes of the native module for a Cortex-M4F, as a file: its code and 0.2 KB around it."""
    return (build_native("armv7emsp") / "tegu_native.mpy").stat().st_size


def judged(figures: Figures) -> list[str]:
    """The goals for a step and the heap, each with what came out."""
    first, grid = figures.steps[0], figures.steps[-1]
    share, times = AIFES_INSTRUCTIONS / first["user module"], grid["user module"] / grid["C"]
    sending = sum(figures.sent[SINE][:2]) / figures.steps[1]["user module"]
    weights, model, learner = figures.heap
    whole = weights + model + learner
    module = max(case["native module"] for case in figures.steps[:3])
    return [
        f"- A step of 1-32-32-1 through the native module takes at most {module:,} instructions; goal 16,000: {held(module <= 16_000)}; "
        f"14,000: {held(module <= 14_000)}.",
        f"- A step of 1-32-32-1 by AIfES takes {AIFES_INSTRUCTIONS:,} instructions. This figure is quoted: it was counted on another machine, "
        f"not by this script. It is {share:.1f} times ours with all units active and {AIFES_INSTRUCTIONS / figures.steps[1]['user module']:.1f} "
        f"times with {figures.units[1]}; goal 10 times: {held(share >= 10)}.",
        f"- By the cycle table, not in instructions, it is only about {AIFES_CYCLES / careful_cycles(figures):.1f} times ours: our loops take "
        f"eight weights by one instruction of nine cycles. A step so has about {careful_cycles(figures):,} cycles (modelled, see below).",
        f"- The convolution takes {times:.2f} times its plain loop; goal at most 1.5: {held(times <= 1.5)}.",
        f"- Selecting and encoding 1,153 parameters takes {sending:.1f} steps; goal 2: {held(sending <= 2)}.",
        f"- Heap to learn 1-32-32-1, beyond the interpreter and its modules: {whole:,} bytes, which are {weights:,} of weights, "
        f"{model:,} of Model and {learner:,} of Learner; goal 5.6 KB: {held(whole <= 5.6 * 1024)}.",
        f"- Plain Python collects its garbage here when the heap is full. With `gc.threshold({GC_BYTES})`, as main.py sets it where the C is there, so that large "
        f"models find their place, its step of 1-32-32-1 takes {short(figures.often)} instructions; the C makes no garbage.",
        f"- The native module is {size_of_module():,} bytes of code, with convolution, decoding and what binds it to Python; goal 4 KB: "
        f"{held(size_of_module() <= 4096)}.",
    ]


def sending_lines(figures: Figures) -> list[str]:
    lines = [
        "| Top-P% and encoding, P = 10 %, int8 | select | encode | together | steps | bytes |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, spec, at in (("1,153", SINE, 1), ("50,173", LARGE, 4)):
        selecting, encoding, update, _, entries, _ = figures.sent[spec]
        steps = (selecting + encoding) / figures.steps[at]["user module"]
        numbers = f"{short(selecting)} | {short(encoding)} | {short(selecting + encoding)} | {steps:.1f} | {update:,}"
        lines.append(f"| {name} parameters, {entries:,} sent | {numbers} |")
    return lines


def energy_lines(figures: Figures) -> list[str]:
    """The table of a round, and what a more careful count of cycles makes of it."""
    selecting, encoding, update, whole, *_ = figures.sent[SINE]
    step = figures.steps[0]["user module"]
    sending = (selecting + encoding) * CYCLES_PER_INSTRUCTION
    rounds = (("int8 whole down, P = 10 % up", whole), ("sparse delta P = 10 % down, P = 10 % up", update))
    reference = modelled(SAMPLES * AIFES_CYCLES, 2 * DENSE_BYTES)
    lines = [
        "| a round of 1-32-32-1, 32 samples, BLE, modelled | down | up | computing | radio | together | AIfES takes | a tenth |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
        f"| AIfES, dense float32 both ways | {DENSE_BYTES:,} B | {DENSE_BYTES:,} B | {' | '.join(in_mj(*reference))} | | |",
    ]
    for cycles, way in ((step * CYCLES_PER_INSTRUCTION, ""), (careful_cycles(figures), ", careful cycles")):
        for name, down in rounds:
            spent = modelled(SAMPLES * cycles + sending, down + update)
            times = sum(reference) / sum(spent)
            sizes = f"{down:,} B | {update:,} B"
            lines.append(
                f"| {name}{way} | {sizes} | {' | '.join(in_mj(*spent))} | {times:.1f} times | {held(times >= 10)} |"
            )
    return lines


def modelled(cycles: float, payload_bytes: int) -> tuple[float, float]:
    """Joules of (computing, radio)."""
    return cycles * JOULES_PER_CYCLE, payload_bytes * JOULES_PER_BYTE["ble"]


def in_mj(computing: float, radio: float) -> list[str]:
    return [f"{1000 * joules:.3f} mJ" for joules in (computing, radio, computing + radio)]


def page(figures: Figures) -> str:
    parts = [
        "# On a board",
        "Made by `python -m tests.bench.instructions --write` in a checkout, with Debian's packages qemu-system-arm, gcc-arm-none-eabi and "
        "libnewlib-arm-none-eabi. **Measured**: instructions, bytes and heap, on an emulated Cortex-M4F with 256 KB of RAM (QEMU's "
        "mps2-an386) that runs the firmware of `make -C mcu_firmware firmware` as it is. All was counted twice: steps in C were the same to the "
        f"instruction, figures in which the collector of garbage takes part within {COLLECTOR_SHARE:.1%}. **Modelled**: cycles and joules. No figure here was taken on hardware.",
        "\n".join(step_lines(figures)),
        "A step is `learner.step(x, y)`, its call in Python included. Weights and "
        "samples are the same in all columns, and all C must end at the same output. The plain loops are tests/bench/bare_metal at -O2, where "
        "the compiler may fuse multiplications and additions, which ours may not: it gives Python's bits. The firmware is built at -Os, as MicroPython is.",
        "\n".join(judged(figures)),
        "\n".join(sending_lines(figures)),
        f"By the user module, on what {SAMPLES} samples have changed, with the collections that main.py's threshold brings (one takes "
        f"{short(figures.sent[SINE][5])} and {short(figures.sent[LARGE][5])} instructions); `steps` is in steps of the same model by the user module, half of the units active.",
        "\n".join(energy_lines(figures)),
        f"Cycles are instructions times {CYCLES_PER_INSTRUCTION}, which is an estimate: traces of a step in C, 11,700 to 13,100 instructions, times "
        "TI's table of cycles for the Cortex-M4F gave 24,500 to 27,300, without wait states. That flatters ours, whose loops have fewer and longer instructions: `careful cycles` takes "
        f"those of the loops from the table, {DOT[1]} for {DOT[0]} instructions forward and {CARRY_AND_MOVE[1]} for {CARRY_AND_MOVE[0]} backward. "
        f"155 pJ a cycle and 0.235 µJ a byte are those of `tegu.energy`, for an nRF52840; AIfES has {AIFES_CYCLES:,} cycles a step by the same "
        "table. A step counts with all units active, the dearest case. Bytes are payloads; the delta down is taken to be as long as the update.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    options = parser.parse_args()
    figures, again = measure(), measure()
    if not alike(figures, again):
        raise SystemExit(f"two runs gave different figures: {figures} and {again}")
    if options.write:
        PAGE.write_text(page(figures))
    else:
        print(page(figures), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
