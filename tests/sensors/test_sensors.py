"""The drivers against chips that do what their datasheets say; values worked out by hand."""

import gc

from bus import Bus, Clock, Scd4x, Sht4x
from given import error_of

from sensors import Analog, Battery, Pir, crc8
from sensors import Scd4x as Scd4xDriver
from sensors import Sht4x as Sht4xDriver

OFFICE = (500, 0x6667, 0x5EB9)  # 500 ppm, 26215 of 65535, 24249 of 65535


def powered_scd4x(words=OFFICE):
    """(bus, clock, driver) with the sensor one second after power-up."""
    clock = Clock()
    bus = Bus(clock)
    bus.chips[0x62] = Scd4x(words)
    clock.wait_ms(1000)
    return bus, clock, Scd4xDriver(bus, clock.wait_ms)


def powered_sht4x(words):
    clock = Clock()
    bus = Bus(clock)
    bus.chips[0x44] = Sht4x(words)
    return bus, clock, Sht4xDriver(bus, clock.wait_ms)


def near(values, wanted, most=0.0005):
    assert len(values) == len(wanted), values
    for i in range(len(wanted)):
        assert abs(values[i] - wanted[i]) <= most, (values, wanted)


def test_the_checksum_is_the_one_of_the_datasheets_examples():
    for word, checksum in ((0xBEEF, 0x92), (0x01E0, 0xB4), (0x7FCE, 0x7B), (0x0001, 0xB0)):
        assert crc8(bytes([word >> 8, word & 0xFF]), 0, 2) == checksum


def test_the_checksum_finds_every_single_wrong_bit():
    good = bytes([0xBE, 0xEF, 0x92])
    for place in range(24):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        assert crc8(bad, 0, 2) != bad[2], place


def test_an_scd4x_gives_each_measurement_once():
    _, clock, sensor = powered_scd4x()
    assert sensor.names == ("co2_ppm", "temperature_c", "humidity_percent")
    assert sensor.read() is None  # starts it
    clock.wait_ms(4900)
    assert sensor.read() is None
    clock.wait_ms(100)
    # -45 + 175 x 26215 / 65535 = 25.0027; 100 x 24249 / 65535 = 37.0016
    near(sensor.read(), (500.0, 25.0027, 37.0016))
    assert sensor.read() is None
    clock.wait_ms(5000)
    near(sensor.read(), (500.0, 25.0027, 37.0016))


def test_the_ends_of_an_scd4x_are_its_ranges_and_finite():
    for words, wanted in (((40000, 0, 0), (40000.0, -45.0, 0.0)), ((1, 0xFFFF, 0xFFFF), (1.0, 130.0, 100.0))):
        _, clock, sensor = powered_scd4x(words)
        sensor.read()
        clock.wait_ms(5000)
        near(sensor.read(), wanted)


def test_an_scd4x_that_still_measures_from_before_a_reset_is_started_anew():
    bus, clock, sensor = powered_scd4x()
    sensor.read()
    clock.wait_ms(7000)
    again = Scd4xDriver(bus, clock.wait_ms)
    assert again.read() is None
    clock.wait_ms(5000)
    near(again.read(), (500.0, 25.0027, 37.0016))


def test_an_scd4x_that_is_not_there_is_told_by_name_and_address():
    clock = Clock()
    sensor = Scd4xDriver(Bus(clock), clock.wait_ms)
    for _ in range(2):
        assert "SCD4x does not answer at I2C address 0x62" in error_of(OSError, sensor.read)


def test_an_scd4x_that_comes_back_measures_again():
    bus, clock, sensor = powered_scd4x()
    sensor.read()
    chip = bus.chips.pop(0x62)
    error_of(OSError, sensor.read)
    chip.measuring_since_ms = None  # its power was gone
    bus.chips[0x62] = chip
    assert sensor.read() is None
    clock.wait_ms(5000)
    near(sensor.read(), (500.0, 25.0027, 37.0016))


def test_one_wrong_bit_in_any_word_of_an_scd4x_is_an_error_and_no_reading():
    for place in range(9):
        bus, clock, sensor = powered_scd4x()
        sensor.read()
        clock.wait_ms(5000)
        assert "SCD4x: a damaged answer" in error_of(OSError, read_broken, bus, sensor, place)
        sensor.read()
        clock.wait_ms(5000)
        near(sensor.read(), (500.0, 25.0027, 37.0016))


def read_broken(bus, sensor, place):
    """One read() whose second answer, the measurement, has a wrong bit; the first says that there is one."""
    whole = bus.readfrom_into

    def readfrom_into(address, buffer):
        if len(buffer) == 9:
            bus.broken = {place: 0x10}
        whole(address, buffer)

    bus.readfrom_into = readfrom_into
    try:
        return sensor.read()
    finally:
        bus.readfrom_into = whole


def test_a_wrong_bit_in_data_ready_is_an_error():
    bus, _, sensor = powered_scd4x()
    sensor.read()
    bus.broken = {1: 0x01}
    assert "damaged" in error_of(OSError, sensor.read)


