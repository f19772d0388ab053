"""One model's federation: rounds, aggregation and checkpoint joined together. Bytes in, messages out; no MQTT.

Everything that came in one batch is committed once, and what batch() returns may be published because it is on disk.
Messages go out in this order: chunks, init, manifest, round, so that whoever sees a manifest finds its weights.
"""

import hashlib
import json
import logging
import math
import time
from binascii import crc32
from collections.abc import Callable, Iterable

import numpy as np

from tegu import topics
from tegu.memory import heap_bytes
from tegu.model import Model
from tegu.session import CHUNK_BYTES, MOST_BOOTS
from tegu.wire import CODECS, F32, WireError
from tegu.wire.messages import Ack, Manifest, Round, State
from tegu.wire.update import decode_update, peek_key

from . import sections
from .admission import AGAIN_S, Admission, Admitted
from .aggregate import Weights, aggregate, limit_of, norm, outer_step, scheduled
from .algorithms import algorithm_of
from .checkpoint import Checkpoint
from .encoding import decode_init, encode_init, encode_update, on_grid, top_p
from .rounds import Rounds
from .settings import Settings

log = logging.getLogger("tegu.coordinator")
NORM_VERSIONS = 8  # the running median of norms is over the updates of the last so many versions
Outgoing = list[tuple[str, bytes, bool]]  # topic, payload, retain
WHOLE_EVERY = 32  # versions, when sparse deltas go down between them: a device that joins takes up so many at most
MOST_NORM = 1e4  # of an update: beyond it is no learning, whatever the model


