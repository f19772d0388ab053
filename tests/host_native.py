"""The C core as CPython sees it: host.c built by the system's C compiler, behind the functions of the module tegu_native."""

import ctypes
import importlib
import subprocess
import sys
import types
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tegu.kept
import tegu.learner
import tegu.sparse
import tegu.wire.update

NATIVE = Path(__file__).parent.parent / "mcu_firmware" / "native"
LAYER_INTS = 16
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Wno-unused-function", "-ffp-contract=off"]


def build(folder: Path, *flags: str) -> ctypes.CDLL:
    """host.c as a shared library; `flags` for the compiler."""
    library = folder / "libtegu.so"
    command = ["cc", *FLAGS, *(flags or ("-O2",)), "-shared", "-fPIC", "-o", str(library), str(NATIVE / "host.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def pointer(buffer: Any) -> ctypes.c_void_p:
    """Where an array or a bytearray lies. It must not grow while the pointer is in use."""
    if isinstance(buffer, array):
        return ctypes.c_void_p(buffer.buffer_info()[0])
    if isinstance(buffer, bytes):
        return ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p)
    return ctypes.cast((ctypes.c_char * len(buffer)).from_buffer(buffer), ctypes.c_void_p)


class Native:
    """The functions of tegu_native over a library; tegu.native says what they do."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._c = library
        self._c.tegu_learn.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_void_p] * 2, ctypes.c_int]
        self._c.tegu_learn.argtypes += [ctypes.c_void_p, ctypes.c_float, ctypes.c_int, *[ctypes.c_void_p] * 4]
        self._c.tegu_get_magnitudes.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 3, ctypes.c_uint32]
        self._c.tegu_get_magnitudes.argtypes += [ctypes.c_float, ctypes.c_uint32, ctypes.c_void_p]

    @staticmethod
    def _read(plan: tuple[Any, ...]) -> tuple[int, Any]:
        count = len(plan[0]) // LAYER_INTS
        return count, (ctypes.c_void_p * count)(*(pointer(row).value for row in plan[5 : 5 + count]))

    def step(self, plan: tuple[Any, ...], x: Any, y: Any, step_size: float, only: str) -> int:
        count, rows = self._read(plan)
        layers, weights, loss, delta, before = (pointer(plan[at]) for at in range(5))
        last = plan[0][-LAYER_INTS:]
        row, wanted = array("f", x), None
        classes = last[6] if last[1] == 4 else 2 if last[1] == 3 and last[6] == 1 else 0
        good = len(row) == plan[0][5] and all(-1e15 <= value <= 1e15 for value in row)
        if classes:
            good = good and isinstance(y, int) and 0 <= y < classes
        else:
            good = good and not isinstance(y, int) and len(y) == last[6]
            wanted = array("f", y if good else [])
            good = good and all(-1e15 <= value <= 1e15 for value in wanted)
            good = good and (last[1] != 3 or all(0 <= value <= 1 for value in wanted))
        if not good:
            return 1
        target = None if wanted is None else pointer(wanted)
        label = y if classes else 0
        return int(
            self._c.tegu_learn(
                layers,
                count,
                weights,
                pointer(row),
                label,
                target,
                step_size,
                ("", "local", "shared").index(only),
                rows,
                delta,
                before,
                loss,
            )
        )

    def predict(self, plan: tuple[Any, ...], x: Any) -> int:
        count, rows = self._read(plan)
        row = array("f", x)
        if len(row) != plan[0][5]:
            return 1
        self._c.tegu_forward(pointer(plan[0]), ctypes.c_size_t(count), pointer(plan[1]), pointer(row), rows)
        return 0

    def top_p(self, values: Any, k: int, indices: Any) -> int:
        return int(self._c.tegu_top_p(pointer(values), len(values), k, pointer(indices), int(indices.typecode == "I")))

    def encode(self, values: Any, indices: Any, *numbers: int) -> bytearray | None:
        if not all(0 <= number <= 0xFFFFFFFF for number in numbers):
            return None
        message = array("I", [*numbers, *[0] * 7])
        out = bytearray(64 + 8 * len(values))
        wide = int(indices.typecode == "I")
        sizes = pointer(values), ctypes.c_size_t(len(values)), pointer(indices), ctypes.c_size_t(len(indices))
        length = self._c.tegu_encode(pointer(out), pointer(message), *sizes, wide)
        return None if length < 0 else out[:length]

    def get_indices(self, data: bytes, at: int, end: int, count: int, r: int, size: int, indices: Any) -> int:
        wide = int(indices.typecode == "I")
        sizes = [ctypes.c_size_t(n) for n in (at, end, count)]
        return int(self._c.tegu_get_indices(pointer(bytes(data)), *sizes, r, size, pointer(indices), wide))

    def get_magnitudes(
        self, data: bytes, at: int, end: int, count: int, r: int, scale: float, least: int, values: Any
    ) -> int:
        return int(self._c.tegu_get_magnitudes(pointer(bytes(data)), at, end, count, r, scale, least, pointer(values)))

    # What the board has for the rest of a round; on the host plain float32 of numpy says the same.

    def fold(self, residual: Any, at: int, weights: Any, start: Any, weights_at: int, start_at: int, count: int) -> int:
        to, a, b = (np.frombuffer(x, np.float32) for x in (residual, weights, start))
        to[at : at + count] += a[weights_at : weights_at + count] - b[start_at : start_at + count]
        return int(np.isfinite(to[at : at + count]).all())

    def add(self, target: Any, at: int, values: Any, sign: int) -> int:
        to, by = np.frombuffer(target, np.float32), np.frombuffer(values, np.float32)
        to[at : at + len(by)] += sign * by
        return int(np.isfinite(to[at : at + len(by)]).all())

    def scatter(
        self, target: Any, start: int, first: int, last: int, indices: Any, values: Any, sign: int, at: int
    ) -> int:
        while at < len(indices) and indices[at] < last:
            target[start + indices[at] - first] += sign * values[at]
            at += 1
        return at

    def widen(self, target: Any, at: int, data: Any, scale: float) -> int:
        to, numbers = np.frombuffer(target, np.float32), np.frombuffer(data, np.int8)
        to[at : at + len(numbers)] = numbers * np.float32(scale)
        return 0


class Float32:
    """tegu.learner in arithmetic of 32 bits on CPython: numpy's float32 scalars round after each operation, as a board's do."""

    @staticmethod
    def array(_: str, data: Any) -> Any:
        return np.frombuffer(bytes(data), np.float32).copy() if isinstance(data, bytes) else np.array(data, np.float32)

    @staticmethod
    def ldexp(value: Any, n: int) -> Any:
        return np.ldexp(np.float32(value), n)


@contextmanager
def float32_learner() -> Iterator[Callable[..., tegu.learner.Learner]]:
    """Learner(model, weights, step) of pure Python in float32."""
    learner = vars(tegu.learner)
    own = {"array": Float32.array, "ldexp": Float32.ldexp, "native": None}
    own |= {"exp": tegu.learner.exp32, "tanh": tegu.learner.tanh32}
    kept = {name: learner[name] for name in own}
    learner.update(own)
    try:
        yield lambda model, weights, step: tegu.learner.Learner(
            model,
            np.array(weights, np.float32),
            np.float32(step),  # type: ignore[arg-type]
        )
    finally:
        learner.update(kept)


@contextmanager
def native_core(library: ctypes.CDLL) -> Iterator[types.ModuleType]:
    """tegu with the C core, as on a board that has it."""
    sys.modules["tegu_native"] = Native(library)  # type: ignore[assignment]
    native = importlib.import_module("tegu.native")
    users = [sys.modules[name] for name in ("tegu.learner", "tegu.sparse", "tegu.wire.update")]
    kept = [vars(user).get("native") for user in users]
    for user in users:
        vars(user)["native"] = native
    try:
        yield native
    finally:
        for user, before in zip(users, kept, strict=True):
            vars(user)["native"] = before
        del sys.modules["tegu_native"], sys.modules["tegu.native"]
