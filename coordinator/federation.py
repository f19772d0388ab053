"""One model's federation: rounds, aggregation and checkpoint joined together. Bytes in, messages out; no MQTT.

Everything that came in one batch is committed once, and what batch() returns may be published because it is on disk.
Messages go out in this order: chunks, init, manifest, round, so that whoever sees a manifest finds its weights.
"""

import hashlib
import json
import logging
import math
import time
from array import array
from collections.abc import Callable

import numpy as np

from tegu import topics
from tegu.model import Model
from tegu.session import CHUNK_BYTES, MOST_BOOTS
from tegu.wire import CODECS, WireError
from tegu.wire.initialization import encode_init
from tegu.wire.messages import Ack, Manifest, Round, State
from tegu.wire.update import decode_update, peek_key

from . import sections
from .aggregate import Weights, aggregate, limit_of, norm, outer_step
from .checkpoint import Checkpoint
from .rounds import Rounds
from .settings import Settings

log = logging.getLogger("tegu.coordinator")
NORM_VERSIONS = 8  # the running median of norms is over the updates of the last so many versions
Outgoing = list[tuple[str, bytes, bool]]  # topic, payload, retain
MOST_NORM = 1e4  # of an update: beyond it is no learning, whatever the model


class Federation:
    """The federation of one model, from its checkpoint on. OSError, ValueError: the checkpoint cannot be used."""

    def __init__(
        self,
        settings: Settings,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.now_s = now_s  # for deadlines: a corrected clock must not move them
        self.wall_s = wall_s  # for people and devices: seconds since 1970
        self.model = Model(settings.model.spec)
        longest = self._manifest(0xFFFFFFFF, "f" * 64, 0xFFFFFFFF, 0.12345678901234567, True)
        longest.encode()  # too long a spec is told now, not in the middle of a round
        self.checkpoint = Checkpoint(settings.link.checkpoint, settings.model.name, self.model)
        kept = self.checkpoint.load()
        if kept is None:
            first = self.model.initial(settings.model.seed, settings.model.first_bias)
            self.initialization: Weights = np.frombuffer(first, dtype=np.float32).copy()
            self.rounds = Rounds(settings.rounds)
            self._save()
        else:
            self.initialization = kept.initialization
            self.rounds = Rounds(
                settings.rounds, kept.version, kept.closed, kept.round_num, kept.turn, kept.last, kept.boots
            )
            if kept.is_open and not self.rounds.finished:
                self.rounds.reopen(now_s())
        self.epoch = self.checkpoint.next_epoch()
        self._said = -1

    # --- in ---

    def batch(self, messages: list[tuple[str, bytes]]) -> Outgoing:
        """Take messages (topic, payload) in one commit; what is returned may be published, for it is on disk.

        Any error of the disk comes out, and this object must then be thrown away: only the file is right.
        """
        out: Outgoing = []
        self.checkpoint.begin()
        try:
            for topic, payload in messages:
                out += self._message(topic, payload)
            self.checkpoint.commit()
        except BaseException:
            self.checkpoint.rollback()
            raise
        return out

    def _message(self, topic: str, payload: bytes) -> Outgoing:
        words = topics.parse(topic)
        if words is None or words[0] != self.settings.link.site or words[1] != "device":
            return []
        _, _, device, kind, rest = words
        try:
            topics.check_id(device, "device")
        except ValueError:
            log.warning("a message on %.80r is dropped: that is no device id", topic)
            return []
        if kind == "state" and payload:
            return self._state(device, payload)
        if kind != "update" or rest != self.settings.model.name:
            return []
        return [(topics.device(self.settings.link.site, device, "ack", rest), self._update(device, payload), False)]

    def _state(self, device: str, payload: bytes) -> Outgoing:
        """A device's birth or death. One that forgot its boot number is told the highest that was heard."""
        try:
            state: State = State.decode(payload)
        except WireError as error:
            log.warning("state of %s dropped: %s", device, error)
            return []
        if state.model not in ("", self.settings.model.name):
            return []
        if state.boot >= MOST_BOOTS:
            log.warning("state of %s dropped: nothing starts %d times", device, state.boot)
            return []
        known = self.rounds.boots.get(device, 0)
        self.rounds.device(device, state.state, state.boot)
        if state.boot > known:
            self.checkpoint.set_boot(device, state.boot)
        if state.state != "ready" or state.boot >= known:
            return []
        topic = topics.device(self.settings.link.site, device, "ack", self.settings.model.name)
        return [(topic, Ack(result="stale", version=self.rounds.version, least_boot=known).encode(), False)]

    def _update(self, device: str, payload: bytes) -> bytes:
        """The ack of an update's bytes."""
        try:
            update = decode_update(payload, self.model, sections)
            if update.boot >= MOST_BOOTS:
                raise WireError("boot: out of range")
            length = norm(update)
            if not length <= MOST_NORM:
                raise WireError("values: their norm is beyond all learning")
        except WireError as error:
            log.warning("update of %s is invalid: %s", device, error)
            self.rounds.invalid()
            boot, sequence = peek_key(payload)
            ack = Ack(result="invalid", boot=boot, sequence=sequence, version=self.rounds.version, why=str(error)[:80])
            return ack.encode()
        verdict = self.rounds.receive(device, update)
        if verdict == "accepted":
            self.checkpoint.add_update((device, *update.key()), length, payload)
        log.debug("update of %s for version %d: %s", device, update.version, verdict)
        return Ack(
            result=verdict,
            boot=update.boot,
            sequence=update.sequence,
            version=self.rounds.version,
            least_boot=self.rounds.boots.get(device, 0),
        ).encode()

    # --- time ---

    def tick(self) -> Outgoing:
        """Open or close what is due; what is returned is to be published."""
        due = self.rounds.tick(self.now_s())
        self._say_waiting()
        if due == "open":
            if self.rounds.open is not None:
                log.warning(
                    "round %d got no update; %d devices are ready", self.rounds.round_num, len(self.rounds.ready)
                )
            self.rounds.start(self.now_s())
            self._save()
            return self.retained_round()
        if due == "close":
            self._close()
            return self.retained()
        return []

    def _say_waiting(self) -> None:
        ready, wanted = len(self.rounds.ready), self.settings.rounds.first_wait
        if self.rounds.open is None and not self.rounds.finished and ready != self._said:
            self._said = ready
            log.info("%d devices are ready; the first round waits for %d", ready, wanted)

    def _close(self) -> None:
        rounds, rules = self.rounds, self.settings.rounds
        opened_s = self._wall(rounds.open.opens_s if rounds.open else self.now_s())
        heard, version, round_num = len(rounds.heard), rounds.version, rounds.round_num
        step = outer_step(rules.schedule, rules.outer_step_size, rounds.closed, rules.rounds)
        limit = limit_of(self.checkpoint.norms(version - NORM_VERSIONS), rules.clip)
        updates = (decode_update(payload, self.model, sections) for payload in self.checkpoint.payloads(version))
        try:
            after = aggregate(self.model, self.initialization, updates, step, rules.denominator, limit)
        except ValueError as error:
            log.error("round %d is not merged: %s", rounds.round_num, error)
            after = self.initialization
        verdicts = json.dumps(rounds.counts, sort_keys=True)
        rounds.close()
        if not rounds.finished and (rounds.ready or not rules.serial):
            rounds.start(self.now_s())
        self.initialization = after
        self.checkpoint.begin()
        self.checkpoint.add_history(version, round_num, step, heard, verdicts, opened_s, self.wall_s())
        self._save_rows()
        self.checkpoint.commit()
        log.info("version %d from %d updates, outer step %.3f", rounds.version, heard, step)

    def _save(self) -> None:
        self.checkpoint.begin()
        self._save_rows()
        self.checkpoint.commit()

    def _save_rows(self) -> None:
        r = self.rounds
        self.checkpoint.save_model(r.version, r.closed, r.round_num, r.turn, r.open is not None, self.initialization)

    def _wall(self, moment_s: float) -> float:
        """A moment of now_s as seconds since 1970."""
        return self.wall_s() + moment_s - self.now_s()

    # --- out: everything that is retained, in the order in which it must be published ---

    def retained(self) -> Outgoing:
        """Chunks, init, manifest, round; chunks of the version before the last are cleared."""
        site, name, version = self.settings.link.site, self.settings.model.name, self.rounds.version
        codec = CODECS.index(self.settings.model.init_codec)
        weights = array("f", self.initialization.tobytes())
        blob = bytes(encode_init(self.model, weights, version, codec))
        pieces = [blob[at : at + CHUNK_BYTES] for at in range(0, len(blob), CHUNK_BYTES)]
        out = [(topics.chunk(site, name, version, i), piece, True) for i, piece in enumerate(pieces)]
        out.append((topics.model(site, name, "init"), blob, True))
        rules = self.settings.rounds
        step = outer_step(rules.schedule, rules.outer_step_size, self.rounds.closed, rules.rounds)
        digest = hashlib.sha256(blob).hexdigest()
        manifest = self._manifest(len(blob), digest, version, step, self.rounds.finished)
        out.append((topics.model(site, name, "manifest"), manifest.encode(), True))
        out += self.retained_round()
        out += [(topics.chunk(site, name, version - 2, i), b"", True) for i in range(len(pieces)) if version > 2]
        return out

    def retained_round(self) -> Outgoing:
        """The open round, or nothing in its place."""
        opened = self.rounds.open
        topic = topics.model(self.settings.link.site, self.settings.model.name, "round")
        if opened is None:
            return [(topic, b"", True)]
        message = Round(
            round_num=opened.round_num,
            version=opened.version,
            opens_s=int(self._wall(opened.opens_s)),
            closes_s=math.ceil(self._wall(opened.closes_s)),
            quorum=opened.quorum,
            join_percent=self.settings.rounds.join_percent,
            invited=opened.invited,
        )
        return [(topic, message.encode(), True)]

    def _manifest(self, size: int, sha256: str, version: int, step: float, finished: bool) -> Manifest:
        told = self.settings.model
        return Manifest(
            model=told.name,
            spec=self.model.spec,
            hash=self.model.shape_hash,
            version=version,
            bytes=size,
            sha256=sha256,
            chunks=-(-size // CHUNK_BYTES),
            codec=told.codec,
            inner_step_size=told.inner_step_size,
            outer_step_size=step,
            samples=told.samples,
            top_p=told.top_p,
            heap_bytes=told.heap_bytes,
            finished=int(finished),
        )
