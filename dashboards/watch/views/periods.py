"""Stretches of time, cut into steps that a chart can show, and sums over the steps.

A week of a thousand devices is two million points of a measurement. What lies further back than a point can come late does not
change any more, so its sums are kept with the store and only the last steps are added up again.
"""

from dataclasses import dataclass

from ..store import NS, Reading

LENGTHS_S = {"hour": 3600, "day": 86400, "week": 7 * 86400, "all": 0}
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
MOST_STEPS = 64
SETTLED_NS = 15 * 60 * NS  # a point of the ledger comes when the device's next telemetry does
MOST_CLOSED = 20_000


@dataclass(frozen=True)
class Period:
    """From start_ns, at a whole step, to end_ns, in the last of the steps."""

    word: str  # of LENGTHS_S
    start_ns: int
    end_ns: int
    step_ns: int

    @property
    def length_s(self) -> float:
        return (self.end_ns - self.start_ns) / NS

    def starts(self) -> range:
        """The beginning of every step."""
        return range(self.start_ns, self.end_ns + 1, self.step_ns)


def usual(at: Reading) -> str:
    """The period to begin with: the last hour of a young store, else the last day."""
    return "hour" if at.newest_ns - at.first_ns < 2 * LENGTHS_S["hour"] * NS else "day"


def period(at: Reading, word: str = "") -> Period:
    """The last hour, day, week or all. It ends now or, when nothing is written any more, with the newest point."""
    word = word if word in LENGTHS_S else usual(at)
    end_ns = at.newest_ns if at.late else at.now_ns
    length_ns = LENGTHS_S[word] * NS or end_ns
    start_ns = max(end_ns - length_ns, min(at.first_ns, end_ns) if at.first_ns else end_ns)
    seconds = (end_ns - start_ns) / NS
    step_s = next((step for step in STEPS_S if seconds / step <= MOST_STEPS), STEPS_S[-1])
    return Period(word, start_ns // (step_s * NS) * step_s * NS, end_ns, step_s * NS)


def sums(at: Reading, measurement: str, columns: tuple[str, ...], over: Period) -> list[tuple[int, tuple[float, ...]]]:
    """(beginning of a step, the sums of the columns in it) for every step. A column may be an SQL expression."""
    words = ", ".join(f"total({column})" for column in columns)  # sum() fails when whole numbers grow beyond 64 bits
    query = f'SELECT {words} FROM "{measurement}" WHERE time_ns >= ? AND time_ns < ? AND model = ?'
    if len(at.closed) > MOST_CLOSED:
        at.closed.clear()
    found = []
    for start_ns in over.starts():
        end_ns = start_ns + over.step_ns
        key = (measurement, columns, at.model, start_ns, end_ns)
        values = at.closed.get(key)
        if values is None:
            values = tuple(at.rows(query, start_ns, end_ns, at.model)[0])
            if end_ns + SETTLED_NS <= at.newest_ns:
                at.closed[key] = values
        found.append((start_ns, values))
    return found


def means(
    at: Reading, measurement: str, columns: tuple[str, ...], over: Period, device: str = ""
) -> list[tuple[float | None, ...]]:
    """(beginning of a step, the means of the columns in it) for every step in which there is a point."""
    words = ", ".join(f"avg({column})" for column in columns)
    of_device, which = ("AND device = ?", (device,)) if device else ("", ())
    rows = at.rows(
        f'SELECT time_ns / ? * ?, {words} FROM "{measurement}" WHERE time_ns >= ? AND time_ns <= ? AND model = ? {of_device} GROUP BY 1',
        over.step_ns,
        over.step_ns,
        over.start_ns,
        over.end_ns,
        at.model,
        *which,
    )
    return [tuple(row) for row in rows]
