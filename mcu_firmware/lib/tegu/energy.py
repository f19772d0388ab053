"""What a board would spend, modelled; every constant of the model, with its source, stands here.

    E = cycles x 155 pJ + bytes x radio cost + sessions x session cost          (idle is left to the ledger)

The board is a Nordic nRF52840 at 64 MHz and 3 V with its BLE radio. Where there is a meter its reading goes before this
model, and a figure always says which of the two it is.
"""

JOULES_PER_CYCLE = 155e-12  # nRF52840, 64 MHz, flash, DC/DC, 3.2-3.3 mA at 3 V (public power profiles of the chip)
CYCLES_PER_WEIGHT_AND_SAMPLE = 22  # forward, backward and update in C: 24,500-27,300 cycles for 1,153 weights (QEMU
# instruction traces times the Cortex-M4F cycle table of TI's reference manual; zero wait states)
CYCLES_PER_WEIGHT_TO_ENCODE = 55  # Top-P% and Golomb-Rice coding of 1,153 weights, same method
JOULES_PER_BYTE = {"ble": 0.235e-6, "802.15.4": 0.9e-6, "wifi": 0.75e-6, "lora-sf7": 0.16e-3}  # radio and CPU together
JOULES_PER_SESSION = {"ble": 0.0, "802.15.4": 0.0, "wifi": 0.543, "lora-sf7": 0.0}  # ESP32: wake, connect, publish


class Energy:
    """Modelled joules since the start, by what they were spent on."""

    measured = False

    def __init__(self, compute_joules: float, radio_joules: float, session_joules: float) -> None:
        self.compute_joules = compute_joules
        self.radio_joules = radio_joules
        self.session_joules = session_joules

    @property
    def joules(self) -> float:
        return self.compute_joules + self.radio_joules + self.session_joules


def modelled(weights: int, samples: int, updates: int, bytes_both_ways: int, sessions: int, radio: str) -> Energy:
    """The energy of `samples` learned and `updates` encoded on a model of `weights`. ValueError for an unknown radio."""
    if radio not in JOULES_PER_BYTE:
        raise ValueError("no radio %r; there are %s" % (radio, ", ".join(sorted(JOULES_PER_BYTE))))
    cycles = weights * (samples * CYCLES_PER_WEIGHT_AND_SAMPLE + updates * CYCLES_PER_WEIGHT_TO_ENCODE)
    return Energy(
        cycles * JOULES_PER_CYCLE,
        bytes_both_ways * JOULES_PER_BYTE[radio],
        sessions * JOULES_PER_SESSION[radio],
    )
