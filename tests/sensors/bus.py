"""An I2C bus with chips as their datasheets describe them, register by register, and a clock that only waits move.

SCD4x    Sensirion SCD4x datasheet 1.3: table 9 (what is allowed while it measures, how long each command takes),
         3.1 power-up, 3.5 periodic measurement every 5 s, 3.8.2 data ready, 3.11 checksum
SHT4x    Sensirion SHT4x datasheet: 0xFD takes up to 8.3 ms and does not acknowledge before
INA219   SBOS448G: 8.6.1 registers and their values at power-on, 8.5.1 current and power, 8.6.3.2 CNVR
"""

NO_ACKNOWLEDGE = 19


def remainder(word):
    """The CRC-8 of a word by long division of the polynomials, as one does it on paper; initial value 0xFF."""
    bits = (word ^ 0xFF00) << 8
    for place in range(23, 7, -1):
        if bits >> place & 1:
            bits ^= 0x131 << (place - 8)
    return bits


class Clock:
    def __init__(self):
        self.now_ms = 0

    def wait_ms(self, duration_ms):
        self.now_ms += duration_ms


class Bus:
    """The methods of machine.I2C that drivers use. broken: bits to flip in the next answer, by place."""

    def __init__(self, clock):
        self.clock = clock
        self.chips = {}
        self.broken = {}

    def _chip(self, address):
        if address not in self.chips:
            raise OSError(NO_ACKNOWLEDGE)
        return self.chips[address]

    def writeto(self, address, data):
        self._chip(address).write(bytes(data), self.clock.now_ms)
        return len(data)

    def readfrom_into(self, address, buffer):
        answer = bytearray(self._chip(address).read(len(buffer), self.clock.now_ms))
        for place, flipped in self.broken.items():
            answer[place] ^= flipped
        self.broken = {}
        buffer[:] = answer

    def writeto_mem(self, address, register, data):
        self.writeto(address, bytes([register]) + bytes(data))

    def readfrom_mem_into(self, address, register, buffer):
        self.writeto(address, bytes([register]))
        self.readfrom_into(address, buffer)


class Words:
    """A chip of Sensirion's: commands, then words with checksums. A busy chip acknowledges nothing."""

    def __init__(self):
        self.busy_until_ms = 0
        self.answer = None

    def _acknowledge(self, allowed, now_ms):
        if not allowed or now_ms < self.busy_until_ms:
            raise OSError(NO_ACKNOWLEDGE)

    def read(self, size, now_ms):
        self._acknowledge(self.answer is not None, now_ms)
        data = b"".join(bytes([word >> 8, word & 0xFF, remainder(word)]) for word in self.answer)
        self.answer = None
        return data[:size]


class Scd4x(Words):
    def __init__(self, words):
        super().__init__()
        self.words = words
        self.busy_until_ms = 1000
        self.measuring_since_ms = None
        self.taken = 0

    def _measured(self, now_ms):
        return 0 if self.measuring_since_ms is None else (now_ms - self.measuring_since_ms) // 5000

    def write(self, data, now_ms):
        command = data[0] << 8 | data[1]
        measuring = self.measuring_since_ms is not None
        self._acknowledge(len(data) == 2 and (command != 0x21B1 or not measuring), now_ms)
        self.answer = None
        if command == 0x21B1:
            self.measuring_since_ms, self.taken = now_ms, 0
        elif command == 0x3F86:
            self.measuring_since_ms = None
            self.busy_until_ms = now_ms + 500
        elif command == 0xE4B8:
            self.answer = [0x8006 if self._measured(now_ms) > self.taken else 0x8000]
            self.busy_until_ms = now_ms + 1
        elif command == 0xEC05:
            if self._measured(now_ms) > self.taken:
                self.taken = self._measured(now_ms)
                self.answer = self.words
            self.busy_until_ms = now_ms + 1
        else:
            raise OSError(NO_ACKNOWLEDGE)


class Sht4x(Words):
    def __init__(self, words):
        super().__init__()
        self.words = words

    def write(self, data, now_ms):
        self._acknowledge(data == b"\xfd", now_ms)
        self.answer = self.words
        self.busy_until_ms = now_ms + 8.3


class Ina219:
    """shunt_steps: of 10 uV; bus_steps: of 4 mV."""

    def __init__(self, shunt_steps, bus_steps):
        self.shunt_steps = shunt_steps
        self.bus_steps = bus_steps
        self.power_on()

    def power_on(self):
        self.registers = {0: 0x399F, 5: 0}
        self.pointer = 0
        self.configured_at_ms = 0

    def write(self, data, now_ms):
        self.pointer = data[0]
        if len(data) == 3 and self.pointer in (0, 5):
            self.registers[self.pointer] = data[1] << 8 | data[2]
            if self.pointer == 0:
                self.configured_at_ms = now_ms
        elif len(data) != 1:
            raise OSError(NO_ACKNOWLEDGE)

    def _conversion_ms(self):
        """Both voltages one after the other, 68.1 ms each for the mean of 128, else 0.532 ms."""
        return 136.2 if self.registers[0] & 0x7F8 == 0x7F8 else 1.064

    def read(self, size, now_ms):
        ready = now_ms - self.configured_at_ms >= self._conversion_ms()
        most = (4000, 8000, 16000, 32000)[self.registers[0] >> 11 & 3]
        shunt = min(most, max(-most, self.shunt_steps)) if ready else 0
        current = shunt * self.registers[5] // 4096
        value = {
            1: shunt,
            2: (self.bus_steps if ready else 0) << 3 | (2 if ready else 0),
            3: abs(current) * self.bus_steps // 5000,
            4: current,
        }.get(self.pointer, self.registers.get(self.pointer, 0))
        return bytes([value >> 8 & 0xFF, value & 0xFF])[:size]
