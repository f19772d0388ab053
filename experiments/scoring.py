"""How well weights do on many samples at once, and the adaptation curve. The forward pass is tegu.learner's, in numpy.

The adaptation curve is the product's metric: loss and score on a device that never took part, after 0, 1, 2, 4, ...
samples learned online, one pass, each from several places in its support; the mean over those places is reported.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edge_agents.sources import Sample, Source
from tegu.learner import Learner
from tegu.model import Model

from .results import Curve, ScoreName

SAMPLES = (0, 1, 2, 4, 8, 16, 32)
Floats = NDArray[np.float32]


def predict_many(model: Model, weights: Floats, x: Floats) -> Floats:
    """Outputs, shape (rows, model.outputs), of inputs of shape (rows, model.inputs)."""
    row: NDArray[Any] = x
    for layer in model.layers:
        middle = layer.offset + layer.units * layer.inputs
        matrix = weights[layer.offset : middle].reshape(layer.units, layer.inputs)
        row = row @ matrix.T + weights[middle : layer.offset + layer.size]
        if layer.activation == "tanh":
            row = np.tanh(row)
        elif layer.activation == "relu":
            row = np.maximum(row, 0)
        elif layer.activation == "sigmoid":
            row = 1 / (1 + np.exp(-np.clip(row, -60, 60)))
        elif layer.activation == "softmax":
            row = np.exp(np.maximum(row - row.max(axis=1, keepdims=True), -80))
            row = row / row.sum(axis=1, keepdims=True)
    return row.astype(np.float32)


class Query:
    """Held-out samples as arrays, ready to be scored."""

    def __init__(self, model: Model, samples: Sequence[Sample], score_name: ScoreName) -> None:
        if not samples:
            raise ValueError("there are no held-out samples to score on")
        self._model = model
        self._name = score_name
        self._x = np.array([x for x, _ in samples], dtype=np.float32)
        self._y = np.array([y for _, y in samples])

    def score(self, weights: "array[float]") -> tuple[float, float]:
        """(mean loss, score). Balanced accuracy is the mean of each class's accuracy."""
        out = predict_many(self._model, np.frombuffer(weights, dtype=np.float32), self._x)
        if not self._model.classes:
            square = ((out - self._y.reshape(out.shape)) ** 2).sum(axis=1)
            return float(0.5 * square.mean()), float(square.mean())
        picked = out[np.arange(len(out)), self._y]
        loss = float(-np.log(np.maximum(picked, 1e-12)).mean())
        right = out.argmax(axis=1) == self._y
        if self._name == "accuracy":
            return loss, float(right.mean())
        return loss, float(np.mean([right[self._y == c].mean() for c in np.unique(self._y)]))


def adaptation_curve(
    label: str,
    model: Model,
    weights: "array[float]",
    inner_step_size: float,
    sources: Sequence[Callable[[], Source]],
    score_name: ScoreName,
    samples: tuple[int, ...] = SAMPLES,
) -> Curve:
    """The mean curve over `sources`: each makes one source that starts at another place, or is another device."""
    losses = np.zeros((len(sources), len(samples)))
    scores = np.zeros_like(losses)
    for row, make in enumerate(sources):
        source = make()
        query = Query(model, source.query(), score_name)
        learner = Learner(model, array("f", weights), inner_step_size)
        learned = 0
        for column, wanted in enumerate(samples):
            while learned < wanted:
                sample = source.next_support(learned % model.classes if model.classes else None)
                if sample is None:
                    raise ValueError(f"{source.name} ran out of samples to learn from")
                learner.learn_one(*sample)
                learned += 1
            losses[row, column], scores[row, column] = query.score(learner.weights)
    loss, score = losses.mean(axis=0).tolist(), scores.mean(axis=0).tolist()
    return Curve(label, samples, cast(tuple[float, ...], tuple(loss)), tuple(score), score_name)
