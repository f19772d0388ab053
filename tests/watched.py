"""A federation in memory that is watched: real sessions, a real Federation, Observed, and a wire that may lose messages.

The wire keeps what MQTT promises (retained topics, what one sender says in its order, QoS 0 and 1 alike) and takes `delay`
steps each way. What it loses it counts itself, by device and class: the figures that the ledger must find.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from coordinator.checkpoint import Checkpoint
from coordinator.federation import Federation
from coordinator.metrics import Point
from coordinator.observing import HEADER_BYTES, Observed
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from tegu import topics
from tegu.model import Model
from tegu.session import Session

SPEC = "11 | dense 24 tanh | dense 2 softmax"
STEP_NS = 100_000_000  # of the clock that Observed sees
BEGAN_NS = 1_700_000_000 * 10**9
Lost = Callable[[str, str, Random], bool]  # device, class -> whether this message is lost


class Member:
    """A device: a session, its link, and when it tells telemetry (an agent before its update, a board after it)."""

    def __init__(self, name: str, chunked: bool, board: bool) -> None:
        self.name, self.chunked, self.board = name, chunked, board
        self.boot = 1
        self.topics: set[str] = set()
        self.up = False
        self.updates = 0
        self.start()

    def start(self) -> None:
        self.session = Session("home", self.name, "m", self.boot, chunked=self.chunked)


class Watched:
    """Call run() until enough rounds are closed; `points` has what Observed made of it."""

    def __init__(self, path: Path, devices: int = 4, delay: int = 1, lost: Lost | None = None, **told: Any) -> None:
        model = ModelSettings("m", SPEC, samples=4, top_p_down=told.pop("down", 0.0))
        rules = {"quorum": devices, "deadline_s": 30.0, "rounds": 0, "outer_step_size": 0.3, **told}
        settings = Settings(LinkSettings(checkpoint=path), model, RoundSettings(**rules))
        checkpoint = Checkpoint(path, "m", Model(SPEC))
        checkpoint._db.execute("PRAGMA synchronous=OFF")
        self.step = 0
        self.federation = Federation(settings, lambda: self.step * STEP_NS / 1e9, lambda: self.now_ns / 1e9, checkpoint)
        self.observed = Observed("home", "m", every_s=1.0)
        self.points: list[Point] = []
        self.retained: dict[str, bytes] = {}
        self.members = {f"room-{n}": Member(f"room-{n}", n % 2 == 1, n % 3 == 2) for n in range(1, devices + 1)}
        self.delay, self.lost = delay, lost
        self.draw = Random(5)
        self.lost_bytes: dict[tuple[str, str], int] = defaultdict(int)
        self.up_queue: list[tuple[int, str, bytes, bool]] = []
        self.down_queue: list[tuple[int, str, str, bytes]] = []
        self.publish(self.federation.retained())

    @property
    def now_ns(self) -> int:
        return BEGAN_NS + self.step * STEP_NS

    # --- the coordinator ---

    def publish(self, out: list[tuple[str, bytes, bool]]) -> None:
        for topic, payload, retain in out:
            self.points += self.observed.take(("said", self.now_ns, topic, payload, len(payload), retain))
            if retain and payload:
                self.retained[topic] = payload
            elif retain:
                self.retained.pop(topic, None)
            for member in self.members.values():
                if member.up and topic in member.topics:
                    self.down_queue.append((self.step + self.delay, member.name, topic, payload))

    def hear(self, topic: str, payload: bytes, retained: bool) -> None:
        kind = topics.parse(topic)[3]  # type: ignore[index]
        kept = payload[:HEADER_BYTES] if kind == "update" else payload
        self.points += self.observed.take(("heard", self.now_ns, topic, kept, len(payload), retained))
        if kind in ("state", "update"):
            self.publish(self.federation.batch([(topic, payload)]))

    # --- devices ---

    def connect(self, member: Member) -> None:
        member.up, member.topics = True, set()
        self.carry_out(member, member.session.connected())

    def cut(self, member: Member) -> None:
        """Its link is gone, with all that was on its way down; the broker says its last will."""
        member.up = False
        self.down_queue = [flight for flight in self.down_queue if flight[1] != member.name]
        topic, payload = member.session.will()
        self.up_queue.append((self.step + self.delay, topic, payload, True))

    def carry_out(self, member: Member, effects: list[tuple[Any, ...]]) -> None:
        for effect in effects:
            if effect[0] == "publish" and member.up:
                self.send(member, effect[1], effect[2])
            elif effect[0] == "subscribe":
                member.topics.add(effect[1])
                if effect[1] in self.retained:
                    self.down_queue.append((self.step + self.delay, member.name, effect[1], self.retained[effect[1]]))
            elif effect[0] == "unsubscribe":
                member.topics.discard(effect[1])

    def send(self, member: Member, topic: str, payload: bytes) -> None:
        kind = topics.parse(topic)[3]  # type: ignore[index]
        if self.lost is not None and kind in ("update", "telemetry") and self.lost(member.name, kind, self.draw):
            self.lost_bytes[member.name, kind] += len(payload)
            return
        self.up_queue.append((self.step + self.delay, topic, payload, False))

    def tell(self, member: Member, **numbers: float) -> None:
        self.carry_out(member, member.session.telemetry({"updates": member.updates, **numbers}))

    def learn(self, member: Member) -> None:
        session = member.session
        while session.learning:
            x = [self.draw.uniform(-1, 1) for _ in range(11)]
            effects = session.sample(x, session.wanted or 0)
            if not effects:
                continue
            member.updates += 1
            if member.board:
                self.carry_out(member, effects)
                self.tell(member, loss_before=0.7, loss_after=0.4)
            else:
                self.tell(member, loss_before=0.7, loss_after=0.4)
                self.carry_out(member, effects)

    # --- time ---

    def run(self, steps: int, learn: bool = True) -> None:
        for _ in range(steps):
            self.step += 1
            due = [flight for flight in self.up_queue if flight[0] <= self.step]
            self.up_queue = [flight for flight in self.up_queue if flight[0] > self.step]
            for _, topic, payload, _retained in due:
                self.hear(topic, payload, False)
            landed = [flight for flight in self.down_queue if flight[0] <= self.step]
            self.down_queue = [flight for flight in self.down_queue if flight[0] > self.step]
            for _, name, topic, payload in landed:
                member = self.members[name]
                if topic in member.topics or "/ack/" in topic:
                    self.carry_out(member, member.session.received(topic, payload))
            for member in self.members.values():
                if member.up:
                    self.carry_out(member, member.session.tick(self.step * STEP_NS / 1e9))
                    if learn:
                        self.learn(member)
            while out := self.federation.tick():
                self.publish(out)
            self.points += self.observed.tick(self.now_ns)

    def of(self, measurement: str, device: str = "") -> list[Point]:
        return [p for p in self.points if p.measurement == measurement and device in ("", p.tags[1])]
