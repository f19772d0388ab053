"""What a device does, without doing it: events in, effects out. No clock, no randomness, no I/O.

The shell (firmware or Pi agent) feeds what happens and carries out what comes back, a list of

    ("publish", topic, payload, qos, retain)   ("subscribe", topic)   ("unsubscribe", topic)

A device takes part so: manifest (is the version newer, does it fit the heap) -> round (is this device in it) ->
initialization (whole, in chunks, or as the sparse deltas since the one in hand) -> `samples` calls of sample() -> update ->
ack. A device that is not in a round leaves the new version where it is. It has at most one update that waits for an ack, sends it again until one comes, and forgets what it sent only when the coordinator says that it is accepted: the
rest of the delta is the residual and goes with a later update. A bad message is counted in `bad` and dropped.

TinyReptile (arXiv 2304.05201) starts every round from the initialization, and so does this; so TinyMetaFed
(arXiv 2307.06822) rebuilds the local layers. That unsent change is kept (error feedback) is our choice.
"""

from . import topics
from .learner import Learner
from .model import Model
from .sparse import top_p
from .wire import CODECS, WireError
from .wire.messages import Ack, Manifest, Round, State, encode_numbers
from .wire.update import decode_update, encode_update

RESEND_S = 20  # an update without an ack is sent again after this long
RESIDUAL_VERSIONS = 64  # what has waited longer to be accepted is stale, and dropped
CHUNK_BYTES = 1024
MOST_BOOTS = 1 << 31  # a boot number beyond is a lie

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from typing import Any

    from .kept import Kept

    Effects = list[tuple[Any, ...]]
    Floats = array[float]


