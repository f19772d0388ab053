"""From a room's readings to the inputs of the presence model, one reading at a time.

A reading is CO2, temperature and relative humidity; the eleven inputs are listed in INPUTS. Light is left out on purpose:
where lamps are switched by people it gives the answer away, and few rooms have the sensor. Bounded memory: 24 h of CO2 on a
15-minute grid (384 bytes) and three readings of the other two. The choice of inputs and scales is ours: CO2 is scaled
finely near the empty room's level and cut above, so that one person shows and a full classroom does not drown the rest.
"""

from array import array
from math import cos, pi, sin

GRID_S = 900
DAY_SLOTS = 96
BACK_SLOTS = 4  # the longest difference: an hour
MISSING = 1e9
BOUND = 2.0  # an input beyond this is cut
INPUTS = (
    "CO2 above its 24 h minimum",
    "CO2 above 500 ppm",
    "CO2 difference over 15 min",
    "CO2 difference over 30 min",
    "CO2 difference over 60 min",
    "temperature difference over 30 min",
    "humidity difference over 30 min",
    "temperature",
    "humidity",
    "sine of the hour",
    "cosine of the hour",
)
CENTRES = (0.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0, 22.0, 40.0, 0.0, 0.0)
SCALES = (60.0, 300.0, 15.0, 20.0, 30.0, 0.4, 5.0, 4.0, 20.0, 1.0, 1.0)  # ppm, degrees Celsius, percent


class RoomInputs:
    """Streaming inputs of one room. Time must be whole seconds: a board's float has only 24 bits."""

    def __init__(self) -> None:
        self.slot = -1  # of the newest reading; slots count 15 minutes from time 0
        self.co2 = array("f", [MISSING] * DAY_SLOTS)
        self.temperature = array("f", [MISSING] * 3)
        self.humidity = array("f", [MISSING] * 3)
        self.row = array("f", bytes(4 * len(INPUTS)))

    def push(self, time_s: int, co2_ppm: float, temperature_c: float, humidity_percent: float) -> "array[float] | None":
        """The inputs (scaled, within +-2) at this reading, or None while the last hour is not known without a gap.

        time_s: local time, since any midnight. A second reading of the same quarter of an hour replaces the first; time
        that runs back, or a gap of a day, starts afresh; a reading that is not finite is a gap. The array is reused by
        the next call.
        """
        total = co2_ppm + temperature_c + humidity_percent
        if not total - total == 0.0:
            return None
        slot = time_s // GRID_S
        if not self.slot <= slot < self.slot + DAY_SLOTS:
            self.slot = slot - DAY_SLOTS
        for gap in range(self.slot + 1, slot):
            self._put(gap, MISSING, MISSING, MISSING)
        self._put(slot, co2_ppm, temperature_c, humidity_percent)
        self.slot = slot
        row = self.row
        row[0] = co2_ppm - min(self.co2)
        row[1] = co2_ppm
        row[2] = co2_ppm - self.co2[(slot - 1) % DAY_SLOTS]
        row[3] = co2_ppm - self.co2[(slot - 2) % DAY_SLOTS]
        row[4] = co2_ppm - self.co2[(slot - BACK_SLOTS) % DAY_SLOTS]
        row[5] = temperature_c - self.temperature[(slot - 2) % 3]
        row[6] = humidity_percent - self.humidity[(slot - 2) % 3]
        row[7] = temperature_c
        row[8] = humidity_percent
        angle = 2.0 * pi * (time_s % 86400) / 86400.0
        row[9] = sin(angle)
        row[10] = cos(angle)
        for back in range(1, BACK_SLOTS + 1):
            if self.co2[(slot - back) % DAY_SLOTS] == MISSING:
                return None
        for i in range(len(row)):
            row[i] = max(-BOUND, min(BOUND, (row[i] - CENTRES[i]) / SCALES[i]))
        return row

    def _put(self, slot: int, co2: float, temperature: float, humidity: float) -> None:
        self.co2[slot % DAY_SLOTS] = co2
        self.temperature[slot % 3] = temperature
        self.humidity[slot % 3] = humidity
