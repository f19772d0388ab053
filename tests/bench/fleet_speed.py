"""How fast a fleet learns: 10,000 devices, 32 online steps of the 1,153-weight sine model, on one core.

Against a loop over devices in plain numpy, the obvious way to simulate. Runs are interleaved; the ratio is what counts.
"""

# ruff: noqa: E402  the threads must be said before numpy comes
import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from experiments import fleet
from tegu.model import Model

MODEL = Model("1 | dense 32 tanh | dense 32 tanh | dense 1 linear")
STEPS, STEP = 32, 0.05
LOOPED = 500  # devices of the plain loop, which is too slow for all


def plain_loop(start: fleet.Floats, x: fleet.Floats, y: fleet.Floats) -> fleet.Floats:
    """One device after the other, a matrix for each layer."""
    ends = []
    for rows, wanted in zip(x, y, strict=True):
        matrices, biases = [], []
        for layer in MODEL.layers:
            matrices.append(start[layer.offset : layer.bias].reshape(layer.units, layer.inputs).copy())
            biases.append(start[layer.bias : layer.offset + layer.size].copy())
        for row, target in zip(rows, wanted, strict=True):
            first = np.tanh(matrices[0] @ row + biases[0])
            second = np.tanh(matrices[1] @ first + biases[1])
            delta = matrices[2] @ second + biases[2] - target
            before = (matrices[2].T @ delta) * (1 - second * second)
            earliest = (matrices[1].T @ before) * (1 - first * first)
            for at, (d, inputs) in enumerate(((earliest, row), (before, first), (delta, second))):
                matrices[at] -= STEP * np.outer(d, inputs)
                biases[at] -= STEP * d
        ends.append(
            np.concatenate([part for pair in zip(matrices, biases, strict=True) for part in (pair[0].ravel(), pair[1])])
        )
    return np.array(ends, dtype=np.float32)


def timed(work: Callable[[], fleet.Floats]) -> tuple[float, fleet.Floats]:
    started_s = time.perf_counter()
    found = work()
    return time.perf_counter() - started_s, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (options.devices, STEPS, 1)).astype(np.float32)
    y = np.sin(5 * x)
    start = np.frombuffer(MODEL.initial(1, 1.0, True), dtype=np.float32)

    def learned(name: str) -> fleet.Floats:
        weights = np.tile(start, (options.devices, 1))
        fleet.learn(MODEL, weights, x, y, fleet.Way(STEP), fleet.kernel(name))
        return weights

    names = [name for name in fleet.kernels() if name != "python"]
    for name in names:
        learned(name)  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in ("loop", *names)}
    for _ in range(options.repeats):
        spent, ends = timed(lambda: plain_loop(start, x[:LOOPED], y[:LOOPED]))
        seconds["loop"].append(spent * options.devices / LOOPED)
        for name in names:
            spent, weights = timed(lambda name=name: learned(name))  # type: ignore[misc]
            seconds[name].append(spent)
            assert np.abs(weights[:LOOPED] - ends).max() < 1e-4
    print(f"| kernel | {options.devices:,} devices, {STEPS} steps | times the loop |\n|---|---|---|")
    for name, values in seconds.items():
        print(f"| {name} | {median(values):.2f} s | {median(seconds['loop']) / median(values):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
