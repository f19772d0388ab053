"""What this machine spends, as its processor counts it: RAPL, by Linux's powercap files.

The counter is of a processor package and all that runs on it: this agent, other agents, everything else. It does not see
memory, disks, radios or the supply. Two agents on one machine that both read it tell the same joules twice. AMD's and Intel's
processors have it; a Raspberry Pi has not.

Files (Linux, Documentation/power/powercap/powercap.rst): `energy_uj`, microjoules since any moment; it begins anew at zero
beyond `max_energy_range_uj`, after some minutes at full power.
"""

from pathlib import Path

FOLDER = Path("/sys/class/powercap/intel-rapl:0")
PERIOD_S = 1.0  # between two looks, if nobody wants to know earlier
MOST_GAP_S = 60.0  # of more than this it cannot be said how often the counter began anew
MOST_WATTS = 2000.0  # a package spends less: a counter that fell was put back to zero, as by a suspend


class Rapl:
    """joules: since the first look, or begin(); metered_s: the seconds that it has looked, without the gaps.

    now_s: a clock that only grows. OSError, with a sentence, if the counter cannot be read now; later that is counted.
    """

    def __init__(self, now_s: float, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._range_uj = self._read("max_energy_range_uj")
        self._before_uj = self._read("energy_uj")
        self._at_s = now_s
        self.begin()

    def begin(self) -> None:
        """Count from zero."""
        self.joules = self.metered_s = 0.0
        self.failed = 0

    def update(self, now_s: float) -> None:
        """Look at the counter, once in PERIOD_S at most."""
        if now_s >= self._at_s + PERIOD_S:
            self._look(now_s)

    def numbers(self, now_s: float) -> dict[str, float]:
        """What telemetry says of energy, up to now; nothing if nothing was measured yet."""
        if not self.metered_s:
            self._look(now_s)
        self.update(now_s)
        if not self.metered_s:
            return {}
        return {
            "energy_modelled": 0,
            "joules": round(self.joules, 3),
            "metered_s": round(self.metered_s, 1),
            "meter_failed": self.failed,
        }

    def _look(self, now_s: float) -> None:
        try:
            now_uj = self._read("energy_uj")
        except OSError:
            self.failed += 1
            return
        passed_s, joules = now_s - self._at_s, (now_uj - self._before_uj) % self._range_uj / 1e6
        if passed_s <= MOST_GAP_S and joules <= MOST_WATTS * passed_s:
            self.joules += joules
            self.metered_s += passed_s
        self._before_uj, self._at_s = now_uj, now_s

    def _read(self, name: str) -> int:
        path = self._folder / name
        try:
            return int(path.read_text(encoding="ascii"))
        except PermissionError as error:
            raise OSError(
                f"the meter cannot be read: {path} is root's only; allow it with: sudo chmod a+r {path}"
            ) from error
        except (OSError, ValueError) as error:
            raise OSError(f"no meter: {path} cannot be read ({error}); has this machine RAPL?") from error


def make_meter(spec: str, now_s: float) -> Rapl | None:
    """`rapl`, or `rapl:FOLDER` for another domain's; empty: none. ValueError for another word, OSError as Rapl."""
    if not spec:
        return None
    name, _, folder = spec.partition(":")
    if name != "rapl":
        raise ValueError(f"no meter {spec!r}; it is rapl, or rapl:FOLDER")
    return Rapl(now_s, Path(folder) if folder else FOLDER)