class Federation:
    """The federation of one model, from its checkpoint on. OSError, ValueError: the checkpoint cannot be used."""

    def __init__(
        self,
        settings: Settings,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        checkpoint: Checkpoint | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.settings = settings
        self.now_s = now_s  # for deadlines: a corrected clock must not move them
        self.wall_s = wall_s  # for people and devices: seconds since 1970
        self.model = Model(settings.model.spec)
        longest = self._manifest(0xFFFFFFFF, "f" * 64, 0xFFFFFFFF, 0.12345678901234567, True, WHOLE_EVERY)
        longest.encode()  # too long a spec is told now, not in the middle of a round
        self.checkpoint = checkpoint or Checkpoint(settings.link.checkpoint, settings.model.name, self.model)
        self._admission = admission
        self._admitted_in, self._admitted = self._kept_admission()
        self._closed_why = ""
        self._ask_at_s = 0.0  # whether somebody is selected now
        self._algorithm = algorithm_of(settings.rounds.algorithm, settings.rounds.server)
        kept = self.checkpoint.load()
        if kept is None:
            first = self.model.initial(
                settings.model.seed, settings.model.first_bias, settings.model.initial == "fan-in"
            )
            self.initialization: Weights = np.frombuffer(first, dtype=np.float32).copy()
            if settings.model.top_p_down:
                self.initialization = on_grid(self.model, self.initialization, CODECS.index(settings.model.init_codec))
            self.rounds = Rounds(settings.rounds)
            self.algorithm_state = self._algorithm.init(self.model.shared_size)
            self.published = self.initialization  # what devices hold
            self._save()
        else:
            self.initialization = kept.initialization
            fresh = self._algorithm.init(self.model.shared_size)
            state = np.frombuffer(kept.algorithm_state)
            self.algorithm_state = state.reshape(fresh.shape) if state.size == fresh.size else fresh
            self.published = kept.initialization if kept.published is None else kept.published
            self.rounds = Rounds(
                settings.rounds, kept.version, kept.closed, kept.round_num, kept.turn, kept.last, kept.boots
            )
            if kept.is_open and not self.rounds.finished and self._is_of(kept.round_num):
                self.rounds.reopen(now_s(), self._admitted.devices if self._admitted is not None else None)
        self.epoch = self.checkpoint.next_epoch()
        self._said = -1
        self._whole_version = 0  # the last one that was published whole, with a manifest
        self._whole_before = 0  # the one before
        self._whole: Outgoing = []
        self._cleared = not (settings.model.top_p_down or self.published is not self.initialization)
        self._deltas: dict[int, bytes] = {}  # by the version that they lead to: since the whole one before the last

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
            self.rounds.ready.discard(device)  # it was moved to another model
            return []
        if state.boot >= MOST_BOOTS:
            log.warning("state of %s dropped: nothing starts %d times", device, state.boot)
            return []
        known = self.rounds.boots.get(device, 0)
        if state.state == "lost" and device in self.rounds.ready:
            log.warning("%s: its link is lost", device)
        self.rounds.device(device, state.state, state.boot)
        if state.boot > known:
            self.checkpoint.set_boot(device, state.boot)
        if state.state != "ready":
            return []
        if state.boot >= known:
            return self._outside([device])
        return [self._ack(device, Ack(result="stale", version=self.rounds.version, least_boot=known))]

    def _ack(self, device: str, ack: Ack) -> tuple[str, bytes, bool]:
        topic = topics.device(self.settings.link.site, device, "ack", self.settings.model.name)
        return topic, ack.encode(), False

    def _outside(self, devices: Iterable[str]) -> Outgoing:
        """Tell those for whom the open round is not, before they learn for nothing."""
        opened, admitted = self.rounds.open, self._admitted
        if opened is None or opened.admitted is None or admitted is None:
            return []
        outside = sorted(set(devices) - opened.admitted)
        return [
            self._ack(
                device,
                Ack(
                    result="outside",
                    version=opened.version,
                    round_num=opened.round_num,
                    why=admitted.why(device),
                ),
            )
            for device in outside
        ]

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
            _, boot, sequence = peek_key(payload)
            ack = Ack(result="invalid", boot=boot, sequence=sequence, version=self.rounds.version, why=str(error)[:80])
            return ack.encode()
        verdict = self.rounds.receive(device, update)
        if verdict == "accepted":
            self.checkpoint.add_update((device, *update.key()), length, payload)
        log.debug("update of %s for version %d: %s", device, update.version, verdict)
        opened, why = self.rounds.open, ""
        if (
            verdict == "limited"
            and opened is not None
            and opened.admitted is not None
            and device not in opened.admitted
        ):
            why = self._admitted.why(device) if self._admitted is not None else ""
        return Ack(
            result=verdict,
            boot=update.boot,
            sequence=update.sequence,
            version=self.rounds.version,
            least_boot=self.rounds.boots.get(device, 0),
            why=why,
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
            return self._open()
        if due == "close":
            self._close()
            return self._news()
        return []

    def _open(self) -> Outgoing:
        """The next round, for those whom the registry selects, if it is asked. Nobody: later."""
        admitted = None
        if self._admission is not None:
            if self.now_s() < self._ask_at_s:
                return []
            answer = self._admission.ask(self.rounds.round_num + 1, sorted(self.rounds.ready))
            self._admitted = answer or self._admitted
            if self._admitted is None or not self._admitted.devices:
                self._say_closed(answer)
                self._ask_at_s = self.now_s() + AGAIN_S
                return []
            admitted = self._admitted.devices
            if self.settings.rounds.serial and not self.rounds.ready & admitted:
                self._ask_at_s = self.now_s() + AGAIN_S  # one is invited, and none of these is here
                return []
        opened = self.rounds.start(self.now_s(), "", admitted)
        self.checkpoint.begin()
        if self._admitted is not None and admitted is not None:
            self.checkpoint.save_admission(opened.round_num, self._admitted.to_json())
        self._save_rows()
        self.checkpoint.commit()
        return self.retained_round() + self._outside(self.rounds.ready)

    def _say_closed(self, answer: Admitted | None) -> None:
        """Why no round opens, once for as long as it stays so."""
        where = self.settings.registry.where or "no condition"
        why = (
            f"the registry selects none of {len(self.rounds.ready)} ready devices ({where})"
            if answer
            else "no registry answers"
        )
        if answer and answer.outside:
            device, reason = min(answer.outside.items())
            why += f"; {device}: {reason}"
        if why != self._closed_why:
            self._closed_why = why
            log.warning("no round opens: %s", why)

    def _kept_admission(self) -> tuple[int, Admitted | None]:
        """(round_num, for whom it was opened) of the last round that was opened for some."""
        if self._admission is None:
            return 0, None
        kept = self.checkpoint.admission()
        try:
            answer = None if kept is None else Admitted.from_json(kept[1])
            if kept is None or answer is None or answer.condition != self._admission.where:
                return 0, None  # to another question
            return kept[0], answer
        except ValueError as error:
            log.error("the checkpoint's answer set is dropped: %s", error)
            return 0, None

    def _is_of(self, round_num: int) -> bool:
        """Whether the open round can go on: with a registry, only if the kept answer is this round's."""
        return self._admission is None or (self._admitted is not None and self._admitted_in == round_num)

    def _say_waiting(self) -> None:
        ready, wanted = len(self.rounds.ready), self.settings.rounds.first_wait
        if self.rounds.open is None and not self.rounds.finished and ready != self._said:
            self._said = ready
            log.info("%d devices are ready; the first round waits for %d", ready, wanted)

    def _close(self) -> None:
        rounds, rules = self.rounds, self.settings.rounds
        opened_s = self._wall(rounds.open.opens_s if rounds.open else self.now_s())
        heard, version, round_num = len(rounds.heard), rounds.version, rounds.round_num
        step = outer_step(rules, rounds.closed)
        limit = limit_of(self.checkpoint.norms(version - NORM_VERSIONS), rules.clip)
        updates = (decode_update(payload, self.model, sections) for payload in self.checkpoint.payloads(version))
        try:
            after, state = aggregate(
                self.model,
                self.initialization,
                updates,
                step,
                rules.denominator,
                limit,
                self._algorithm,
                self.algorithm_state,
            )
        except ValueError as error:
            log.error("round %d is not merged: %s", rounds.round_num, error)
            after, state = self.initialization, self.algorithm_state
        if rounds.open is not None and heard < rounds.open.quorum:
            log.warning("round %d closed at its deadline: %d of %d updates", round_num, heard, rounds.open.quorum)
        verdicts = json.dumps(rounds.counts, sort_keys=True)
        rounds.close()
        if not rounds.finished and (rounds.ready or not rules.serial) and self._admission is None:
            rounds.start(self.now_s())
        self.initialization, self.algorithm_state = after, state
        delta = self._next_published()
        self.checkpoint.begin()
        self.checkpoint.add_history(version, round_num, step, heard, verdicts, opened_s, self.wall_s())
        self._save_rows()
        self.checkpoint.commit()
        self._deltas |= {rounds.version: delta} if delta else {}
        log.info("version %d from %d updates, outer step %.3f", rounds.version, heard, step)

    def _save(self) -> None:
        self.checkpoint.begin()
        self._save_rows()
        self.checkpoint.commit()

    def _save_rows(self) -> None:
        r = self.rounds
        self.checkpoint.save_model(r.version, r.closed, r.round_num, r.turn, r.open is not None, self.initialization)
        published = None if self.published is self.initialization else self.published
        self.checkpoint.save_algorithm(self.algorithm_state.tobytes(), published)

    def _wall(self, moment_s: float) -> float:
        """A moment of now_s as seconds since 1970."""
        return self.wall_s() + moment_s - self.now_s()

    # --- out: everything that is retained, in the order in which it must be published ---

    def retained(self) -> Outgoing:
        """All of it, after a connect: the last version that was published whole, the deltas, the round."""
        if not self._whole:
            self._publish_whole()
        version = self.rounds.version
        gone = () if self._cleared else range(max(1, version - 2 * WHOLE_EVERY), version + 1)
        cleared = [self._delta(old, b"") for old in gone if old not in self._deltas]  # of an earlier life
        self._cleared = True
        deltas = [self._delta(*kept) for kept in self._deltas.items()]
        return [
            *cleared,
            *deltas,
            *self._whole,
            *self._about(),
            *self.retained_round(),
            *self._outside(self.rounds.ready),
        ]

    def _about(self) -> Outgoing:
        """What people and the registry should know of the model, if the settings say anything."""
        told = self.settings.about.told()
        topic = topics.model(self.settings.link.site, self.settings.model.name, "about")
        return [(topic, json.dumps(told).encode() if told else b"", True)]

    def _news(self) -> Outgoing:
        """What a closed round has changed: the delta, the whole version if it is time for one, the round."""
        version, sparse = self.rounds.version, self.settings.model.top_p_down > 0
        out = [self._delta(version, self._deltas[version])] if version in self._deltas else []
        if sparse and self._whole and version - self._whole_version < WHOLE_EVERY and not self.rounds.finished:
            return out + self.retained_round()
        old = [kept for kept in self._deltas if kept <= self._whole_version]
        self._publish_whole()
        for kept in old:
            del self._deltas[kept]
        return [*out, *self._whole, *self.retained_round(), *(self._delta(kept, b"") for kept in old)]

    def _delta(self, version: int, payload: bytes) -> tuple[str, bytes, bool]:
        return topics.delta(self.settings.link.site, self.settings.model.name, version), payload, True

    def _publish_whole(self) -> None:
        """Chunks, init, manifest; chunks of the version before the last are cleared."""
        told, version = self.settings.model, self.rounds.version
        site, name = self.settings.link.site, told.name
        blob = self._encoded(version)
        pieces = [blob[at : at + CHUNK_BYTES] for at in range(0, len(blob), CHUNK_BYTES)]
        out: Outgoing = [(topics.chunk(site, name, version, i), piece, True) for i, piece in enumerate(pieces)]
        out.append((topics.model(site, name, "init"), blob, True))
        step = outer_step(self.settings.rounds, self.rounds.closed)
        digest = hashlib.sha256(blob).hexdigest()
        deltas = sum(self._whole_version < kept <= version for kept in self._deltas)
        manifest = self._manifest(len(blob), digest, version, step, self.rounds.finished, deltas)
        out.append((topics.model(site, name, "manifest"), manifest.encode(), True))
        last = self._whole_before if told.top_p_down else version - 2
        out += [(topics.chunk(site, name, last, i), b"", True) for i in range(len(pieces)) if last > 0]
        self._whole, self._whole_before, self._whole_version = out, self._whole_version, version

    def _encoded(self, version: int) -> bytes:
        """What devices hold. Deltas need the same bits everywhere, so then in float32, unless the codec loses nothing."""
        told = self.settings.model
        blob = encode_init(self.model, self.published, version, CODECS.index(told.init_codec))
        if told.top_p_down and (decode_init(blob, self.model)[1] != self.published).any():
            return encode_init(self.model, self.published, version, F32)
        return blob

    def _next_published(self) -> bytes:
        """Bring what devices hold nearer to the initialization: by a sparse delta, which is returned, or wholly.

        What a delta leaves out stays the difference between the two, and so goes with a later one.
        """
        told = self.settings.model
        if not told.top_p_down:
            self.published = self.initialization
            return b""
        missing = np.concatenate(
            [self.initialization[start:stop] - self.published[start:stop] for start, stop in self.model.shared]
        )
        indices = top_p(missing, 100.0 if self.rounds.finished else told.top_p_down)
        base = crc32(self.published.tobytes())  # goes where an update has the boot number, see tegu.wire
        delta = encode_update(self.model, missing, indices, CODECS.index(told.codec), self.rounds.version - 1, base)
        update = decode_update(delta, self.model, sections)
        places = np.concatenate([np.arange(*run) for run in self.model.shared])
        published = self.published.copy()  # only what the delta names is touched: 0.0 added to -0.0 would be other bits
        published[places[np.asarray(update.indices)]] += np.asarray(update.values)
        self.published = published
        return delta

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
            top_p=self._of_round("top_p_first", "top_p_schedule", self.settings.model.top_p),
            inner_step_size=self._of_round("inner_first", "inner_schedule", self.settings.model.inner_step_size),
        )
        return [(topic, message.encode(), True)]

    def _of_round(self, first: str, schedule: str, last: float) -> float:
        """The scheduled value of the open round; 0, which stands for the manifest's, if there is no schedule."""
        rules = self.settings.rounds
        start: float = getattr(rules, first)
        if not start:
            return 0.0
        value = scheduled(getattr(rules, schedule), start, last, self.rounds.closed, rules.rounds)
        return float(f"{value:.6g}")  # a round message is short

    def _manifest(self, size: int, sha256: str, version: int, step: float, finished: bool, deltas: int) -> Manifest:
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
            heap_bytes=told.heap_bytes or heap_bytes(self.model, told.top_p, told.codec, told.residual),
            finished=int(finished),
            deltas=deltas,
            by_tensor=int(told.top_p_of == "tensor"),
            residual=int(told.residual),
            rebuild=told.rebuild,
            adapt="local" if told.adapt == "local" else "",
        )
