"""How a device does on samples that it never learns from: before a round, after it, and now and then on the way.

Those on the way are its adaptation curve: the mean loss after 0, 1, 2, 4, ... samples of its own, from the initialization.
"""

from tegu.learner import Learner

from .sources import Sample

POINTS = (1, 2, 4, 8, 16, 32)  # samples after which it scores itself for a curve


class Scores:
    """The losses of one device. curve_every: versions from the start of a curve to the next one's; 0: none."""

    def __init__(self, curve_every: int) -> None:
        self._every = curve_every
        self._drawn = -curve_every  # the version of the last curve
        self._query: list[Sample] = []
        self._learned = 0  # samples, from this initialization
        self._numbers: dict[str, float] = {}

    def begin(self, version: int, learner: Learner, query: list[Sample]) -> None:
        """Nothing was learned yet from the initialization `version`."""
        self._query, self._learned, self._numbers = query, 0, {}
        if not query:
            return
        before = self._numbers["loss_before"] = self._loss(learner)
        if self._every and not self._drawn <= version < self._drawn + self._every:
            self._drawn = version
            self._numbers["curve_0"] = before

    def learned(self, learner: Learner) -> None:
        """One more sample was."""
        self._learned += 1
        if self._learned in POINTS and "curve_0" in self._numbers:
            self._numbers[f"curve_{self._learned}"] = self._loss(learner)

    def drop(self) -> None:
        """Learning went out of bounds and begins anew: there is no curve."""
        self._numbers = {name: value for name, value in self._numbers.items() if name == "loss_before"}

    def numbers(self, learner: Learner) -> dict[str, float]:
        """What telemetry says of them after the round, once; nothing without samples to score."""
        if "loss_before" not in self._numbers:
            return {}
        told, self._numbers = self._numbers, {"loss_before": self._numbers["loss_before"]}
        after = told.get(f"curve_{self._learned}")
        return {**told, "loss_after": self._loss(learner) if after is None else after}

    def _loss(self, learner: Learner) -> float:
        return round(sum(learner.loss_one(x, y) for x, y in self._query) / len(self._query), 6)
