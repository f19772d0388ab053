"""The numpy encoders against the library's own: the same bytes, or the same error, for whatever comes."""

import json
from array import array
from binascii import crc32
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coordinator import encoding
from tegu import sparse
from tegu.model import Model
from tegu.wire import CODECS, F16, F32, INT8, WireError, initialization, update

VECTORS = Path(__file__).parent / "vectors"
LAYERED = [
    Model("3 | dense 5 tanh | dense 2 softmax"),
    Model("4 | dense 3 tanh local | dense 5 relu | dense 2 softmax local"),
    Model("2 | dense 3 tanh local"),  # shares nothing
    Model("6x6x1 | conv 2 3x3 relu | maxpool 2x2 | dense 3 softmax"),
    Model("20 | dense 40 tanh | dense 9 linear"),
]
CASES = 6_000

Floats = NDArray[np.float32]
Generator = np.random.Generator

codecs = st.sampled_from([F32, F16, INT8])
percents = st.one_of(st.sampled_from([0.001, 1.0, 5.0, 10.0, 33.3, 100.0]), st.floats(0.001, 100))
counters = st.tuples(*[st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))] * 4)


# --- values of every sort ---


def floats(numbers: list[float]) -> Floats:
    return np.array(numbers, dtype=np.float32)


def from_bits(bits: NDArray[Any]) -> Floats:
    return bits.astype(np.uint32).view(np.float32)


def learned(random: Generator, size: int) -> Floats:
    return (random.normal(size=size) ** 3).astype(np.float32)


def zeros(random: Generator, size: int) -> Floats:
    return random.choice(floats([0.0, -0.0]), size)


def few_not_zero(random: Generator, size: int) -> Floats:
    return learned(random, size) * (random.random(size) < 0.02)


def one_large(random: Generator, size: int) -> Floats:
    """Most become magnitude 0 or 1 of int8."""
    values = random.normal(size=size).astype(np.float32)
    values[random.integers(size)] = 200
    return values


def ties(random: Generator, size: int) -> Floats:
    """Few magnitudes, and some beside them that differ only in bits that top_p does not look at."""
    values = random.choice(floats([0.0, 0.25, 1.0, -1.0, 1.0 + 1 / 1024, 3.0]), size)
    return from_bits(values.view(np.uint32) + random.integers(0, 2, size) * 0x7FF)


def denormals(random: Generator, size: int) -> Floats:
    return from_bits(
        random.integers(0, 0x01000000, size) >> random.integers(0, 24, size) | random.integers(0, 2, size) << 31
    )


def huge(random: Generator, size: int) -> Floats:
    return from_bits(random.integers(0x7E000000, 0x7F800000, size) | random.integers(0, 2, size) << 31)


def any_bits(random: Generator, size: int) -> Floats:
    """Finite numbers of all 254 octaves."""
    return from_bits(random.integers(0, 0x7F800000, size) | random.integers(0, 2, size) << 31)


def beside_halves(random: Generator, size: int) -> Floats:
    """Around the middle of two neighbouring float16, subnormal ones and the largest too."""
    below = random.choice(np.append(np.arange(0x7C00), [0x7BFF] * 2000), size).astype(np.uint16)
    middle = below.view(np.float16).astype(np.float64) + np.exp2(np.maximum(below >> 10, 1) - 26.0)
    return from_bits(middle.astype(np.float32).view(np.uint32) + random.integers(-1, 2, size))


def beside_half_steps(random: Generator, size: int) -> Floats:
    """Around the middle of two neighbouring multiples of an int8 scale; 127 steps are the largest."""
    values = (random.integers(-126, 126, size) + 0.5).astype(np.float32)
    values = from_bits(values.view(np.uint32) + random.integers(-1, 2, size))
    values[random.integers(size)] = 127
    return values * np.float32(2.0 ** random.integers(-100, 100))


SORTS: list[Callable[[Generator, int], Floats]] = [
    learned,
    zeros,
    few_not_zero,
    one_large,
    ties,
    denormals,
    huge,
    any_bits,
    beside_halves,
    beside_half_steps,
]


