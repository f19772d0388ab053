"""What an agent's source reads, and what its model makes of it, as messages: SenML (RFC 8428), and the announcement before them."""

import json
from typing import Any

from tegu import topics
from tegu.learner import Learner
from tegu.thing import THING_MODEL, announce, describe

from .facts import Facts
from .sources import Source

Effect = tuple[Any, ...]  # of tegu.session


class Senses:
    """Of one device. thing: its announcement (tegu.thing), with the channels that are known so far."""

    def __init__(self, site: str, device: str, model_name: str, source: Source, facts: Facts) -> None:
        self._names = site, device
        self._model_name = model_name
        self._source = source
        self._facts = facts
        self._units = dict(source.sensors)  # by channel
        self.thing = self._announced()

    def effects(self, learner: Learner | None) -> list[Effect]:
        """What there is to publish now: one topic a channel; before new channels the announcement, which `thing` is too.

        learner: with the weights to predict by. OSError: a sensor does not answer. ValueError: what is no channel, no finite
        number, or no input of the model.
        """
        readings = self._source.readings() + self._prediction(learner)
        effects = [self._record(*reading) for reading in readings]
        units = {channel: unit for channel, unit, _ in readings}
        if not units.items() <= self._units.items():
            self._units |= units
            self.thing = self._announced()
            effects.insert(0, ("publish", topics.device(*self._names, "thing"), self.thing, 1, True))
        return effects

    def _prediction(self, learner: Learner | None) -> list[tuple[str, str, float]]:
        """The probability of class 1 now, where the source has a channel for it and the model two classes."""
        x = self._source.present() if self._source.channel else None
        if x is None or learner is None or learner.model.classes != 2:
            return []
        if len(x) != learner.model.inputs:
            raise ValueError(f"the present has {len(x)} inputs, not {learner.model.inputs}")
        return [(self._source.channel, "/", round(learner.predict_one(x)[-1], 4))]

    def _record(self, channel: str, unit: str, value: float) -> Effect:
        record = json.dumps([{"n": channel, "u": unit, "v": value}], allow_nan=False)
        return "publish", topics.device(*self._names, "sense", channel), record.encode(), 0, False

    def _announced(self) -> bytes:
        """Compact; a device with too many channels for that says its whole Thing Description."""
        told = {"title": self._source.name, "model": self._model_name, "sensors": self._units} | self._facts
        try:
            return announce(self._source.name, self._model_name, self._units, **self._facts)
        except ValueError:
            whole = describe(*self._names, {"tm": THING_MODEL} | told)
            return json.dumps(whole, separators=(",", ":")).encode()
