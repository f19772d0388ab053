"""Where a device's samples come from. Subclass Source for a sensor of your own; rooms.py has recorded and simulated rooms."""

from collections.abc import Sequence

Sample = tuple[Sequence[float], int | Sequence[float]]  # (inputs, class or outputs)


class Source:
    """Gives a device samples to learn from and samples that are only scored.

    name: what a person calls it ("room 917810"). simulated: shown wherever its results appear. description: one line, real
    file or simulation and where the labels come from. poll_s: how long to wait after next_support gave None.
    """

    poll_s: float = 1.0

    def __init__(self, name: str, simulated: bool, description: str) -> None:
        self.name = name
        self.simulated = simulated
        self.description = description

    def begin_round(self) -> None:  # noqa: B027
        """A round begins. A source that stands for many devices goes to the next one; most do nothing."""

    def next_support(self, wanted: int | None) -> Sample | None:
        """The next sample to learn from, of class `wanted` if that is not None; None: nothing yet, ask again after poll_s."""
        raise NotImplementedError

    def query(self) -> list[Sample]:
        """Held-out samples, only scored and never learned from; may be empty."""
        return []

    def receive_label(self, label: int) -> None:  # noqa: B027
        """A label for the present reading, from someone who knows it. A recorded source has its own labels and ignores it."""


class Replay(Source):
    """Recorded samples in time order, again from the start when they run out.

    An asked-for class is looked for from the last given sample on, `pause` samples further, so that the order of time is kept
    between the classes too. Raises ValueError when there is nothing to give.
    """

    def __init__(
        self,
        name: str,
        simulated: bool,
        description: str,
        support: Sequence[Sample],
        query: Sequence[Sample] = (),
        start: int = 0,
        pause: int = 0,
    ) -> None:
        if not support:
            raise ValueError(f"{name}: no samples to learn from")
        super().__init__(name, simulated, description)
        self._support = support
        self._query = list(query)
        self._at = start % len(support)
        self._pause = pause

    def next_support(self, wanted: int | None) -> Sample | None:
        size = len(self._support)
        for ahead in range(size):
            sample = self._support[(self._at + ahead) % size]
            if wanted is None or sample[1] == wanted:
                self._at = (self._at + ahead + 1 + self._pause) % size
                return sample
        return None

    def query(self) -> list[Sample]:
        return list(self._query)