@st.composite
def deltas(draw: st.DrawFn, most: int = 3000) -> Floats:
    """All finite, from 2 values on: the smallest model has as many."""
    size = draw(st.one_of(st.integers(2, 40), st.integers(2, most)))
    return draw(st.sampled_from(SORTS))(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), size)


def a_model_of(size: int) -> Model:
    return Model(f"{size - 1} | dense 1 linear") if size <= 65536 else Model(f"{size // 10 - 1} | dense 10 linear")


# --- both sides ---


def library(values: Floats) -> "array[float]":
    return array("f", values.tobytes())


def outcome(function: Callable[..., Any], *given: Any) -> Any:
    """What it returns, or the kind and the words of its error."""
    try:
        return function(*given)
    except ValueError as error:
        return type(error), str(error)


def both_choose(values: Floats, percent: float) -> tuple[Any, Any]:
    """(the bytes of the indices, so their width too) of both."""
    ours, theirs = outcome(encoding.top_p, values, percent), outcome(sparse.top_p, library(values), percent)
    return [found if isinstance(found, tuple) else found.tobytes() for found in (ours, theirs)]  # type: ignore[return-value]


def both_encode(model: Model, values: Floats, indices: Any, codec: int, *numbers: int) -> tuple[Any, Any]:
    ours = outcome(encoding.encode_update, model, values, np.array(indices, dtype=np.int64), codec, *numbers)
    theirs = outcome(update.encode_update, model, library(values), [int(i) for i in indices], codec, *numbers)
    return ours, theirs


def both_encode_init(model: Model, weights: Floats, version: int, codec: int) -> tuple[Any, Any]:
    ours = outcome(encoding.encode_init, model, weights, version, codec)
    return ours, outcome(initialization.encode_init, model, library(weights), version, codec)


def both_decode_init(payload: bytes, model: Model) -> tuple[Any, Any]:
    found = outcome(encoding.decode_init, payload, model), outcome(initialization.decode_init, payload, model)
    return tuple((a, b if isinstance(b, str) else array("f", b).tobytes()) for a, b in found)  # type: ignore[return-value]


# --- worked by hand ---


def test_the_largest_are_chosen_and_of_equals_the_first() -> None:
    values = floats([3, 1, -1, 0, 1 + 1 / 65536, 3])
    assert encoding.top_p(values, 50).tolist() == [0, 1, 5]
    assert encoding.top_p(values, 100).tolist() == [0, 1, 2, 4, 5]
    assert encoding.top_p(floats([1e9, 1e-9, 5e8]), 100).tolist() == [0, 2]  # 32 octaves below
    assert encoding.top_p(floats([2.0**-137, 2.0**-138]), 100).tolist() == [0]


def test_half_a_step_is_rounded_away_from_zero_and_less_than_half_is_not_sent() -> None:
    model = a_model_of(6)
    below = np.nextafter(np.float32(0.5), np.float32(0))
    payload = encoding.encode_update(model, floats([127, 0.5, 1.5, -2.5, -0.5, below]), np.arange(6), INT8, 1, 2, 3, 4)
    found = update.decode_update(payload, model)
    assert list(found.indices) == [0, 1, 2, 3, 4]
    assert list(found.values) == [127, 1, 2, -3, -1]
    assert (found.key(), found.samples) == ((1, 2, 3), 4)


def test_an_update_of_one_entry_has_these_bytes() -> None:
    # A gap of 5 is 4 bits long by Rice 1 (001 and 1) and by Rice 2 (01 and 01): the smaller. 254 is 127 steps of 2.0.
    model = a_model_of(8)
    values = floats([0, 0, 0, 0, 0, -254, 0, 0])
    payload = encoding.encode_update(model, values, np.array([5]), INT8, 1, 2, 3, 4)
    head = bytes([0x12, 0x10]) + model.shape_hash.to_bytes(2, "little") + bytes([1, 2, 3, 4, 1, 0x00, 0x40, 127])
    body = head + bytes([0b100, 0b1, 0b1, 0b1])  # the gap in two parts, minus, nothing above the least magnitude
    assert payload == body + crc32(body).to_bytes(4, "little")


