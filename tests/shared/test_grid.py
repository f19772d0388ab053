"""Convolution and pooling on grids small enough to work by hand; every gradient against finite differences."""

from array import array

from given import Numbers, check_gradient, error_of

from tegu.learner import Learner
from tegu.model import Model


def outputs(spec, weights, x):
    return list(Learner(Model(spec), array("f", weights), 0.1).predict_one(x))


NINE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]


def test_a_convolution_that_stays_inside():
    # 1 x 10 + 2 x 1 + 4 x 0 + 5 x 0 + 0.5, and so on
    assert outputs("3x3x1 | conv 1 2x2 linear", [10.0, 1.0, 0.0, 0.0, 0.5], NINE) == [12.5, 23.5, 45.5, 56.5]


def test_a_convolution_over_channels_has_channels_last():
    weights = [1.0, 10.0, 2.0, 20.0, 0.0, 1.0]  # two outputs, each of two inputs, then their biases
    assert outputs("1x2x2 | conv 2 1x1 linear", weights, [1.0, 2.0, 3.0, 4.0]) == [21.0, 43.0, 43.0, 87.0]


def test_same_pads_the_odd_cell_behind():
    # 4 cells, kernel 3, stride 2: 2 outputs, one cell of padding, which goes behind: windows 1 2 3 and 3 4 -
    assert outputs("1x4x1 | conv 1 1x3 stride 2 same linear", [1.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0]) == [6.0, 7.0]
    # 3 cells, stride 1: one before and one behind
    assert outputs("1x3x1 | conv 1 1x3 same linear", [1.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0]) == [3.0, 6.0, 5.0]


def test_a_depthwise_convolution_keeps_channels_apart():
    weights = [1.0, 10.0, 2.0, 20.0, 0.0, 0.5]
    assert outputs("1x2x2 | depthwise 1x2 linear", weights, [1.0, 2.0, 3.0, 4.0]) == [31.0, 84.5]


def test_pools_leave_what_is_outside_out_of_account():
    assert outputs("3x3x1 | maxpool 2x2", [], NINE) == [5.0]
    assert outputs("3x3x1 | maxpool 2x2 same", [], NINE) == [5.0, 6.0, 8.0, 9.0]
    assert outputs("3x3x1 | meanpool 2x2 same", [], NINE) == [3.0, 4.5, 7.5, 9.0]
    assert outputs("3x3x1 | meanpool 2x2 stride 1", [], NINE) == [3.0, 4.0, 6.0, 7.0]


def test_a_step_of_a_convolution():
    # outputs 1 and 2 for the wanted 0 and 0: the weight's gradient is 1 x 1 + 2 x 2, the bias' 1 + 2
    one = Learner(Model("1x2x1 | conv 1 1x1 linear"), array("f", [1.0, 0.0]), 0.125)
    assert one.learn_one([1.0, 2.0], [0.0, 0.0]) == 2.5
    assert list(one.weights) == [1.0 - 0.125 * 5, -0.125 * 3]


def test_a_maximum_sends_its_delta_to_the_first_of_equals():
    # through a unit of weight 1 the outputs are 2 and 2; the pool gives 2, wanted 1: only the first weight's x counts
    model = Model("1x2x1 | depthwise 1x1 linear | maxpool 1x2 stride 1 | dense 1 linear")
    one = Learner(model, array("f", [1.0, 0.0, 1.0, 0.0]), 0.125)
    one.learn_one([2.0, 2.0], [1.0])
    assert list(one.weights)[:2] == [1.0 - 0.125 * 2, -0.125]


def test_the_gradient_agrees_with_finite_differences():
    numbers = Numbers(12)
    for spec in (
        "4x3x2 | conv 3 3x2 tanh | dense 2 linear",
        "5x4x2 | conv 2 3x3 stride 2 same tanh | conv 2 2x2 sigmoid | dense 3 softmax",
        "4x4x2 | depthwise 3x3 same tanh | depthwise 2x2 stride 2 tanh | dense 3 sigmoid",
        "4x4x1 | conv 2 2x2 same tanh | meanpool 2x2 same | conv 2 2x2 relu | dense 2 softmax",
        "4x4x2 | conv 2 1x1 tanh | maxpool 3x3 stride 2 same | dense 2 softmax",
        "3 | dense 4 tanh | dense 1 sigmoid",
    ):
        check_gradient(spec, numbers)


def test_only_the_local_or_the_shared_layers_learn():
    model = Model("2x2x1 | conv 2 2x2 tanh | dense 2 softmax local")
    assert model.shared == [(0, 10)]
    for only, moved in (("local", (False, True)), ("shared", (True, False)), ("", (True, True))):
        one = Learner(model, model.initial(3, 0.5), 0.1)
        one.only = only
        one.learn_one([1.0, 2.0, 3.0, 4.0], 1)
        before = list(model.initial(3, 0.5))
        after = list(one.weights)
        assert (after[:10] != before[:10], after[10:] != before[10:]) == moved, only


def test_one_sigmoid_is_two_classes():
    model = Model("1 | dense 1 sigmoid")
    assert (model.classes, model.outputs) == (2, 1)
    one = Learner(model, array("f", [0.0, 0.0]), 8.0)
    assert abs(one.learn_one([2.0], 1) - 0.6931472) < 1e-6  # ln 2
    assert list(one.weights) == [8.0, 4.0]  # delta 0.5 - 1
    error_of(ValueError, one.learn_one, [2.0], [1.0])
    error_of(ValueError, one.learn_one, [2.0], 2)


def test_several_sigmoids_are_numbers_from_0_to_1():
    one = Learner(Model("1 | dense 2 sigmoid"), array("f", [0.0, 0.0, 0.0, 0.0]), 8.0)
    assert abs(one.learn_one([2.0], [1.0, 0.25]) - 2 * 0.6931472) < 1e-6
    assert list(one.weights) == [8.0, -4.0, 4.0, -2.0]
    error_of(ValueError, one.learn_one, [2.0], [1.0, 1.5])


def test_a_grid_that_cannot_be_read_says_which_word():
    for spec in (
        "9 | conv 1 2x2 relu",
        "3x3 | conv 1 2x2 relu",
        "3x3x1 | conv 1 4x4 relu",
        "3x3x1 | conv 2x2 relu",
        "3x3x1 | conv 1 2x2",
        "3x3x1 | conv 1 2x2 softmax",
        "3x3x1 | conv 1 2x2 stride relu",
        "3x3x1 | conv 1 2x2 relu relu",
        "3x3x1 | maxpool 2x1",
        "3x3x1 | maxpool 2x2 relu",
        "3x3x1 | maxpool 2x2 local",
        "3x3x1 | dense 2 tanh | conv 1 1x1 relu",
        "3x3x1 | flatten",
        "3x3x1 | conv",
    ):
        error_of(ValueError, Model, spec)
