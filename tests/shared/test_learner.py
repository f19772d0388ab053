"""One step of learning, worked by hand; the gradient against finite differences; bad samples change nothing."""

from array import array
from math import log, sqrt

from given import Numbers, check_gradient, error_of

from tegu.learner import Learner
from tegu.model import Model
from tegu.normaliser import Normaliser


def learner(spec, weights, inner_step_size):
    return Learner(Model(spec), array("f", weights), inner_step_size)


def near(got, wanted, tolerance=1e-6):
    return len(got) == len(wanted) and all(abs(got[i] - wanted[i]) <= tolerance for i in range(len(wanted)))


def test_a_linear_unit():
    one = learner("1 | dense 1 linear", [2.0, 1.0], 0.125)
    assert list(one.predict_one([3.0])) == [7.0]
    assert one.loss_one([3.0], [5.0]) == 2.0  # (7 - 5) ** 2 / 2
    assert one.learn_one([3.0], [5.0]) == 2.0  # the loss before the step
    assert list(one.weights) == [2.0 - 0.125 * 2 * 3, 1.0 - 0.125 * 2]


def test_a_relu_that_is_on():
    one = learner("1 | dense 1 relu", [2.0, 1.0], 0.125)
    assert one.learn_one([3.0], [5.0]) == 2.0
    assert list(one.weights) == [1.25, 0.75]


def test_a_relu_that_is_off_learns_nothing():
    one = learner("1 | dense 1 relu", [-2.0, 1.0], 0.125)
    assert list(one.predict_one([3.0])) == [0.0]
    assert one.learn_one([3.0], [1.0]) == 0.5
    assert list(one.weights) == [-2.0, 1.0]


def test_a_tanh_unit():
    one = learner("1 | dense 1 tanh", [0.0, 0.0], 0.25)
    assert one.learn_one([2.0], [1.0]) == 0.5  # tanh 0 = 0, slope 1, delta -1
    assert list(one.weights) == [0.5, 0.25]
    assert near(one.predict_one([2.0]), [0.8482836])  # tanh 1.25


def test_a_sigmoid_unit():
    one = learner("1 | dense 1 sigmoid | dense 1 linear", [0.0, 0.0, 1.0, 0.0], 8.0)
    assert one.learn_one([2.0], [1.0]) == 0.125  # 0.5, delta -0.5 x slope 0.25
    assert list(one.weights)[:2] == [2.0, 1.0]
    one = learner("1 | dense 1 sigmoid", [2.0, 1.0], 8.0)
    assert near(one.predict_one([2.0]), [0.99330715])  # 1 / (1 + exp -5)


def test_a_softmax_with_cross_entropy():
    one = learner("1 | dense 2 softmax", [0.0, 0.0, 0.0, 0.0], 0.5)
    assert list(one.predict_one([3.0])) == [0.5, 0.5]
    assert near([one.learn_one([3.0], 0)], [log(2)])
    assert list(one.weights) == [0.75, -0.75, 0.25, -0.25]  # delta -0.5, 0.5
    assert near(one.predict_one([0.0]), [0.62245935, 0.37754068])  # exp 0.5 to 1
    assert near([one.loss_one([0.0], 1)], [-log(0.37754068)])


def test_two_layers_carry_the_error_through_the_old_weights():
    one = learner("1 | dense 1 linear | dense 1 linear", [2.0, 0.0, 3.0, 0.0], 0.125)
    assert one.learn_one([1.0], [5.0]) == 0.5  # 2, then 6; delta 1
    # second layer: 3 - 0.125 * 1 * 2, 0 - 0.125; first: delta 1 * 3 (the old weight)
    assert list(one.weights) == [2.0 - 0.375, -0.375, 2.75, -0.125]


def test_two_outputs_share_what_is_before_them():
    # hidden 1 * 2 = 2; outputs 2 and -2; deltas 1 and -1; hidden delta 1 * 1 + -1 * -1 = 2
    one = learner("1 | dense 1 linear | dense 2 linear", [2.0, 0.0, 1.0, -1.0, 0.0, 0.0], 0.5)
    assert one.learn_one([1.0], [1.0, -1.0]) == 1.0
    assert list(one.weights) == [1.0, -1.0, 0.0, 0.0, -0.5, 0.5]


def test_softmax_of_large_inputs_is_finite():
    one = learner("1 | dense 3 softmax", [1000.0, -1000.0, 0.0, 0.0, 0.0, 0.0], 0.1)
    assert near(one.predict_one([1.0]), [1.0, 0.0, 0.0])
    assert one.loss_one([1.0], 1) < 30.0  # a probability below 1e-12 counts as that
    assert near(one.predict_one([0.0]), [1 / 3, 1 / 3, 1 / 3])


def test_sigmoid_of_large_inputs_is_finite():
    one = learner("1 | dense 2 sigmoid", [1e6, -1e6, 0.0, 0.0], 0.1)
    assert near(one.predict_one([1.0]), [1.0, 0.0])


def test_an_error_beyond_the_bound_counts_as_the_bound():
    one = learner("1 | dense 1 linear", [0.0, 0.0], 0.5)
    one.learn_one([2.0], [100.0])
    assert list(one.weights) == [10.0, 5.0]  # delta -10


