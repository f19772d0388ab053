"""The simulated building: its physics against hand-worked numbers, its people, and that a seed says it all."""

from math import exp

import pytest

from edge_agents.building import CO2_LITRES_PER_H, SimulatedRoom, mixed, relative_humidity
from edge_agents.rooms import simulated_room


def test_co2_settles_where_breath_and_ventilation_balance():
    # Two people in 50 m3: 2 x 18 l/h / 50 m3 = 720 ppm an hour; at 2 air changes that holds 360 ppm above outdoors.
    breathed_ppm = 2 * CO2_LITRES_PER_H * 1000 / 50
    assert breathed_ppm == 720
    co2 = 420.0
    for _ in range(24 * 60):
        co2 = mixed(co2, 420.0, breathed_ppm, 2.0)
    assert co2 == pytest.approx(780.0)


def test_an_empty_room_loses_its_co2_exponentially():
    co2 = 1420.0
    for _ in range(60):
        co2 = mixed(co2, 420.0, 0.0, 1.0)
    assert co2 == pytest.approx(420 + 1000 * exp(-1))
    assert mixed(1420.0, 420.0, 0.0, 1.0, step_s=3600) == pytest.approx(co2)


def test_humidity_of_half_saturated_air():
    # Saturation at 20 degrees: 2332 Pa, that is 17.24 g/m3.
    assert relative_humidity(8.62, 20.0) == pytest.approx(50.0, abs=0.1)
    assert relative_humidity(8.62, 25.0) < 40  # the same water in warmer air


def test_the_same_seed_and_number_give_the_same_room():
    assert SimulatedRoom(1, 4).readings(3) == SimulatedRoom(1, 4).readings(3)


def test_another_seed_or_number_gives_another_room():
    readings = {str(SimulatedRoom(seed, number).readings(1)) for seed in (1, 2) for number in range(4)}
    assert len(readings) == 8


def test_readings_are_a_quarter_of_an_hour_apart_from_midnight():
    assert [row[0] for row in SimulatedRoom(1, 1).readings(2)] == [900 * n for n in range(192)]


def test_readings_are_what_a_building_can_have():
    for number in range(30):
        for _, co2, celsius, humidity, occupied in SimulatedRoom(7, number).readings(5):
            assert 350 <= co2 < 6000
            assert 10 < celsius < 35
            assert 5 <= humidity <= 95
            assert occupied in (0, 1)


def test_there_are_all_kinds_of_rooms():
    kinds = {SimulatedRoom(1, number).kind for number in range(60)}
    assert kinds == {"office", "shared office", "meeting room", "lab", "classroom"}


def test_nobody_comes_at_the_weekend_unless_the_room_is_one_where_they_do():
    room = SimulatedRoom(1, 1)
    room.weekend_chance = 0.0
    room.closed_chance = 0.0
    days = [sum(room.people(7)[day * 1440 : (day + 1) * 1440]) for day in range(7)]
    assert days.count(0) >= 2
    room.weekend_chance = 1.0
    room.presence = 1.0
    assert all(sum(room.people(1)) > 0 for _ in range(7))


def test_people_raise_the_co2_of_every_room():
    for number in range(10):
        room = simulated_room(5, number)
        occupied = [x[0] for x, y in zip(room.x, room.y, strict=True) if y == 1]
        empty = [x[0] for x, y in zip(room.x, room.y, strict=True) if y == 0]
        assert sum(occupied) / len(occupied) > sum(empty) / len(empty)


def test_a_simulated_room_has_both_classes_to_learn_and_to_score():
    for number in range(10):
        room = simulated_room(2, number)
        for part in (room.support(), room.query()):
            assert {label for _, label in part} == {0, 1}
        assert room.simulated
