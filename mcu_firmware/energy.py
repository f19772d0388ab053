"""What this board has spent: measured where a meter is fitted, else modelled by tegu.energy; a figure says which.

The meter is Texas Instruments' INA219, on the supply of the board (datasheet SBOS448G: 8.5.1 the calibration register, 8.6.2.1
configuration, 8.6.3 shunt voltage, bus voltage and current, 8.6.4 calibration). It averages 128 conversions, so a reading is
the mean of the 68 ms before it; what happens between two readings is taken as a straight line, and what happens in a gap
of more than MOST_GAP_MS is not counted at all: `metered_s` says how long the meter has looked.
"""

from tegu.energy import modelled

CONFIGURATION, BUS_VOLTAGE, CURRENT, CALIBRATION = 0x00, 0x02, 0x04, 0x05
AVERAGED = 0x0FFF  # 16 V, +-80 mV over the shunt, mean of 128 for both, continuous
CONVERTED = 0x02  # in the bus voltage: there is a reading
FULL_SCALE = 8000  # of the shunt voltage at +-80 mV, in steps of 10 uV
CALIBRATED = 4096  # trunc(0.04096 / (current step x shunt)) for a current step of 10 uV / shunt, whatever the shunt
MOST_GAP_MS = 10000
TICKS = 0x3FFFFFFF  # time.ticks_ms() starts anew after this, or after more

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine import I2C


class Ina219:
    """Volts, amperes and watts at the last update(), and the joules since the first. Building it touches no bus.

    With the usual shunt of 0.1 ohm it sees up to 0.8 A in steps of 0.1 mA.
    """

    def __init__(self, i2c: "I2C", shunt_ohms: float = 0.1, address: int = 0x40) -> None:
        if not shunt_ohms > 0.0:
            raise ValueError("shunt_ohms must be more than zero, not %r" % shunt_ohms)
        self.i2c = i2c
        self.address = address
        self.volts = self.amperes = self.watts = 0.0
        self.metered_ms = 0
        self._ampere_step = 1e-5 / shunt_ohms
        self._at_ms: "int | None" = None
        self._whole_joules = 0  # apart from the rest, which float32 would lose against a large sum
        self._rest_joules = 0.0
        self._word = bytearray(2)

    @property
    def joules(self) -> float:
        return self._whole_joules + self._rest_joules

    def update(self, now_ms: int) -> None:
        """Read the meter and add what was spent since the last time; now_ms is of time.ticks_ms().

        OSError: it does not answer, or the current is beyond what it can see.
        """
        before_watts = self.watts
        if not self._measure():
            self._at_ms = None
            return
        if self._at_ms is not None:
            passed_ms = (now_ms - self._at_ms) & TICKS
            if passed_ms <= MOST_GAP_MS:
                self._add((before_watts + self.watts) / 2 * passed_ms / 1000)
                self.metered_ms += passed_ms
        self._at_ms = now_ms

    def _measure(self) -> bool:
        """Whether there is a reading. Watts are the product, not the power register, whose steps are 20 times as coarse."""
        if self._read(CALIBRATION) != CALIBRATED:  # new, or its power was gone and its settings with it
            self._write(CONFIGURATION, AVERAGED)
            self._write(CALIBRATION, CALIBRATED)
            return False
        bus = self._read(BUS_VOLTAGE)
        if not bus & CONVERTED:
            return False
        amperes = self._read(CURRENT)
        if amperes >= 0x8000:
            amperes -= 0x10000
        if abs(amperes) >= FULL_SCALE:
            raise OSError(
                "INA219: the current is beyond %.1f A; use a smaller shunt" % (FULL_SCALE * self._ampere_step)
            )
        self.volts = (bus >> 3) * 0.004
        self.amperes = amperes * self._ampere_step
        self.watts = self.volts * self.amperes
        return True

    def _add(self, joules: float) -> None:
        self._rest_joules += joules
        whole = int(self._rest_joules)
        self._whole_joules += whole
        self._rest_joules -= whole

    def _write(self, register: int, value: int) -> None:
        self._word[0] = value >> 8
        self._word[1] = value & 0xFF
        try:
            self.i2c.writeto_mem(self.address, register, self._word)
        except OSError as error:
            raise OSError(self._absent(error))

    def _read(self, register: int) -> int:
        try:
            self.i2c.readfrom_mem_into(self.address, register, self._word)
        except OSError as error:
            raise OSError(self._absent(error))
        return self._word[0] << 8 | self._word[1]

    def _absent(self, error: OSError) -> str:
        return "INA219 does not answer at I2C address 0x%02x (%s); check its power and its wires" % (
            self.address,
            error,
        )


class Ledger:
    """The energy of this board, ready for telemetry. radio: a name of tegu.energy; meter: an Ina219, or None."""

    def __init__(self, radio: str, meter: "Ina219 | None" = None) -> None:
        modelled(0, 0, 0, 0, 0, radio)  # ValueError for an unknown one now, not at the first telemetry
        self.radio = radio
        self.meter = meter
        self.failed = 0  # readings that the meter did not give

    @property
    def measured(self) -> bool:
        """Whether figures are the meter's. One that has never measured anything counts as not fitted."""
        return self.meter is not None and self.meter.metered_ms > 0

    def update(self, now_ms: int) -> None:
        """Look at the meter if there is one: about once a second. A reading that fails is counted, not fatal."""
        if self.meter is None:
            return
        try:
            self.meter.update(now_ms)
        except OSError:
            self.failed += 1

    def numbers(
        self, weights: int, samples: int, updates: int, bytes_both_ways: int, sessions: int
    ) -> "dict[str, float]":
        """What telemetry says of energy; the arguments are those of tegu.energy.modelled and count for the model only."""
        if self.meter is not None and self.measured:
            return {
                "energy_modelled": 0,
                "joules": self.meter.joules,
                "metered_s": self.meter.metered_ms // 1000,
                "meter_failed": self.failed,
            }
        spent = modelled(weights, samples, updates, bytes_both_ways, sessions, self.radio)
        return {
            "energy_modelled": 1,
            "compute_joules": spent.compute_joules,
            "radio_joules": spent.radio_joules,
            "session_joules": spent.session_joules,
        }
