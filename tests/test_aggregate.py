"""Meta-aggregation: numbers worked by hand, the same bits in any order of arrival, memory that does not grow."""

import tracemalloc
from array import array
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from coordinator.aggregate import Weights, aggregate, limit_of, norm, scheduled
from coordinator.federation import Federation
from coordinator.settings import LinkSettings, ModelSettings, RoundSettings, Schedule, Settings
from tegu import topics
from tegu.model import Model
from tegu.wire import F32
from tegu.wire.messages import Ack
from tegu.wire.update import Update, encode_update

FOUR = Model("1 | dense 2 linear")  # two weights, two biases
START = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)


def update(entries: dict[int, float]) -> Update:
    return Update(F32, 1, 1, 1, 4, array("H", entries), array("f", entries.values()))


def merged(*updates: Update, step: float = 1.0, **options: object) -> list[float]:
    return aggregate(FOUR, START, iter(updates), step, **options)[0].tolist()  # type: ignore[arg-type]


# --- the sparse mean ---


def test_the_devices_denominator_divides_by_all_devices_of_the_round() -> None:
    # coordinate 0: (4 - 2) / 2 devices x 0.5; coordinate 2: 2 / 2 devices x 0.5
    assert merged(update({0: 4.0, 2: 2.0}), update({0: -2.0}), step=0.5) == [1.5, 2.0, 3.5, 4.0]


def test_the_senders_denominator_divides_by_those_that_sent_the_coordinate() -> None:
    # coordinate 0: (4 - 2) / 2 senders x 0.5; coordinate 2: 2 / 1 sender x 0.5
    assert merged(update({0: 4.0, 2: 2.0}), update({0: -2.0}), step=0.5, denominator="senders") == [1.5, 2.0, 4.0, 4.0]


def test_one_device_with_a_full_step_gives_its_adapted_weights() -> None:
    adapted = update({0: 0.5, 1: -1.0, 3: 2.0})
    assert merged(adapted) == [1.5, 1.0, 3.0, 6.0]
    assert merged(adapted, denominator="senders") == [1.5, 1.0, 3.0, 6.0]


def test_a_device_that_sent_nothing_still_counts_as_a_device() -> None:
    assert merged(update({1: 4.0}), update({})) == [1.0, 4.0, 3.0, 4.0]
    assert merged(update({1: 4.0}), update({}), denominator="senders") == [1.0, 6.0, 3.0, 4.0]


def test_no_updates_change_nothing() -> None:
    assert merged() == [1.0, 2.0, 3.0, 4.0]


def test_the_initialization_that_went_in_is_not_changed() -> None:
    merged(update({0: 4.0}))
    assert START.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_local_layers_stay_as_they_are_and_shared_ones_behind_them_move() -> None:
    model = Model("1 | dense 1 linear | dense 1 linear local | dense 1 linear")
    start = np.array([1, 2, 3, 4, 5, 6], dtype=np.float32)
    # shared parameters 0, 1 are weights 0, 1; shared parameters 2, 3 are weights 4, 5
    after, _ = aggregate(model, start, [update({0: 0.5, 2: 10.0, 3: -1.0})], 1.0)
    assert after.tolist() == [1.5, 2.0, 3.0, 4.0, 15.0, 5.0]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
def test_a_value_that_is_not_finite_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        merged(update({0: value}))


def test_a_sum_beyond_float32_is_an_error() -> None:
    start = np.full(4, 3e38, dtype=np.float32)
    with pytest.raises(ValueError, match="not finite"):
        aggregate(FOUR, start, [update({0: 3e38})], 1.0)


# --- the outer step ---


@pytest.mark.parametrize(
    ("schedule", "closed", "rounds", "expected"),
    [
        ("constant", 0, 4, 0.8),
        ("constant", 3, 4, 0.8),
        ("constant", 999, 0, 0.8),
        ("linear", 0, 4, 0.8),
        ("linear", 1, 4, 0.6),
        ("linear", 3, 4, 0.2),
        ("linear", 4, 4, 0.0),
        ("linear", 9, 4, 0.0),
        ("cosine", 0, 6, 0.8),
        ("cosine", 2, 6, 0.6),  # 0.8 x (1 + cos 60) / 2
        ("cosine", 3, 6, 0.4),
        ("cosine", 4, 6, 0.2),
        ("cosine", 6, 6, 0.0),
        ("cosine", 7, 6, 0.0),
    ],
)
def test_the_outer_step_follows_its_schedule(schedule: Schedule, closed: int, rounds: int, expected: float) -> None:
    assert scheduled(schedule, 0.8, 0.0, closed, rounds) == pytest.approx(expected, abs=1e-12)