class Session:
    """One device's part in one model.

    free_heap_bytes: 0 if the machine need not count; chunked: pull 1 KiB pieces; kept: where it keeps what it knows, in RAM
    unless said. What a board had kept from before is in hand at once.
    """

    def __init__(
        self,
        site: str,
        device: str,
        model_name: str,
        boot: int,
        thing: "bytes | None" = None,
        free_heap_bytes: int = 0,
        chunked: bool = False,
        kept: "Kept | None" = None,
    ) -> None:
        self.site = topics.check_id(site, "site")
        self.device = topics.check_id(device, "device")
        self.model_name = topics.check_id(model_name, "model")
        self.boot = boot
        self.thing = thing
        self.free_heap_bytes = free_heap_bytes
        self.chunked = chunked
        self.manifest: Manifest | None = None
        self.model: Model | None = None
        self.learner: Learner | None = None  # adapted weights: what the room uses
        self.learning = False
        self.learned = 0  # samples since the last update
        self.bad = 0
        self.accepted = 0
        self.diverged = 0
        self.refused_why = ""  # what the newest ack that did not take an update said
        self.bytes = {"model_down": 0, "update_up": 0, "telemetry_up": 0}  # payload bytes by class
        if kept is None:
            from .kept import Kept

            kept = Kept()
        self._kept = kept
        self._round: Round | None = None
        self.opens_s = 0  # when the newest round was opened, by the coordinator's clock; 0 if none is known
        self._answered = 0  # the version to which this device has contributed
        self._tried = 0  # the round in which it last began to learn, or that is for others
        self._top_p = 0.0  # percent, of the round in which it learns
        self._step = 0.0  # inner step size of that round
        self._missed = 0  # what was asked for again
        self._asked = 0  # the version that is on its way; below zero: as a delta
        self._kept_at = 0  # version at which something of this device was last accepted
        self.refused = ""  # why the manifest asks for more than this device has
        self._sequence = 0
        self._sent_s: "float | None" = None
        self._chunk = 0  # the piece that is on its way
        if self._kept.version:
            self.model = Model(self._kept.spec)
            self._take(self._kept.load(self.model))
            self._kept_at = self._kept.version
            self._answered = self._kept.accepted_key[0]

    @property
    def version(self) -> int:
        """Of the initialization in hand; 0 is none."""
        return self._kept.version

    @property
    def idle(self) -> bool:
        """Whether nothing is to be learned or to be acknowledged now."""
        return not self.learning and self._kept.pending is None

    # --- events ---

    def will(self) -> "tuple[str, bytes]":
        """(topic, payload) of the last will, to be retained: this device is lost."""
        return self._topic("state"), self._state("lost")

    def connected(self) -> "Effects":
        """The link is up: announce and listen. What has no ack goes out when the coordinator is heard to be online."""
        effects = self._say("ready")
        if self.thing is not None:
            effects.append(("publish", self._topic("thing"), self.thing, 1, True))
        for topic in (
            topics.coordinator_state(self.site),
            topics.device(self.site, self.device, "ack", self.model_name),
            topics.device(self.site, self.device, "label"),
            topics.model(self.site, self.model_name, "round"),
            topics.model(self.site, self.model_name, "manifest"),
        ):
            effects.append(("subscribe", topic))
        self._asked = 0
        return effects + self._fetch()

    def leaving(self, state: str = "offline", wakes_s: int = 0) -> "Effects":
        """Say good-bye before a planned disconnect: offline, or sleeping until wakes_s."""
        return self._say(state, wakes_s)

    def received(self, topic: str, payload: bytes) -> "Effects":
        """A message of a subscription."""
        words = topics.parse(topic)
        if words is None or words[0] != self.site:
            return []
        _, owner, name, kind, rest = words
        try:
            if owner == "model" and name == self.model_name:
                self.bytes["model_down"] += len(payload)
                if kind == "manifest":
                    return self._on_manifest(payload)
                if kind == "round":
                    return self._on_round(payload)
                if kind == "init":
                    return self._on_init(payload)
                if kind == "chunk":
                    return self._on_chunk(topic, payload)
                if kind == "delta":
                    return self._on_delta(topic, payload)
            elif owner == "device" and name == self.device and kind == "ack" and rest == self.model_name:
                return self._on_ack(Ack.decode(payload))
            elif owner == "coordinator" and State.decode(payload).state == "online":
                return self._send()  # said at each of its connects: what came in between may never have reached it
        except WireError:
            self.bad += 1
        return []

    def sample(self, x: "Sequence[float]", y: "int | Sequence[float]") -> "Effects":
        """Learn from one sample. In a round it counts; outside, it adapts this room's own weights and nothing is sent.

        ValueError if the sample is bad; nothing has changed then.
        """
        learner, told = self.learner, self.manifest
        if learner is None or told is None or not self.version:
            return []
        learner.inner_step_size, learner.only = told.inner_step_size, told.adapt
        if self.learning:
            learner.inner_step_size, learner.only = self._step, ""
            if told.rebuild:
                learner.only = "local" if self.learned < told.rebuild else "shared"
        try:
            learner.step(x, y)
        except ArithmeticError:
            if self.learning:
                self._diverge()
            else:  # these weights were for this room alone; what waits for its ack stays
                self.diverged += 1
                self._restart()
            return []
        if not self.learning:
            return []
        self.learned += 1
        return self._finish() if self.learned >= told.samples else []

    def tick(self, now_s: float) -> "Effects":
        """Time has come to now_s (any clock that only grows): send again what has waited RESEND_S for its ack."""
        if self._kept.pending is None:
            return []
        if self._sent_s is None:
            self._sent_s = now_s
        if 0 <= now_s - self._sent_s < RESEND_S:  # below zero: the clock began anew
            return []
        return self._send()

    def missed(self) -> "Effects":
        """Something that was asked for came and could not be taken: ask again, once."""
        if self._asked in (0, self._missed):
            return []
        self._missed, self._asked = self._asked, 0
        return self._fetch()

    def telemetry(self, numbers: "dict[str, float]") -> "Effects":
        """Flat numbers of this device, with its counters added."""
        fields: "dict[str, Any]" = {"version": self.version, "boot": self.boot, "bad": self.bad}
        fields["accepted"] = self.accepted
        for name, count in self.bytes.items():
            fields["bytes_" + name] = count
        fields.update(numbers)
        payload = encode_numbers(fields)
        self.bytes["telemetry_up"] += len(payload)
        return [("publish", self._topic("telemetry"), payload, 0, False)]

    @property
    def wanted(self) -> "int | None":
        """The class that the next sample of the round should have: classes are asked for in turn. None: any."""
        classes = self.model.classes if self.model else 0
        return self.learned % classes if classes else None

    # --- model down ---

    def _topic(self, kind: str, what: str = "") -> str:
        return topics.device(self.site, self.device, kind, what)

    def _state(self, state: str, wakes_s: int = 0, why: str = "") -> bytes:
        told = State(state=state, boot=self.boot, model=self.model_name, wakes_s=wakes_s, why=why, version=self.version)
        return told.encode()

    def _say(self, state: str, wakes_s: int = 0, why: str = "") -> "Effects":
        return [("publish", self._topic("state"), self._state(state, wakes_s, why), 1, True)]

    def _on_manifest(self, payload: bytes) -> "Effects":
        if not payload:
            return []
        manifest: Manifest = Manifest.decode(payload)
        if manifest.model != self.model_name or manifest.codec not in CODECS:
            raise WireError("manifest: not of this model, or its codec is not known")
        if not (0.0 < manifest.top_p <= 100.0 and 0.0 < manifest.inner_step_size <= 1.0 and manifest.samples > 0):
            raise WireError("manifest: top_p, inner_step_size or samples out of range")
        if manifest.rebuild >= manifest.samples or manifest.adapt not in ("", "local"):
            raise WireError("manifest: rebuild or adapt out of range")
        if self.manifest is not None and manifest.version < self.manifest.version:
            raise WireError("version: older than what this device has")
        if self.manifest is not None and manifest.version == self.manifest.version:
            if manifest.sha256 == self.manifest.sha256:
                self.manifest = manifest
                return self._fetch()  # its deltas may be gone
            self._forget()  # a coordinator that began anew: other weights under the same number
        if self.manifest is None and self.version:
            self._recognise(manifest)
        if self.free_heap_bytes and manifest.heap_bytes > self.free_heap_bytes:
            self.refused = "needs %d bytes of heap, has %d" % (manifest.heap_bytes, self.free_heap_bytes)
            return self._say("refused", 0, self.refused)
        if self.model is None or self.model.spec != manifest.spec:
            try:
                model = Model(manifest.spec)
            except ValueError:
                raise WireError("spec: cannot be read")
            if model.shape_hash != manifest.hash:
                raise WireError("hash: does not belong to the spec")
            self.model = model
            self.learner = None
            self._forget()
        self.manifest = manifest
        welcome = self._say("ready") if self.refused else []
        self.refused = ""
        return welcome + self._fetch()

    def _recognise(self, manifest: Manifest) -> None:
        """Whether what was kept from an earlier life is of the coordinator that this first manifest comes from."""
        kept = self._kept
        same = manifest.version == kept.whole_version
        if manifest.version < kept.whole_version or (same and manifest.sha256 != kept.sha256):
            self._forget()  # one that began anew
        elif not same and manifest.version <= self.version:
            kept.version = 0  # it cannot be told: take the whole

    def _forget(self) -> None:
        """What was learned and sent belongs to other weights."""
        self._kept.forget()
        self.learning = False
        self.learned = self._answered = self._tried = self._asked = self._kept_at = 0

    def _fetch(self) -> "Effects":
        """Ask for the initialization of the open round, if this device is in it; for any at all, if it has none."""
        told, r = self.manifest, self._round
        if told is None:
            return []
        newest: int = told.version
        if r is not None and r.version >= newest and r.invites(self.device):
            newest = r.version
        elif self.version and not told.finished:
            return []
        if self.version >= newest:
            return []
        whole = self.version == 0 or self.version + told.deltas < told.version
        wanted: int = told.version if whole else self.version + 1
        asked = wanted if whole else -wanted
        if self._asked == asked:
            return []
        self._asked = asked
        if not whole:
            return [("subscribe", topics.delta(self.site, self.model_name, wanted))]
        if not self.chunked:
            return [("subscribe", topics.model(self.site, self.model_name, "init"))]
        self._chunk = 0
        return [("subscribe", topics.chunk(self.site, self.model_name, wanted, 0))]

    def _on_chunk(self, topic: str, payload: bytes) -> "Effects":
        if self.manifest is None or not payload or not self._asked:
            return []
        if topic != topics.chunk(self.site, self.model_name, self.manifest.version, self._chunk):
            return []
        so_far = self._kept.add_piece(payload, self._chunk == 0)
        self._chunk += 1
        effects: "Effects" = [("unsubscribe", topic)]
        if so_far < self.manifest.bytes and len(payload) == CHUNK_BYTES:
            following = topics.chunk(self.site, self.model_name, self.manifest.version, self._chunk)
            return effects + [("subscribe", following)]
        self._chunk = -1
        return effects + self._on_whole()

    def _on_init(self, payload: bytes) -> "Effects":
        if self.manifest is None or self.model is None or self.version >= self.manifest.version:
            return []
        self._kept.add_piece(payload, True)
        return self._on_whole()

    def _on_whole(self) -> "Effects":
        """All pieces of an initialization are there."""
        told = self.manifest
        if told is None or self.model is None or self.version >= told.version:
            return []
        if not self._kept.complete(self.model, told.version, told.sha256):
            return []  # of another version: the manifest that names it, or the next initialization, is on its way
        self._settle()
        self._take(self._kept.take(self.model, None if self.learner is None else self.learner.weights))
        self._settled()
        topic = topics.model(self.site, self.model_name, "init")
        leave: "Effects" = [] if self.chunked else [("unsubscribe", topic)]  # else each new one would come twice
        return leave + self._fetch() + self._begin()

    def _take(self, weights: "Floats") -> None:
        """These are the weights to learn with."""
        assert self.model is not None
        step = self.manifest.inner_step_size if self.manifest else 0.0
        if self.learner is None or self.learner.weights is not weights:
            self.learner = Learner(self.model, weights, step)

    def _on_delta(self, topic: str, payload: bytes) -> "Effects":
        """What changed from the version in hand to the next one."""
        if self.model is None or self.learner is None or not self.version or not payload:
            return []
        if topic != topics.delta(self.site, self.model_name, self.version + 1):
            return []
        change = decode_update(payload, self.model)
        if change.version != self.version:
            raise WireError("version: not the one before its topic's")
        if change.boot != self._kept.crc():  # the coordinator was put back to an older checkpoint
            self._forget()  # the whole is asked for with the next round, not at once: this cannot go in circles
            return [("unsubscribe", topic)]
        self._settle()
        self._kept.change(self.model, change.indices, change.values, self.learner.weights)
        self._settled()
        return [("unsubscribe", topic)] + self._fetch() + self._begin()

    def _settle(self) -> None:
        """Before another initialization takes the place of the one in hand."""
        assert self.manifest is not None and self.model is not None
        if self.learning and self.learner is not None and not self._kept.keep(self.model, self.learner.weights):
            self._diverge()  # else what is learned so far counts on: `learned` stays
        if not self.learning or self.manifest.rebuild:
            self.learned = 0
        self.learning = False

    def _settled(self) -> None:
        """It has."""
        if self.model is not None and self.manifest is not None:
            self._kept.reserve(64 + int(self.model.shared_size * self.manifest.top_p / 25))  # 4 bytes an entry
        stale = (
            self.version - self._kept_at > RESIDUAL_VERSIONS and self._kept.pending is None
        )  # its ack subtracts from it
        if self._kept_at == 0 or stale:
            self._kept.drop_residual()
            self._kept_at = self.version

    # --- the round ---

    def _on_round(self, payload: bytes) -> "Effects":
        opened: "Round | None" = Round.decode(payload) if payload else None
        if opened is not None and not (0.0 <= opened.top_p <= 100.0 and 0.0 <= opened.inner_step_size <= 1.0):
            raise WireError("top_p or inner_step_size: out of range")
        self._round = opened
        self.opens_s = opened.opens_s if opened is not None else 0
        return self._fetch() + self._begin()

    def _begin(self) -> "Effects":
        """Start learning if a round is open for this device and nothing stands in the way."""
        r = self._round
        if r is None or self.manifest is None or self.learner is None or self.learning:
            return []
        if self._kept.pending is not None or r.version != self.version or self._answered == r.version:
            return []
        if r.round_num == self._tried or not r.invites(self.device):
            return []
        self._restart()
        if not self.manifest.residual and not self.learned:
            self._kept.drop_residual()
        self.learning = True
        self._tried = r.round_num
        self._top_p = r.top_p or self.manifest.top_p
        self._step = r.inner_step_size or self.manifest.inner_step_size
        return []

    def _restart(self) -> None:
        """Back to the initialization."""
        assert self.learner is not None
        self._kept.restore(self.learner.weights)

    def _diverge(self) -> None:
        """Learning went out of bounds: back to the initialization, with nothing kept. The round goes on without us."""
        self.learning = False
        self.learned = 0
        self.diverged += 1
        self._kept.drop_residual()
        self._restart()

    def _finish(self) -> "Effects":
        assert self.model is not None and self.manifest is not None and self.learner is not None
        self.learning = False
        values = self._kept.delta(self.model, self.learner.weights, bool(self.manifest.residual))
        if values is None:
            self._diverge()
            return []
        if self.manifest.by_tensor:
            from .tensors import top_p_of_each  # a board that needs it not does not pay for it

            indices = top_p_of_each(self.model, values, self._top_p)
        else:
            indices = top_p(values, self._top_p)
        self._sequence += 1
        key = self.version, self.boot, self._sequence
        codec = CODECS.index(self.manifest.codec)
        update = encode_update(self.model, values, indices, codec, *key, self.learned)
        self._kept.resume(self.model, self.learner.weights)
        self._kept.send(update, key)
        self.learned = 0
        return self._send()

    def _send(self) -> "Effects":
        pending = self._kept.pending
        if pending is None:
            return []
        self._sent_s = None
        self.bytes["update_up"] += len(pending)
        return [("publish", self._topic("update", self.model_name), pending, 1, False)]

    def _on_ack(self, ack: Ack) -> "Effects":
        effects: "Effects" = []
        if self.boot < ack.least_boot < MOST_BOOTS:  # this device forgot how often it had started
            self.boot = ack.least_boot + 1
            effects = self._say("ready")
        accepted = ack.result in ("accepted", "duplicate")
        if not accepted:
            self.refused_why = ack.result + ": " + ack.why if ack.why else ack.result
        r = self._round
        if ack.result == "outside" and ack.round_num and (r is None or ack.round_num >= r.round_num):
            self._tried = ack.round_num  # it is for others; the next one may be for this device
            if self.learning and ack.version == self.version:
                self.learning = False
                self.learned = 0
                self._restart()
        key = self._kept.pending_key
        if self._kept.pending is None or (ack.boot, ack.sequence) != key[1:]:
            return effects
        self._kept.answered(self.model, accepted)
        if accepted:
            self.accepted += 1
            self._answered = self._kept_at = key[0]
        return effects + self._begin()
