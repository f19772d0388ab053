"""What happens to a round's mean delta: an algorithm as two functions, `init` and `apply` (after google/fedjax).

    state = init(size)                              float64 (rows, size); rows may be 0
    state, change = apply(state, mean, step)        change is added to the shared parameters

`mean` is the mean of the round's deltas (coordinator.aggregate), `step` the outer step of the round. All algorithms differ
in this, in how many devices a round has, and in what a device does with its samples, which is said in the table at the
end. Sources: Reptile, Nichol et al. 2018; TinyReptile, arXiv 2304.05201; TinyMetaFed, arXiv 2307.06822; FedAvg and
FedSGD, McMahan et al. 2017; FedProx, Li et al. 2020; first-order MAML in its federated forms, Per-FedAvg (Fallah et al.
2020) and FedMeta (Chen et al. 2018); server momentum, Hsu et al. 2019; FedAdam, Reddi et al. 2021.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
MOMENTUM = 0.9
DECAY = (0.9, 0.99)  # of FedAdam's two means
ADAPTIVITY = 1e-3  # FedAdam's tau


@dataclass(frozen=True)
class Algorithm:
    """A name with its two functions. serial: one device a round, in turn. devices: what a device does in a round."""

    name: str
    init: Callable[[int], Doubles]
    apply: Callable[[Doubles, Doubles, float], tuple[Doubles, Doubles]]
    devices: str
    serial: bool = False


def nothing(size: int) -> Doubles:
    """No state."""
    return np.zeros((0, size))


def interpolate(state: Doubles, mean: Doubles, step: float) -> tuple[Doubles, Doubles]:
    """Reptile: the fraction `step` of the way to the adapted weights. With step 1 it is FedAvg."""
    return state, step * mean


def one_row(size: int) -> Doubles:
    return np.zeros((1, size))


def momentum(state: Doubles, mean: Doubles, step: float) -> tuple[Doubles, Doubles]:
    """The mean deltas of earlier rounds go on, each round a tenth less."""
    velocity = MOMENTUM * state + mean
    return velocity, step * velocity[0]


def two_rows(size: int) -> Doubles:
    return np.zeros((2, size))


def adam(state: Doubles, mean: Doubles, step: float) -> tuple[Doubles, Doubles]:
    """FedAdam as published: no correction of the first rounds' bias."""
    first = DECAY[0] * state[0] + (1 - DECAY[0]) * mean
    second = DECAY[1] * state[1] + (1 - DECAY[1]) * mean**2
    return np.stack((first, second)), step * first / (np.sqrt(second) + ADAPTIVITY)


SERVERS = {"interpolate": (nothing, interpolate), "momentum": (one_row, momentum), "adam": (two_rows, adam)}
ONLINE = "one pass over the samples, one at a time, none kept"
PASSES = "several passes over the round's samples, in batches"

ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("tinyreptile", nothing, interpolate, ONLINE, serial=True),
        Algorithm("tinymetafed", nothing, interpolate, ONLINE),
        Algorithm("reptile", nothing, interpolate, PASSES),
        Algorithm("fedavg", nothing, interpolate, PASSES),
        Algorithm("fedsgd", nothing, interpolate, "the mean gradient of all the samples at the initialization"),
        Algorithm("fedprox", nothing, interpolate, PASSES + ", pulled back to the initialization"),
        Algorithm("fomaml", nothing, interpolate, "adapts, then sends the mean gradient of further samples there"),
        Algorithm("fedavgm", one_row, momentum, PASSES),
        Algorithm("fedadam", two_rows, adam, PASSES),
    )
}


def algorithm_of(name: str, server: str = "") -> Algorithm:
    """The algorithm of that name, with another server's functions in place of its own if one is named."""
    chosen = ALGORITHMS[name]
    if not server:
        return chosen
    init, apply = SERVERS[server]
    return replace(chosen, init=init, apply=apply)
