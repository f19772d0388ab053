"""Plain FedAvg on the same devices, in memory: what Tegu's initialization is compared with.

McMahan et al. 2017: each round every device trains from the global weights and the mean of all their weights, dense,
becomes the next global weights. `passes` is the number of local passes over the round's samples. It goes through the
same learner and the same aggregation as everything else, with outer step 1 and all parameters sent.
"""

import argparse
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from coordinator.aggregate import aggregate
from edge_agents.agent import make_source
from edge_agents.sources import Source
from tegu.learner import Learner
from tegu.model import Model
from tegu.wire import F32
from tegu.wire.update import Update

from .tasks import split


def train(
    model: Model, first: "array[float]", sources: list[Source], rounds: int, samples: int, step: float, passes: int
) -> "array[float]":
    """The weights after `rounds` rounds of all sources, `samples` new samples each a round."""
    weights = np.frombuffer(first, dtype=np.float32).copy()
    everything = array("H", range(model.size))
    for _ in range(rounds):
        deltas = _deltas(model, weights, everything, sources, samples, step, passes)
        weights, _ = aggregate(model, weights, deltas, 1.0)
    return array("f", weights.tobytes())


def _deltas(
    model: Model,
    weights: np.ndarray[tuple[int], np.dtype[np.float32]],
    everything: "array[int]",
    sources: list[Source],
    samples: int,
    step: float,
    passes: int,
) -> Iterator[Update]:
    for source in sources:
        source.begin_round()
        learner = Learner(model, array("f", weights.tobytes()), step)
        batch = [source.next_support(n % model.classes if model.classes else None) for n in range(samples)]
        for _ in range(passes):
            for sample in batch:
                if sample is not None:
                    learner.learn_one(*sample)
        delta = np.frombuffer(learner.weights, dtype=np.float32) - weights
        yield Update(F32, 0, 0, 0, samples, everything, array("f", delta.tobytes()))


def run(arguments: list[str]) -> int:
    """Train and write the weights as raw float32; a process of its own, so that it runs beside the federation."""
    parser = argparse.ArgumentParser("experiments.fedavg")
    parser.add_argument("out", type=Path)
    parser.add_argument("--spec", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--bias", type=float, required=True)
    parser.add_argument("--initial", default="glorot", choices=("glorot", "fan-in"))
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--step", type=float, required=True)
    parser.add_argument("--passes", type=int, required=True)
    parser.add_argument("--source", action="append", required=True, help="module:callable?name=value&name=value")
    options = parser.parse_args(arguments)
    model = Model(options.spec)
    sources = [make_source(*split(text)) for text in options.source]
    first = model.initial(options.seed, options.bias, options.initial == "fan-in")
    weights = train(model, first, sources, options.rounds, options.samples, options.step, options.passes)
    part = options.out.with_suffix(".part")
    part.write_bytes(weights.tobytes())
    part.replace(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
