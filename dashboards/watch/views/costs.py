"""What it costs: bytes by class as both sides counted them, and energy by what it was spent on."""

from dataclasses import dataclass

from coordinator.metrics import BYTE_CLASSES

from ..store import Reading
from .fleet import known
from .periods import Period, means, sums

Steps = list[tuple[int, tuple[float, ...]]]

_MEASURED = "CASE WHEN kind = 'measured' THEN joules END"
_REST = (
    "CASE WHEN kind <> 'measured' THEN joules - coalesce(compute_joules, 0) - coalesce(radio_joules, 0)"
    " - coalesce(session_joules, 0) END"
)


@dataclass(frozen=True)
class Count:
    """Bytes of one class since a device started, by both counts."""

    by_device: int | None
    by_coordinator: int | None
    gap: int | None


@dataclass(frozen=True)
class Counted:
    """The last entry of a device in the ledger."""

    device: str
    classes: dict[str, Count]  # of BYTE_CLASSES
    gap: int


@dataclass(frozen=True)
class Communication:
    """Bytes of a period, by step and in all."""

    steps: Steps  # of BYTE_CLASSES, then dense
    per_round: list[tuple[float | None, ...]]  # time, mean bytes of a round's updates, the same dense
    devices: tuple[Counted, ...]

    def total(self, column: int) -> int:
        """0 down, 1 updates, 2 telemetry, 3 what the updates would have been as dense float32."""
        return int(sum(values[column] for _, values in self.steps))

    @property
    def all_bytes(self) -> int:
        return sum(self.total(column) for column in range(len(BYTE_CLASSES)))

    @property
    def smaller_times(self) -> float | None:
        """How many times smaller the updates are than dense ones."""
        sent, dense = self.total(1), self.total(3)
        return dense / sent if sent and dense else None

    @property
    def gap_bytes(self) -> int:
        return sum(device.gap for device in self.devices)


@dataclass(frozen=True)
class Spent:
    """What a device has spent since it started."""

    device: str
    kind: str  # measured or modelled
    total_joules: float | None
    watts: float | None  # mean since its start; None: it does not say since when


@dataclass(frozen=True)
class Energy:
    """Joules of a period, by step and in all."""

    steps: Steps  # learning, radio, connecting, the rest of what is modelled; measured
    per_round: list[tuple[float | None, ...]]  # time, joules of a round
    devices: tuple[Spent, ...]  # first the one that needs most power

    def total(self, column: int) -> float:
        return sum(values[column] for _, values in self.steps)

    @property
    def all_joules(self) -> float:
        return sum(self.total(column) for column in range(5))


def communication(at: Reading, over: Period) -> Communication:
    """Of the whole fleet."""
    per_round = means(at, "round", ("update_bytes", "dense_bytes"), over)
    found = tuple(told for row in known(at) if (told := counted(at, row["device"])) is not None)
    return Communication(byte_steps(at, over), per_round, tuple(sorted(found, key=lambda told: -told.gap)))


def byte_steps(at: Reading, over: Period) -> Steps:
    """Bytes of all devices."""
    return sums(at, "bytes", (*BYTE_CLASSES, "dense_up"), over)


def counted(at: Reading, device: str) -> Counted | None:
    """A device in the ledger."""
    row = at.row("SELECT * FROM bytes WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1", device, at.model)
    if row is None:
        return None
    classes = {
        name: Count(row[f"{name}_device"], row[f"{name}_coordinator"], row[f"{name}_gap"]) for name in BYTE_CLASSES
    }
    return Counted(device, classes, row["gap"] or 0)


def energy(at: Reading, over: Period) -> Energy:
    """Of the whole fleet."""
    found = [told for row in known(at) if (told := spent(at, row["device"])) is not None]
    found.sort(key=lambda told: (-(told.watts or 0.0), -(told.total_joules or 0.0)))
    return Energy(energy_steps(at, over), means(at, "round", ("joules",), over), tuple(found))


def energy_steps(at: Reading, over: Period) -> Steps:
    """Joules of all devices."""
    return sums(at, "energy", ("compute_joules", "radio_joules", "session_joules", _REST, _MEASURED), over)


def spent(at: Reading, device: str) -> Spent | None:
    """A device's energy since its start."""
    row = at.row("SELECT * FROM energy WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1", device, at.model)
    if row is None:
        return None
    since = at.row(
        "SELECT uptime_s FROM device WHERE device = ? AND model = ? ORDER BY time_ns DESC LIMIT 1", device, at.model
    )
    uptime_s = since["uptime_s"] if since is not None else None
    total = row["total_joules"]
    return Spent(device, row["kind"], total, total / uptime_s if uptime_s and total is not None else None)
