"""A federation in one process without a broker: real Sessions and the real Federation, joined by a wire that loses nothing.

Every message is encoded and decoded as over MQTT, so bytes and results are those of the real thing: a test holds a
simulated run against one over mosquitto, to the bit. Devices take turns by id, so a run is the same for the same seed.
"""

from array import array
from collections import deque
from collections.abc import Mapping

from coordinator.federation import Federation, Outgoing
from coordinator.settings import Settings
from edge_agents.sources import Source
from tegu import topics
from tegu.session import Session
from tegu.wire.initialization import decode_init


class Simulation:
    """The devices' sessions around one federation. The settings' checkpoint may be ':memory:'."""

    def __init__(self, settings: Settings, sources: Mapping[str, Source]) -> None:
        self.federation = Federation(settings)
        self.sources = dict(sources)
        self.sessions = {
            device: Session(settings.link.site, device, settings.model.name, boot=1) for device in sorted(sources)
        }
        self._site, self._model_name = settings.link.site, settings.model.name
        self._retained: dict[str, bytes] = {}
        self._subscribed: dict[str, set[str]] = {device: set() for device in self.sessions}
        self._to_federation: deque[tuple[str, bytes]] = deque()
        self._to_devices: deque[tuple[str, str, bytes]] = deque()

    def run(self) -> "array[float]":
        """All the rounds of the settings; the initialization that a device joining now would get."""
        self._out(self.federation.retained())
        for device, session in self.sessions.items():
            self._carry_out(device, session.connected())
        self._settle()
        while not self.federation.rounds.finished:
            if not self._learn():
                raise RuntimeError("no device has anything to do and the rounds are not over")
            self._settle()
        topic = topics.model(self._site, self._model_name, "init")
        return decode_init(self._retained[topic], self.federation.model)[1]

    # --- messages ---

    def _settle(self) -> None:
        """Deliver until nothing is under way and nothing is due."""
        self._tick()
        while self._to_federation or self._to_devices:
            while self._to_federation:
                self._out(self.federation.batch([self._to_federation.popleft()]))
            while self._to_devices:
                device, topic, payload = self._to_devices.popleft()
                self._carry_out(device, self.sessions[device].received(topic, payload))
            self._tick()

    def _tick(self) -> None:
        while out := self.federation.tick():
            self._out(out)

    def _out(self, out: Outgoing) -> None:
        for topic, payload, retain in out:
            if retain:
                self._retained[topic] = payload
            for device, subscribed in self._subscribed.items():
                if topic in subscribed:
                    self._to_devices.append((device, topic, payload))

    def _carry_out(self, device: str, effects: list[tuple[object, ...]]) -> None:
        for effect in effects:
            topic = str(effect[1])
            if effect[0] == "subscribe":
                self._subscribed[device].add(topic)
                if self._retained.get(topic):
                    self._to_devices.append((device, topic, self._retained[topic]))
            elif effect[0] == "unsubscribe":
                self._subscribed[device].discard(topic)
            elif isinstance(effect[2], bytes | bytearray):
                self._to_federation.append((topic, bytes(effect[2])))

    # --- learning ---

    def _learn(self) -> bool:
        """Every device that is in the round learns all it has to. False: none was."""
        learning = [device for device, session in self.sessions.items() if session.learning]
        for device in learning:
            self._learn_one_round(device)
        return bool(learning)

    def _learn_one_round(self, device: str) -> None:
        session, source = self.sessions[device], self.sources[device]
        source.begin_round()
        while session.learning:
            sample = source.next_support(session.wanted)
            if sample is None:
                raise ValueError(f"{source.name} has nothing to learn from")
            self._carry_out(device, session.sample(*sample))