def test_the_gradient_agrees_with_finite_differences():
    numbers = Numbers(11)
    for spec in (
        "3 | dense 4 tanh | dense 2 linear",
        "3 | dense 4 sigmoid | dense 3 tanh | dense 2 sigmoid",
        "3 | dense 4 relu | dense 2 relu",
        "3 | dense 5 linear | dense 3 softmax",
        "3 | dense 4 tanh | dense 4 tanh | dense 3 softmax",
    ):
        check_gradient(spec, numbers)


def test_scoring_changes_nothing():
    model = Model("2 | dense 3 tanh | dense 2 softmax")
    one = Learner(model, model.initial(1), 0.1)
    one.loss_one([1.0, 2.0], 1)
    one.predict_one([5.0, 2.0])
    assert list(one.weights) == list(model.initial(1))


def refused(spec, samples, kind=ValueError):
    model = Model(spec)
    for normaliser in (None, Normaliser(model.inputs)):
        one = Learner(model, model.initial(1), 0.1, normaliser)
        for x, y in samples:
            error_of(kind, one.learn_one, x, y)
        assert list(one.weights) == list(model.initial(1))
        assert normaliser is None or (normaliser.count == 0 and list(normaliser.mean) == [0.0] * model.inputs)


def test_a_bad_sample_with_a_class_is_refused_before_any_change():
    nan, infinite = float("nan"), float("inf")
    samples = [([1.0], 0), ([1.0, 2.0, 3.0], 0), ([], 0), ([1.0, nan], 0), ([infinite, 1.0], 0), ([1.0, -infinite], 0)]
    samples += [([1.0, 2.0], y) for y in (2, -1, 1.0, "1", None, [1])]
    refused("2 | dense 3 tanh | dense 2 softmax", samples)


def test_a_bad_sample_with_numbers_is_refused_before_any_change():
    nan, infinite = float("nan"), float("inf")
    samples = [([nan, 1.0], [1.0, 1.0]), ([1.0], [1.0, 1.0])]
    samples += [([1.0, 1.0], y) for y in ([], [1.0], [1.0, 2.0, 3.0], [nan, 1.0], [1.0, infinite])]
    refused("2 | dense 3 tanh | dense 2 linear", samples)


def test_a_class_where_numbers_are_wanted_is_refused():
    refused("2 | dense 3 tanh | dense 2 linear", [([1.0, 1.0], 1)])


def test_numbers_beyond_all_measure_are_refused_before_any_change():
    refused("2 | dense 3 tanh | dense 2 linear", [([1.0, 1.0], [1e16, 0.0]), ([-1e200, 1.0], [0.0, 0.0])])


def test_weights_that_have_diverged_are_an_error_and_are_not_changed():
    one = learner("1 | dense 1 linear", [1e30, 0.0], 0.1)
    error_of(ArithmeticError, one.learn_one, [1e15], [0.0])
    assert list(one.weights) == list(array("f", [1e30, 0.0]))


def test_weights_of_another_size_are_refused():
    assert "4 weights" in error_of(ValueError, learner, "1 | dense 2 linear", [0.0] * 3, 0.1)


def test_the_normaliser_agrees_with_plain_mean_and_variance():
    numbers = Numbers(2)
    rows = [[20.0 + numbers.real(4.0), numbers.real(0.5), 3.0] for _ in range(300)]
    normaliser = Normaliser(3)
    for row in rows:
        normaliser.learn(row)
    for i in range(3):
        column = [row[i] for row in rows]
        mean = sum(column) / 300
        variance = sum((value - mean) ** 2 for value in column) / 300
        assert abs(normaliser.mean[i] - mean) < 1e-4
        assert abs(normaliser.square[i] / 300 - variance) < 1e-4
        if variance:
            wanted = (rows[7][i] - mean) / sqrt(variance)
            assert abs(normaliser.apply(rows[7])[i] - wanted) < 1e-3


def test_the_normaliser_cuts_at_five_deviations_and_says_zero_for_what_never_changes():
    normaliser = Normaliser(2)
    assert list(normaliser.apply([1.0, 1.0])) == [0.0, 0.0]
    normaliser.learn([1.0, 7.0])
    assert list(normaliser.apply([9.0, 7.0])) == [0.0, 0.0]  # one sample has no spread
    normaliser.learn([3.0, 7.0])
    assert list(normaliser.apply([3.0, 7.0])) == [1.0, 0.0]  # mean 2, deviation 1
    assert list(normaliser.apply([100.0, 9.0])) == [5.0, 0.0]
    assert list(normaliser.apply([-100.0, 9.0])) == [-5.0, 0.0]


def test_one_huge_reading_does_not_silence_an_input_for_ever():
    normaliser = Normaliser(1)
    for value in (0.0, 1e30, 0.0, 1.0):
        normaliser.learn([value])
    assert normaliser.square[0] - normaliser.square[0] == 0.0


def test_a_learner_learns_from_normalised_inputs():
    model = Model("1 | dense 1 linear")
    one = Learner(model, array("f", [0.0, 0.0]), 0.5, Normaliser(1))
    one.learn_one([1.0], [1.0])  # the first is zero: only the bias moves
    assert list(one.weights) == [0.0, 0.5]
    one.learn_one([3.0], [1.5])  # mean 2, deviation 1: the input is 1, the error -1
    assert list(one.weights) == [0.5, 1.0]
