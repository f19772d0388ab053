"""A board's part in one model: what the radio says goes to the session, what the session wants goes to the radio. One step at a time."""

import json

from board import Board, load_settings
from flash import FlashKept, keep_boot, next_boot
from radio import Radio
from samples import make_samples
from tegu import topics
from tegu.session import Session
from tegu.wire import WireError
from tegu.wire.messages import Label

REST_MS = 20
SECOND_MS = 1000
LEAVE_MS = 2000
TELEMETRY_S = 300  # without an update, after which it says telemetry all the same

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Device:
    """The board whose settings, recordings and state are in `folder`, which ends with a slash."""

    def __init__(self, folder: str) -> None:
        settings = load_settings(folder + "settings.json")
        self.folder, self.board = folder, Board(settings)
        self._sleep_s = int(settings.get("sleep") or 0)
        self._telemetry_s = int(settings.get("telemetry_s", TELEMETRY_S) or 0)
        sensor = settings["sensor"]
        self.radio = Radio(
            self.board.open_link,
            settings["device"],
            settings.get("password", ""),
            self.board.random,
            settings.get("keepalive_s", 30),
            settings.get("receive_bytes", 2048),
        )
        self.samples = make_samples(sensor, folder, self.board.reading, self.board.has_motion)
        self.links = self.learned = self.updates = self.failed = 0
        self._round = 0  # the version whose loss was taken before anything was learned
        self._loss_before: "float | None" = None
        self._skipped = 0
        self._seconds = self._told = 0  # since the start; when telemetry was said, or the link came up
        self._looked_ms = self.board.clock()
        self._why = ""  # an update was not taken, as it was printed
        self.settings_model: str = settings["model"]
        self.reported, self.tries = b"", False  # what it reports of its model; whether it may go back to another one
        model_name, thing, kept = self._registry("begin", settings)
        names = settings["site"], settings["device"], model_name
        free_bytes = self.board.free_heap_bytes()  # for all that the session takes
        self.session = Session(*names, next_boot(folder), thing, free_bytes, True, FlashKept(kept))
        self.radio.will = self.session.will()

    def step(self) -> None:
        """Act on one event, learn from one sample, or rest."""
        now_ms = self.board.clock()
        event = self.radio.step(now_ms)
        if event is not None:
            self._hear(event)
        elif not (self.session.learning and self._learn()):
            self.board.rest(REST_MS)
            if self.radio.link is None and self.board.called():
                self.radio.hurry()
        self.board.feed()
        passed_s = (now_ms - self._looked_ms) // SECOND_MS
        if passed_s:
            if passed_s < 0:  # ticks began anew
                passed_s, self._looked_ms = 1, now_ms - SECOND_MS
            self._looked_ms += passed_s * SECOND_MS
            self._seconds += passed_s
            self._look(now_ms)

    def leave(self) -> None:
        """Say good-bye."""
        self.radio.leave(self.session.leaving(), self.board.clock, LEAVE_MS)

    def report(self) -> None:
        """Which model it has."""
        self.radio.carry_out([("publish", self._topic("reported"), self.reported, 1, True)])

    def _hear(self, event: "tuple[Any, ...]") -> None:
        if event[0] == "connected":
            self.links += 1
            self._told = self._seconds
            self.radio.carry_out(self.session.connected())
            self.report()
            self.radio.carry_out([("subscribe", self._topic("desired"))])
            print("connected")
        elif event[0] == "lost":
            print("no link:", event[1])
        else:
            words = topics.parse(event[1])
            kind = words[3] if words else ""
            try:
                if kind == "label":
                    self.samples.label(Label.decode(event[2]).label)
                elif kind == "desired":
                    self._registry("hear", event[2])
                else:
                    self._receive(event[1], event[2])
            except WireError:
                self.session.bad += 1

    def _receive(self, topic: str, payload: bytes) -> None:
        session = self.session
        boot, version = session.boot, session.version
        self.radio.carry_out(session.received(topic, payload))
        if session.version != version:
            print("version", session.version)
        if session.opens_s:
            self.board.set_time(session.opens_s)
        if session.boot != boot:  # the coordinator has heard of a later one: the last will must say it too
            keep_boot(self.folder, session.boot)
            self.radio.will = session.will()
            self.radio.leave([], self.board.clock, LEAVE_MS)
        if session.refused_why != self._why:
            self._why = session.refused_why
            print("not taken:", self._why)
        if self.tries and (session.refused or session.manifest is not None):
            self._registry("judge")

    def _registry(self, what: str, *given: "Any") -> "Any":
        """A function of registry.py, which is in the heap for this call alone."""
        import registry

        return getattr(registry, what)(self, *given)

    def _topic(self, kind: str, what: str = "") -> str:
        return topics.device(self.session.site, self.session.device, kind, what)

    def _learn(self) -> bool:
        """From one sample, if there is one."""
        session = self.session
        if self._round != session.version:
            self._round, self._loss_before = session.version, self._loss()
        sample = self.samples.next(session.wanted)
        if sample is None:
            return False
        try:
            effects = session.sample(*sample)
        except ValueError as error:
            self.failed += 1
            print("sample:", error)
            return False
        self.learned += 1
        if effects:
            self.updates += 1
            self.radio.carry_out(effects)
            loss = self._loss()
            print("update", session.version, "loss", self._loss_before, "to", loss)
            self._tell({"loss_before": self._loss_before, "loss_after": loss} if loss is not None else {})
        return True

    def _loss(self) -> "float | None":
        """Mean loss over the samples that are only scored, with the weights as they are; None if there are none."""
        total, count = 0.0, 0
        learner = self.session.learner
        for x, y in self.samples.query() if learner else ():
            total += learner.loss_one(x, y)  # type: ignore[union-attr]
            count += 1
        return total / count if count else None

    def _tell(self, numbers: "dict[str, Any]") -> None:
        """Telemetry of now, with these numbers: the losses of a round, once."""
        session = self.session
        self._told = self._seconds
        if self.radio.state != "connected":
            return  # its bytes would be counted, and said to nobody
        numbers["samples"], numbers["updates"] = self.learned, self.updates
        numbers["free_heap_bytes"] = self.board.free_heap_bytes()
        numbers["sensor_failed"], numbers["uptime_s"] = self.failed, self._seconds
        numbers.update(self.board.vitals())
        size, traffic = session.model.size if session.model else 0, sum(session.bytes.values())
        numbers.update(self.board.ledger.numbers(size, self.learned, self.updates, traffic, self.links))
        self.radio.carry_out(session.telemetry(numbers))

    def _look(self, now_ms: int) -> None:
        """Once a second: resend, meter, sensor; and sleep when there is nothing to wait for."""
        session, board = self.session, self.board
        board.ledger.update(now_ms)
        if self.radio.state == "connected":
            self.radio.carry_out(session.tick(self._seconds))
            if self.radio.skipped != self._skipped:
                self._skipped = self.radio.skipped
                print("skipped: a message larger than receive_bytes, or than the free heap")
                self.radio.carry_out(session.missed())
            if self._telemetry_s and self._seconds - self._told >= self._telemetry_s:
                self._tell({})
        local_s = board.local_s()
        if local_s:
            self._sense(local_s)
        if self._sleep_s and session.idle and self.updates:
            self.radio.leave(session.leaving("sleeping", board.unix_s() + self._sleep_s), board.clock, LEAVE_MS)
            board.sleep(self._sleep_s)

    def _sense(self, local_s: int) -> None:
        """Readings, as SenML (RFC 8428), one topic a channel."""
        try:
            readings = self.samples.tick(local_s, self.board.motion())
        except OSError as error:
            self.failed += 1
            print("sensor:", error)
            return
        if readings:
            readings += self._presence()
        for channel, unit, value in readings:
            record = json.dumps([{"n": channel, "u": unit, "v": value}]).encode()
            self.radio.carry_out([("publish", self._topic("sense", channel), record, 0, False)])

    def _presence(self) -> "list[tuple[str, str, float]]":
        """What the model makes of the last hour: the probability that someone is here. Empty if that cannot be told."""
        row, learner = self.samples.row, self.session.learner
        if row is None or learner is None or learner.model.classes != 2 or learner.model.inputs != len(row):
            return []
        return [("presence", "/", learner.predict_one(row)[-1])]
