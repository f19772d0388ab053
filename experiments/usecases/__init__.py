"""The papers' use cases as populations of devices: who learns from what, and which unseen tasks are adapted to afterwards.

A use case gives samples as arrays, by seed, device and round, so that thousands of devices can be simulated at once and a
run can be taken up again in the middle.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.results import ScoreName

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """x: float32 (n, inputs); y: int64 (n,) classes, or float32 (n, outputs)."""

    x: Floats
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Episode:
    """One unseen task: `support` is learned in its order, in one pass; `query` is only scored."""

    name: str
    support: Samples
    query: Samples


class UseCase:
    """A population whose devices are numbered from 0, and the tasks that none of them has seen."""

    name: str
    title: str
    spec: str
    score_name: ScoreName
    devices: int
    data_note: str  # which data, and what is simulated
    samples: tuple[int, ...]  # of the adaptation curve

    def support(self, device: int, round_num: int, count: int) -> Samples:
        """`count` samples that the device learns from in a round; the same for the same seed, device and round."""
        raise NotImplementedError

    def unseen(self) -> list[Episode]:
        """Tasks that no device has; each support is at least as long as the longest of `samples`."""
        raise NotImplementedError

    def with_devices(self, count: int) -> "UseCase":
        """The same with another number of devices. ValueError where there are only so many, as with recorded speakers."""
        raise ValueError(f"{self.name} has {self.devices} devices and cannot have {count}")
