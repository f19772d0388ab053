"""How well weights do on many samples at once, and the adaptation curve. The forward pass is experiments.fleet's.

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

from . import fleet
from .results import Curve, ScoreName

SAMPLES = (0, 1, 2, 4, 8, 16, 32)
Floats = NDArray[np.float32]


def scored(model: Model, out: Floats, y: NDArray[Any], name: ScoreName) -> tuple[NDArray[Any], NDArray[Any]]:
    """(mean loss, score) of each device: out float32 (devices, rows, outputs), y as in a sample, (devices, rows, ...).

    Balanced accuracy is the mean of each class's accuracy.
    """
    if not model.classes:
        square = ((out - y.reshape(out.shape)) ** 2).sum(axis=2).mean(axis=1)
        return 0.5 * square, square
    if model.outputs == 1:
        out = np.concatenate((1 - out, out), axis=2)  # a single sigmoid, as its two classes
    picked = np.take_along_axis(out, y[:, :, None], axis=2)[:, :, 0]
    loss = -np.log(np.maximum(picked, 1e-12)).mean(axis=1)
    right = out.argmax(axis=2) == y
    if name == "accuracy":
        return loss, right.mean(axis=1)
    each = [np.where(y == label, right, np.nan) for label in np.unique(y)]
    return loss, np.nanmean([np.nanmean(of_class, axis=1) for of_class in each], axis=0)


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
        out = fleet.predict(self._model, np.frombuffer(weights, dtype=np.float32)[None], self._x)
        loss, score = scored(self._model, out, self._y[None], self._name)
        return float(loss[0]), float(score[0])


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
