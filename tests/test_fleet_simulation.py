"""The simulated fleet is the real thing: the same bits and bytes as Sessions around a Federation, which test_federation.py
in turn holds against the same federation over mosquitto."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Settings
from edge_agents.sources import Sample, Source
from experiments import fleet
from experiments.fleet.simulation import FleetSimulation, Trouble, learned
from experiments.simulation import Simulation
from experiments.usecases import Samples, UseCase
from experiments.usecases.sine import Sine
from tegu.model import Model

ROUNDS, SAMPLES = 40, 6
SPEC = "1 | dense 6 tanh | dense 1 linear"
LOCAL = "1 | dense 6 tanh | dense 1 linear local"


class InRounds(Source):
    """A use case's device as a Session's source: the samples of the rounds in which it learns, one round after the other."""

    def __init__(self, use_case: UseCase, device: int, round_nums: list[int]) -> None:
        super().__init__(f"device {device}", True, "for a test")
        self._use_case, self._device, self._rounds = use_case, device, iter(round_nums)

    def begin_round(self) -> None:
        samples = self._use_case.support(self._device, next(self._rounds), SAMPLES)
        self._samples = iter(zip(samples.x.tolist(), samples.y.tolist(), strict=True))

    def next_support(self, wanted: int | None) -> Sample | None:
        return next(self._samples)


def settings(model: Mapping[str, Any], rounds: Mapping[str, Any]) -> Settings:
    told = {"name": "sine", "spec": SPEC, "inner_step_size": 0.05, "samples": SAMPLES, "top_p": 30.0, **model}
    rules = {"rounds": ROUNDS, "quorum": 3, "schedule": "cosine", "deadline_s": 10.0, **rounds}
    return Settings(LinkSettings(checkpoint=Path(":memory:")), ModelSettings(**told), RoundSettings(**rules))


CASES = [
    ({}, {}),
    ({"init_codec": "f32"}, {"algorithm": "tinyreptile"}),
    ({"top_p_down": 20.0}, {"server": "momentum", "outer_step_size": 0.2}),
    ({"top_p_down": 20.0, "spec": LOCAL, "rebuild": 2, "adapt": "local"}, {"server": "adam", "outer_step_size": 0.05}),
    ({"top_p_down": 20.0}, {"algorithm": "tinyreptile"}),
    ({"top_p_of": "tensor", "residual": False, "codec": "f16"}, {"denominator": "senders", "warm_up": 5}),
    ({"codec": "f32"}, {"inner_first": 0.1, "top_p_first": 100.0, "top_p_schedule": "cosine"}),
]


@pytest.mark.parametrize(("model", "rounds"), CASES)
def test_a_simulated_fleet_ends_as_sessions_do_to_the_bit_and_to_the_byte(
    model: dict[str, Any], rounds: dict[str, Any]
) -> None:
    told, use_case = settings(model, rounds), Sine(4, devices=3)
    ours = FleetSimulation(told, use_case, 4, with_kernel=fleet.kernel("python"))
    for _ in ours.run():
        pass
    assert ours.closed == ROUNDS
    turns = [[*range(1 + n, ROUNDS + 1, 3)] if told.rounds.serial else [*range(1, ROUNDS + 1)] for n in range(3)]
    sources = {f"device-{n}": InRounds(use_case, n, turns[n]) for n in range(3)}
    theirs = Simulation(told, sources)
    initialization = theirs.run()
    assert ours.initialization.tobytes() == initialization.tobytes()
    sessions = theirs.sessions.values()
    assert ours.counts.bytes["update"] == sum(session.bytes["update_up"] for session in sessions)
    down = sum(ours.counts.bytes[kind] for kind in ("manifest", "round", "init", "delta"))
    received = sum(session.bytes["model_down"] for session in sessions)
    finished = {topic.split("/")[5]: payload for topic, payload, _ in theirs.federation.retained() if payload}
    last = finished["delta" if told.model.top_p_down else "init"]
    if told.rounds.serial:  # who was not in the last rounds has more to catch up
        assert received > down
    else:  # the sessions also fetch the finished initialization, which the fleet leaves to whoever comes next
        assert received == down + 3 * len(last)


def test_numba_and_numpy_end_where_the_reference_does() -> None:
    told, use_case = settings({"top_p": 100.0, "codec": "f32", "init_codec": "f32"}, {}), Sine(4, devices=3)
    ends = []
    for name in ("python", "numpy", "numba"):
        simulation = FleetSimulation(told, use_case, 4, with_kernel=fleet.kernel(name))
        list(simulation.run())
        ends.append(simulation.initialization)
    assert np.abs(ends[0] - ends[1]).max() < 1e-5
    assert np.abs(ends[0] - ends[2]).max() < 1e-5


def test_a_run_that_is_stopped_goes_on_from_its_snapshot_to_the_same_end(tmp_path: Path) -> None:
    told, use_case = settings({"top_p_down": 20.0}, {"server": "momentum", "outer_step_size": 0.2}), Sine(4, devices=5)
    trouble = Trouble(dropout=0.1, spread=0.5)
    whole = FleetSimulation(told, use_case, 4, trouble)
    list(whole.run())
    first = FleetSimulation(told, use_case, 4, trouble)
    for closed in first.run():
        if closed == 17:
            first.save(tmp_path / "kept")
            break
    second = FleetSimulation(told, use_case, 4, trouble, snapshot=tmp_path / "kept")
    assert second.closed == 17
    list(second.run())
    assert second.initialization.tobytes() == whole.initialization.tobytes()
    assert second.counts.updates == whole.counts.updates
    assert second.counts.bytes["update"] == whole.counts.bytes["update"]


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    told = settings({}, {})
    ends = []
    for seed in (1, 1, 2):
        simulation = FleetSimulation(told, Sine(seed, devices=3), seed)
        list(simulation.run())
        ends.append((simulation.initialization.tobytes(), simulation.counts.up, simulation.counts.down))
    assert ends[0] == ends[1] != ends[2]


def test_the_slow_and_the_lost_do_not_hold_a_round_up() -> None:
    told = settings({}, {"quorum": 6})
    simulation = FleetSimulation(told, Sine(1, devices=12), 1, Trouble(dropout=0.25, spread=1.0))
    list(simulation.run())
    counts = simulation.counts
    assert simulation.closed == ROUNDS
    assert 0.6 * 12 * ROUNDS < counts.updates < 0.9 * 12 * ROUNDS  # a quarter is never heard of
    assert 5.5 * ROUNDS < counts.updates - counts.late <= 6 * ROUNDS  # a round takes its quorum, the rest is too late
    assert simulation.clock_s < ROUNDS * 5  # few rounds had to wait for their deadline of 10 s


def test_a_round_that_nobody_answers_is_opened_again() -> None:
    told = settings({}, {"quorum": 2, "rounds": 5})
    simulation = FleetSimulation(told, Sine(1, devices=2), 1, Trouble(dropout=0.6))
    list(simulation.run())
    assert simulation.closed == 5
    assert simulation.federation.rounds.round_num > 5
    assert simulation.clock_s >= 10.0  # at least one deadline had to pass


def test_part_of_many_devices_take_part() -> None:
    told = settings({}, {"quorum": 40, "join_percent": 10.0, "rounds": 4})
    simulation = FleetSimulation(told, Sine(1, devices=1000), 1)
    list(simulation.run())
    assert 4 * 70 < simulation.counts.updates < 4 * 130
    assert simulation.counts.bytes["manifest"] > 1000 * 4 * 200  # everyone hears what everyone subscribes to


class Constant(UseCase):
    """One number to learn: x 1, y 1, and for the query y 3."""

    name, title, spec, score_name, samples = "constant", "", "1 | dense 1 linear", "mean squared error", (0, 1)
    devices, data_note = 1, ""

    def support(self, device: int, round_num: int, count: int) -> Samples:
        return Samples(np.ones((count, 1), dtype=np.float32), np.ones((count, 1), dtype=np.float32))


def delta(y: list[float], **model: Any) -> list[float]:
    rules = replace(settings({"spec": "1 | dense 1 linear", **model}, {}).model, samples=len(y) - model.get("query", 0))
    found = Model(rules.spec)
    x, wanted = np.ones((1, len(y), 1), dtype=np.float32), np.array(y, dtype=np.float32).reshape(1, -1, 1)
    after = learned(found, np.zeros(2, dtype=np.float32), x, wanted, rules, 0.25, fleet.kernel())
    return [round(float(value), 6) for value in after[0]]


def test_the_deltas_of_the_algorithms_are_those_worked_by_hand() -> None:
    # from w = b = 0 with x = 1 the error is w + b - y; a step of .25 takes .25 times it from both
    assert delta([1.0]) == [0.25, 0.25]
    assert delta([1.0, 1.0]) == [0.375, 0.375]  # the second step sees an error of -.5
    assert delta([1.0], passes=2) == [0.375, 0.375]
    assert delta([1.0, 3.0], batch=2) == [0.5, 0.5]  # their mean is 2
    assert delta([1.0, 3.0], batch=0) == [0.5, 0.5]  # FedSGD: one step down the mean of all
    assert delta([1.0, 1.0], proximal=2.0) == [0.25, 0.25]  # second step: .25 * (.5 - 2 * .25) = 0
    assert delta([1.0], passes=2, proximal=2.0) == [
        0.25,
        0.25,
    ]  # the second pass is pulled to the start, not to the first
    # first-order MAML: adapts to 1 (w + b = .5), then sends .25 * (3 - .5) of the query sample alone
    assert delta([1.0, 3.0], query=1) == [0.625, 0.625]


def test_rebuilding_comes_first_and_leaves_the_shared_layers_still() -> None:
    model = Model("1 | dense 1 linear | dense 1 linear local")
    rules = settings({"spec": model.spec, "rebuild": 1}, {}).model
    start = np.array([1.0, 0.0, 1.0, 0.0], dtype=np.float32)
    x, y = np.ones((1, 2, 1), dtype=np.float32), np.full((1, 2, 1), 3.0, dtype=np.float32)
    after = learned(model, start, x, y, rules, 0.25, fleet.kernel())[0]
    # rebuild: output 1, error -2, the local weight and bias gain .5 each; then output 2, error -1, which reaches the
    # shared weight and bias through the local weight 1.5
    assert after.tolist() == [0.375, 0.375, 0.5, 0.5]
