"""The C of mcu_firmware/native against the Python that it stands for: the same bits and bytes, or the same refusal.

Three ways to run it: as a library of this machine (tests/host_native.py), as a native module that MicroPython loads (the unix
port's and the emulated board's), and as the user module of the board's firmware.
"""

import itertools
import platform
import subprocess
from array import array
from collections.abc import Callable, Iterator
from ctypes import CDLL
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tegu import sparse
from tegu.learner import Learner
from tegu.model import Model
from tegu.wire import CODECS, F16, F32, INT8
from tegu.wire.update import encode_update
from tests.board import learn_and_encode, refuse
from tests.emulator import FIRMWARE, EmulatedBoard, build_firmware, build_native, make_image
from tests.host_native import build, float32_learner, native_core
from tests.parts import find_micropython, needs
from tests.test_sections import messages, mutated, outcome

SCRIPTS = Path(__file__).parent / "board"
LARGEST_TEXT_BYTES = 10_240  # of the native module for a Cortex-M4F; the goal is 4 KB
LARGEST_LOSS_ERROR = 2e-6  # the C's logarithm is its own
COMPILERS_FLAGS = (("-O2",), ("-O0",), ("-O3", "-march=native"))

SPECS = (
    "1 | dense 32 relu | dense 32 relu | dense 1 linear",
    "11 | dense 24 tanh local | dense 16 tanh | dense 2 softmax",
    "5 | dense 7 sigmoid | dense 3 sigmoid local",
    "4 | dense 9 tanh local | dense 1 sigmoid",
    "3 | dense 1 linear | dense 17 relu | dense 9 linear local | dense 2 tanh",
    "6x5x2 | conv 3 3x2 stride 2 same relu | depthwise 3x3 same tanh local | maxpool 2x2 | dense 5 softmax",
    "8x8x1 | conv 4 3x3 relu local | conv 5 3x3 same relu | meanpool 3x3 stride 1 same | dense 2 tanh",
    "9x7x3 | depthwise 3x2 stride 2 relu | conv 40 2x2 relu | maxpool 2x2 stride 1 same | dense 4 softmax",
    "6x5x12 | conv 3 3x3 same sigmoid | meanpool 2x2 | dense 3 linear local",
)
STEPS = 40


# --- a step, on this machine ---


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> list[CDLL]:
    needs("cc")
    return [build(tmp_path_factory.mktemp("library"), *flags) for flags in COMPILERS_FLAGS]


@pytest.fixture(scope="module")
def library(libraries: list[CDLL]) -> CDLL:
    return libraries[0]


def samples(model: Model, seed: int) -> list[tuple[list[float], Any]]:
    """STEPS of them, of numbers that are float32."""
    random = np.random.default_rng(seed)
    found: list[tuple[list[float], Any]] = []
    for _ in range(STEPS):
        x = random.uniform(-2, 2, model.inputs).astype(np.float32).tolist()
        y = random.uniform(0, 1, model.outputs).astype(np.float32).tolist()
        found.append((x, int(random.integers(model.classes)) if model.classes else y))
    return found


def learned(
    learner: Learner, pairs: list[tuple[list[float], Any]], only: str, row: Callable[[Any], Any]
) -> list[float]:
    """The losses; the weights are the learner's."""
    learner.only = only
    return [float(learner.learn_one(row(x), y if isinstance(y, int) else row(y))) for x, y in pairs]


def said_by(script: Any, learner_of: Callable[..., Learner]) -> list[str]:
    """The lines of one of tests/board's scripts, here."""
    lines: list[str] = []
    script.play(learner_of, lines.append)
    return lines


@pytest.mark.parametrize("only", ["", "local", "shared"])
@pytest.mark.parametrize("spec", SPECS)
def test_forty_steps_in_c_end_at_the_bits_of_python_in_float32(libraries: list[CDLL], spec: str, only: str) -> None:
    model = Model(spec)
    start, pairs = model.initial(3, 1.0), samples(model, 5)
    with float32_learner() as learner_of:
        python = learner_of(model, start, 0.05)
        losses = learned(python, pairs, only, lambda row: np.array(row, np.float32))
    assert bytes(python.weights) != bytes(start) or (only == "local" and "local" not in spec)
    rows: list[Callable[[Any], Any]] = [lambda row: array("f", row), list, tuple]
    for library, row in zip(libraries, rows, strict=True):
        with native_core(library):
            ours = Learner(model, array("f", start), 0.05)
            assert ours.native is not None
            found = learned(ours, pairs, only, row)
        assert ours.weights.tobytes() == bytes(python.weights)
        assert ours.rows[-1].tobytes() == bytes(python.rows[-1])
        assert found == pytest.approx(losses, rel=LARGEST_LOSS_ERROR, abs=LARGEST_LOSS_ERROR)


