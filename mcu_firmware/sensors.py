"""Sensors of a board, after their makers' datasheets, one class a chip.

    Scd4x    CO2, temperature, humidity    Sensirion SCD4x datasheet 1.3: 3.1 power-up, 3.3-3.5 commands and basic ones,
                                           3.8.2 data ready, 3.11 checksum
    Sht4x    temperature, humidity         Sensirion SHT4x datasheet: command overview, checksum, conversion of output
    Pir      motion                        any module with a digital output
    Analog   one scaled channel            any voltage on an ADC pin
    Battery  volts and charge              the same, behind a divider

read() gives a tuple of plain finite numbers in the order of `names`, whose last word is the unit; None: nothing new yet.
OSError, with a sentence: the chip does not answer, or what it says is damaged. Read again later: a chip that comes back is
set up anew, and building one of these classes touches no bus. An open ADC pin or a PIR that is not there cannot be told
from a quiet one.

A chip that must be waited for takes `wait_ms`, as time.sleep_ms. Buffers are allocated once; a reading costs a tuple and
its floats.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from machine import ADC, I2C, Pin

    Reading = tuple[float, ...]


def crc8(data: "bytes | bytearray", start: int, stop: int) -> int:
    """Sensirion's checksum of data[start:stop]: polynomial 0x31, begun with 0xFF, nothing reflected or inverted."""
    crc = 0xFF
    for i in range(start, stop):
        crc ^= data[i]
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


class Sensirion:
    """A chip that takes commands and answers in 16-bit words, each with its checksum."""

    chip = ""
    names: "tuple[str, ...]" = ()

    def __init__(self, i2c: "I2C", wait_ms: "Callable[[int], object]", address: int) -> None:
        self.i2c = i2c
        self.address = address
        self._wait_ms = wait_ms

    def _command(self, command: bytes, wait_ms: int) -> None:
        """Send the command and wait until it has been carried out."""
        try:
            self.i2c.writeto(self.address, command)
        except OSError as error:
            raise OSError(self._absent(error))
        self._wait_ms(wait_ms)

    def _receive(self, answer: bytearray) -> None:
        """Fill answer with words; OSError if one is damaged."""
        try:
            self.i2c.readfrom_into(self.address, answer)
        except OSError as error:
            raise OSError(self._absent(error))
        for at in range(0, len(answer), 3):
            if crc8(answer, at, at + 2) != answer[at + 2]:
                raise OSError("%s: a damaged answer; shorten its wires or slow the bus down" % self.chip)

    def _absent(self, error: OSError) -> str:
        return (
            "%s does not answer at I2C address 0x%02x (%s); check its power, its wires and the pins in settings.json"
            % (
                self.chip,
                self.address,
                error,
            )
        )


class Scd4x(Sensirion):
    """SCD40, SCD41 or SCD43, measuring every 5 s. It hears nothing in the first second after power-up."""

    chip = "SCD4x"
    names = ("co2_ppm", "temperature_c", "humidity_percent")

    def __init__(self, i2c: "I2C", wait_ms: "Callable[[int], object]", address: int = 0x62) -> None:
        super().__init__(i2c, wait_ms, address)
        self._ready = bytearray(3)
        self._words = bytearray(9)
        self._measuring = False

    def start(self) -> None:
        """Measure from now on. Takes half a second: one that was measuring before a reset takes nothing but a stop."""
        self.stop()
        self._command(b"\x21\xb1", 0)
        self._measuring = True

    def stop(self) -> None:
        """Measure no more, which saves power, until start() or read()."""
        self._measuring = False
        self._command(b"\x3f\x86", 500)

    def read(self) -> "Reading | None":
        """The newest measurement, once; the first call starts it. None for over 10 s: it lost its power; start() again."""
        if not self._measuring:
            self.start()
            return None
        try:
            return self._measurement()
        except OSError:
            self._measuring = False
            raise

    def _measurement(self) -> "Reading | None":
        self._command(b"\xe4\xb8", 1)
        self._receive(self._ready)
        if not (self._ready[0] & 0x07 or self._ready[1]):
            return None
        self._command(b"\xec\x05", 1)
        self._receive(self._words)
        co2_ppm = _word(self._words, 0)
        if co2_ppm == 0:  # how the chip says that it has measured the other two only
            raise OSError("SCD4x: no CO2 was measured; if this stays so, replace it")
        return float(co2_ppm), _word(self._words, 3) * 175 / 65535 - 45, _word(self._words, 6) * 100 / 65535


class Sht4x(Sensirion):
    """SHT40, SHT41 or SHT45 at high precision, measured when read, which takes 10 ms."""

    chip = "SHT4x"
    names = ("temperature_c", "humidity_percent")

    def __init__(self, i2c: "I2C", wait_ms: "Callable[[int], object]", address: int = 0x44) -> None:
        super().__init__(i2c, wait_ms, address)
        self._words = bytearray(6)

    def read(self) -> "Reading":
        """One measurement. Humidity is cut to 0..100, as the datasheet has it: near the ends the chip goes beyond."""
        self._command(b"\xfd", 10)
        self._receive(self._words)
        humidity_percent = _word(self._words, 3) * 125 / 65535 - 6
        return _word(self._words, 0) * 175 / 65535 - 45, min(100.0, max(0.0, humidity_percent))


def _word(data: bytearray, at: int) -> int:
    return data[at] << 8 | data[at + 1]


class Pir:
    """A motion sensor on a digital pin; `active` is the level that means motion."""

    names = ("motion",)

    def __init__(self, pin: "Pin", active: int = 1) -> None:
        self.pin = pin
        self.active = active

    def read(self) -> "Reading":
        return (1.0 if self.pin.value() == self.active else 0.0,)


class Analog:
    """An ADC channel: the reading is scale times the voltage's share of full scale, plus offset. name has the unit."""

    def __init__(self, adc: "ADC", name: str, scale: float, offset: float = 0.0) -> None:
        self.adc = adc
        self.names = (name,)
        self.scale = scale
        self.offset = offset

    def read(self) -> "Reading":
        return (self.adc.read_u16() * self.scale / 65535 + self.offset,)


class Battery:
    """A battery at an ADC pin. scale: its volts at full scale of the ADC; empty, full: its volts when it is, or None."""

    names = ("battery_volts", "battery_percent")

    def __init__(self, adc: "ADC", scale: float, empty: "float | None" = None, full: "float | None" = None) -> None:
        self._volts = Analog(adc, "battery_volts", scale)
        self._empty, self._range = 0.0, 0.0
        if empty is not None and full is not None:
            self._empty, self._range = empty, full - empty
            if not self._range > 0:
                raise ValueError("battery.full must be more than battery.empty")

    def read(self) -> "Reading":
        """Volts; with empty and full also the charge, on a straight line between them, which a battery's is not quite."""
        (volts,) = self._volts.read()
        if not self._range:
            return (volts,)
        return volts, 100 * max(0.0, min(1.0, (volts - self._empty) / self._range))