def test_weights_come_back_in_the_steps_of_their_tensor() -> None:
    model = Model("1 | dense 2 linear")  # two tensors: weights 0 and 1, biases 2 and 3
    weights = floats([127, -0.5, 254, 3.1])
    payload = encoding.encode_init(model, weights, 300, INT8)
    assert payload[3:-4] == bytes([0xAC, 0x02, 0x80, 0x3F, 127, 0xFF, 0x00, 0x40, 127, 2])
    version, found = encoding.decode_init(payload, model)
    assert (version, found.tolist()) == (300, [127, -1, 254, 4])
    assert found.dtype == np.float32


# --- the same as the library ---


@given(deltas(), percents)
@settings(max_examples=300, deadline=None)
@example(np.zeros(0, dtype=np.float32), 10.0)
@example(np.ones(1, dtype=np.float32), 0.1)
@example(np.zeros(1, dtype=np.float32), 100.0)
def test_both_choose_the_same(values: Floats, percent: float) -> None:
    ours, theirs = both_choose(values, percent)
    assert ours == theirs


@given(deltas(), percents, codecs, counters)
@settings(max_examples=300, deadline=None)
def test_both_encode_the_largest_alike(values: Floats, percent: float, codec: int, numbers: tuple[int, ...]) -> None:
    indices = sparse.top_p(library(values), percent)
    ours, theirs = both_encode(a_model_of(len(values)), values, indices, codec, *numbers)
    assert ours == theirs
    assert type(ours) is bytes


@given(deltas(), st.floats(0, 1), codecs, st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_both_encode_any_indices_alike(values: Floats, density: float, codec: int, seed: int) -> None:
    indices = np.flatnonzero(np.random.default_rng(seed).random(len(values)) < density)
    ours, theirs = both_encode(a_model_of(len(values)), values, indices, codec)
    assert ours == theirs


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=30), percents, codecs)
@settings(max_examples=300, deadline=None)
def test_both_agree_on_any_few_floats(numbers: list[float], percent: float, codec: int) -> None:
    values = floats(numbers)
    ours, theirs = both_choose(values, percent)
    assert ours == theirs
    ours, theirs = both_encode(a_model_of(len(values)), values, range(len(values)), codec)
    assert ours == theirs


@pytest.mark.parametrize("make", SORTS)
def test_both_agree_on_every_sort_of_values_at_sizes_up_to_3000(make: Callable[[Generator, int], Floats]) -> None:
    random = Random(4)
    for size in [*range(2, 20), *range(100, 3001, 100)]:
        values = make(np.random.default_rng(size), size)
        ours, theirs = both_choose(values, percent := random.choice([0.1, 1.0, 10.0, 30.0, 100.0]))
        assert ours == theirs
        indices, codec = encoding.top_p(values, percent), random.choice([INT8, INT8, F16, F32])
        ours, theirs = both_encode(a_model_of(size), values, indices, codec, size, 1, 2, 3)
        assert ours == theirs


@pytest.mark.parametrize("make", SORTS)
@pytest.mark.parametrize("percent", [0.01, 10.0])
def test_both_agree_on_indices_of_32_bits(make: Callable[[Generator, int], Floats], percent: float) -> None:
    values = make(np.random.default_rng(5), 70_000)
    ours, theirs = both_choose(values, percent)
    assert ours == theirs
    indices = encoding.top_p(values, percent)
    assert indices.dtype == np.uint32
    ours, theirs = both_encode(a_model_of(70_000), values, indices, INT8, 1, 2, 3, 4)
    assert ours == theirs


@pytest.mark.parametrize("codec", [F32, F16, INT8])
def test_both_encode_70000_entries_and_gaps_of_65536_alike(codec: int) -> None:
    model = a_model_of(70_000)
    values = learned(np.random.default_rng(6), 70_000)
    for indices in (range(70_000), [0, 65_537, 69_999], [65_536], [69_999], []):
        ours, theirs = both_encode(model, values, indices, codec)
        assert ours == theirs


def test_indices_are_of_16_bits_up_to_65536_values() -> None:
    for size in (65_535, 65_536, 65_537):
        ours, theirs = both_choose(learned(np.random.default_rng(size), size), 1.0)
        assert ours == theirs


