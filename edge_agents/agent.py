"""The Raspberry Pi agent: one Session, one source of samples, one MQTT connection. `tegu agent`.

All that a device decides is in tegu.session; this is its shell. Paho's thread only queues what happens; the agent's own
thread takes it, feeds the session and carries out the effects. Between two messages it learns, one sample at a time.
"""

import logging
import math
import queue
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import monotonic

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker_config import link
from tegu import topics
from tegu.session import Session
from tegu.wire import WireError
from tegu.wire.messages import Label

from .boots import keep_boot, next_boot
from .facts import facts
from .figures import Figures
from .meter import Rapl, make_meter
from .place import Place as Place
from .place import parse
from .scores import Scores
from .senses import Effect, Senses
from .sources import BUILT_IN, Sample, Source
from .twins import keep_twin, load_twin, unfit

log = logging.getLogger("tegu.agent")
TICK_S = 1.0
KEEPALIVE_S = 30
SENSE_S = 1.0  # from readings to the next ones, at least: the rounds of a demo are faster than any room
SILENCE_S = 5.0  # without a manifest: worth a word
MOST_REASONS = 100  # each is said once; then they may be said again
Event = tuple[str, str, bytes]  # what, topic, payload


class Agent:
    """A device on Linux. run() returns when stop() was called or the broker refuses the device."""

    def __init__(self, place: Place, source: Source, meter: Rapl | None = None) -> None:
        self.place = place
        self.source = source
        self.ready = threading.Event()  # an initialization is in hand
        self.refused = ""  # why the broker does not let this device in
        self._meter = meter
        self._twin = load_twin(place.state_folder, place.device, place.model)
        self._reasons: set[str] = set()  # why updates were not taken, as far as they were said
        self._begin()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()  # a signal may put while a get is under way
        self._rejoin = False
        self._connected_s = math.inf
        self._tell_at_s = math.inf
        self._sense_at_s = 0.0

    def _begin(self) -> None:
        """A life with the model that the twin has: with a boot number, a session and counts of its own."""
        place = self.place
        names = place.site, place.device, self._twin.model
        boot = next_boot(place.state_folder, place.device)
        told = facts(place.state_folder, place.radio, place.energy, place.room)
        self._senses = Senses(*names, self.source, told)
        self.session = Session(*names, boot, self._senses.thing)
        self.ready.clear()
        self._figures = Figures(place.radio, self._meter)
        self._scores = Scores(place.curve_every)
        self._begun = 0  # the version whose round the source knows of
        self._dry_until_s = 0.0  # the source had nothing; ask again then

    def stop(self) -> None:
        """Leave, saying good-bye. May be called from any thread and from a signal."""
        self._events.put(("stop", "", b""))

    def run(self) -> None:
        """Take part. A broker that cannot be reached yet, or any more, is tried again."""
        while self._take_part():
            pass

    def _take_part(self) -> bool:
        """One client's life. True: it must be another one, for the last will holds a boot number that is no more."""
        self._rejoin = False
        client = self._client()
        client.connect_async(self.place.host, self.place.port, KEEPALIVE_S)
        client.loop_start()
        try:
            while not self._rejoin and self._next(client):
                pass
            if not self._rejoin:
                self._carry_out(client, self.session.leaving())
        except BaseException:
            self._carry_out(client, self.session.leaving("lost"))  # a planned disconnect takes the last will away
            raise
        finally:
            client.disconnect()
            client.loop_stop()
        return self._rejoin

    # --- one step ---

    def _next(self, client: mqtt.Client) -> bool:
        """One event if there is one, else one sample if the round wants one; then telemetry if it is time. False: stop."""
        self._figures.update()
        if monotonic() >= self._tell_at_s:
            self._tell(client, {})
        hungry = self._wants_samples and monotonic() >= self._dry_until_s
        try:
            what, topic, payload = self._events.get(block=not hungry, timeout=self._wait_s())
        except queue.Empty:
            if hungry:
                self._learn(client)
            if client.is_connected():
                self._carry_out(client, self.session.tick(monotonic()))
                self._say_if_nothing_comes()
            return True
        if what == "stop":
            return False
        if what == "connected":
            self._connected_s = monotonic()
            self._tell_later()
            self._carry_out(client, self.session.connected() + self._report(True))
        else:
            self._receive(client, topic, payload)
        return True

    def _say_if_nothing_comes(self) -> None:
        if self.session.manifest is None and monotonic() > self._connected_s + SILENCE_S:
            self._connected_s = math.inf
            model, site = self.session.model_name, self.place.site
            log.warning("%s: no coordinator serves model %s at site %s yet; waiting", self.place.device, model, site)

    def _wait_s(self) -> float:
        wait_s = min(TICK_S, self.source.poll_s) if self._wants_samples else TICK_S
        return max(0.0, min(wait_s, self._tell_at_s - monotonic()))

    @property
    def _wants_samples(self) -> bool:
        """For a round; or one, to hold it against the model that it tries, if nothing else told whether it fits."""
        return self.session.learning or (bool(self._twin.before) and self.session.version > 0)

    def _receive(self, client: mqtt.Client, topic: str, payload: bytes) -> None:
        words = topics.parse(topic)
        kind = "" if words is None else words[3]
        if kind == "label":
            self._label(payload)
        elif kind == "desired":
            self._hear_wish(client, payload)
        else:
            self._hear(client, topic, payload)

    def _hear(self, client: mqtt.Client, topic: str, payload: bytes) -> None:
        boot = self.session.boot
        self._carry_out(client, self.session.received(topic, payload))
        if self.session.boot != boot:
            keep_boot(self.place.state_folder, self.place.device, self.session.boot)
            self._rejoin = True
        if self.session.learner is not None:
            self.ready.set()
        self._say_why()
        if self._twin.before:
            self._judge(client)

    def _say_why(self) -> None:
        """Why an update of this device was not taken: each reason once."""
        why = self.session.refused_why
        if why and why not in self._reasons:
            if len(self._reasons) >= MOST_REASONS:
                self._reasons.clear()
            self._reasons.add(why)
            log.warning("%s: not taken: %s", self.place.device, why)

    def _label(self, payload: bytes) -> None:
        try:
            label: Label = Label.decode(payload)
        except WireError as error:
            log.warning("%s: a label is dropped: %s", self.place.device, error)
            return
        self.source.receive_label(label.label)

    def _learn(self, client: mqtt.Client) -> None:
        session = self.session
        if self._begun != session.version and session.learner is not None:
            self._begun = session.version
            self.source.begin_round()
            query = _spread(self.source.query(), self.place.query_samples)
            self._scores.begin(session.version, session.learner, query)
        sample = None
        try:
            sample = self.source.next_support(session.wanted)
            effects = session.sample(*sample) if sample is not None else []
        except (ValueError, OSError) as error:
            log.warning("%s: a sample is dropped: %s", self.place.device, error)
            if self._twin.before and sample is not None:
                self._go_back(client, str(error))
                return
            self._figures.failed += 1
            sample = None
        if sample is None:
            self._dry_until_s = monotonic() + self.source.poll_s
            return
        self._learned(client, effects)

    def _learned(self, client: mqtt.Client, effects: list[Effect]) -> None:
        """From one more sample; effects are the update if it was the round's last."""
        session = self.session
        assert session.learner is not None
        if self._twin.before:
            self._serve(client)
        self._figures.samples += 1
        if session.learning or effects:
            self._scores.learned(session.learner)
        else:
            self._scores.drop()
        if effects:
            self._figures.updates += 1
            self._tell(client, self._scores.numbers(session.learner))
        self._carry_out(client, effects)

    # --- its model ---

    def _hear_wish(self, client: mqtt.Client, payload: bytes) -> None:
        """The registry wants it to have a model, which may be another one than it has."""
        try:
            if not payload or not self._twin.hear(payload):
                return
        except WireError as error:
            log.warning("%s: a wish for a model is dropped: %s", self.place.device, error)
            return
        self._keep_twin()
        if self._twin.model == self.session.model_name:
            self._carry_out(client, self._report(False))
        else:
            self._change(client)

    def _judge(self, client: mqtt.Client) -> None:
        """Whether the model that it tries can be served here, if that can be told by now."""
        session = self.session
        why: str | None = session.refused
        if not why and session.manifest is not None and session.model is not None:
            why = unfit(session.model, self.source)
            if why == "":
                self._serve(client)
        if why:
            self._go_back(client, why)

    def _serve(self, client: mqtt.Client) -> None:
        """The model that it tried is served from now on, and it says so."""
        self._twin.serve()
        self._keep_twin()
        self._carry_out(client, self._report(False))

    def _go_back(self, client: mqtt.Client, why: str) -> None:
        """The model that is tried cannot be served here."""
        self._twin.go_back(why)
        self._keep_twin()
        self._change(client)

    def _change(self, client: mqtt.Client) -> None:
        """Leave the present session and begin one with the twin's model, by a connection with a last will of its own."""
        log.info("%s: %s, and not %s any more", self.place.device, self._twin.model, self.session.model_name)
        self._carry_out(client, self.session.leaving())
        self._begin()
        self._rejoin = True

    def _keep_twin(self) -> None:
        keep_twin(self.place.state_folder, self.place.device, self._twin)

    def _report(self, listen: bool) -> list[Effect]:
        """Which model it has; listen: and hear which one it is to have."""
        names = self.place.site, self.place.device
        told: list[Effect] = [("publish", topics.device(*names, "reported"), self._twin.reported(), 1, True)]
        return [*told, ("subscribe", topics.device(*names, "desired"))] if listen else told

    # --- what it says of itself ---

    def _tell_later(self) -> None:
        self._tell_at_s = monotonic() + self.place.telemetry_s if self.place.telemetry_s else math.inf

    def _tell(self, client: mqtt.Client, scores: dict[str, float]) -> None:
        """Telemetry and readings, of now. scores: of a round that was played, so that each counts once."""
        self._tell_later()
        if client.is_connected():  # else its bytes would be counted, and said to nobody
            self._carry_out(client, self.session.telemetry(self._figures.numbers(self.session) | scores))
            if monotonic() >= self._sense_at_s:
                self._sense_at_s = monotonic() + SENSE_S
                self._carry_out(client, self._sense())

    def _sense(self) -> list[Effect]:
        try:
            effects = self._senses.effects(self.session.learner)
        except (ValueError, OSError) as error:
            log.warning("%s: readings are dropped: %s", self.place.device, error)
            self._figures.failed += 1
            return []
        self.session.thing = self._senses.thing
        return effects

    # --- the link ---

    def _client(self) -> mqtt.Client:
        client = link.client(self.place.device, self.place.password, self.place.ca)
        topic, payload = self.session.will()
        client.will_set(topic, payload, 1, True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _carry_out(self, client: mqtt.Client, effects: list[Effect]) -> None:
        if not client.is_connected():
            return  # connected() says everything again
        for effect in effects:
            if effect[0] == "publish":
                client.publish(effect[1], effect[2], effect[3], effect[4])
            elif effect[0] == "subscribe":
                client.subscribe(effect[1], 1)
            else:
                client.unsubscribe(effect[1])

    def _on_connect(
        self, _: mqtt.Client, __: object, ___: mqtt.ConnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        if reason.is_failure:
            self.refused = str(reason)
            self.stop()
            return
        self._events.put(("connected", "", b""))

    def _on_disconnect(
        self, _: mqtt.Client, __: object, ___: mqtt.DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("%s: the link is gone (%s); does another client use this name?", self.place.device, reason)

    def _on_connect_fail(self, _: mqtt.Client, __: object) -> None:
        log.warning("%s: no broker at %s:%d yet; trying again", self.place.device, self.place.host, self.place.port)

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        self._events.put(("message", message.topic, bytes(message.payload)))


def make_source(spec: str, settings: dict[str, str]) -> Source:
    """The source that spec names: a short name of BUILT_IN or 'module:callable'; the settings are its arguments."""
    module, _, name = BUILT_IN.get(spec, spec).partition(":")
    try:
        factory: Callable[..., Source] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"no source {spec!r}: it is one of {', '.join(BUILT_IN)}, or module:callable ({error})"
        ) from error
    try:
        return factory(**settings)
    except TypeError as error:
        raise ValueError(f"source {spec}: {error}") from error


def _spread(samples: list[Sample], most: int) -> list[Sample]:
    """At most `most` of the samples, evenly spread."""
    if len(samples) <= most:
        return samples
    return [samples[i * len(samples) // most] for i in range(most)]


def run(arguments: list[str]) -> int:
    """`tegu agent`: take part until interrupted."""
    options = parse(arguments)
    sys.path.insert(0, str(Path.cwd()))  # for a source of one's own beside one
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, format="%(asctime)s %(message)s")
    try:
        source = make_source(options.source, dict(pair.split("=", 1) for pair in options.set))
        place = Place(
            device=options.device,
            site=options.site,
            model=options.model,
            host=options.host,
            port=options.port,
            password=options.password,
            ca=options.ca,
            state_folder=options.state,
            radio=options.radio,
            energy=options.energy,
            room=options.room,
            telemetry_s=options.telemetry,
            curve_every=options.curve_every,
        )
        agent = Agent(place, source, make_meter(options.meter, monotonic()))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"tegu agent: {error}\n")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: agent.stop())
    signal.signal(signal.SIGINT, lambda *_: agent.stop())
    log.info("%s learns %s from %s", place.device, agent.session.model_name, source.description)
    agent.run()
    if agent.refused:
        sys.stderr.write(f"tegu agent: the broker refuses {place.device}: {agent.refused} (user name, password?)\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
