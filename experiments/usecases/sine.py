"""Sine regression, the few-shot benchmark of Finn et al. 2017: y = A sin(x + phase), A 0.1 to 5, phase 0 to pi, x -5 to 5.

Inputs are scaled to -1..1: single-sample learning on raw inputs diverges. A device meets another sine in each round, as the
task distribution of meta-learning has it; `fixed` gives every device one sine for good.
"""

import numpy as np
from numpy.typing import NDArray

from . import Episode, Samples, UseCase

QUERY = 200


class Sine(UseCase):
    """Sines of a seed. unseen(): `tasks` sines that no device meets."""

    name = "sine"
    title = "A sine from a few points"
    spec = "1 | dense 32 tanh | dense 32 tanh | dense 1 linear"
    score_name = "mean squared error"
    samples = (0, 1, 2, 4, 8, 16, 32)
    data_note = "Made-up sine waves; the ones adapted to were met by no device."

    def __init__(self, seed: int, devices: int = 10, tasks: int = 200, fixed: bool = False) -> None:
        self.seed, self.devices, self.tasks, self.fixed = seed, devices, tasks, fixed

    def support(self, device: int, round_num: int, count: int) -> Samples:
        """`count` points of the round's sine, x uniform."""
        sine = np.random.default_rng([self.seed, device, 0 if self.fixed else round_num, 1])
        amplitude, phase = _drawn(sine)
        points = np.random.default_rng([self.seed, device, round_num, 2])
        return _samples(amplitude, phase, points.uniform(-1, 1, count))

    def unseen(self) -> list[Episode]:
        """Each 32 points in random order to learn from, and QUERY even ones to be scored on."""
        random = np.random.default_rng([self.seed, 3])
        even = np.linspace(-1, 1, QUERY)
        episodes = []
        for n in range(self.tasks):
            amplitude, phase = _drawn(random)
            support = _samples(amplitude, phase, random.uniform(-1, 1, max(self.samples)))
            episodes.append(Episode(f"sine {n}", support, _samples(amplitude, phase, even)))
        return episodes

    def with_devices(self, count: int) -> "Sine":
        return Sine(self.seed, count, self.tasks, self.fixed)


def _drawn(random: np.random.Generator) -> tuple[float, float]:
    return random.uniform(0.1, 5.0), random.uniform(0.0, np.pi)


def _samples(amplitude: float, phase: float, x: NDArray[np.float64]) -> Samples:
    y = amplitude * np.sin(5 * x + phase)
    return Samples(x[:, None].astype(np.float32), y[:, None].astype(np.float32))
