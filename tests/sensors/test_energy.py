"""The meter against an INA219 that does what its datasheet says, and the ledger; values worked out by hand."""

from bus import Bus, Clock, Ina219
from given import error_of

from energy import Ina219 as Meter
from energy import Ledger
from tegu.energy import modelled

WRAP = 1 << 30  # of time.ticks_ms on most boards


class Supply:
    """A metered board: 3.3 V and 50 mA through 0.1 ohm, that is 825 steps of 4 mV and 500 of 10 uV."""

    def __init__(self, shunt_ohms=0.1, begun_ms=0):
        self.clock = Clock()
        self.bus = Bus(self.clock)
        self.chip = self.bus.chips[0x40] = Ina219(500, 825)
        self.meter = Meter(self.bus, shunt_ohms)
        self.begun_ms = begun_ms

    def update_after(self, passed_ms):
        self.clock.wait_ms(passed_ms)
        self.meter.update((self.begun_ms + self.clock.now_ms) % WRAP)


def near(value, wanted, share=2e-6):
    assert abs(value - wanted) <= share * abs(wanted), (value, wanted)


def started(**options):
    """A supply whose meter is set up and has read once."""
    supply = Supply(**options)
    supply.update_after(0)
    supply.update_after(200)
    return supply


def test_the_meter_is_set_to_average_and_calibrated():
    supply = started()
    # 16 V; +-80 mV; 128 conversions for both; continuous: 0 0 0 01 1111 1111 111. 0.04096 / (0.1 mA x 0.1 ohm) = 4096.
    assert supply.chip.registers == {0: 0x0FFF, 5: 0x1000}


def test_volts_amperes_and_watts_are_the_registers_times_their_steps():
    supply = started()
    near(supply.meter.volts, 3.3)
    near(supply.meter.amperes, 0.05)
    near(supply.meter.watts, 0.165)


def test_a_current_that_flows_back_is_negative():
    supply = started()
    supply.chip.shunt_steps = -500
    supply.update_after(200)
    near(supply.meter.amperes, -0.05)


def test_another_shunt_scales_the_current():
    supply = started(shunt_ohms=0.5)
    assert supply.chip.registers[5] == 0x1000
    near(supply.meter.amperes, 0.01)
    assert "shunt_ohms" in error_of(ValueError, Meter, supply.bus, 0.0)


def test_there_is_no_reading_before_the_first_conversion():
    supply = Supply()
    supply.update_after(0)
    supply.update_after(100)
    assert supply.meter.watts == 0.0
    supply.update_after(100)
    near(supply.meter.watts, 0.165)
    assert supply.meter.joules == 0.0


def test_joules_are_the_area_under_straight_lines_between_readings():
    supply = started()
    supply.update_after(1000)  # 0.165 W for 1 s
    near(supply.meter.joules, 0.165)
    supply.chip.shunt_steps = 1500  # 0.495 W
    supply.update_after(2000)  # 0.33 W in the mean for 2 s
    near(supply.meter.joules, 0.825)
    assert supply.meter.metered_ms == 3000


def test_ticks_that_wrap_around_are_no_gap():
    supply = started(begun_ms=WRAP - 500)
    supply.update_after(1000)
    near(supply.meter.joules, 0.165)


def test_a_gap_is_not_counted():
    supply = started()
    supply.update_after(1000)
    supply.update_after(10001)
    assert supply.meter.metered_ms == 1000
    supply.update_after(10000)
    assert supply.meter.metered_ms == 11000
    near(supply.meter.joules, 0.165 * 11)


def test_time_that_runs_back_is_a_gap():
    supply = started()
    supply.update_after(1000)
    supply.update_after(-500)
    assert supply.meter.metered_ms == 1000
    supply.update_after(1000)
    assert supply.meter.metered_ms == 2000


def test_small_amounts_are_not_lost_against_a_large_sum():
    supply = started()
    supply.meter._whole_joules = 1 << 22  # float32 counts in halves from here
    for _ in range(20):
        supply.update_after(1000)
    assert supply.meter._whole_joules == (1 << 22) + 3
    near(supply.meter._rest_joules, 0.3, 1e-4)


def test_a_meter_that_lost_its_settings_is_set_up_again():
    supply = started()
    supply.update_after(1000)
    supply.chip.power_on()
    supply.update_after(1000)
    supply.update_after(1000)  # the first reading after it
    near(supply.meter.joules, 0.165)
    supply.update_after(1000)
    near(supply.meter.joules, 0.33)
    assert supply.chip.registers == {0: 0x0FFF, 5: 0x1000}


def test_a_missing_meter_and_a_current_beyond_its_range_are_errors():
    supply = started()
    supply.chip.shunt_steps = 9000
    assert "beyond 0.8 A" in error_of(OSError, supply.update_after, 1000)
    supply.bus.chips = {}
    assert "INA219 does not answer at I2C address 0x40" in error_of(OSError, supply.update_after, 1000)


def test_a_ledger_without_a_meter_says_what_is_modelled():
    ledger = Ledger("wifi")
    ledger.update(0)
    assert ledger.measured is False
    numbers = ledger.numbers(1000, 10, 1, 100, 2)
    # 275,000 cycles at 155 pJ; 100 bytes at 0.75 uJ; 2 sessions at 543 mJ
    assert sorted(numbers) == ["compute_joules", "energy_modelled", "radio_joules", "session_joules"]
    assert numbers["energy_modelled"] == 1
    near(numbers["compute_joules"], 42.625e-6)
    near(numbers["radio_joules"], 75e-6)
    near(numbers["session_joules"], 1.086)


def test_a_ledger_with_a_meter_says_what_is_measured():
    supply = started()
    ledger = Ledger("ble", supply.meter)
    assert ledger.measured is False  # nothing between two readings yet
    supply.clock.wait_ms(2000)
    ledger.update(supply.clock.now_ms)
    assert ledger.measured is True
    numbers = ledger.numbers(1000, 10, 1, 100, 2)
    assert sorted(numbers) == ["energy_modelled", "joules", "meter_failed", "metered_s"]
    assert (numbers["energy_modelled"], numbers["metered_s"], numbers["meter_failed"]) == (0, 2, 0)
    near(numbers["joules"], 0.33)


def test_a_meter_that_never_answers_leaves_the_model():
    clock = Clock()
    ledger = Ledger("ble", Meter(Bus(clock)))
    for now_ms in (0, 1000, 2000):
        ledger.update(now_ms)
    assert (ledger.measured, ledger.failed) == (False, 3)
    assert ledger.numbers(1000, 10, 1, 100, 2)["energy_modelled"] == 1


def test_an_unknown_radio_is_refused_at_once():
    assert "no radio 'zigbee'; there are 802.15.4, ble, lora-sf7, wifi" in error_of(ValueError, Ledger, "zigbee")
    assert modelled(1, 1, 1, 1, 1, "ble").measured is False
