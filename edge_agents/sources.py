"""Where a device's samples come from. Subclass Source for a sensor of your own; rooms.py has recorded and simulated rooms."""

from collections.abc import Sequence

Sample = tuple[Sequence[float], int | Sequence[float]]  # (inputs, class or outputs)
STRIDE = 7  # quarters of an hour of one class between two samples of it


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

    def begin_round(self) -> None:
        """A round begins. A source that stands for many devices goes to the next one; most do nothing."""

    def next_support(self, wanted: int | None) -> Sample | None:
        """The next sample to learn from, of class `wanted` if that is not None; None: nothing yet, ask again after poll_s.

        An OSError or a ValueError (a sensor that does not answer, a reading that cannot be) is logged and asked again.
        """
        raise NotImplementedError

    def query(self) -> list[Sample]:
        """Held-out samples, only scored and never learned from; may be empty."""
        return []

    def receive_label(self, label: int) -> None:
        """A label for the present reading, from someone who knows it. A recorded source has its own labels and ignores it."""


class Replay(Source):
    """Recorded samples, again from the start when they run out.

    Any class: one after the other in time order. A class asked for: that class's samples in time order, each STRIDE after the
    last, so that a few of them tell of several days; the next time round the ones between. (The nearest sample of the wanted
    class would be wrong: asked for in turns that gives only arrivals and departures, when the air tells the opposite of
    the truth.) start: the place in the support to begin from. Raises ValueError when there is nothing to give.
    """

    def __init__(
        self,
        name: str,
        simulated: bool,
        description: str,
        support: Sequence[Sample],
        query: Sequence[Sample] = (),
        start: int = 0,
    ) -> None:
        if not support:
            raise ValueError(f"{name}: no samples to learn from")
        super().__init__(name, simulated, description)
        self._support = support
        self._query = list(query)
        self._at = start % len(support)
        self._of_class: dict[int, list[Sample]] = {}
        for sample in [*support[self._at :], *support[: self._at]]:
            if isinstance(sample[1], int):
                self._of_class.setdefault(sample[1], []).append(sample)
        for label, samples in self._of_class.items():
            self._of_class[label] = [sample for phase in range(STRIDE) for sample in samples[phase::STRIDE]]
        self._given = dict.fromkeys(self._of_class, 0)

    def next_support(self, wanted: int | None) -> Sample | None:
        if wanted is None:
            sample = self._support[self._at]
            self._at = (self._at + 1) % len(self._support)
            return sample
        samples = self._of_class.get(wanted)
        if samples is None:
            return None
        given = self._given[wanted]
        self._given[wanted] = (given + 1) % len(samples)
        return samples[given]

    def query(self) -> list[Sample]:
        return list(self._query)
