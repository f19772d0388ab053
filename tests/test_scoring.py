"""What the README's figures rest on: the numpy forward pass, the scores, the adaptation curve and the FedAvg baseline."""

from array import array
from math import log
from random import Random

import numpy as np
import pytest

from edge_agents.sources import Replay, Sample
from experiments import fleet
from experiments.fedavg import train
from experiments.scoring import Query, adaptation_curve
from tegu.learner import Learner
from tegu.model import Model

LINE = Model("1 | dense 1 linear")


def repeated(*samples: Sample) -> Replay:
    return Replay("repeated", True, "for a test", list(samples), list(samples))


@pytest.mark.parametrize("last", ["linear", "relu", "tanh", "sigmoid", "softmax"])
@pytest.mark.parametrize("first", ["linear", "relu", "tanh", "sigmoid"])
def test_the_forward_pass_in_numpy_is_the_learners(first: str, last: str) -> None:
    model = Model(f"4 | dense 6 {first} | dense 3 {last}")
    weights = model.initial(3, 1.0)
    random = Random(1)
    rows = [[random.uniform(-2, 2) for _ in range(4)] for _ in range(20)]
    found = fleet.predict(model, np.frombuffer(weights, dtype=np.float32)[None], np.array(rows, dtype=np.float32))[0]
    learner = Learner(model, weights, 0.1)
    for row, outputs in zip(rows, found.tolist(), strict=True):
        assert outputs == pytest.approx(list(learner.predict_one(row)), abs=1e-6)


def test_balanced_accuracy_is_the_mean_over_classes_and_accuracy_over_samples() -> None:
    model = Model("1 | dense 2 softmax")
    weights = array("f", [0.0, 0.0, log(3.0), 0.0])  # says class 0 with probability 3/4, always
    samples: list[Sample] = [((0.0,), 0), ((0.0,), 0), ((0.0,), 0), ((0.0,), 1)]
    loss = -(3 * log(0.75) + log(0.25)) / 4
    assert Query(model, samples, "balanced accuracy").score(weights) == pytest.approx((loss, 0.5))
    assert Query(model, samples, "accuracy").score(weights) == pytest.approx((loss, 0.75))


def test_squared_error_is_scored_whole_and_is_half_of_it_as_loss() -> None:
    query = Query(LINE, [((1.0,), (3.0,)), ((2.0,), (2.0,))], "mean squared error")
    assert query.score(array("f", [1.0, 0.0])) == pytest.approx((1.0, 2.0))  # errors 2 and 0


def test_no_held_out_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="no held-out samples"):
        Query(LINE, [], "mean squared error")


def test_the_adaptation_curve_scores_before_and_after_each_sample_and_is_the_mean_over_sources() -> None:
    # From zero with step 0.5: one sample (1, y) makes weight and bias y / 2 each, which is right at x = 1.
    curve = adaptation_curve(
        "ours",
        LINE,
        array("f", [0.0, 0.0]),
        0.5,
        [lambda: repeated(((1.0,), (1.0,))), lambda: repeated(((1.0,), (3.0,)))],
        "mean squared error",
        (0, 1, 2),
    )
    assert curve.score == pytest.approx((5.0, 0.0, 0.0))  # the mean of 1 and 9
    assert curve.loss == pytest.approx((2.5, 0.0, 0.0))


def test_fedavg_is_the_mean_of_the_adapted_weights_with_every_local_pass() -> None:
    zero = array("f", [0.0, 0.0])
    up, down = repeated(((1.0,), (1.0,))), repeated(((1.0,), (-3.0,)))
    # Step 0.25: the first pass moves weight and bias by y / 4, the second by y / 8.
    assert list(train(LINE, zero, [up], 1, 1, 0.25, 2)) == pytest.approx([0.375, 0.375])
    assert list(train(LINE, zero, [up, down], 1, 1, 0.25, 1)) == pytest.approx([-0.25, -0.25])
    assert list(train(LINE, zero, [up], 2, 1, 0.25, 1)) == pytest.approx([0.375, 0.375])
