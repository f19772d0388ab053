"""The demo's tasks: which model, which devices, which device never takes part, and the settings that go with them.

A device's source is named by text (`module:callable?name=value`), so that a process of its own can make it again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from coordinator.settings import Initial, LinkSettings, ModelSettings, RoundSettings, Schedule, Settings
from edge_agents.rooms import Room, RoomSource, real_rooms, simulated_room
from edge_agents.sources import Sample, Source

from .results import ScoreName

SITE = "demo"
QUERY = 200  # held-out samples of a sine or a labelling


def split(source: str) -> tuple[str, dict[str, str]]:
    """The callable's name and its arguments, out of a source's text."""
    name, _, rest = source.partition("?")
    return name, dict(pair.split("=", 1) for pair in rest.split("&") if pair)


@dataclass(frozen=True)
class Learning:
    """The settings of a task's federation; what they are for is in coordinator.settings."""

    inner_step_size: float
    samples: int
    rounds: int
    outer_step_size: float = 1.0
    schedule: Schedule = "cosine"
    first_bias: float = 0.0
    scratch_step: float = 0.05  # of the random start: the one that was best for it
    top_p_down: float = 10.0  # percent
    initial: Initial = "glorot"
    fedavg_passes: int = 1  # local passes; FedAvg gets as many steps in all as Tegu, in fewer rounds


@dataclass(frozen=True)
class Cast:
    """Who plays: the sources of the devices as text, those that never take part, and what to say of the data."""

    devices: tuple[str, ...]
    unseen: tuple[Callable[[], Source], ...]  # each from another place, or another device; the curves are their mean
    data_note: str


@dataclass(frozen=True)
class Task:
    name: str
    title: str
    spec: str
    score_name: ScoreName
    learning: Learning
    cast: Callable[[int, int, Path | None], Cast]  # devices, seed, folder of real data


def settings_of(
    task: Task, seed: int, devices: int, rounds: int = 0, samples: int = 0, top_p: float = 10.0, **link: Any
) -> Settings:
    """The coordinator's settings for a task; rounds and samples 0 are the task's own. link: of LinkSettings."""
    learning = task.learning
    return Settings(
        LinkSettings(**{"site": SITE, "checkpoint": Path(":memory:"), **link}),
        ModelSettings(
            name=task.name,
            spec=task.spec,
            seed=seed,
            first_bias=learning.first_bias,
            inner_step_size=learning.inner_step_size,
            samples=samples or learning.samples,
            top_p=top_p,
            top_p_down=learning.top_p_down,
            initial=learning.initial,
        ),
        RoundSettings(
            rounds=rounds or learning.rounds,
            quorum=devices,
            deadline_s=10.0,
            outer_step_size=learning.outer_step_size,
            schedule=learning.schedule,
        ),
    )


# --- presence --------------------------------------------------------------------------------------------------------

STARTS = 8  # places in the unseen room's support from which adaptation is measured