def test_an_scd4x_without_co2_is_an_error():
    _, clock, sensor = powered_scd4x((0, 0x6667, 0x5EB9))
    sensor.read()
    clock.wait_ms(5000)
    assert "no CO2" in error_of(OSError, sensor.read)


def test_a_stopped_scd4x_starts_at_the_next_reading():
    bus, clock, sensor = powered_scd4x()
    sensor.read()
    sensor.stop()
    assert bus.chips[0x62].measuring_since_ms is None
    assert sensor.read() is None
    clock.wait_ms(5000)
    near(sensor.read(), (500.0, 25.0027, 37.0016))


def test_an_sht4x_measures_when_read():
    _, clock, sensor = powered_sht4x((0x6666, 0x8000))
    assert sensor.names == ("temperature_c", "humidity_percent")
    for _ in range(3):
        # -45 + 175 x 26214 / 65535 = 25.0; -6 + 125 x 32768 / 65535 = 56.501
        near(sensor.read(), (25.0, 56.501))
    assert clock.now_ms == 30


def test_the_humidity_of_an_sht4x_stays_in_0_to_100():
    for word, humidity_percent in ((0, 0.0), (3145, 0.0), (3146, 0.00053), (55574, 100.0), (0xFFFF, 100.0)):
        _, _, sensor = powered_sht4x((0, word))
        near(sensor.read(), (-45.0, humidity_percent))


def test_an_sht4x_that_is_missing_or_damaged_is_an_error():
    clock = Clock()
    assert "SHT4x does not answer at I2C address 0x44" in error_of(OSError, Sht4xDriver(Bus(clock), clock.wait_ms).read)
    bus, _, sensor = powered_sht4x((0x6666, 0x8000))
    for place in range(6):
        bus.broken = {place: 0x80}
        assert "SHT4x: a damaged answer" in error_of(OSError, sensor.read)
    near(sensor.read(), (25.0, 56.501))


def test_a_chip_that_is_read_too_early_does_not_answer():
    # What holds the waits: without them the drivers above would fail.
    for chip, address, driver in ((Sht4x((0, 0)), 0x44, Sht4xDriver), (Scd4x(OFFICE), 0x62, Scd4xDriver)):
        clock = Clock()
        bus = Bus(clock)
        bus.chips[address] = chip
        clock.wait_ms(1000)
        sensor = driver(bus, lambda _: None)
        assert "does not answer" in error_of(OSError, sensor.read)


class Pin:
    level = 0

    def value(self):
        return self.level


def test_a_pir_says_whether_there_is_motion():
    pin = Pin()
    high, low = Pir(pin), Pir(pin, active=0)
    assert (high.read(), low.read()) == ((0.0,), (1.0,))
    pin.level = 1
    assert (high.read(), low.read()) == ((1.0,), (0.0,))


class Adc:
    raw = 0

    def read_u16(self):
        return self.raw


def test_an_analog_channel_is_scaled():
    adc = Adc()
    channel = Analog(adc, "light_lux", 1000.0, -10.0)
    assert channel.names == ("light_lux",)
    for raw, lux in ((0, -10.0), (0xFFFF, 990.0), (0x3333, 190.0)):  # 13107 is a fifth of 65535
        adc.raw = raw
        near(channel.read(), (lux,), 0.001)


def test_a_batterys_charge_is_on_a_line_from_empty_to_full():
    adc = Adc()
    battery = Battery(adc, 5.0, 3.0, 4.25)  # 52428 is 0.8 of 65535: 4 volts, one of the 1.25 from empty
    assert battery.names == ("battery_volts", "battery_percent")
    for raw, volts, percent in ((52428, 4.0, 80.0), (0xFFFF, 5.0, 100.0), (0x3333, 1.0, 0.0)):
        adc.raw = raw
        near(battery.read(), (volts, percent), 0.01)
        near(Battery(adc, 5.0).read(), (volts,), 0.001)
    assert error_of(ValueError, Battery, adc, 5.0, 4.2, 4.2) == "battery.full must be more than battery.empty"


class Quiet:
    """A bus that allocates nothing, with a chip that always has the same measurement: 500 ppm, as OFFICE."""

    def __init__(self):
        self.words = bytearray(b"\x01\xf4\x33\x66\x67\xa2\x5e\xb9\x3c")
        self.ready = bytearray(b"\x80\x06\x04")

    def writeto(self, _, data):
        pass

    def readfrom_into(self, _, buffer):
        buffer[:] = self.ready if len(buffer) == 3 else self.words


def test_a_reading_allocates_no_more_than_its_tuple_and_floats():
    if not hasattr(gc, "mem_alloc"):
        return  # MicroPython only
    sensor = Scd4xDriver(Quiet(), lambda _: None)
    sensor.read()
    near(sensor.read(), (500.0, 25.0027, 37.0016))
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(100):
        sensor.read()
    per_reading = (gc.mem_alloc() - before) // 100
    gc.enable()
    # The tuple and five floats, a block of 32 bytes each on a 64-bit build: 192. On a board 128, in blocks of 16.
    assert per_reading <= 192, per_reading
