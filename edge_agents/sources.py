"""Where a device's samples come from. Subclass Source for a sensor of your own; rooms.py has recorded and simulated rooms."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

Sample = tuple[Sequence[float], int | Sequence[float]]  # (inputs, class or outputs)
BUILT_IN = {"room": "edge_agents.rooms:recorded", "simulated": "edge_agents.rooms:simulated"}  # by their short names
STRIDE = 7  # quarters of an hour of one class between two samples of it


class Source:
    """Gives a device samples to learn from and samples that are only scored.

    name: what a person calls it ("room 917810"). simulated: shown wherever its results appear. description: one line, real
    file or simulation and where the labels come from. poll_s: how long to wait after next_support gave None. channel: where
    the device tells what it predicts of now, the probability of class 1 ("presence" of a room); empty: nowhere. sensors: its
    channels with their units, as far as they are known before the first reading: a model that needs others is not for this
    device. inputs: how many numbers a sample has; 0: that is not known before the first.
    """

    poll_s: float = 1.0
    channel: str = ""
    sensors: Mapping[str, str] = MappingProxyType({})
    inputs: int = 0

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

    def readings(self) -> list[tuple[str, str, float]]:
        """What its sensors read now: (channel, unit in SenML, value), as ("co2", "ppm", 612.0). OSError or ValueError: as above."""
        return []

    def present(self) -> Sequence[float] | None:
        """The inputs now, for `channel`; None: not known."""
        return None

    def receive_label(self, label: int) -> None:
        """A label for the present reading, from someone who knows it. A recorded source has its own labels and ignores it."""


class Replay(Source):
    """Recorded samples, again from the start when they run out.

    Any class: one after the other in time order. A class asked for: that class's samples in time order, each STRIDE after the
    last, so that a few of them tell of several days; the next time round the ones between. (The nearest sample of the wanted
    class would be wrong: asked for in turns that gives only arrivals and departures, when the air tells the opposite of
    the truth.) start: the place in the support to begin from. Raises ValueError when there is nothing to give. Its present
    is the sample that it gave last; given: that one's place in the support, None before the first.
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
        self.inputs = len(support[0][0])
        self.given: int | None = None
        self._next = start % len(support)
        self._of_class: dict[int, list[int]] = {}  # places
        for place in [*range(self._next, len(support)), *range(self._next)]:
            label = support[place][1]
            if isinstance(label, int):
                self._of_class.setdefault(label, []).append(place)
        for label, places in self._of_class.items():
            self._of_class[label] = [place for phase in range(STRIDE) for place in places[phase::STRIDE]]
        self._given_of = dict.fromkeys(self._of_class, 0)

    def next_support(self, wanted: int | None) -> Sample | None:
        if wanted is None:
            self.given = self._next
            self._next = (self._next + 1) % len(self._support)
        else:
            places = self._of_class.get(wanted)
            if places is None:
                return None
            count = self._given_of[wanted]
            self.given = places[count]
            self._given_of[wanted] = (count + 1) % len(places)
        return self._support[self.given]

    def present(self) -> Sequence[float] | None:
        return None if self.given is None else self._support[self.given][0]

    def query(self) -> list[Sample]:
        return list(self._query)
