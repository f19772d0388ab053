"""Adaptation on unseen tasks, and what it is compared with: no federation at all (scratch), and all data in one place (pooled)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.settings import ModelSettings
from experiments import fleet
from experiments.scoring import scored
from experiments.usecases import Episode, UseCase
from tegu.model import Model

from .studies import Recipe

Floats = fleet.Floats
QUERY_CHUNK = 50  # episodes that are scored at once


@dataclass(frozen=True)
class Adapted:
    """Scores (samples, episodes) after that many samples, and the same of the losses."""

    samples: tuple[int, ...]
    score: NDArray[Any]
    loss: NDArray[Any]

    def mean(self) -> list[float]:
        return [float(value) for value in self.score.mean(axis=1)]


def way_of(recipe: Recipe, told: ModelSettings) -> fleet.Way:
    """How an unseen device learns from an algorithm's initialization: online, by the recipe's step."""
    return fleet.Way(recipe.adapt_step or told.inner_step_size, only="local" if told.adapt == "local" else "")


def adapted(
    model: Model,
    initialization: Floats,
    use_case: UseCase,
    episodes: Sequence[Episode],
    way: fleet.Way,
    with_kernel: fleet.Kernel,
    samples: tuple[int, ...] = (),
) -> Adapted:
    """Every episode learned in one pass from the same start, scored at each number of samples on the way.

    initialization: float32 (model.size,). samples: ascending; the use case's own if none are named.
    """
    wanted = samples or use_case.samples
    most = max(wanted)
    weights = np.tile(initialization, (len(episodes), 1))
    x = np.stack([episode.support.x[:most] for episode in episodes])
    y = np.stack([episode.support.y[:most] for episode in episodes])
    scores, losses, learned = [], [], 0
    for count in wanted:
        if count > learned:
            part = slice(learned, count)
            fleet.learn(model, weights, x[:, part], y[:, part], way, with_kernel)
            learned = count
        loss, score = _scored(model, weights, episodes, use_case)
        losses.append(loss)
        scores.append(score)
    return Adapted(wanted, np.array(scores), np.array(losses))


def repeated(
    model: Model,
    initialization: Floats,
    use_case: UseCase,
    episodes: Sequence[Episode],
    way: fleet.Way,
    with_kernel: fleet.Kernel,
    shots: int,
    steps: int,
) -> NDArray[Any]:
    """Scores (episodes,) after `steps` single-sample steps over the first `shots` samples, again and again."""
    weights = np.tile(initialization, (len(episodes), 1))
    order = np.arange(steps) % shots
    x = np.stack([episode.support.x[order] for episode in episodes])
    y = np.stack([episode.support.y[order] for episode in episodes])
    fleet.learn(model, weights, x, y, way, with_kernel)
    return _scored(model, weights, episodes, use_case)[1]


def _scored(
    model: Model, weights: Floats, episodes: Sequence[Episode], use_case: UseCase
) -> tuple[NDArray[Any], NDArray[Any]]:
    """(losses, scores), each (episodes,)."""
    losses, scores = [], []
    for first in range(0, len(episodes), QUERY_CHUNK):
        part = episodes[first : first + QUERY_CHUNK]
        x = np.stack([episode.query.x for episode in part])
        y = np.stack([episode.query.y for episode in part])
        out = fleet.predict(model, weights[first : first + QUERY_CHUNK], x)
        loss, score = scored(model, np.nan_to_num(out), y, use_case.score_name)
        fine = np.isfinite(out).all(axis=(1, 2))  # of weights that diverged there is no score to speak of
        losses.append(np.where(fine, loss, np.inf))
        scores.append(np.where(fine, score, np.inf if use_case.score_name == "mean squared error" else 0.0))
    return np.concatenate(losses), np.concatenate(scores)


def pooled(
    model: Model, start: Floats, use_case: UseCase, steps: int, step: float, seed: int, with_kernel: fleet.Kernel
) -> Floats:
    """All devices' samples in one place, drawn at random, learned one by one: what a data centre could do with raw data."""
    weights = start[None].copy()
    random = np.random.default_rng([seed, 11])
    per_draw = 64
    for n in range(max(1, steps // per_draw)):
        device = int(random.integers(use_case.devices))
        parts = [use_case.support(device, 1 + n, per_draw)]
        for other in random.integers(use_case.devices, size=3):
            parts.append(use_case.support(int(other), 1 + n, per_draw))
        x = np.concatenate([part.x for part in parts])
        y = np.concatenate([part.y for part in parts])
        kept = random.permutation(len(x))[:per_draw]
        faded = step * 0.5 * (1 + np.cos(np.pi * n * per_draw / steps))
        fleet.learn(model, weights, x[None, kept], y[None, kept], fleet.Way(max(faded, 1e-6)), with_kernel)
    only: Floats = weights[0]
    return only