@given(st.sampled_from(LAYERED), st.sampled_from(SORTS), st.integers(0, 2**32 - 1), counters, codecs)
@settings(max_examples=300, deadline=None)
def test_both_initialize_and_update_models_of_layers_alike(
    model: Model, make: Callable[[Generator, int], Floats], seed: int, numbers: tuple[int, ...], codec: int
) -> None:
    random = np.random.default_rng(seed)
    payload, theirs = both_encode_init(model, make(random, model.size), numbers[0], codec)
    assert payload == theirs
    assert type(payload) is bytes
    found, theirs = both_decode_init(payload, model)
    assert found == theirs
    delta = make(random, max(1, model.shared_size))[: model.shared_size]
    ours, theirs = both_encode(model, delta, range(0, model.shared_size, 2), codec, *numbers)
    assert ours == theirs


@pytest.mark.parametrize("codec", [F32, F16, INT8])
def test_both_initialize_70000_weights_alike(codec: int) -> None:
    model = a_model_of(70_000)
    payload, theirs = both_encode_init(model, learned(np.random.default_rng(7), model.size), 2**32 - 1, codec)
    assert payload == theirs
    found, theirs = both_decode_init(payload, model)
    assert found == theirs


# --- the same errors ---


def spoilt(random: Random, values: Floats) -> Floats:
    """With up to two values that are not finite."""
    values = values.copy()
    for _ in range(random.randrange(3) if len(values) else 0):
        values[random.randrange(len(values))] = random.choice([float("inf"), float("-inf"), float("nan")])
    return values


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.01, float("nan"), float("inf")])
def test_a_percentage_out_of_range_is_refused_alike(percent: float) -> None:
    ours, theirs = both_choose(floats([1, float("nan")]), percent)
    assert ours == theirs == (ValueError, "top_p must be above 0 and at most 100 percent")


def test_values_that_are_not_finite_are_refused_alike() -> None:
    random, seen = Random(8), set()
    for _ in range(300):
        values = spoilt(random, learned(np.random.default_rng(9), random.randint(2, 20)))
        ours, theirs = both_choose(values, 30.0)
        assert ours == theirs
        seen.add(isinstance(ours, tuple))
    assert seen == {True, False}


def test_the_first_fault_of_an_update_is_told_alike() -> None:
    random, seen = Random(10), Counter[str]()
    for _ in range(2000):
        size = random.randint(2, 12)
        values = spoilt(random, learned(np.random.default_rng(11), size))
        indices = sorted(random.sample(range(size), random.randint(0, size)))
        for _ in range(random.randrange(3) if indices else 0):
            indices[random.randrange(len(indices))] = random.choice([-(2**63), -1, 0, 1, size - 1, size, 2**63 - 1])
        model = a_model_of(size if random.random() < 0.95 else size + 1)
        codec = random.choice([F32, F16, INT8] * 9 + [-1, 3])
        numbers = [random.choice([0, 1, 2**32 - 1] * 9 + [-1, 2**32]) for _ in range(4)]
        ours, theirs = both_encode(model, values, indices, codec, *numbers)
        assert ours == theirs, (values, indices, codec, numbers)
        seen["bytes" if isinstance(ours, bytes) else ours[1].split()[0]] += 1
    assert {"bytes", "the", "no", "value", "indices", "version,"} == set(seen), seen


def test_the_first_fault_of_weights_is_told_alike() -> None:
    random, seen = Random(12), Counter[str]()
    for _ in range(500):
        model = random.choice(LAYERED)
        weights = spoilt(random, learned(np.random.default_rng(13), model.size - (random.random() < 0.1)))
        version, codec = random.choice([0, 2**32 - 1, 2**32, -1]), random.choice([F32, F16, INT8, -1, 3])
        ours, theirs = both_encode_init(model, weights, version, codec)
        assert ours == theirs
        seen["bytes" if isinstance(ours, bytes) else ours[1].split()[0]] += 1
    assert {"bytes", "the", "weight", "no"} == set(seen), seen


