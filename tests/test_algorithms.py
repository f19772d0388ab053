"""What each server does with a mean delta, over two rounds, worked by hand; the schedules; the settings that choose them."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from coordinator.aggregate import outer_step, scheduled
from coordinator.algorithms import ADAPTIVITY, ALGORITHMS, SERVERS, algorithm_of
from coordinator.service import Service
from coordinator.settings import (
    AlgorithmName,
    LinkSettings,
    ModelSettings,
    RoundSettings,
    Schedule,
    Server,
    Settings,
    example,
)

MEANS = (np.array([1.0, -2.0]), np.array([0.5, 0.0]))


def changes(name: str, step: float, server: str = "") -> list[list[float]]:
    algorithm = algorithm_of(name, server)
    state, found = algorithm.init(2), []
    for mean in MEANS:
        state, change = algorithm.apply(state, mean, step)
        found.append([round(float(value), 12) for value in change])
    return found


def test_interpolation_is_the_step_times_the_mean() -> None:
    for name in ("tinyreptile", "tinymetafed", "reptile", "fedavg", "fedsgd", "fedprox", "fomaml"):
        assert changes(name, 0.5) == [[0.5, -1.0], [0.25, 0.0]], name


def test_momentum_carries_nine_tenths_of_what_came_before() -> None:
    assert changes("fedavgm", 0.5) == [[0.5, -1.0], [0.5 * (0.9 + 0.5), 0.5 * -1.8]]
    assert changes("tinymetafed", 0.5, "momentum") == changes("fedavgm", 0.5)


def test_adam_divides_by_the_root_of_the_mean_square() -> None:
    def by_hand(first: float, second: float) -> float:
        return round(0.1 * first / (second**0.5 + ADAPTIVITY), 12)

    # means .1 and -.2, mean squares .01 and .04; then .9 x .1 + .1 x .5 = .14 and .99 x .01 + .01 x .25 = .0124
    assert changes("fedadam", 0.1) == [
        [by_hand(0.1, 0.01), by_hand(-0.2, 0.04)],
        [by_hand(0.14, 0.0124), by_hand(-0.18, 0.0396)],
    ]


def test_apply_leaves_the_state_that_it_was_given_alone() -> None:
    for init, apply in SERVERS.values():
        state = init(2)
        before = state.copy()
        apply(state, MEANS[0], 1.0)
        assert (state == before).all()


def test_settings_know_every_algorithm_and_every_server() -> None:
    assert set(get_args(AlgorithmName)) == set(ALGORITHMS)
    assert set(get_args(Server)) == {"", *SERVERS}
    assert [name for name in ALGORITHMS if ALGORITHMS[name].serial] == ["tinyreptile"]


@pytest.mark.parametrize(
    ("schedule", "closed", "wanted"),
    [
        ("constant", 7, 4.0),
        ("linear", 0, 4.0),
        ("linear", 5, 3.0),
        ("linear", 10, 2.0),
        ("cosine", 5, 3.0),
        ("cosine", 12, 2.0),
    ],
)
def test_a_value_goes_from_first_to_last(schedule: Schedule, closed: int, wanted: float) -> None:
    assert scheduled(schedule, 4.0, 2.0, closed, 10) == pytest.approx(wanted)


def test_warm_up_grows_in_equal_steps() -> None:
    rules = RoundSettings(outer_step_size=1.0, warm_up=3)
    assert [outer_step(rules, closed) for closed in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_what_needs_kept_samples_is_refused_for_real_devices() -> None:
    for changed in ({"passes": 2}, {"batch": 8}, {"batch": 0}, {"query": 4}, {"proximal": 0.1}):
        model = ModelSettings("m", "1 | dense 1 linear", **changed)
        assert not model.online
        with pytest.raises(ValueError, match="simulated devices"):
            Service(Settings(LinkSettings(), model, RoundSettings()))
    assert example().model.online


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"rebuild": 32}, "rebuild"),
        ({"rebuild": 4}, "local"),
        ({"adapt": "local"}, "local"),
        ({"top_p_down": 101.0}, "top_p_down"),
        ({"top_p_of": "layer"}, "top_p_of"),
        ({"passes": 0}, "passes"),
        ({"initial": "zero"}, "initial"),
    ],
)
def test_settings_of_a_model_that_cannot_be_are_refused(changed: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        replace(example().model, **changed)  # type: ignore[arg-type]


def test_a_schedule_needs_to_know_how_many_rounds_there_are() -> None:
    for changed in ({"schedule": "cosine"}, {"inner_first": 0.1}, {"top_p_first": 50.0}):
        with pytest.raises(ValueError, match="number of rounds"):
            RoundSettings(**changed)  # type: ignore[arg-type]
