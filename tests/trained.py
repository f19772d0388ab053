"""Deltas as learning makes them, for figures of size: Reptile for some rounds, then one device's change. Seeded."""

import math
import random
from array import array
from collections import Counter
from functools import cache

import numpy as np
from sklearn.datasets import load_digits

from tegu.learner import Learner
from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire.update import Update, decode_update, encode_update

DIGITS = "64 | dense 200 tanh | dense 180 tanh | dense 10 softmax"  # 50,990 parameters
SINE = "1 | dense 32 tanh | dense 32 tanh | dense 1 linear"  # 1,153


@cache
def digits_delta(seed: int, rounds: int = 30, samples: int = 32) -> "array[float]":
    """The change of a device that has seen handwriting of three classes, after Reptile over such devices."""
    draw = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    images = (images / 8 - 1).astype(np.float32)
    model = Model(DIGITS)
    initialization = np.array(model.initial(seed))
    for number in range(rounds + 1):
        chosen = np.flatnonzero(np.isin(labels, draw.choice(10, 3, replace=False)))
        weights = initialization.copy()
        layers, at = [], 0
        for layer in model.layers:  # views into the flat weights
            middle = at + layer.units * layer.inputs
            layers.append((weights[at:middle].reshape(layer.units, layer.inputs), weights[middle : at + layer.size]))
            at += layer.size
        for sample in draw.choice(chosen, samples):
            _learn_one(layers, images[sample], labels[sample], 0.02)
        if number < rounds:
            initialization += np.float32(0.5) * (weights - initialization)
    return array("f", (weights - initialization).tobytes())


def _learn_one(layers: "list[tuple[np.ndarray, np.ndarray]]", x: "np.ndarray", label: int, step: float) -> None:
    """Online SGD, tanh layers and a softmax: what tegu.learner does, in numpy because the model is large."""
    rows = [x]
    for matrix, bias in layers[:-1]:
        rows.append(np.tanh(matrix @ rows[-1] + bias))
    logits = layers[-1][0] @ rows[-1] + layers[-1][1]
    delta = np.exp(logits - logits.max())
    delta /= delta.sum()
    delta[label] -= 1
    for at in range(len(layers) - 1, -1, -1):
        matrix, bias = layers[at]
        before = matrix.T @ delta * (1 - rows[at] ** 2)
        matrix -= np.float32(step) * np.outer(delta, rows[at])
        bias -= np.float32(step) * delta
        delta = before


@cache
def sine_delta(seed: int, rounds: int = 30, samples: int = 32) -> "array[float]":
    """The change of a device that has seen a sine wave of its own, learned by tegu.learner."""
    draw = random.Random(seed)
    model = Model(SINE)
    initialization = model.initial(seed, 1.0)
    weights = initialization
    for number in range(rounds + 1):
        amplitude, phase = draw.uniform(0.1, 5.0), draw.uniform(0.0, math.pi)
        weights = array("f", initialization)
        learner = Learner(model, weights, 0.01)
        for _ in range(samples):
            x = draw.uniform(-1.0, 1.0)
            learner.learn_one([x], [amplitude * math.sin(5 * x + phase)])
        if number < rounds:
            for i in range(model.size):
                initialization[i] += 0.5 * (weights[i] - initialization[i])
    return array("f", [weights[i] - initialization[i] for i in range(model.size)])


def update_of(spec: str, delta: "array[float]", percent: float) -> tuple[bytes, Update]:
    """The largest `percent` of the delta as int8, counters as they are in an early round; and what it says."""
    model = Model(spec)
    payload = bytes(encode_update(model, delta, top_p(delta, percent), version=31, boot=2, sequence=30, samples=32))
    return payload, decode_update(payload, model)


def entropy_bits(size: int, update: Update) -> float:
    """log2 of the number of sets of as many indices, and the zero-order entropy of the signed int8 symbols."""
    count = len(update.indices)
    subsets = (math.lgamma(size + 1) - math.lgamma(count + 1) - math.lgamma(size - count + 1)) / math.log(2)
    symbols = Counter(update.values).values()
    return subsets - sum(n * math.log2(n / count) for n in symbols)
