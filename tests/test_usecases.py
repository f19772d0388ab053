"""Sines and rooms as populations: the ranges of the tasks, the same samples for the same seed, nothing leaked."""

import os
from pathlib import Path

import numpy as np
import pytest

from edge_agents.rooms import simulated_room
from experiments.usecases.presence import Presence
from experiments.usecases.sine import QUERY, Sine


def test_a_sine_has_the_amplitudes_and_phases_of_the_benchmark() -> None:
    use_case = Sine(1, tasks=500)
    amplitudes, phases = [], []
    for episode in use_case.unseen():
        x, y = 5 * episode.query.x[:, 0].astype(float), episode.query.y[:, 0].astype(float)
        # y = a sin x + b cos x, by least squares
        (a, b), *_ = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], axis=1), y, rcond=None)
        amplitudes.append(np.hypot(a, b))
        phases.append(np.arctan2(b, a))
        support = 5 * episode.support.x[:, 0].astype(float)
        assert np.allclose(a * np.sin(support) + b * np.cos(support), episode.support.y[:, 0], atol=1e-4)
    assert 0.1 <= min(amplitudes) < 0.3
    assert 4.8 < max(amplitudes) <= 5.0
    assert -1e-4 <= min(phases) < 0.1
    assert 3.0 < max(phases) <= np.pi + 1e-4
    assert episode.query.x.shape == (QUERY, 1)
    assert (episode.query.x.min(), episode.query.x.max()) == (-1.0, 1.0)


def test_a_device_meets_another_sine_in_each_round_unless_it_is_fixed() -> None:
    def amplitude(use_case: Sine, device: int, round_num: int) -> float:
        return float(np.abs(use_case.support(device, round_num, 400).y).max())

    drawn, fixed = Sine(2), Sine(2, fixed=True)
    assert len({round(amplitude(drawn, 0, n), 1) for n in range(8)}) > 4
    assert np.ptp([amplitude(fixed, 0, n) for n in range(8)]) < 0.05
    assert abs(amplitude(fixed, 0, 1) - amplitude(fixed, 1, 1)) > 0.05


def test_samples_are_the_same_for_the_same_seed_device_and_round_alone() -> None:
    one, two = Sine(3), Sine(3, devices=500)
    assert (one.support(4, 7, 32).y == two.support(4, 7, 32).y).all()
    assert (one.support(4, 7, 8).y == one.support(4, 7, 32).y[:8]).all()
    for other in (Sine(4).support(4, 7, 32), one.support(5, 7, 32), one.support(4, 8, 32)):
        assert not (one.support(4, 7, 32).y == other.y).any()


@pytest.fixture(scope="module")
def simulated() -> Presence:
    return Presence(None, 1, devices=3)


def test_without_recorded_rooms_all_are_simulated_and_say_so(simulated: Presence) -> None:
    assert "SIMULATED" in simulated.data_note
    assert len(simulated.unseen()) == 12


def test_support_is_alternately_empty_and_occupied_and_of_the_first_third_of_the_days(simulated: Presence) -> None:
    room = simulated_room(1, 1)
    early = {tuple(np.float32(row)) for row in room.x[: room.support_rows]}
    for round_num in range(5):
        samples = simulated.support(0, round_num, 60)
        assert samples.y.tolist() == [0, 1] * 30
        assert all(tuple(row) in early for row in samples.x)
    assert not (simulated.support(0, 0, 60).x == simulated.support(0, 1, 60).x).all()


def test_the_query_comes_later_than_the_support_and_from_rooms_that_take_no_part(simulated: Presence) -> None:
    taking_part = {row for n in range(1, 4) for row in simulated_room(1, n).x}
    for episode in simulated.unseen():
        learned = {tuple(row) for row in episode.support.x}
        scored = {tuple(row) for row in episode.query.x}
        assert not learned & scored
        assert not {tuple(np.float32(row)) for row in taking_part} & (learned | scored)
        assert len(episode.support) == 128


def test_recorded_rooms_are_left_out_one_by_one() -> None:
    folder = os.environ.get("TEGU_DATA")
    if not folder or not (Path(folder) / "brains4buildings").is_dir():
        pytest.skip("no recorded rooms: TEGU_DATA=folder, or tegu data get presence")
    names = []
    for left_out in range(3):
        use_case = Presence(Path(folder), 0, left_out)
        episodes = use_case.unseen()
        assert len(episodes) == 8
        assert {episode.name for episode in episodes} == {episodes[0].name}
        assert all((episode.query.x == episodes[0].query.x).all() for episode in episodes)
        assert len({episode.support.x.tobytes() for episode in episodes}) == 8  # from eight places
        names.append(episodes[0].name)
    assert len(set(names)) == 3


def test_a_use_case_may_have_other_numbers_of_devices() -> None:
    assert Sine(1).with_devices(70).support(69, 1, 4).x.shape == (4, 1)
    assert Presence(None, 1, devices=2).with_devices(5).devices == 5
