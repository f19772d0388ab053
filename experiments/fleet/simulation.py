"""A federation of simulated devices without a broker: the coordinator is the real one, every byte is encoded and decoded.

The devices of a round learn together as arrays (experiments.fleet). What they send are real updates, which the real
Federation decodes, judges, merges and answers; what it publishes is what they learn from next. Bytes are MQTT payloads,
counted where they pass. What a device would fetch is counted by the rules of tegu.session: every message of manifest and
round that is published while it is there, and of the initialization what its round needs, whole or as deltas.

Time is simulated: of the devices in a round some drop out, and each needs its time, so that a round closes by its quorum
with the slower ones too late. Everything random comes from the seed, the device and the round's number, so a run is the
same again. One that is taken up from a snapshot ends with the same initialization; a few more bytes go down, for as after
any restart the coordinator publishes the whole.
"""

import json
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator import sections
from coordinator.checkpoint import Checkpoint
from coordinator.encoding import decode_init, encode_update, top_p
from coordinator.federation import Federation, Outgoing
from coordinator.settings import ModelSettings, Settings, to_toml
from experiments.usecases import UseCase
from tegu import topics
from tegu.model import Model
from tegu.session import RESIDUAL_VERSIONS
from tegu.tensors import shared_tensors
from tegu.wire import CODECS
from tegu.wire.messages import Ack, Manifest, Round, State
from tegu.wire.update import decode_update

from . import Floats, Kernel, Way, kernel, learn

Doubles = NDArray[np.float64]
EPOCH_S = 1_800_000_000.0  # when a simulated run begins: as many digits in its messages as in real ones
MOST_DEADLINES = 200  # in a row without an update
KINDS = ("update", "ack", "init", "delta", "manifest", "round", "state")


@dataclass(frozen=True)
class Trouble:
    """What goes wrong: the chance that a device in a round is never heard of, and how unequal their times are."""

    dropout: float = 0.0
    spread: float = 0.0  # the standard deviation of the logarithm of a device's time
    median_s: float = 1.0  # of that time

    def __post_init__(self) -> None:
        if not (0 <= self.dropout < 1 and self.spread >= 0 and self.median_s > 0):
            raise ValueError("dropout must be 0 to below 1, spread must not be negative, median_s must be above 0")


@dataclass
class Counts:
    """What passed in all: payload bytes by kind, summed over the devices, and what they did."""

    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    updates: int = 0
    samples: int = 0
    steps: int = 0  # samples times passes: forward and backward ways through the model
    diverged: int = 0
    late: int = 0

    @property
    def up(self) -> int:
        return self.bytes["update"] + self.bytes["state"]

    @property
    def down(self) -> int:
        return sum(self.bytes.values()) - self.up


