"""Rounds: when they closed, who took part, how long it took."""

from dataclasses import dataclass

from coordinator.metrics import RESULTS

from ..store import NS, Reading
from .periods import Period, means, sums

SHOWN = 50


@dataclass(frozen=True)
class Round:
    """A round that closed."""

    closed_ns: int
    number: int
    version: int
    ready: int
    quorum: int
    results: dict[str, int]  # of RESULTS
    extended: int
    quorum_s: float | None  # None: its deadline closed it
    lasted_s: float | None
    update_bytes: int
    dense_bytes: int
    loss_before: float | None
    loss_after: float | None
    joules: float | None


@dataclass(frozen=True)
class Rounds:
    """The last rounds, newest first, and a period of them."""

    latest: tuple[Round, ...]
    open_s: float | None  # how long the open round is open
    count: int  # in the period
    results: list[tuple[int, tuple[float, ...]]]  # of RESULTS, by step
    lasted: list[tuple[float | None, ...]]  # time, lasted_s, quorum_s

    @property
    def merged(self) -> int:
        return int(sum(values[RESULTS.index("accepted")] for _, values in self.results))

    @property
    def answered(self) -> int:
        """All updates that came."""
        return int(sum(sum(values) for _, values in self.results))


def rounds(at: Reading, over: Period) -> Rounds:
    """The last rounds and those of a period."""
    count = at.rows("SELECT count(*) FROM round WHERE time_ns >= ? AND model = ?", over.start_ns, at.model)[0][0]
    return Rounds(
        latest(at, SHOWN),
        open_s(at),
        count,
        sums(at, "round", RESULTS, over),
        means(at, "round", ("lasted_s", "quorum_s"), over),
    )


def latest(at: Reading, most: int) -> tuple[Round, ...]:
    """The rounds that closed last, newest first."""
    made = []
    for row in at.rows("SELECT * FROM round WHERE model = ? ORDER BY time_ns DESC LIMIT ?", at.model, most):
        made.append(
            Round(
                closed_ns=row["time_ns"],
                number=row["round_num"] or 0,
                version=row["version"] or 0,
                ready=row["ready"] or 0,
                quorum=row["quorum"] or 0,
                results={name: row[name] or 0 for name in RESULTS},
                extended=row["extended"] or 0,
                quorum_s=row["quorum_s"],
                lasted_s=row["lasted_s"],
                update_bytes=row["update_bytes"] or 0,
                dense_bytes=row["dense_bytes"] or 0,
                loss_before=row["loss_before"],
                loss_after=row["loss_after"],
                joules=row["joules"],
            )
        )
    return tuple(made)


def open_s(at: Reading) -> float | None:
    """How long the round that is open has been; None: none is, or nobody says."""
    row = at.row("SELECT time_ns, round_age_s FROM coordinator WHERE model = ? ORDER BY time_ns DESC LIMIT 1", at.model)
    if row is None or row["round_age_s"] is None:
        return None
    since_ns, before_s = row["time_ns"], float(row["round_age_s"])
    closed = at.row("SELECT time_ns FROM round WHERE model = ? ORDER BY time_ns DESC LIMIT 1", at.model)
    if closed is not None and closed["time_ns"] > since_ns:
        since_ns, before_s = closed["time_ns"], 0.0
    return float(before_s + max(0.0, (at.now_ns - since_ns) / NS))
