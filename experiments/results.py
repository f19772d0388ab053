"""What a run found, as frozen values: a demo fills a `Result`, the screen and the report draw it.

Nothing here measures or draws. Bytes are MQTT payload bytes, energy is in joules and says whether it was
measured or modelled, a loss is the model's own (cross-entropy, or half the summed squared error).
A float that could not be had is `nan`: drawn as a gap, printed as a dash.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EnergyKind = Literal["modelled", "measured"]
ScoreName = Literal["balanced accuracy", "accuracy", "mean squared error"]


@dataclass(frozen=True)
class RoundRow:
    """One closed round, as the coordinator counted it."""

    round_num: int
    version: int  # of the initialization this round published
    accepted: int  # updates merged
    late: int  # updates that came after the round had closed
    stale: int  # updates that began from an older version than is taken
    bytes_up: int  # update payloads received in this round, from all devices
    bytes_down: int  # initialization payloads delivered in this round, to all devices
    query_loss_before: float  # mean over devices, on held-out samples, before adapting
    query_loss_after: float  # the same, after each device adapted to its own samples
    closed_after_s: float


@dataclass(frozen=True)
class DeviceRow:
    """One device over the whole run, as it counted itself."""

    device: str
    source: str  # where its samples came from, e.g. "room 917810"
    simulated: bool
    updates: int  # updates sent
    samples: int  # samples learned from
    bytes_up: int  # update payloads sent, retries included
    dense_bytes_up: int  # what the same updates are as dense float32
    bytes_down: int
    energy_joules: float  # the total; may exceed the three parts by what was spent idle
    energy_kind: EnergyKind
    compute_joules: float
    radio_joules: float
    session_joules: float


@dataclass(frozen=True)
class Curve:
    """The adaptation curve from one start: loss and score on a device that never took part, after n samples.

    `samples`, `loss` and `score` have one length, else ValueError. In a Result the first curve is ours.
    """

    label: str
    samples: tuple[int, ...]
    loss: tuple[float, ...]
    score: tuple[float, ...]
    score_name: ScoreName

    def __post_init__(self) -> None:
        if not len(self.samples) == len(self.loss) == len(self.score):
            raise ValueError(f"curve {self.label!r}: samples, loss and score differ in length")

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller score is the better one."""
        return self.score_name == "mean squared error"

    def score_after(self, samples: int) -> float:
        """The score after that many samples; nan if it was not taken."""
        return self.score[self.samples.index(samples)] if samples in self.samples else math.nan


@dataclass(frozen=True)
class Result:
    """A whole run. `settings` holds what repeats it: the key "seed", and "command", the line for a shell."""

    task: str
    title: str
    unseen: str  # the source that never took part, described
    unseen_simulated: bool
    data_note: str  # which data this run used
    curves: tuple[Curve, ...]  # ours first, then what it is compared with
    rounds: tuple[RoundRow, ...]
    devices: tuple[DeviceRow, ...]
    settings: Mapping[str, object]
    broker: str
    seconds: float
    notes: tuple[str, ...]


def headline_samples(curves: tuple[Curve, ...]) -> tuple[int, ...]:
    """The sample counts a headline quotes: the first, and the largest up to 8; fewer if there are fewer."""
    taken = sorted({n for curve in curves for n in curve.samples})
    early = taken[:1]
    return tuple(early + [n for n in taken if early[0] < n <= 8][-1:])


def number_text(value: float, unit: str = "") -> str:
    """Three significant digits, no exponent where a person would not write one; a dash if not finite."""
    if not math.isfinite(value):
        return "-"
    size = abs(value)
    if size != 0 and not 1e-4 <= size < 1e6:
        text = f"{value:.2e}"
    else:
        places = 2 if size == 0 else max(0, min(6, 2 - math.floor(math.log10(size))))
        text = f"{value:,.{places}f}"
    return f"{text} {unit}".rstrip()


def score_text(curve: Curve, score: float) -> str:
    """A score as headlines print it: two decimals for a share, three significant digits for an error."""
    if not math.isfinite(score) or curve.lower_is_better:
        return number_text(score)
    return f"{score:.2f}"


def bytes_text(count: float) -> str:
    """Bytes in decimal units: 812 B, 6.80 kB, 2.10 MB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size * 0.9995:
            return number_text(count / size, unit)
    return f"{count:.0f} B"


def joules_text(joules: float) -> str:
    """Energy in the unit that needs no zeros: 34.0 µJ, 543 mJ, 1.23 J, 2.00 kJ."""
    for unit, size in (("kJ", 1e3), ("J", 1.0), ("mJ", 1e-3)):
        if abs(joules) >= size * 0.9995:
            return number_text(joules / size, unit)
    return "0 J" if joules == 0 else number_text(joules / 1e-6, "µJ")


def seconds_text(seconds: float) -> str:
    """A duration: 8.4 s, 2 min 05 s, 1 h 02 min."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def one_line(text: object) -> str:
    """Text safe to show: control characters, line breaks and direction overrides become spaces."""
    return "".join(c if c.isprintable() else " " for c in str(text))
