"""Top-P%: exactly the largest, exactly as many, without sorting."""

from array import array

from given import Numbers, delta, error_of

from tegu.sparse import subtract, top_p


def chosen(values, percent):
    return list(top_p(array("f", values), percent))


def test_exactly_k_are_chosen_and_k_is_rounded_up():
    values = [float(i + 1) for i in range(10)]
    for percent, k in ((1.0, 1), (10.0, 1), (10.1, 2), (11, 2), (50, 5), (99, 10), (100, 10)):
        assert chosen(values, percent) == list(range(10 - k, 10)), percent


def test_the_sign_does_not_count():
    assert chosen([0.1, -5.0, 0.2, 4.0], 50.0) == [1, 3]


def test_of_equal_values_the_first_are_chosen():
    assert chosen([3.0, 1.0, -1.0, 1.0, 1.0, 3.0], 50.0) == [0, 1, 5]
    assert chosen([0.25] * 7, 40.0) == [0, 1, 2]
    assert chosen([-7.0] * 5, 100.0) == [0, 1, 2, 3, 4]


def test_zeros_are_not_chosen():
    assert chosen([0.0, 0.0, 0.0], 100.0) == []
    assert chosen([0.0, 2.0, -0.0, 1.0], 100.0) == [1, 3]


def test_one_value_is_enough():
    assert chosen([0.5], 1.0) == [0]


def test_nothing_is_chosen_from_nothing():
    assert chosen([], 10.0) == []


def test_tiny_values_are_told_apart():
    assert chosen([2.0**-130, 3 * 2.0**-130, 2.0**-131, 0.0], 50.0) == [0, 1]  # subnormal
    assert chosen([1e-30, 3e-30, 2e-30], 34.0) == [1, 2]


def test_values_below_2_to_the_minus_137_count_as_zeros():
    assert chosen([2.0**-140, 3 * 2.0**-140, 1e-45], 100.0) == []
    assert chosen([2.0**-137, 2.0**-138], 100.0) == [0]


def test_values_more_than_32_octaves_below_the_largest_are_left_out():
    assert chosen([1e9, 1e-9, 1e-9, 5e8], 100.0) == [0, 3]
    assert chosen([1e9, 1e-9, 1e-9, 5e8], 50.0) == [0, 3]


def test_values_across_octaves_are_told_apart():
    values = [2.0**-i for i in range(20)]
    for k in range(1, 21):
        assert chosen(values, 5.0 * k) == list(range(k)), k


def test_values_are_ranked_to_one_part_in_2048():
    near = 1.0 + 1 / 1024
    assert chosen([1.0, near, 1.0], 33.0) == [1]
    assert chosen([1.0, 1.0 + 1 / 65536], 50.0) == [0]  # alike: the first


def test_the_chosen_are_as_large_as_a_sort_would_find():
    numbers = Numbers(3)
    for size in (2, 17, 200, 1153):
        values = delta(numbers, size)
        for percent in (1.0, 10.0, 37.0, 90.0):
            indices = top_p(values, percent)
            k = -int(-(size * percent) // 100)
            order = sorted((abs(value) for value in values), reverse=True)
            assert len(indices) == min(k, sum(1 for value in values if value))
            assert all(indices[i] < indices[i + 1] for i in range(len(indices) - 1))
            inside = set(indices)
            outside = max([abs(values[i]) for i in range(size) if i not in inside] + [0.0])
            least = min(abs(values[i]) for i in indices)
            assert outside <= least * (1 + 1 / 2048)
            assert least * (1 + 1 / 2048) >= order[len(indices) - 1]


def test_numbers_that_are_not_finite_are_refused():
    for bad in (float("nan"), float("inf"), -float("inf")):
        assert "value 2" in error_of(ValueError, chosen, [1.0, 2.0, bad], 50.0)


def test_a_percentage_out_of_range_is_refused():
    for percent in (0.0, -1.0, 100.5, float("nan")):
        error_of(ValueError, chosen, [1.0], percent)


def test_what_was_sent_is_taken_off_the_residual():
    residual = array("f", [1.0, 2.0, 3.0, 4.0])
    subtract(residual, array("H", [1, 3]), array("f", [1.5, 5.0]))
    assert list(residual) == [1.0, 0.5, 3.0, -1.0]
