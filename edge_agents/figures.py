"""What an agent says of itself: its counts, its machine and its energy, by the names of `device` in coordinator/metrics.py."""

from pathlib import Path
from time import monotonic

from tegu.energy import modelled
from tegu.session import Session

from .meter import Rapl

MEMORY = Path("/proc/meminfo")
RADIO = "ble"


class Figures:
    """Counts since the start: samples learned from, updates made, and what the source failed to give.

    radio: whose energy is modelled; empty: Bluetooth's. A meter counts from zero too.
    """

    def __init__(self, radio: str, meter: Rapl | None = None) -> None:
        self.samples = self.updates = self.failed = 0
        self._radio = radio or RADIO
        self._meter = meter
        self._began_s = monotonic()
        if meter is not None:
            meter.begin()

    def update(self) -> None:
        """About once a second: the meter wants to be looked at."""
        if self._meter is not None:
            self._meter.update(monotonic())

    def numbers(self, session: Session) -> dict[str, float]:
        """For telemetry, of now."""
        numbers: dict[str, float] = {
            "samples": self.samples,
            "updates": self.updates,
            "sensor_failed": self.failed,
            "uptime_s": round(monotonic() - self._began_s, 1),
        }
        free_bytes = available_bytes(MEMORY)
        if free_bytes is not None:
            numbers["free_heap_bytes"] = free_bytes
        return numbers | self._energy(session)

    def _energy(self, session: Session) -> dict[str, float]:
        measured = self._meter.numbers(monotonic()) if self._meter is not None else {}
        if measured:
            return measured
        traffic = sum(session.bytes.values())
        weights = session.model.size if session.model else 0
        energy = modelled(weights, self.samples, self.updates, traffic, self.updates, self._radio)
        return {
            "compute_joules": energy.compute_joules,
            "radio_joules": energy.radio_joules,
            "session_joules": energy.session_joules,
            "energy_modelled": 1,
        }


def available_bytes(path: Path) -> int | None:
    """The memory that a program could still take, by Linux's meminfo (`MemAvailable: NUMBER kB`); None: it is not told."""
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