def presence(count: int, seed: int, folder: Path | None, left_out: int | None = None) -> Cast:
    """With real data one recorded room is left out (by number, else by seed); the others and simulated ones take part."""
    rooms = real_rooms(folder) if folder else []
    names: list[str] = []
    if rooms:
        unseen = rooms.pop((seed if left_out is None else left_out) % len(rooms))
        names = [f"room?folder={folder}&name={room.name}" for room in rooms][:count]
        note = (
            f"{len(names)} recorded rooms and {count - len(names)} SIMULATED rooms took part; "
            f"{unseen.name} is a recorded room and did not."
        )
    else:
        unseen = simulated_room(seed, 0)
        note = f"No recorded rooms were at hand: all {count} rooms, and the room that did not take part, are SIMULATED."
    names += [f"simulated?seed={seed}&number={n}" for n in range(1, count - len(names) + 1)]
    step = max(1, unseen.support_rows // STARTS)
    starts = tuple(_from(unseen, at * step) for at in range(STARTS))
    return Cast(tuple(names), starts, note)


def _from(room: Room, start: int) -> Callable[[], Source]:
    return lambda: RoomSource(room, start)


# --- sine ------------------------------------------------------------------------------------------------------------


class Drawn(Source):
    """Stands for many devices: draws another one at each round, by seed. samples() of a subclass makes its samples."""

    def __init__(self, name: str, description: str, seed: int) -> None:
        super().__init__(name, True, description)
        self.random = Random(seed)
        self._query: list[Sample] = []
        self.begin_round()

    def query(self) -> list[Sample]:
        return self._query


class Sine(Drawn):
    """y = A sin(5 x + phase), x in -1..1 (that is -5..5, scaled), A 0.1 to 5, phase 0 to pi."""

    def begin_round(self) -> None:
        self._amplitude = self.random.uniform(0.1, 5.0)
        self._phase = self.random.uniform(0.0, math.pi)
        self._query = [self._at(2 * i / (QUERY - 1) - 1) for i in range(QUERY)]

    def next_support(self, wanted: int | None) -> Sample | None:  # noqa: ARG002
        return self._at(self.random.uniform(-1.0, 1.0))

    def _at(self, x: float) -> Sample:
        return (x,), (self._amplitude * math.sin(5 * x + self._phase),)


def sine_source(seed: str) -> Source:
    """A device that draws another sine each round."""
    return Sine("sines", "a sine of another amplitude and phase each round", int(seed))


def sine(count: int, seed: int, _: Path | None) -> Cast:
    names = tuple(f"experiments.tasks:sine_source?seed={seed * 1000 + n}" for n in range(count))
    unseen = tuple(_sine(seed * 1000 + 500 + n) for n in range(50))
    return Cast(names, unseen, "Made-up sine waves; 50 that no device has seen are the ones adapted to.")


def _sine(seed: int) -> Callable[[], Source]:
    return lambda: sine_source(str(seed))


# --- digits ----------------------------------------------------------------------------------------------------------

WAYS = 3
SEEN = (0, 1, 2, 3, 4, 5, 6)
UNSEEN = (7, 8, 9)


class Digits(Drawn):
    """Three kinds of digits under the labels 0, 1, 2 in an order of its own: 8x8 pixels, 0..1, scikit-learn's set."""

    def __init__(self, name: str, kinds: tuple[int, ...], seed: int) -> None:
        if find_spec("sklearn") is None:
            raise ValueError(
                "the digits come with scikit-learn; install it with: pip install 'tegu[digits]' "
                "(in a checkout: .venv/bin/pip install -e '.[digits]')"
            )
        from sklearn.datasets import load_digits

        found = load_digits()
        self._kinds = kinds
        self._images = {
            kind: [tuple(float(v) / 8 - 1 for v in row) for row in found.data[found.target == kind]] for kind in kinds
        }
        super().__init__(name, f"handwritten digits {', '.join(map(str, kinds))} (scikit-learn)", seed)
        self.simulated = False

    def begin_round(self) -> None:
        self._labels = self.random.sample(self._kinds, WAYS)
        self._support: list[list[tuple[float, ...]]] = []
        self._query = []
        for label, kind in enumerate(self._labels):
            images = self.random.sample(self._images[kind], len(self._images[kind]))
            self._support.append(images[:60])
            self._query += [(image, label) for image in images[60 : 60 + QUERY // WAYS]]

    def next_support(self, wanted: int | None) -> Sample | None:
        label = self.random.randrange(WAYS) if wanted is None else wanted
        image = self._support[label].pop(0)
        self._support[label].append(image)
        return image, label


def digits_source(seed: str) -> Source:
    """A device that names three of the digits 0 to 6 anew each round."""
    return Digits("digits 0-6", SEEN, int(seed))


def digits(count: int, seed: int, _: Path | None) -> Cast:
    digits_source("0")  # tells now, before any process starts, if scikit-learn is missing
    names = tuple(f"experiments.tasks:digits_source?seed={seed * 1000 + n}" for n in range(count))
    unseen = tuple(_digits(seed * 1000 + 500 + n) for n in range(30))
    return Cast(names, unseen, "Handwritten digits 0 to 6 took part; 7, 8 and 9 were seen by no device.")


def _digits(seed: int) -> Callable[[], Source]:
    return lambda: Digits("digits 7-9", UNSEEN, seed)


TASKS = {
    task.name: task
    for task in (
        Task(
            "presence",
            "Is someone in the room?",
            "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax",
            "balanced accuracy",
            Learning(
                inner_step_size=0.04,
                samples=60,
                rounds=120,
                outer_step_size=4.0,
                first_bias=1.0,
                scratch_step=0.08,
                fedavg_passes=5,
            ),
            presence,
        ),
        Task(
            "sine",
            "A sine from a few points",
            "1 | dense 32 tanh | dense 32 tanh | dense 1 linear local",
            "mean squared error",
            Learning(
                inner_step_size=0.05, samples=32, rounds=400, outer_step_size=6.0, first_bias=1.0, initial="fan-in"
            ),
            sine,
        ),
        Task(
            "digits",
            "Three digits never seen",
            "64 | dense 32 tanh | dense 3 softmax",
            "accuracy",
            Learning(inner_step_size=0.05, samples=15, rounds=60),
            digits,
        ),
    )
}