class FleetSimulation:
    """The devices of a use case around one federation. settings.link.checkpoint is not used: all is in memory.

    Everyone in a round learns settings.model.samples samples of it, as settings.model says (passes, batch, proximal, query,
    rebuild). run() yields after each closed round. Raises ValueError when settings and use case do not fit.
    """

    def __init__(
        self,
        settings: Settings,
        use_case: UseCase,
        seed: int,
        trouble: Trouble = Trouble(),
        with_kernel: Kernel | None = None,
        snapshot: Path | None = None,
    ) -> None:
        self.settings, self.use_case, self.seed, self.trouble = settings, use_case, seed, trouble
        self.clock_s = 0.0
        self.counts = Counts()
        self.devices = [f"device-{n}" for n in range(use_case.devices)]
        self._number = {name: n for n, name in enumerate(self.devices)}
        self._kernel = with_kernel or kernel()
        self._residual: dict[int, Floats] = {}
        self._kept_at = np.zeros(len(self.devices), dtype=np.int64)
        self._has = np.zeros(len(self.devices), dtype=np.int64)  # the version that a device holds
        self._sequence = np.zeros(len(self.devices), dtype=np.int64)
        self._retained: dict[str, bytes] = {}
        checkpoint = Checkpoint(Path(":memory:"), settings.model.name, Model(settings.model.spec))
        if snapshot is not None:
            checkpoint.load_copy(snapshot.with_suffix(".sqlite"))
            self._load(snapshot)
        self.federation = Federation(settings, lambda: self.clock_s, lambda: EPOCH_S + self.clock_s, checkpoint)
        self.model = self.federation.model
        self._shared = np.concatenate([np.arange(start, stop) for start, stop in self.model.shared])
        self._tensors = shared_tensors(self.model)
        self._begin(counted=snapshot is None)

    @property
    def closed(self) -> int:
        """Rounds closed so far."""
        return self.federation.rounds.closed

    @property
    def initialization(self) -> Floats:
        """What a device that joins now would start from."""
        return self._decoded(self._retained[self._topic("init")])

    def run(self) -> Iterator[int]:
        """Go on to the end of the settings' rounds; yields the number of closed rounds after each."""
        waited = 0
        while not self.federation.rounds.finished:
            before = self.closed
            self._one_round()
            waited = 0 if self.closed > before else waited + 1
            if waited == MOST_DEADLINES:
                raise ValueError(f"no update was accepted in {waited} rounds: all drop out, or all diverge")
            if not waited:
                yield self.closed

    # --- messages ---

    def _begin(self, counted: bool) -> None:
        """Everyone says that it is there, and hears what is retained."""
        births = []
        for name in self.devices:
            state = State(state="ready", boot=1, model=self.settings.model.name).encode()
            births.append((topics.device(self.settings.link.site, name, "state"), state))
        self.counts.bytes["state"] += counted * sum(len(payload) for _, payload in births)
        self._hear(self.federation.batch(births), counted)
        self._hear(self.federation.retained(), counted)
        self._tick(counted)

    def _tick(self, counted: bool = True) -> None:
        while out := self.federation.tick():
            self._hear(out, counted)

    def _hear(self, out: Outgoing, counted: bool = True) -> None:
        for topic, payload, retain in out:
            if retain:
                self._retained[topic] = payload
            kind = topic.rsplit("/", 1)[1]
            if counted and kind in ("manifest", "round"):
                self.counts.bytes[kind] += len(payload) * len(self.devices)

    def _topic(self, kind: str) -> str:
        return topics.model(self.settings.link.site, self.settings.model.name, kind)

    # --- one round ---

    def _one_round(self) -> None:
        told: Round = Round.decode(self._retained[self._topic("round")])
        random = np.random.default_rng([self.seed, told.round_num, 7])
        inside = [n for n in self._inside(told) if random.random() >= self.trouble.dropout]
        times = self.trouble.median_s * np.exp(self.trouble.spread * random.standard_normal(len(inside)))
        order = [inside[i] for i in np.argsort(times, kind="stable")]
        opened_s = self.clock_s
        payloads = self._learn(order, told) if order else []
        for number, payload, after_s in zip(order, payloads, np.sort(times), strict=True):
            if self.federation.rounds.round_num == told.round_num:  # who is late does not hold up the next round
                self.clock_s = max(self.clock_s, min(opened_s + float(after_s), opened_s + self._deadline_s()))
            if payload:
                self._send(number, payload)
            self._tick()
        if self.federation.rounds.round_num == told.round_num and not self.federation.rounds.finished:
            self.clock_s = opened_s + self._deadline_s()
            self._tick()

    def _deadline_s(self) -> float:
        return self.settings.rounds.deadline_s

    def _inside(self, told: Round) -> list[int]:
        """The devices of a round, by the rule of tegu.session."""
        if told.invited:
            return [self._number[told.invited]]
        limit = told.join_percent * 100
        return [
            n
            for n, name in enumerate(self.devices)
            if crc32(b"%s %d" % (name.encode(), told.round_num)) % 10000 < limit
        ]

    def _send(self, number: int, payload: bytes) -> None:
        """One update to the coordinator, and its ack back to the device."""
        site, name = self.settings.link.site, self.settings.model.name
        self.counts.bytes["update"] += len(payload)
        self.counts.updates += 1
        for _, answer, _ in self.federation.batch(
            [(topics.device(site, self.devices[number], "update", name), payload)]
        ):
            self.counts.bytes["ack"] += len(answer)
            ack: Ack = Ack.decode(answer)
            if ack.result == "accepted":
                sent = decode_update(payload, self.model, sections)
                residual = self._residual[number]
                at = np.frombuffer(sent.indices, dtype=f"u{sent.indices.itemsize}")
                residual[at] -= np.frombuffer(sent.values, dtype=np.float32)
                self._kept_at[number] = sent.version
            else:
                self.counts.late += 1

    # --- what a device does in a round ---

    def _learn(self, numbers: list[int], told: Round) -> list[bytes]:
        """The updates of these devices; empty of one that diverged."""
        manifest: Manifest = Manifest.decode(self._retained[self._topic("manifest")])
        start = self._fetch(numbers, told, manifest)
        rules = self.settings.model
        drawn = [self.use_case.support(n, told.round_num, rules.samples + rules.query) for n in numbers]
        x, y = np.stack([samples.x for samples in drawn]), np.stack([samples.y for samples in drawn])
        step = told.inner_step_size or manifest.inner_step_size
        deltas = learned(self.model, start, x, y, rules, step, self._kernel)[:, self._shared]
        self.counts.samples += x.shape[0] * x.shape[1]
        self.counts.steps += x.shape[0] * (rules.samples * rules.passes + rules.query)
        percent = told.top_p or manifest.top_p
        return [self._update(n, delta, told.version, percent) for n, delta in zip(numbers, deltas, strict=True)]

    def _fetch(self, numbers: list[int], told: Round, manifest: Manifest) -> Floats:
        """The initialization of the round; counts what these devices fetch for it."""
        whole = self._retained[self._topic("init")]
        for n in numbers:
            if self._has[n] == 0 or self._has[n] + manifest.deltas < manifest.version:
                self.counts.bytes["init"] += len(whole)
                self._has[n] = manifest.version
            for version in range(int(self._has[n]) + 1, told.version + 1):
                self.counts.bytes["delta"] += len(self._retained[self._delta_topic(version)])
            if told.version - self._kept_at[n] > RESIDUAL_VERSIONS or n not in self._residual:
                self._residual[n] = np.zeros(self.model.shared_size, dtype=np.float32)
                self._kept_at[n] = told.version
            self._has[n] = told.version
        return self._decoded(whole)

    def _delta_topic(self, version: int) -> str:
        return topics.delta(self.settings.link.site, self.settings.model.name, version)

    def _decoded(self, whole: bytes) -> Floats:
        """What everyone who fetched all that there is holds: deltas make the coordinator's own `published`, to the bit."""
        return self.federation.published if self.settings.model.top_p_down else decode_init(whole, self.model)[1]

    def _update(self, number: int, delta: Doubles, version: int, percent: float) -> bytes:
        rules, residual = self.settings.model, self._residual[number]
        if not rules.residual:
            residual[:] = 0
        with np.errstate(all="ignore"):
            residual[:] = residual.astype(np.float64) + delta
        if not np.isfinite(residual).all():
            self.counts.diverged += 1
            residual[:] = 0
            return b""
        if rules.top_p_of == "tensor":
            parts = [start + top_p(residual[start:stop], percent).astype(np.int64) for start, stop in self._tensors]
            indices = np.concatenate(parts)
        else:
            indices = top_p(residual, percent)
        self._sequence[number] += 1
        codec, sequence = CODECS.index(rules.codec), int(self._sequence[number])
        return encode_update(self.model, residual, indices, codec, version, 1, sequence, rules.samples)

    # --- snapshots ---

    def save(self, path: Path) -> None:
        """All of the run so far, in path with .npz and .sqlite behind it."""
        self.federation.checkpoint.save_copy(path.with_suffix(".sqlite"))
        numbers = sorted(self._residual)
        np.savez(
            path.with_suffix(".npz"),
            numbers=np.array(numbers, dtype=np.int64),
            residual=np.array([self._residual[n] for n in numbers], dtype=np.float32),
            kept_at=self._kept_at,
            has=self._has,
            sequence=self._sequence,
            clock_s=self.clock_s,
            told=self._told(),
            counts=json.dumps(vars(self.counts)),
        )

    def _told(self) -> str:
        return f"{to_toml(self.settings)}seed {self.seed}, {len(self.devices)} devices, {self.trouble}"

    def _load(self, path: Path) -> None:
        with np.load(path.with_suffix(".npz")) as kept:
            if str(kept["told"]) != self._told():
                raise ValueError(f"{path} is a snapshot of another run: other settings, seed or devices")
            self._residual = dict(zip(kept["numbers"].tolist(), kept["residual"].copy(), strict=True))
            self._kept_at, self._has, self._sequence = kept["kept_at"], kept["has"], kept["sequence"]
            self.clock_s = float(kept["clock_s"])
            self.counts = Counts(**json.loads(str(kept["counts"])))