def test_a_model_too_deep_for_the_c_is_learned_by_python(library: CDLL) -> None:
    model = Model("2" + " | dense 2 tanh" * 12 + " | dense 1 linear")
    with native_core(library):
        learner = Learner(model, model.initial(1, 1.0), 0.1)
        assert learner.native is None
        assert learner.learn_one([0.5, -0.5], [1.0]) > learner.loss_one([0.5, -0.5], [1.0])


def test_bad_samples_and_weights_are_refused_in_the_same_words_and_change_nothing(library: CDLL) -> None:
    python = said_by(refuse, Learner)
    with native_core(library):
        assert said_by(refuse, Learner) == python
    assert len(python) == len(set(python)) == refuse.COUNT


# --- selection and encoding, on this machine ---


def vectors(random: np.random.Generator) -> Iterator["array[float]"]:
    """Deltas of every kind and of sizes from 1 to 3,000, and two of 70,000."""
    kinds: list[Callable[[int], Any]] = [
        lambda size: random.normal(size=size),
        lambda size: random.normal(size=size) ** 5,  # heavy tails
        lambda size: np.round(random.normal(size=size) * 4) / 4,  # many ties
        lambda size: random.integers(-254, 255, size) / 2,  # of a scale of 1: half-way between two magnitudes
        lambda size: random.normal(size=size) * (random.random(size) < 0.05),  # mostly zeros
        lambda size: random.normal(size=size) * 10.0 ** random.integers(-44, 30, size),  # of all sizes
        lambda size: random.normal(size=size) * 1e-41,  # subnormal
        lambda size: random.normal(size=size) * 8e37,  # huge
        lambda size: np.eye(1, size, int(random.integers(size)))[0] * -3.0,  # one single
        lambda size: np.full(size, 0.125),
        lambda size: np.full(size, -0.0),
    ]
    for turn in range(220):
        for kind in kinds:
            size = max(1, int(3000 ** random.random()) if turn else 3000)
            yield array("f", np.clip(kind(size), -3.4e38, 3.4e38).astype(np.float32).tobytes())
    yield array("f", kinds[0](70_000).astype(np.float32).tobytes())
    yield array("f", kinds[2](70_000).astype(np.float32).tobytes())


def model_of(size: int) -> Model:
    """One of so many parameters, at least 2; above 65,536 a multiple of 8."""
    model = Model(f"{size - 1} | dense 1 linear" if size <= 65_536 else f"{size // 8 - 1} | dense 8 linear")
    assert model.shared_size == size
    return model


