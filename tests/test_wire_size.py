"""How long an update is, against what information theory says of the same indices and symbols."""

import pytest

from tegu.model import Model
from tests.trained import DIGITS, SINE, digits_delta, entropy_bits, sine_delta, update_of


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_tenth_of_50990_parameters_is_within_5_percent_and_16_bytes_of_the_entropy(seed: int) -> None:
    assert Model(DIGITS).size == 50_990
    payload, update = update_of(DIGITS, digits_delta(seed), 10.0)
    assert 0.95 * 5099 <= len(update.indices) <= 5099
    assert len(payload) <= 1.05 * entropy_bits(50_990, update) / 8 + 16


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_a_tenth_of_1153_parameters_is_at_most_190_bytes(seed: int) -> None:
    assert Model(SINE).size == 1_153
    payload, update = update_of(SINE, sine_delta(seed), 10.0)
    assert 110 <= len(update.indices) <= 116
    assert len(payload) <= 190


@pytest.mark.parametrize("percent", [1.0, 5.0, 25.0, 50.0])
def test_other_shares_stay_within_10_percent_and_16_bytes_of_the_entropy(percent: float) -> None:
    payload, update = update_of(DIGITS, digits_delta(1), percent)
    assert len(payload) <= 1.10 * entropy_bits(50_990, update) / 8 + 16