def learned(
    model: Model,
    start: Floats,
    x: Floats,
    y: NDArray[np.generic],
    rules: ModelSettings,
    step: float,
    with_kernel: Kernel,
) -> Doubles:
    """The deltas (devices, model.size) of devices that all start from `start`, by the rules of the settings.

    With query samples, which come last, the delta is the step down their mean gradient at the adapted weights
    (first-order MAML), else the whole way from the start. nan where a device diverged.
    """
    weights = np.tile(start, (len(x), 1))
    support = x.shape[1] - rules.query
    batch = rules.batch or support
    ways = [
        (np.tile(np.arange(support), rules.passes), Way(step, batch, "", rules.proximal))
    ]  # pulled to the start in all
    if rules.rebuild:
        rest = np.tile(np.arange(rules.rebuild, support), rules.passes)
        ways = [
            (np.arange(rules.rebuild), Way(step, batch, "local")),
            (rest, Way(step, batch, "shared", rules.proximal)),
        ]
    for order, way in ways:
        learn(model, weights, x[:, order], y[:, order], way, with_kernel)
    before: Floats = start[None]
    if rules.query:
        before = weights.copy()
        learn(model, weights, x[:, support:], y[:, support:], Way(step, rules.query), with_kernel)
    return weights.astype(np.float64) - before
