"""Meta-aggregation: `(initialization, updates) -> initialization`. Pure maths; bytes and MQTT are elsewhere.

Reptile moves the initialization a fraction of the way to the adapted weights (Nichol et al. 2018); TinyReptile (arXiv
2304.05201) does so with one device a round, TinyMetaFed (2307.06822) with the sparse deltas of many. With D devices in
the round and outer step e:

    initialization += e / D * sum of the deltas            denominator "devices"
    initialization[i] += e / senders(i) * sum of deltas[i] denominator "senders": those that sent coordinate i

Which one a sparse mean should have is open in the papers; the default is argued in docs/decisions/0003. One update is
added at a time, in float64, so memory does not grow with the number of devices. Updates come sorted by device id, which
makes the result the same to the bit whatever the order of arrival.
"""

from collections.abc import Iterable, Sequence
from math import cos, pi
from statistics import median

import numpy as np
from numpy.typing import NDArray

from tegu.model import Model
from tegu.wire.update import Update

from .settings import Denominator, Schedule

Weights = NDArray[np.float32]


def outer_step(schedule: Schedule, start: float, closed: int, rounds: int) -> float:
    """The outer step of the round that follows `closed` closed ones, of `rounds`: constant, or falling to zero."""
    if schedule == "constant" or rounds == 0:
        return start
    part = min(1.0, closed / rounds)
    return start * (1 - part) if schedule == "linear" else start * 0.5 * (1 + cos(pi * part))


def norm(update: Update) -> float:
    """The Euclidean norm of a delta."""
    return float(np.linalg.norm(np.frombuffer(update.values, dtype=np.float32).astype(np.float64)))


def limit_of(norms: Sequence[float], clip: float) -> float:
    """The norm beyond which an update is scaled down: clip times the median of norms; infinite below five of them."""
    some = [norm for norm in norms if norm > 0]
    return clip * median(some) if clip and len(some) >= 5 else float("inf")


def aggregate(
    model: Model,
    initialization: Weights,
    updates: Iterable[Update],
    step: float,
    denominator: Denominator = "devices",
    limit: float = float("inf"),
) -> Weights:
    """The next initialization, shape (model.size,). Updates whose norm passes `limit` are scaled down to it.

    ValueError if the result is not finite; `initialization` is not changed.
    """
    total = np.zeros(model.shared_size, dtype=np.float64)
    senders = np.zeros(model.shared_size, dtype=np.int64)
    devices = 0
    for update in updates:
        indices = np.frombuffer(update.indices, dtype=f"u{update.indices.itemsize}")
        values = np.frombuffer(update.values, dtype=np.float32).astype(np.float64)
        length = float(np.linalg.norm(values))
        total[indices] += values * min(1.0, limit / length) if length else values
        senders[indices] += 1
        devices += 1
    if not devices:
        return initialization.copy()
    change = total * step / (np.maximum(senders, 1) if denominator == "senders" else devices)
    result = initialization.astype(np.float64)
    at = 0
    for start, stop in model.shared:
        result[start:stop] += change[at : at + stop - start]
        at += stop - start
    with np.errstate(over="ignore"):
        after = result.astype(np.float32)
    if not np.isfinite(after).all():
        raise ValueError("the aggregated initialization is not finite")
    return after
