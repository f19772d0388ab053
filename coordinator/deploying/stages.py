"""The staged deployment of a model as a state machine: reports and the time in, desired models out. No I/O, no clock.

Stages: one device, then a tenth of all (at least one more), then all. The devices of a stage are chosen when it is
their turn, of those that are awake: `ready` first, mains before battery before harvest, then by id. The others wait
and are taken when they come back. What becomes of one device is in coordinator.deploying.moves.

A stage has held when every device of it that was asked and is awake has the model and told `samples` telemetries
since, the needed share of the stage has (who is absent never counts as holding), and the metric over these devices
holds, for hold_s. The last stage also waits for the absent ones, until its patience is over; then they get the model
as desired all the same, and find it when they come back. One that refuses it then is listed, and takes nobody back.

Going back begins when a device refuses, when the metric fails, when a device that is awake does not answer within the
patience, when too few of a stage do, when the very first device is taken away, or when people say so. Each device
that was asked gets its earlier model as desired. It is `rolled back` when each of them is back, or is listed as lost.

The caller keeps what changed (coordinator.deploying.kept) BEFORE it publishes `effects()`. So a service that
is killed in between asks again after its restart, and asking for the same again is harmless. Seconds are since 1970.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tegu.topics import check_id

from .holding import Means, Metric, parse
from .moves import HAS_IT, REMOVED, Move

Effect = tuple[str, str, int, str]  # "desire", device, version, model
UNANSWERED = ("asked", "recalled", "lost")
UNDER_WAY = ("planned", "running", "paused", "rolling back")  # statuses in which a deployment holds its devices


@dataclass(frozen=True)
class Candidate:
    """A device that the graph selected. earlier: the model last desired of it, or ''; version: of that desire, or 0."""

    device: str
    state: str = ""
    energy: str = ""
    earlier: str = ""
    version: int = 0


@dataclass(frozen=True)
class Rules:
    """When a stage has held. metric: a text of coordinator.deploying.holding; empty: that devices took the model is enough."""

    metric: str = ""
    samples: int = 3  # telemetries a device, of which the newest count
    hold_s: float = 0.0  # for which the metric must go on to hold
    patience_s: float = 3600.0  # for a stage, for a device that is awake, and for going back
    needed_percent: float = 80.0  # of a stage

    def __post_init__(self) -> None:
        parse(self.metric)
        if self.samples < 1:
            raise ValueError(f"samples must be 1 or more, not {self.samples}")
        if not (0 <= self.hold_s < math.inf and 0 < self.patience_s < math.inf):
            raise ValueError("the hold time and the patience are seconds, and the patience is more than 0")
        if not 0 < self.needed_percent <= 100:
            raise ValueError(f"the needed share is more than 0 and at most 100 percent, not {self.needed_percent:g}")


def plan(
    number: int,
    model: str,
    where: str,
    devices: Sequence[Candidate],
    rules: Rules,
    others: Iterable["Deployment"] = (),
) -> "Deployment":
    """The deployment of a model to devices, to be started. where: the condition that selected them, for people.

    Devices that run the model already are left out. others: all deployments that may be under way. ValueError, with a
    sentence: nothing to do, a device that another one has, a metric that compares where there is no earlier model.
    """
    check_id(model, "model")
    if not devices:
        raise ValueError(f"no device fits {model}" + (f" where {where}" if where else ""))
    if len({one.device for one in devices}) < len(devices):
        raise ValueError("a device is there twice")
    moves = {one.device: _move(one, model) for one in sorted(devices, key=lambda one: one.device)}
    moves = {device: move for device, move in moves.items() if move.earlier != model}
    if not moves:
        raise ValueError(f"every device that was selected runs {model} already")
    _check_free(moves, others)
    deployment = Deployment(number, model, where, rules, moves)
    bare = next((move.device for move in moves.values() if not move.earlier), "")
    if deployment.metric.uses_before and bare:
        raise ValueError(f"'{rules.metric}' compares with the earlier model, and {bare} has none")
    return deployment


def _move(one: Candidate, model: str) -> Move:
    if one.earlier:
        check_id(one.earlier, "model")
    return Move(check_id(one.device, "device"), model, one.state, one.energy, one.earlier, one.version)


def _check_free(devices: Iterable[str], others: Iterable["Deployment"]) -> None:
    for other in others:
        both = sorted(other.holds() & set(devices))
        if both:
            raise ValueError(
                f"{both[0]} belongs to deployment {other.number} of {other.model}, which is {other.status}"
            )


@dataclass
class Deployment:
    """State of one deployment. status: planned, running, paused, done, aborted, rolling back or rolled back.

    Events only note what was heard; `tick` decides. It is to be called after them, and once a second.
    """

    number: int
    model: str
    where: str
    rules: Rules
    moves: dict[str, Move]  # by device, sorted
    status: str = "planned"
    why: str = ""  # it goes back, or was ended
    stage: int = 0  # from 1
    started_s: float | None = None
    ended_s: float | None = None
    stage_s: float = 0.0  # when the stage, or going back, began
    held_s: float | None = None  # since when the stage has held
    paused_s: float | None = None

    @cached_property
    def metric(self) -> Metric:
        return parse(self.rules.metric)

    @cached_property
    def sizes(self) -> list[int]:
        """How many devices have been asked at the end of each stage."""
        count = len(self.moves)
        return sorted({1, min(count, max(2, math.ceil(count / 10))), count})

    @property
    def under_way(self) -> bool:
        return self.status in UNDER_WAY

    @property
    def listens(self) -> bool:
        """It is to be told what is heard, and ticked: it is under way, or a device has still to answer."""
        return self.under_way or any(move.due for move in self.moves.values()) or bool(self._with(*UNANSWERED))

    def holds(self) -> set[str]:
        """The devices that no other deployment may have."""
        return {move.device for move in self.moves.values() if self.under_way and move.status not in REMOVED}

    def stages(self) -> list[list[str]]:
        """Who would go in which stage, if all stayed as it is now."""
        names = [move.device for move in sorted(self.moves.values(), key=lambda move: move.turn)]
        return [names[start:end] for start, end in zip([0, *self.sizes], self.sizes, strict=False)]

    # --- what people say ---

    def start(self, now_s: float) -> None:
        """Begin with the first stage."""
        self._only("start", "planned")
        self.status, self.stage = "running", 1
        self.started_s = self.stage_s = now_s

    def pause(self, now_s: float) -> None:
        """Ask nobody, go neither on nor back; what is heard counts, and the clocks stand still."""
        self._only("pause", "running")
        self.status, self.paused_s = "paused", now_s

    def resume(self, now_s: float) -> None:
        """Go on after a pause."""
        self._only("resume", "paused")
        passed_s = max(0.0, now_s - (self.paused_s or 0.0))
        self.status, self.paused_s = "running", None
        self.stage_s += passed_s
        self.held_s = None if self.held_s is None else self.held_s + passed_s
        for move in self._with("asked"):
            move.asked_s, move.changed = min(now_s, move.asked_s + passed_s), True

    def abort(self, now_s: float) -> None:
        """End it as it is: whoever was asked keeps the model."""
        self._only("abort", "planned", "running", "paused")
        self.status, self.why, self.ended_s = "aborted", "people ended it", now_s

    def rollback(self, now_s: float, others: Collection["Deployment"] = ()) -> None:
        """Go back, also after the end. others: all deployments; those that asked one of its devices since keep it.

        ValueError if one that is under way has one of its devices by now.
        """
        self._only("roll back", "running", "paused", "done", "aborted")
        others = [other for other in others if other is not self]
        _check_free([move.device for move in self._with(*HAS_IT)], others)
        for other in sorted(others, key=lambda other: other.number):
            for move in self._with(*HAS_IT):
                if move.device in other.moves:
                    move.since(other.moves[move.device], other.number)
        self._go_back("people asked for it", now_s)

    def restarted(self, now_s: float) -> None:
        """The service was away and heard nothing: every patience, and the hold time, begin anew."""
        self.stage_s = now_s
        self.held_s = None
        self.paused_s = now_s if self.status == "paused" else None
        for move in self._with("asked"):
            move.asked_s, move.changed = now_s, True

    # --- what is heard ---

    def state(self, device: str, state: str, now_s: float) -> None:
        """A device's state: ready, sleeping, offline, lost or refused."""
        if device in self.moves:
            self.moves[device].heard(state, now_s)

    def reported(self, device: str, version: int, model: str, why: str = "") -> None:
        """The desired version that a device knows, the model that it runs, and why it did not take the desired one."""
        if device in self.moves:
            self.moves[device].reported(version, model, why, self.under_way)

    def telemetry(self, device: str, numbers: Mapping[str, float]) -> None:
        """A device's telemetry. It counts if it is new and has every number of the metric."""
        values = self.metric.values(numbers)
        if device in self.moves and values and self.under_way:
            self.moves[device].telemetry(numbers, values, self.rules.samples)

    def retired(self, device: str) -> None:
        """A device is there no more."""
        if device in self.moves:
            self.moves[device].retired()

    def quarantined(self, device: str, why: str) -> None:
        """What a device says of itself is not believed."""
        if device in self.moves:
            self.moves[device].quarantined(why)

    # --- what is due ---

    def tick(self, now_s: float) -> None:
        """Go on, or back, as far as what was heard allows."""
        if self.status == "running":
            why = self._fault(now_s)
            if why:
                self._go_back(why, now_s)
            else:
                self._go_forward(now_s)
        elif self.status == "rolling back":
            for move in self._with("recalled") if self._over(now_s) else ():
                move.lose(f"not back after {self.rules.patience_s:g} s; last {move.state or 'not heard of'}")
            if not self._with("recalled"):
                self.status, self.ended_s = "rolled back", now_s

    def effects(self) -> list[Effect]:
        """What is to be published, each once. To be called after what changed was kept."""
        due = [move for move in self.moves.values() if move.due]
        for move in due:
            move.due = False
        return [("desire", move.device, move.version, move.wanted) for move in due]

    def again(self) -> None:
        """What was desired and not answered is due once more: after a restart, or when the broker has forgotten."""
        for move in self._with("asked", "recalled"):
            move.due = True

    def summary(self) -> dict[str, Any]:
        """For people: where it stands, the metric's means over the stage, devices by status with reasons or ''."""
        after, before = self._means(self._judged())
        devices: dict[str, dict[str, str]] = {}
        for move in self.moves.values():
            devices.setdefault(move.status, {})[move.device] = move.reason(self._samples_before)
        return {
            "number": self.number,
            "model": self.model,
            "where": self.where,
            "status": self.status,
            "why": self.why,
            "stage": self.stage,
            "stages": self.sizes,
            "metric": self.rules.metric,
            "after": dict(after),
            "before": dict(before),
            "devices": devices,
        }

    # --- forward ---

    def _fault(self, now_s: float) -> str:
        """Why it has to go back at once, or ''."""
        for move in self.moves.values():
            if move.status == "refused":
                return f"{move.device} could not take it: {move.why}"
            if self.stage == move.stage == 1 and move.status in REMOVED:
                return f"{move.device}, the first device, is {move.status}"
            if move.status == "asked" and move.awake and now_s >= move.asked_s + self.rules.patience_s:
                return f"{move.device} is {move.state} and has not answered for {self.rules.patience_s:g} s"
        return ""

    def _go_forward(self, now_s: float) -> None:
        """Ask who can be asked, and judge the stage."""
        over = self._over(now_s)
        members = self._members()
        target = self._target(members)
        if not over:
            members += self._ask(self._next(target - len(members)), now_s)
        judged = self._judged(members)
        needed = math.ceil(target * self.rules.needed_percent / 100)
        if len(judged) < needed and over:
            told = f"{len(judged)} of {target} devices took it and told enough in {self.rules.patience_s:g} s"
            self._go_back(f"stage {self.stage}: {told}, {needed} are needed", now_s)
        elif len(judged) < needed or (not over and sum(move.awake for move in members) > sum(m.awake for m in judged)):
            self.held_s = None
        elif fault := self.metric.fault(*self._means(judged)) if judged else "":
            self._go_back(f"stage {self.stage}: {fault}", now_s)
        else:
            self.held_s = now_s if self.held_s is None else self.held_s
            absent = self.stage == len(self.sizes) and self._with("waiting", "asked")
            if now_s >= self.held_s + self.rules.hold_s and (over or not absent):
                self._go_on(now_s)

    def _go_on(self, now_s: float) -> None:
        """To the next stage, or to the end."""
        self.held_s = None
        if self.stage == len(self.sizes):
            self._ask(self._with("waiting"), now_s)
            self.status, self.ended_s = "done", now_s
        else:
            self.stage, self.stage_s = self.stage + 1, now_s
            self._ask(self._next(self._target([])), now_s)

    def _over(self, now_s: float) -> bool:
        """The patience with the stage, or with going back, is over."""
        return now_s >= self.stage_s + self.rules.patience_s

    def _members(self) -> list[Move]:
        return [move for move in self.moves.values() if move.stage == self.stage and move.status not in REMOVED]

    def _target(self, members: list[Move]) -> int:
        """How many devices the stage has, with those that are still to be asked."""
        could = len(members) + len(self._with("waiting"))
        if self.stage == len(self.sizes):
            return could
        start, end = [0, *self.sizes][self.stage - 1 : self.stage + 1]
        return min(end - start, could)

    def _next(self, room: int) -> list[Move]:
        """Whose turn it is, if the stage has room for so many more."""
        able = [move for move in self._with("waiting") if move.awake and len(move.before) >= self._samples_before]
        return sorted(able, key=lambda move: move.turn)[: max(0, room)]

    def _ask(self, moves: list[Move], now_s: float) -> list[Move]:
        for move in moves:
            move.ask(self.stage, now_s)
        return moves

    @property
    def _samples_before(self) -> int:
        """Telemetries under its earlier model that a device's turn waits for."""
        return self.rules.samples if self.metric.uses_before else 0

    def _judged(self, members: list[Move] | None = None) -> list[Move]:
        """Devices of the stage that have the model and told enough since."""
        enough = self.rules.samples if self.metric.comparisons else 0
        members = self._members() if members is None else members
        return [move for move in members if move.status == "took" and len(move.after) >= enough]

    def _means(self, judged: list[Move]) -> tuple[Means, Means]:
        after = self.metric.means([move.after for move in judged])
        return after, self.metric.means([move.before for move in judged if move.before])

    # --- back ---

    def _go_back(self, why: str, now_s: float) -> None:
        self.status, self.why, self.stage_s = "rolling back", why, now_s
        self.held_s = self.paused_s = self.ended_s = None
        for move in self.moves.values():
            if move.stage and move.status == "retired":
                move.lose("retired")
            elif move.stage and move.status in (*HAS_IT, "quarantined"):
                move.recall()

    # --- small things ---

    def _only(self, what: str, *statuses: str) -> None:
        if self.status not in statuses:
            raise ValueError(f"cannot {what}: deployment {self.number} is {self.status}")

    def _with(self, *statuses: str) -> list[Move]:
        return [move for move in self.moves.values() if move.status in statuses]
