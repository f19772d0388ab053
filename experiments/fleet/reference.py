"""The fleet learner as what it stands for: one tegu.learner.Learner after the other. Slow, and right to the bit."""

from array import array

import numpy as np
from numpy.typing import NDArray

from tegu.learner import Learner
from tegu.model import Model

Floats = NDArray[np.float32]


def learn(
    model: Model, weights: Floats, x: Floats, targets: Floats, step: float, batch: int, only: str, pull: float
) -> None:
    """See experiments.fleet.learn. ValueError for what a device cannot do: batches and a pull."""
    if batch != 1 or pull:
        raise ValueError("the python kernel learns online, sample by sample; batches and a pull need numpy or numba")
    for own, rows, wanted in zip(weights, x, targets, strict=True):
        learner = Learner(model, array("f", own.tobytes()), step)
        learner.only = only
        try:
            for row, target in zip(rows.tolist(), wanted.tolist(), strict=True):
                learner.learn_one(row, _label(model, target))
            own[:] = learner.weights
        except ArithmeticError:
            own[:] = np.nan


def _label(model: Model, target: list[float]) -> int | list[float]:
    if not model.classes:
        return target
    return int(target[0]) if model.outputs == 1 else target.index(1.0)
