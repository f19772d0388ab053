"""Running input normalisation: the mean and variance of each input so far (Welford 1962), as TinyOL keeps them.

They belong to the device and are not sent, so a sensor's own offset and scale are gone before anything is learned.
"""

from array import array
from math import sqrt

LARGEST = 1e15  # a number beyond this is cut: its square would not fit float32
BOUND = 5.0  # a normalised input beyond this many standard deviations is cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = array[float]
    Row = Sequence[float]


class Normaliser:
    """Running mean and variance of each input (Welford), as TinyOL keeps them. It belongs to the device and is not sent."""

    def __init__(self, inputs: int) -> None:
        self.count = 0
        self.mean = array("f", bytes(4 * inputs))
        self.square = array("f", bytes(4 * inputs))  # sum of squared distances from the mean
        self.row = array("f", bytes(4 * inputs))

    def learn(self, x: "Row") -> None:
        """Count one sample in."""
        self.count += 1
        for i in range(len(self.mean)):
            value = max(-LARGEST, min(LARGEST, x[i]))
            off = value - self.mean[i]
            self.mean[i] += off / self.count
            self.square[i] += off * (value - self.mean[i])

    def apply(self, x: "Row") -> "Floats":
        """x in standard deviations from its mean, cut at +-5; zeros before two samples. The row is reused."""
        for i in range(len(self.row)):
            spread = sqrt(self.square[i] / self.count) if self.count > 1 else 0.0
            value = (x[i] - self.mean[i]) / spread if spread > 1e-6 else 0.0
            self.row[i] = max(-BOUND, min(BOUND, value))
        return self.row
