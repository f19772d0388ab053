"""Learning: whether the error still falls, and how soon a device adapts to its own room."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from coordinator.metrics import CURVE_SAMPLES
from coordinator.trouble import WORSE_ROUNDS

from ..store import Reading
from .fleet import known
from .periods import Period, means

LEAST_ROUNDS = 6  # to speak of a trend
STEADY_PERCENT = 10.0  # a change up to this is none: rounds differ by who is in them
CURVE_ROWS = 500 * len(CURVE_SAMPLES)  # of each end of the store: the curves of 500 devices
APART_VERSIONS = 2  # between a first and a last curve that are shown as two


@dataclass(frozen=True)
class Trend:
    """How the error after learning changed over a period. words: improving, steady, worse, or empty: too early."""

    words: str
    first: float | None  # mean over the first third of the rounds
    last: float | None  # and over the last
    percent: float | None  # from first to last; below 0: better


@dataclass(frozen=True)
class Curve:
    """Mean error after so many samples, of devices that began with one of these versions."""

    points: tuple[tuple[int, float], ...]
    devices: int
    oldest: int
    newest: int


@dataclass(frozen=True)
class Mark:
    """Something that happened, to be marked on a chart."""

    time_ns: int
    kind: str
    text: str


@dataclass(frozen=True)
class Gain:
    """What a device's own samples do to its error: means over its last WORSE_ROUNDS rounds."""

    device: str
    before: float
    after: float

    @property
    def percent(self) -> float:
        """By how much the error falls."""
        return (1 - self.after / self.before) * 100


@dataclass(frozen=True)
class Learning:
    """Error before and after a round's samples, over a period; and the adaptation curves of today and of the beginning."""

    losses: list[tuple[float | None, ...]]  # time, before, after
    trend: Trend
    now: Curve | None
    first: Curve | None  # None: there is only one
    marks: tuple[Mark, ...]


def learning(at: Reading, over: Period) -> Learning:
    """Of the whole fleet."""
    now, first = curve(at, "DESC"), curve(at, "ASC")
    same = now is None or first is None or now.newest - first.oldest < APART_VERSIONS
    return Learning(
        means(at, "round", ("loss_before", "loss_after"), over),
        trend(at, over),
        now,
        None if same else first,
        marks(at, over),
    )


def trend(at: Reading, over: Period) -> Trend:
    """The first third of a period's rounds against the last third."""
    query = "SELECT loss_after FROM round WHERE time_ns >= ? AND model = ? AND loss_after IS NOT NULL ORDER BY time_ns"
    return compare([row[0] for row in at.rows(query, over.start_ns, at.model)])


def compare(losses: Sequence[float]) -> Trend:
    """See Trend. losses: in the order of time."""
    if len(losses) < LEAST_ROUNDS:
        return Trend("", None, losses[-1] if losses else None, None)
    third = len(losses) // 3
    first, last = fmean(losses[:third]), fmean(losses[-third:])
    percent = (last - first) / abs(first) * 100 if first else 0.0
    words = "steady" if abs(percent) <= STEADY_PERCENT else "improving" if percent < 0 else "worse"
    return Trend(words, first, last, percent)


def curve(at: Reading, order: str, device: str = "") -> Curve | None:
    """The mean adaptation curve at one end of the store: order DESC for now, ASC for its beginning. One device: its last or first."""
    if device:
        end = at.row(
            f"SELECT time_ns FROM adaptation WHERE device = ? AND model = ? ORDER BY time_ns {order} LIMIT 1",
            device,
            at.model,
        )
        if end is None:
            return None
        rows = at.rows(
            "SELECT device, samples, loss, version FROM adaptation WHERE device = ? AND model = ? AND time_ns = ?",
            device,
            at.model,
            end["time_ns"],
        )
    else:
        rows = at.rows(
            f"SELECT device, samples, loss, version FROM adaptation WHERE model = ? ORDER BY time_ns {order} LIMIT ?",
            at.model,
            CURVE_ROWS,
        )
    taken: dict[tuple[str, int], tuple[float, int]] = {}  # the one of each device that is nearest to the end
    for row in rows:
        if row["loss"] is not None:
            taken.setdefault((row["device"], int(row["samples"])), (row["loss"], row["version"] or 0))
    if not taken:
        return None
    counts = sorted({samples for _, samples in taken})
    points = tuple((n, fmean(loss for (_, samples), (loss, _) in taken.items() if samples == n)) for n in counts)
    versions = [version for _, version in taken.values()]
    return Curve(points, len({name for name, _ in taken}), min(versions), max(versions))


def gains(at: Reading, most: int) -> tuple[Gain, ...]:
    """The devices whose samples help them least, first the one that they harm most."""
    query = (
        "SELECT avg(loss_before), avg(loss_after) FROM (SELECT loss_before, loss_after FROM device WHERE device = ? AND model = ?"
        " AND loss_before > 0 AND loss_after IS NOT NULL ORDER BY time_ns DESC LIMIT ?)"
    )
    found = []
    for status in known(at):
        before, after = at.rows(query, status["device"], at.model, WORSE_ROUNDS)[0]
        if before is not None:
            found.append(Gain(status["device"], before, after))
    return tuple(sorted(found, key=lambda gain: gain.percent)[:most])


def marks(at: Reading, over: Period) -> tuple[Mark, ...]:
    """Restarts of the coordinator and versions taken back, which a curve may show."""
    query = "SELECT * FROM event WHERE time_ns >= ? AND model = ? AND kind IN ('rollback', 'restart') ORDER BY time_ns DESC LIMIT 12"
    return tuple(
        Mark(row["time_ns"], row["kind"], row["text"] or "") for row in at.rows(query, over.start_ns, at.model)
    )
