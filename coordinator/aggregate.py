"""Meta-aggregation: `(initialization, updates) -> initialization`. Pure maths; bytes and MQTT are elsewhere.

Reptile moves the initialization a fraction of the way to the adapted weights (Nichol et al. 2018); TinyReptile (arXiv
2304.05201) does so with one device a round, TinyMetaFed (2307.06822) with the sparse deltas of many. With D devices in
the round and outer step e:

    initialization += e / D * sum of the deltas            denominator "devices"
    initialization[i] += e / senders(i) * sum of deltas[i] denominator "senders": those that sent coordinate i

Which one a sparse mean should have is open in the papers; the default is argued in docs/decisions/0003. One update is
added at a time, in float64, so memory does not grow with the number of devices. Updates come sorted by device id, which
makes the result the same to the bit whatever the order of arrival. What becomes of the mean, once it is there, is the
algorithm's (coordinator.algorithms); the formula above is the one of Reptile and FedAvg.
"""

from collections.abc import Iterable, Sequence
from math import cos, pi
from statistics import median

import numpy as np
from numpy.typing import NDArray

from tegu.model import Model
from tegu.wire.update import Update

from .algorithms import ALGORITHMS, Algorithm, Doubles
from .settings import Denominator, RoundSettings, Schedule

Weights = NDArray[np.float32]


def scheduled(schedule: Schedule, first: float, last: float, closed: int, rounds: int, warm_up: int = 0) -> float:
    """A value after `closed` of `rounds` closed rounds: constant, or from `first` to `last` as a line or half a cosine.

    During the first `warm_up` rounds it grows in equal steps to what the schedule says.
    """
    grown = min(1.0, (closed + 1) / (warm_up + 1))
    if schedule == "constant" or rounds == 0:
        return first * grown
    part = min(1.0, closed / rounds)
    left = 1 - part if schedule == "linear" else 0.5 * (1 + cos(pi * part))
    return (last + (first - last) * left) * grown


def outer_step(rules: RoundSettings, closed: int) -> float:
    """The outer step of the round that follows `closed` closed ones: it falls to zero, unless it is constant."""
    return scheduled(rules.schedule, rules.outer_step_size, 0.0, closed, rules.rounds, rules.warm_up)


def norm(update: Update) -> float:
    """The Euclidean norm of a delta."""
    return _length(np.frombuffer(update.values, dtype=np.float32).astype(np.float64))


def _length(values: Doubles) -> float:
    """Not numpy's norm: that is BLAS, whose threads cost more than they save on a delta, and whose last bit is theirs."""
    return float(np.sqrt(np.square(values).sum()))


def limit_of(norms: Sequence[float], clip: float) -> float:
    """The norm beyond which an update is scaled down: clip times the median of norms; infinite below five of them."""
    some = [norm for norm in norms if norm > 0]
    return clip * median(some) if clip and len(some) >= 5 else float("inf")


def mean_delta(
    model: Model, updates: Iterable[Update], denominator: Denominator = "devices", limit: float = float("inf")
) -> Doubles | None:
    """The mean of the deltas, float64 (model.shared_size,); None of no updates.

    Updates whose norm passes `limit` are scaled down to it.
    """
    total = np.zeros(model.shared_size, dtype=np.float64)
    senders = np.zeros(model.shared_size, dtype=np.int64)
    devices = 0
    for update in updates:
        indices = np.frombuffer(update.indices, dtype=f"u{update.indices.itemsize}")
        values = np.frombuffer(update.values, dtype=np.float32).astype(np.float64)
        length = _length(values)
        total[indices] += values * min(1.0, limit / length) if length else values
        senders[indices] += 1
        devices += 1
    if not devices:
        return None
    mean: Doubles = total / (np.maximum(senders, 1) if denominator == "senders" else devices)
    return mean


def moved(model: Model, initialization: Weights, change: Doubles) -> Weights:
    """The next initialization, (model.size,): `change`, (model.shared_size,), added. `initialization` is not changed.

    ValueError if the result is not finite.
    """
    result = initialization.astype(np.float64)
    at = 0
    for start, stop in model.shared:
        result[start:stop] += change[at : at + stop - start]
        at += stop - start
    with np.errstate(over="ignore", invalid="ignore"):
        after = result.astype(np.float32)
    if not np.isfinite(after).all():
        raise ValueError("the aggregated initialization is not finite")
    return after


def aggregate(
    model: Model,
    initialization: Weights,
    updates: Iterable[Update],
    step: float,
    denominator: Denominator = "devices",
    limit: float = float("inf"),
    algorithm: Algorithm = ALGORITHMS["tinymetafed"],
    state: Doubles | None = None,
) -> tuple[Weights, Doubles]:
    """(the next initialization, the algorithm's next state). state None: at the beginning.

    ValueError if the result is not finite; nothing that was given is changed.
    """
    before = algorithm.init(model.shared_size) if state is None else state
    mean = mean_delta(model, updates, denominator, limit)
    if mean is None:
        return initialization.copy(), before
    after, change = algorithm.apply(before, mean, step)
    return moved(model, initialization, change), after
