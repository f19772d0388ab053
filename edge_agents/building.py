"""A simulated building: rooms whose air is a mass balance and whose people keep office hours.

CO2 follows dC/dt = generation * people / volume - air changes * (C - outdoor); moisture the same; temperature is a
first-order room between heating, outdoor air, sun and the heat of its people. Each step is a minute, seen through a slow,
offset, noisy sensor and averaged over 15 minutes. What a person breathes out (18 litres of CO2 an hour seated), sweats
(50 g/h) and heats (75 W sensible) follows ASHRAE Fundamentals for light office work; the rest (who comes when, how rooms
differ) is our choice, drawn by (seed, room number) and by nothing else. Simulated rooms are labelled simulated everywhere.
"""

import math
from random import Random

DAY_S = 86400
GRID_S = 900
STEP_S = 60
CO2_LITRES_PER_H = 18.0  # a seated adult
MOISTURE_G_PER_H = 50.0
HEAT_W = 75.0
AIR_J_PER_M3_K = 1200.0
KINDS = ("office", "office", "office", "shared office", "shared office", "meeting room", "lab", "classroom")

# local time_s, CO2 ppm, temperature C, relative humidity %, occupied 0 or 1
Reading = tuple[int, float, float, float, int]


class SimulatedRoom:
    """The constants of one room, drawn from (seed, number); another attempt draws another room in its place."""

    def __init__(self, seed: int, number: int, attempt: int = 0) -> None:
        draw = Random(f"building {seed} room {number}" + f" attempt {attempt}" * (attempt > 0))
        self.kind = draw.choice(KINDS)
        self.random = draw
        self.volume_m3, self.most_people = {
            "office": (draw.uniform(30, 80), draw.randint(1, 3)),
            "shared office": (draw.uniform(60, 180), draw.randint(3, 8)),
            "meeting room": (draw.uniform(40, 130), draw.randint(4, 12)),
            "lab": (draw.uniform(100, 300), draw.randint(3, 10)),
            "classroom": (draw.uniform(150, 280), draw.randint(12, 30)),
        }[self.kind]
        crowded = self.most_people / self.volume_m3
        self.leakage_per_h = draw.uniform(0.05, 0.5)
        self.ventilation_per_h = draw.uniform(0.2, 3.5) + draw.uniform(5.0, 22.0) * crowded
        self.fan_on_h = draw.uniform(5.0, 8.0)
        self.fan_off_h = draw.uniform(17.0, 21.0)
        self.fan_always = draw.random() < 0.25
        self.fan_on_demand = draw.random() < 0.25  # follows CO2, as many building systems do
        self.window_chance = draw.choice((0.0, 0.0, 0.05, 0.2))  # an hour, while someone is there
        self.weekend_chance = draw.choice((0.0, 0.0, 0.05, 0.15))
        self.presence = draw.uniform(0.3, 0.95)  # chance that a person comes on a working day
        self.restless = draw.choice((0, 1, 2, 4))  # how often a person leaves for a while
        self.closed_chance = draw.choice((0.0, 0.1, 0.2, 0.4))  # a working day on which nobody comes
        self.start_h = draw.gauss(8.5, 0.5)
        self.end_h = draw.gauss(17.0, 0.7)
        self.outdoor_co2_ppm = draw.uniform(405, 440)
        self.outdoor_swing_ppm = draw.uniform(0, 35)  # over the day, highest before sunrise
        self.outdoor_drift_ppm = draw.uniform(1, 8)
        self.sensor_offset_ppm = draw.gauss(0, 30)
        self.sensor_noise_ppm = draw.uniform(1, 8)
        self.sensor_tau_s = draw.uniform(60, 900)
        self.set_c = draw.uniform(20.0, 23.5)
        self.setback_c = draw.uniform(0.0, 2.5)
        self.heating_tau_s = draw.uniform(2, 8) * 3600
        self.sun_c = draw.uniform(0.0, 2.0)
        self.mass_factor = draw.uniform(8, 25)  # walls and furniture take up heat: so many times the air's capacity
        self.outdoor_c = draw.uniform(0, 16)
        self.outdoor_g_per_m3 = draw.uniform(4.0, 9.0)
        self.label_share = draw.choice((0.1, 0.5, 0.5))  # of a quarter of an hour, from which on it counts as occupied
        self.label_hold_s = draw.choice((0, 0, 300, 900))  # a motion sensor waits so long before it says "empty"
        self.unrest_c = draw.uniform(0.0, 0.35)  # doors, radiators and sun patches at the sensor, hour by hour
        self.humidity_step = draw.choice((0.1, 1.0))
        self.temperature_offset_c = draw.gauss(0, 0.5)
        self.humidity_offset = draw.gauss(0, 3)

    def people(self, days: int) -> list[int]:
        """How many are in the room, minute by minute; day 0 is a Monday or any other day, drawn."""
        minutes = [0] * (days * DAY_S // STEP_S)
        first = self.random.randrange(7)
        for day in range(days):
            weekend = (first + day) % 7 >= 5
            if self.random.random() >= (self.weekend_chance if weekend else 1 - self.closed_chance):
                continue
            for start, stop, count in self._stays():
                for minute in range(max(0, round(start * 60)), min(1440, round(stop * 60))):
                    minutes[day * 1440 + minute] += count
        return minutes

    def _stays(self) -> list[tuple[float, float, int]]:
        """(from hour, to hour, people) of one working day."""
        draw = self.random
        if self.kind in ("meeting room", "classroom"):
            stays, at = [], self.start_h + draw.choice((0.0, 0.5, 1.0))
            while at < self.end_h:
                hours = draw.choice((0.5, 1.0, 1.0, 1.5, 2.0))
                if draw.random() < self.presence - 0.3:
                    people = draw.randint(max(1, self.most_people // 4), self.most_people)
                    stays.append((at + draw.gauss(0, 0.06), at + hours - draw.uniform(0.0, 0.25), people))
                at += hours
            return stays
        stays = []
        for _ in range(self.most_people):
            if draw.random() > self.presence:
                continue
            arrives = self.start_h + draw.gauss(0, 0.7)
            leaves = self.end_h + draw.gauss(0, 1.0)
            lunch = draw.gauss(12.4, 0.3)
            away = [(lunch, lunch + draw.uniform(0.3, 1.0))]
            for _ in range(draw.randint(0, 2 * self.restless)):
                begin = draw.uniform(arrives, max(arrives, leaves))
                away.append((begin, begin + draw.choice((0.15, 0.3, 0.5, 1.0, 2.0))))
            at = arrives
            for begin, end in sorted(away):
                if begin > at:
                    stays.append((at, min(begin, leaves), 1))
                at = max(at, end)
            if at < leaves:
                stays.append((at, leaves, 1))
        for _ in range(draw.choice((0, 0, 1, 3))):  # someone looks in
            visit = draw.uniform(7.5, 18.5)
            stays.append((visit, visit + draw.uniform(0.05, 0.3), 1))
        if draw.random() < 0.3:
            cleaning = draw.uniform(17.5, 20.5)
            stays.append((cleaning, cleaning + 0.2, 1))
        return stays

    def readings(self, days: int) -> list[Reading]:
        """One reading every 15 minutes from local midnight on, each the mean of its minutes. Call once."""
        draw = self.random
        people = self.people(days)
        co2 = seen = self.outdoor_co2_ppm + 40
        air_c = warmth_c = self.set_c - self.setback_c
        moisture = self.outdoor_g_per_m3 + 1.0
        outdoor_co2, outdoor_c, outdoor_g = self.outdoor_co2_ppm, self.outdoor_c, self.outdoor_g_per_m3
        window_until, held_until, swing, unrest_c = -1, -1, 0.0, 0.0
        rows: list[Reading] = []
        total = [0.0, 0.0, 0.0, 0.0]
        for minute, count in enumerate(people):
            hour = minute % 1440 / 60
            if minute % 60 == 0:
                outdoor_co2 += 0.1 * (self.outdoor_co2_ppm - outdoor_co2) + draw.gauss(0, self.outdoor_drift_ppm)
                outdoor_c += 0.03 * (self.outdoor_c - outdoor_c) + draw.gauss(0, 0.4)
                outdoor_g += 0.03 * (self.outdoor_g_per_m3 - outdoor_g) + draw.gauss(0, 0.15)
                if count and draw.random() < self.window_chance:
                    window_until = minute + draw.randint(10, 90)
                swing = self.outdoor_swing_ppm * math.cos((hour - 5) / 12 * math.pi)
                unrest_c = 0.5 * unrest_c + draw.gauss(0, self.unrest_c)
            changes = self._air_changes(hour, co2, minute < window_until)
            breathed_ppm = count * CO2_LITRES_PER_H * 1e3 / self.volume_m3
            co2 = mixed(co2, outdoor_co2 + swing, breathed_ppm, changes)
            moisture = mixed(moisture, outdoor_g, count * MOISTURE_G_PER_H / self.volume_m3, changes)
            air_c += self._warming(hour, count, changes, air_c, outdoor_c) * STEP_S
            warmth_c += (air_c + unrest_c - warmth_c) / 20
            seen += (co2 - seen) * (1 - math.exp(-STEP_S / self.sensor_tau_s))
            if count:
                held_until = minute + self.label_hold_s // STEP_S
            total[0] += seen
            total[1] += warmth_c
            total[2] += relative_humidity(moisture, warmth_c)
            total[3] += minute <= held_until
            if minute % 15 == 14:
                rows.append(self._reading(minute * 60 - 840, [value / 15 for value in total]))
                total = [0.0, 0.0, 0.0, 0.0]
        return rows

    def _air_changes(self, hour: float, co2: float, window_open: bool) -> float:
        fan = self.fan_always or self.fan_on_h <= hour < self.fan_off_h
        flow = self.ventilation_per_h if fan else 0.0
        if self.fan_on_demand:
            flow *= min(1.0, max(0.15, (co2 - 550) / 400))
        return self.leakage_per_h + flow + (4.0 if window_open else 0.0)

    def _warming(self, hour: float, count: int, changes: float, air_c: float, outdoor_c: float) -> float:
        """Degrees a second."""
        wanted = self.set_c if self.fan_on_h <= hour < self.fan_off_h else self.set_c - self.setback_c
        wanted += self.sun_c * max(0.0, math.sin((hour - 7) / 12 * math.pi))
        people = count * HEAT_W / (self.volume_m3 * AIR_J_PER_M3_K * self.mass_factor)
        supply_c = max(outdoor_c, self.set_c - 4)  # outdoor air comes in preheated
        return (wanted - air_c) / self.heating_tau_s + people + changes / 3600 * (supply_c - air_c) / self.mass_factor

    def _reading(self, time_s: int, mean: list[float]) -> Reading:
        draw = self.random
        co2 = max(350.0, round(mean[0] + self.sensor_offset_ppm + draw.gauss(0, self.sensor_noise_ppm)))
        celsius = round(mean[1] + self.temperature_offset_c + draw.gauss(0, 0.03), 2)
        humidity = min(95.0, max(5.0, mean[2] + self.humidity_offset + draw.gauss(0, 0.1)))
        humidity = round(humidity / self.humidity_step) * self.humidity_step
        return time_s, co2, celsius, humidity, int(mean[3] >= self.label_share)


def mixed(inside: float, outdoor: float, source_per_h: float, changes_per_h: float, step_s: float = STEP_S) -> float:
    """A concentration one step on, exactly: dC/dt = source - changes * (C - outdoor). changes_per_h must not be zero."""
    rest = outdoor + source_per_h / changes_per_h
    return rest + (inside - rest) * math.exp(-changes_per_h * step_s / 3600)


def relative_humidity(grams_per_m3: float, celsius: float) -> float:
    """Percent, from the water in the air; saturation pressure after Magnus (WMO-No. 8)."""
    saturation_pa = 611.2 * math.exp(17.62 * celsius / (243.12 + celsius))
    return 100.0 * grams_per_m3 * 461.5 * (celsius + 273.15) / 1000.0 / saturation_pa