# --- clipping ---


def test_the_norm_is_euclidean() -> None:
    assert norm(update({0: 3.0, 3: -4.0})) == 5.0
    assert norm(update({})) == 0.0


def test_the_limit_is_clip_times_the_median() -> None:
    assert limit_of([9.0, 1.0, 2.0, 1.0, 3.0], 2.0) == 4.0
    assert limit_of([1.0, 2.0, 3.0, 4.0, 5.0, 9.0], 2.0) == 7.0


def test_below_five_updates_and_without_clip_there_is_no_limit() -> None:
    assert limit_of([1.0, 1.0, 1.0, 1000.0], 2.0) == float("inf")
    assert limit_of([1.0, 1.0, 1.0, 1.0, 1000.0], 0.0) == float("inf")
    assert limit_of([], 2.0) == float("inf")


def test_devices_that_sent_nothing_do_not_press_the_limit_to_zero() -> None:
    assert limit_of([0.0] * 6 + [2.0, 3.0, 4.0, 5.0, 6.0], 2.0) == 8.0


def test_an_update_beyond_the_limit_is_scaled_down_to_it_and_no_other() -> None:
    # norm 5 becomes 2.5: (3, 4) -> (1.5, 2); norm 1 stays
    assert merged(update({0: 3.0, 1: 4.0}), update({3: 1.0}), limit=2.5) == [1.75, 3.0, 3.0, 4.5]


def test_an_update_at_the_limit_stays_as_it_is() -> None:
    assert merged(update({0: 3.0, 1: 4.0}), limit=5.0) == [4.0, 6.0, 3.0, 4.0]


# --- order and memory ---


def test_any_order_of_arrival_gives_the_same_bits(tmp_path: Path) -> None:
    """Added by device id, 2**9 + 2**-46 - 2**9 is nothing in float64; as c, a, b it would be 2**-46 / 3."""
    model = Model("1 | dense 2 linear")
    values = {"a": 2.0**9, "b": 2.0**-46, "c": -(2.0**9)}
    payloads = {
        device: bytes(encode_update(model, array("f", [0, 0, value, 0]), array("H", [2]), F32, 1, 1, 1, 4))
        for device, value in values.items()
    }
    for n, order in enumerate(permutations(values)):
        told = Settings(
            LinkSettings(checkpoint=tmp_path / f"{n}.sqlite"),
            ModelSettings(name="m", spec=model.spec),
            RoundSettings(rounds=1, quorum=3),
        )
        federation = Federation(told, lambda: 0.0)
        federation.rounds.start(0.0)
        before = federation.initialization
        for device in order:
            ((_, ack, _),) = federation.batch([(topics.device("home", device, "update", "m"), payloads[device])])
            assert Ack.decode(ack).result == "accepted"
        federation.tick()
        federation.checkpoint.close()
        assert federation.rounds.version == 2
        assert before[2] == 0.0  # a bias begins at zero, where even 2**-46 would be seen
        assert federation.initialization.tolist() == before.tolist()


def test_memory_does_not_grow_with_the_number_of_updates() -> None:
    model = Model("100 | dense 50 linear")
    start: Weights = np.zeros(model.size, dtype=np.float32)

    def stream(count: int) -> Iterator[Update]:
        for n in range(count):
            yield Update(F32, 1, 1, n, 4, array("H", range(model.shared_size)), array("f", [1.0]) * model.shared_size)

    def peak_bytes(count: int) -> int:
        tracemalloc.start()
        after, _ = aggregate(model, start, stream(count), 1.0, limit=1000.0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after.tolist() == [1.0] * model.size
        return peak

    peak_bytes(2)
    few, many = peak_bytes(5), peak_bytes(1000)
    one_update = 6 * model.shared_size  # two bytes of index and four of value an entry: 30 KB
    assert many < few + one_update