def sealed(body: bytes) -> bytes:
    return body + crc32(body).to_bytes(4, "little")


def mutated(random: Random, payload: bytes) -> bytes:
    """Some bytes changed, cut or added; mostly under a CRC that fits."""
    body = bytearray(payload[:-4])
    for _ in range(random.randint(1, 2)):
        kind = random.random()
        at = random.randrange(len(body)) if random.random() < 0.5 else random.randrange(min(len(body), 10))
        if kind < 0.5:
            body[at] ^= 1 << random.randrange(8)
        elif kind < 0.85:
            body[at : at + 2] = random.choice([b"\0\0", b"\xff\xff", b"\x7f\x7f", b"\x80\x7f", b"\x00\x7c"])
        elif kind < 0.93:
            del body[at + 1 :]
        else:
            body += random.randbytes(random.randint(1, 4))
    return sealed(bytes(body)) if random.random() < 0.95 else bytes(body) + payload[-4:]


def test_both_read_or_refuse_mutated_initializations_alike() -> None:
    random, seen = Random(14), Counter[str]()
    sound = []
    for model in LAYERED:
        for codec in range(len(CODECS)):
            for make in (learned, huge, denormals):
                weights = make(np.random.default_rng(15), model.size)
                sound.append((model, encoding.encode_init(model, weights, random.choice([1, 300, 2**32 - 1]), codec)))
    for _ in range(CASES):
        model, payload = random.choice(sound)
        payload = mutated(random, payload)
        ours, theirs = both_decode_init(payload, model)
        assert ours == theirs, (model.spec, payload.hex())
        seen[ours[1].partition(":")[0] if ours[0] is WireError else "weights"] += 1
    fields = {"length", "format", "codec", "CRC", "shape hash", "version", "scale", "values"}
    assert fields | {"weights"} == set(seen), seen


def test_initializations_cut_anywhere_and_noise_are_refused_alike() -> None:
    model, random = LAYERED[0], Random(16)
    for codec in range(len(CODECS)):
        payload = encoding.encode_init(model, np.arange(model.size, dtype=np.float32), 7, codec)
        cut = [payload[:at] for at in range(len(payload))]
        for wrong in [*cut, *map(sealed, cut[:-4]), *(random.randbytes(n) for n in range(60))]:
            ours, theirs = both_decode_init(wrong, model)
            assert ours == theirs, wrong.hex()
            assert ours[0] is WireError


@pytest.mark.parametrize("name", ["initializations.json", "malformed_initializations.json"])
def test_both_agree_on_the_golden_initializations(name: str) -> None:
    rows = json.loads((VECTORS / name).read_text())
    assert rows
    for row in rows:
        ours, theirs = both_decode_init(bytes.fromhex(row["hex"]), Model(row["spec"]))
        assert ours == theirs, row
        assert (ours[0] is WireError) == ("field" in row)


def test_the_arguments_are_left_as_they_were() -> None:
    model, values, indices = a_model_of(50), np.ones(50, dtype=np.float32), np.arange(0, 50, 3)
    before = values.tobytes(), indices.tobytes()
    encoding.top_p(values, 10.0)
    for codec in range(len(CODECS)):
        encoding.encode_update(model, values, indices, codec)
        encoding.encode_init(model, values, 1, codec)
    assert (values.tobytes(), indices.tobytes()) == before


@pytest.mark.parametrize("codec", [F32, F16, INT8])
@pytest.mark.parametrize(
    "spec", ["3 | dense 5 tanh | dense 2 softmax", "6x6x1 | conv 3 3x3 relu | maxpool 2x2 | dense 4 linear"]
)
def test_random_weights_can_be_moved_onto_what_a_codec_carries_to_the_bit(spec: str, codec: int) -> None:
    model = Model(spec)
    for seed in range(20):
        first = np.frombuffer(model.initial(seed, 0.5), dtype=np.float32)
        near = encoding.on_grid(model, first, codec)
        assert (encoding.decode_init(encoding.encode_init(model, near, 1, codec), model)[1] == near).all()
        assert np.abs(near - first).max() <= (0 if codec == F32 else 0.02)