def test_c_selects_what_python_does(library: CDLL) -> None:
    random = np.random.default_rng(1)
    cases = [(values, float(random.choice([0.1, 1, 5, 10, 25, 50, 100]))) for values in vectors(random)]
    python = [sparse.top_p(values, percent) for values, percent in cases]
    itself = 0
    with native_core(library) as native:
        for (values, percent), wanted in zip(cases, python, strict=True):
            assert sparse.top_p(values, percent) == wanted, (values, percent)
            room = array(wanted.typecode, bytes(wanted.itemsize * -int(-len(values) * percent // 100)))
            itself += native.top_p(values, len(room), room) == len(room)
    assert itself > 0.6 * len(cases)  # to Python it leaves thresholds that are zero or subnormal


def test_c_encodes_byte_for_byte_what_python_does(library: CDLL) -> None:
    random = np.random.default_rng(2)
    cases: list[tuple[Any, ...]] = []
    for number, values in enumerate(vectors(random)):
        if len(values) > 1:
            indices = sparse.top_p(values, float(random.choice([0.1, 1, 5, 10, 25, 50, 100])))
            header = [int(random.integers(2 ** int(random.integers(1, 33)))) for _ in range(4)]
            cases.append((model_of(len(values)), values, indices, number % len(CODECS), *header))
    python = [encode_update(*case) for case in cases]
    with native_core(library) as native:
        for case, wanted in zip(cases, python, strict=True):
            assert encode_update(*case) == wanted, case
            assert native.encode(*case[1:4], case[0].shape_hash, *case[4:]) == wanted


def test_c_rounds_to_half_precision_as_python_does(library: CDLL) -> None:
    """Halves, the middles between two, and their neighbours in float32, both signs; all subnormal ones."""
    numbers = np.unique(np.concatenate([np.arange(1100), np.arange(0, 0x7C00, 5), np.arange(0x7B00, 0x7C00)]))
    halves = numbers.astype(np.uint16).view(np.float16).astype(np.float32)
    middles = ((halves[:-1].astype(float) + halves[1:]) / 2).astype(np.float32)
    others = np.array([1e30, 65519.99, 65520.0, 3e-8, 2.9e-8, 1e-41], np.float32)
    bits = np.concatenate([halves, middles, others]).view(np.uint32)
    bits = np.unique(np.concatenate([bits, bits + 1, np.maximum(bits, 1) - 1]))
    bits = np.concatenate([bits, bits | 0x80000000])
    values = array("f", np.resize(bits, -(-bits.size // 8) * 8).astype(np.uint32).tobytes())
    model, indices = model_of(len(values)), array("I", range(len(values)))
    python = encode_update(model, values, indices, F16)
    with native_core(library):
        assert encode_update(model, values, indices, F16) == python


def test_what_cannot_be_encoded_is_refused_in_the_same_words(library: CDLL) -> None:
    model = model_of(6)
    fine = array("f", [1, 2, 3, 4, 5, 6])
    endless = array("f", [1, 2, float("inf"), 4, float("nan"), 6])
    cases = [(fine, [1, 1]), (fine, [2, 1]), (fine, [0, 6]), (endless, [0, 2]), (endless, [4]), (fine[:5], [0])]
    for (values, indices), codec in itertools.product(cases, (F32, F16, INT8)):
        with pytest.raises(ValueError) as python:
            encode_update(model, values, array("H", indices), codec)
        with native_core(library), pytest.raises(ValueError, match=f"^{python.value}$"):
            encode_update(model, values, array("H", indices), codec)
    for values in (endless, array("f", [float("-inf")])):
        with pytest.raises(ValueError) as python:
            sparse.top_p(values, 50)
        with native_core(library), pytest.raises(ValueError, match=f"^{python.value}$"):
            sparse.top_p(values, 50)


def test_values_that_are_not_sent_need_not_be_finite_and_nothing_is_an_update_too(library: CDLL) -> None:
    model, values = model_of(3), array("f", [1.0, float("nan"), 2.0])
    for indices in (array("H", [0, 2]), array("H")):
        python = encode_update(model, values, indices)
        with native_core(library):
            assert encode_update(model, values, indices) == python


# --- decoding, on this machine ---


def test_c_reads_sound_updates_and_refuses_mutated_ones_as_python_does(library: CDLL) -> None:
    random = Random(4)
    sound = messages(random)
    cases = sound + [
        (model, mutated(random, payload)) for model, payload in (random.choice(sound) for _ in range(12_000))
    ]
    python = [outcome(payload, model, None) for model, payload in cases]
    with native_core(library):
        for (model, payload), wanted in zip(cases, python, strict=True):
            assert outcome(payload, model, None) == wanted, payload.hex()
    refused = {words.partition(":")[0] for words in python if isinstance(words, str)}
    assert {"gaps", "index", "magnitudes", "magnitude", "signs", "length", "values"} <= refused


def test_c_reads_sound_updates_itself(library: CDLL) -> None:
    model = model_of(70_000)
    random = np.random.default_rng(3)
    values = array("f", random.normal(size=70_000).astype(np.float32).tobytes())
    payload = encode_update(model, values, sparse.top_p(values, 10), INT8, 1, 2, 3, 4)
    python = outcome(bytes(payload), model, None)
    asked: list[int] = []
    with native_core(library) as native:
        for name in ("get_indices", "get_magnitudes"):
            setattr(native, name, recorded(getattr(native, name), asked))
        assert outcome(bytes(payload), model, None) == python
    assert len(asked) == 2
    assert min(asked) > 0


def recorded(function: Callable[..., int], results: list[int]) -> Callable[..., int]:
    """The function, which also writes down its results."""

    def called(*arguments: Any) -> int:
        results.append(function(*arguments))
        return results[-1]

    return called


# --- the same script on every machine ---


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedBoard]:
    """The firmware that users get, the native module for it in its flash."""
    for part in ("qemu-system-arm", "arm-none-eabi-gcc", "micropython"):
        needs(part)
    module = (build_native("armv7emsp") / "tegu_native.mpy").read_bytes()
    image = make_image({"lib/tegu_natmod.mpy": module}, tmp_path_factory.mktemp("native") / "flash.img")
    with EmulatedBoard(build_firmware(FIRMWARE / "manifest.py"), image) as started:
        yield started


# What a board is told before a script: which of the three does the work.
WAYS = {
    "user module": "import tegu_native\n",
    "native module": "import sys, tegu_natmod as tegu_native\nsys.modules['tegu_native'] = tegu_native\n",
    "Python": "import tegu.learner, tegu.kept, tegu.sparse, tegu.wire.update\n"
    "for module in (tegu.learner, tegu.kept, tegu.sparse, tegu.wire.update):\n    module.native = None\n",
}
CHECK = "import tegu.native\nassert tegu.native.step is tegu_native.step\n"


def on_board(board: EmulatedBoard, way: str, script: str, ending: str, timeout_s: float = 60) -> list[str]:
    board.soft_reset()
    start = WAYS[way] + ("" if way == "Python" else CHECK)
    whole = start + (SCRIPTS / script).read_text() + "from tegu.learner import Learner\n" + ending + "\n"
    return board.run(whole, timeout_s).splitlines()


def on_unix_port(script: str, ending: str, native: bool) -> list[str]:
    """The lines that the unix port prints, with the native module for x86-64 or without any."""
    needs("micropython")
    if native:
        needs("cc")
        if platform.machine() != "x86_64":
            pytest.skip("the native module is built for x86-64")
    lines = [
        "import sys",
        f"sys.path[:0] = [{str(FIRMWARE / 'lib')!r}, {str(build_native('x64')) if native else ''!r}]",
    ]
    whole = "\n".join(lines) + "\n" + ("import tegu_native\n" + CHECK if native else "")
    whole += (SCRIPTS / script).read_text() + "from tegu.learner import Learner\n" + ending + "\n"
    done = subprocess.run([str(find_micropython()), "-c", whole], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """learn_and_encode by pure Python in float32."""
    with float32_learner() as learner_of:
        return said_by(learn_and_encode, learner_of)


def test_this_machine_with_c_learns_and_encodes_as_python_does(library: CDLL, expected: list[str]) -> None:
    assert sum(line.startswith("update ") for line in expected) == 3 * len(learn_and_encode.CASES)
    with native_core(library):
        assert said_by(learn_and_encode, Learner) == expected


def test_the_unix_port_with_the_native_module_does(expected: list[str]) -> None:
    assert on_unix_port("learn_and_encode.py", "play(Learner, print)", True) == expected


@pytest.mark.parametrize("way", WAYS)
def test_the_board_does(board: EmulatedBoard, expected: list[str], way: str) -> None:
    assert on_board(board, way, "learn_and_encode.py", "play(Learner, print)") == expected


@pytest.mark.parametrize("way", WAYS)
def test_the_board_refuses_the_same_samples_in_the_same_words(board: EmulatedBoard, way: str) -> None:
    assert on_board(board, way, "refuse.py", "play(Learner, print)") == said_by(refuse, Learner)


@pytest.mark.parametrize("native", [True, False])
def test_the_unix_port_refuses_them_too(native: bool) -> None:
    assert on_unix_port("refuse.py", "play(Learner, print)", native) == said_by(refuse, Learner)


# --- heap and size ---


@pytest.mark.parametrize("way", ["user module", "native module"])
def test_ten_thousand_steps_take_nothing_from_the_heap(board: EmulatedBoard, way: str) -> None:
    before, after, moved = on_board(board, way, "heap.py", "steps(Learner, 10_000)")[-1].split()
    assert moved == "True"
    assert before == after


@pytest.mark.parametrize("way", ["user module", "native module"])
def test_a_thousand_updates_leave_nothing_in_the_heap(board: EmulatedBoard, way: str) -> None:
    before, after, alike = on_board(board, way, "heap.py", "updates(1_000)")[-1].split()
    assert alike == "True"
    assert before == after


def test_the_native_module_is_no_larger_than_it_may_be() -> None:
    needs("arm-none-eabi-gcc")
    object_file = build_native("armv7emsp") / "objects" / "tegu_native.o"
    said = subprocess.check_output(["arm-none-eabi-size", object_file], text=True)
    text_bytes = int(said.splitlines()[1].split()[0])
    print("bytes of the native module for a Cortex-M4F:", text_bytes)  # noqa: T201
    assert text_bytes <= LARGEST_TEXT_BYTES
