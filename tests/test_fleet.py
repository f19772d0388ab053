"""Many devices at once learn what one learns: both kernels against the pure Python learner, for every layer and loss."""

from array import array

import numpy as np
import pytest

from experiments import fleet
from tegu.learner import Learner
from tegu.model import Model

SPECS = (
    "1 | dense 32 tanh | dense 32 tanh | dense 1 linear",
    "8 | dense 6 relu | dense 5 sigmoid | dense 3 softmax",
    "4 | dense 5 tanh | dense 1 sigmoid",
    "4 | dense 5 relu | dense 3 sigmoid",
    "3 | dense 4 tanh | dense 2 tanh",
    "6x5x2 | conv 3 3x3 stride 2 same relu | conv 4 2x2 tanh | dense 3 softmax",
    "7x6x3 | depthwise 3x3 same tanh | maxpool 2x2 | dense 3 softmax",
    "7x7x2 | conv 4 3x3 relu | meanpool 3x3 stride 2 same | dense 2 linear",
    "8x8x1 | conv 4 3x3 same relu | maxpool 3x3 stride 2 same | depthwise 3x3 stride 2 same sigmoid | meanpool 2x2 | dense 4 softmax",
)
DEVICES, SAMPLES, STEP = 3, 32, 0.05


def drawn(model: Model, seed: int = 0) -> tuple[fleet.Floats, fleet.Floats, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (DEVICES, SAMPLES, model.inputs)).astype(np.float32)
    if model.classes:
        y = random.integers(0, model.classes, (DEVICES, SAMPLES))
    else:
        y = random.uniform(0, 0.9, (DEVICES, SAMPLES, model.outputs)).astype(np.float32)
    weights = np.stack([np.frombuffer(model.initial(seed + 1, 0.5), dtype=np.float32) for seed in range(DEVICES)])
    return weights, x, y


def learned_one_by_one(
    model: Model,
    weights: fleet.Floats,
    x: fleet.Floats,
    y: np.ndarray,
    only: str = "",  # type: ignore[type-arg]
) -> fleet.Floats:
    after = []
    for device in range(DEVICES):
        one = Learner(model, array("f", weights[device]), STEP)
        one.only = only
        for sample in range(SAMPLES):
            wanted = y[device, sample]
            one.learn_one(x[device, sample].tolist(), int(wanted) if model.classes else wanted.tolist())
        after.append(np.array(one.weights, dtype=np.float32))
    return np.stack(after)


def test_numba_is_here() -> None:
    assert list(fleet.kernels()) == ["numba", "numpy", "python"], "pip install 'tegu[experiments]'"


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_fleet_learns_what_its_devices_would_one_by_one(spec: str, name: str) -> None:
    model = Model(spec)
    weights, x, y = drawn(model)
    wanted = learned_one_by_one(model, weights, x, y)
    assert np.abs(wanted - weights).max() > 0.01
    fleet.learn(model, weights, x, y, fleet.Way(STEP), fleet.kernel(name))
    assert np.abs(weights - wanted).max() <= 1e-5


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("only", ["local", "shared"])
def test_a_fleet_keeps_layers_still(only: str, name: str) -> None:
    model = Model("5x5x1 | conv 3 3x3 tanh | dense 4 tanh local | dense 2 softmax")
    weights, x, y = drawn(model)
    wanted = learned_one_by_one(model, weights, x, y, only)
    first = weights.copy()
    fleet.learn(model, weights, x, y, fleet.Way(STEP, only=only), fleet.kernel(name))
    assert np.abs(weights - wanted).max() <= 1e-5
    local = slice(30, 30 + 27 * 4 + 4)
    assert (weights[:, local] == first[:, local]).all() == (only == "shared")


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_batch_is_its_mean_gradient_and_the_pull_is_fedprox(name: str) -> None:
    # one linear unit, w = b = 0; samples (1, 1) and (2, 4): mean gradient of w is -(1 + 8) / 2, of b -(1 + 4) / 2
    model = Model("1 | dense 1 linear")
    weights = np.zeros((1, 2), dtype=np.float32)
    x, y = np.array([[[1.0], [2.0]]], dtype=np.float32), np.array([[[1.0], [4.0]]], dtype=np.float32)
    fleet.learn(model, weights, x, y, fleet.Way(0.1, batch=2), fleet.kernel(name))
    assert np.allclose(weights, [[0.45, 0.25]])
    # one at a time, pull 1: (1, 1) gives .1, .1; then (2, 4) has the error -3.7, and .1 pulls back towards 0
    weights[:] = 0
    fleet.learn(model, weights, x, y, fleet.Way(0.1, proximal=1.0), fleet.kernel(name))
    assert np.allclose(weights, [[0.1 + 0.74 - 0.01, 0.1 + 0.37 - 0.01]])


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("spec", [SPECS[0], SPECS[5], SPECS[6]])
def test_a_batch_of_the_same_sample_is_that_sample(spec: str, name: str) -> None:
    model = Model(spec)
    weights, x, y = drawn(model)
    again = weights.copy()
    fleet.learn(model, weights, x[:, :1], y[:, :1], fleet.Way(STEP), fleet.kernel(name))
    fleet.learn(model, again, x[:, [0] * 5], y[:, [0] * 5], fleet.Way(STEP, batch=5), fleet.kernel(name))
    assert np.abs(weights - again).max() <= 1e-6


def test_the_forward_pass_is_the_learners() -> None:
    for spec in SPECS:
        model = Model(spec)
        weights, x, _ = drawn(model)
        got = fleet.predict(model, weights, x)
        for device in range(DEVICES):
            one = Learner(model, array("f", weights[device]), STEP)
            wanted = np.array([list(one.predict_one(row.tolist())) for row in x[device]])
            assert np.abs(got[device] - wanted).max() <= 1e-6, spec


def test_shapes_that_do_not_fit_are_told() -> None:
    model = Model("2 | dense 1 linear")
    with pytest.raises(ValueError, match="do not fit the model"):
        fleet.learn(
            model,
            np.zeros((1, 3), "f"),
            np.zeros((2, 1, 2), "f"),
            np.zeros((2, 1, 1), "f"),
            fleet.Way(0.1),
            fleet.kernel(),
        )
    with pytest.raises(ValueError, match="no kernel 'c'"):
        fleet.kernel("c")
