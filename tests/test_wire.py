"""tegu.wire against a second reading of its docstring, and against bytes of ill will."""

import json
import random
import struct
import time
import tracemalloc
import zlib
from array import array
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tegu.model import Model
from tegu.wire import CODECS, F16, F32, INT8, WireError, messages
from tegu.wire.initialization import decode_init, encode_init
from tegu.wire.update import decode_update, encode_update, peek_key
from tests import reference_wire as reference
from tests.vectors import make

SPECS = (
    "1 | dense 1 linear",
    "3 | dense 2 linear",
    "4 | dense 3 tanh local | dense 5 relu | dense 2 softmax local",
    "9 | dense 8 tanh | dense 4 relu local | dense 3 softmax",
    "120 | dense 10 tanh",
)
MODELS = [Model(spec) for spec in SPECS]
MESSAGES = (messages.Manifest, messages.Round, messages.Ack, messages.State, messages.Desired, messages.Reported)

models = st.sampled_from(MODELS)
counters = st.tuples(*[st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))] * 4)
# Float32 changes: any number below 2 ** 127, more often of the sizes that learning makes, often alike.
numbers = st.one_of(
    st.floats(-(2.0**127), 2.0**127, width=32),
    st.floats(-1, 1, width=32),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 127.0, 0.5 / 127, 1.5 / 127]).map(make.float32),
)


@st.composite
def deltas(draw: st.DrawFn) -> tuple[Model, list[tuple[int, float]]]:
    model = draw(models)
    size = model.shared_size
    indices = sorted(draw(st.sets(st.integers(0, size - 1), max_size=min(size, 60))))
    return model, [(index, draw(numbers)) for index in indices]


def ours(model: Model, codec: int, counters: tuple[int, ...], entries: list[tuple[int, float]]) -> bytes:
    values = array("f", bytes(4 * model.shared_size))
    for index, value in entries:
        values[index] = value
    return bytes(encode_update(model, values, array("H", [index for index, _ in entries]), codec, *counters))


def exact(values: Any) -> list[Fraction]:
    return [Fraction(value) for value in values]


# --- two readings of one docstring ---


@given(deltas(), st.sampled_from([F32, F16, INT8]), counters)
@settings(max_examples=400, deadline=None)
@example((MODELS[1], []), INT8, (0, 0, 0, 0))
@example((MODELS[1], [(0, 0.0)]), INT8, (0, 0, 0, 0))
@example((MODELS[1], [(3, 2.0**-149)]), INT8, (0, 0, 0, 0))
def test_both_readings_say_the_same_update_with_the_same_bytes(
    delta: tuple[Model, list[tuple[int, float]]], codec: int, counters: tuple[int, int, int, int]
) -> None:
    model, entries = delta
    payload = ours(model, codec, counters, entries)
    assert payload.hex() == reference.encode_update(codec, model.shape_hash, counters, entries).hex()
    read = reference.decode_update(payload, model.shape_hash, model.shared_size)
    update = decode_update(payload, model)
    assert (update.codec, update.version, update.boot, update.sequence, update.samples) == (codec, *counters)
    assert update.codec == read["codec"]
    assert list(update.indices) == read["indices"]
    assert exact(update.values) == read["values"]
    # What was decoded says the same again, and a message that is said again is the same message.
    again = ours(model, codec, counters, list(zip(update.indices, update.values, strict=True)))
    assert codec == INT8 or again == payload


@given(deltas())
@settings(max_examples=200, deadline=None)
def test_an_int8_value_is_off_by_at_most_half_a_step(delta: tuple[Model, list[tuple[int, float]]]) -> None:
    model, entries = delta
    update = decode_update(ours(model, INT8, (1, 1, 1, 1), entries), model)
    got = dict(zip(update.indices, update.values, strict=True))
    largest = max((abs(value) for _, value in entries), default=0.0)
    step = Fraction(largest) / 127 * (1 + Fraction(1, 128)) + Fraction(2) ** -133
    for index, value in entries:
        assert abs(Fraction(got.get(index, 0.0)) - Fraction(value)) <= step / 2


@given(deltas())
@settings(max_examples=200, deadline=None)
def test_a_float32_value_arrives_as_it_was(delta: tuple[Model, list[tuple[int, float]]]) -> None:
    model, entries = delta
    update = decode_update(ours(model, F32, (1, 1, 1, 1), entries), model)
    assert list(zip(update.indices, update.values, strict=True)) == entries


@given(st.sampled_from(MODELS[:4]), st.data(), st.sampled_from([F32, F16, INT8]), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_both_readings_say_the_same_initialization_with_the_same_bytes(
    model: Model, data: st.DataObject, codec: int, version: int
) -> None:
    weights = array("f", data.draw(st.lists(numbers, min_size=model.size, max_size=model.size)))
    sizes = [size for layer in model.layers for size in (layer.units * layer.inputs, layer.units)]
    tensors, at = [], 0
    for size in sizes:
        tensors.append(list(weights[at : at + size]))
        at += size
    payload = bytes(encode_init(model, weights, version, codec))
    assert payload.hex() == reference.encode_initialization(codec, model.shape_hash, version, tensors).hex()
    read_version, read_values = reference.decode_initialization(payload, model.shape_hash, sizes)
    got_version, got_values = decode_init(payload, model)
    assert read_version == got_version == version
    assert exact(got_values) == read_values


@pytest.mark.parametrize("largest", [3.4028234663852886e38, 3.4e38, 3.39e38, 2.0**127 * 1.99])
@pytest.mark.parametrize("codec", [F32, F16, INT8])
def test_the_largest_numbers_can_be_read_back(codec: int, largest: float) -> None:
    model = MODELS[1]
    assert decode_update(ours(model, codec, (0, 0, 0, 0), [(0, make.float32(largest))]), model).values[0] > 0
    weights = array("f", [largest] * model.size)
    assert decode_init(encode_init(model, weights, 1, codec), model)[1][0] > 0


def test_the_largest_models_have_indices_of_32_bits() -> None:
    model = Model("300 | dense 300 tanh")
    assert model.shared_size == 90300
    values = array("f", bytes(4 * model.shared_size))
    values[65535], values[65536], values[90299] = 1.0, -1.0, 0.5
    payload = bytes(encode_update(model, values, array("I", [65535, 65536, 90299])))
    expected = reference.encode_update(2, model.shape_hash, (0, 0, 0, 0), [(65535, 1.0), (65536, -1.0), (90299, 0.5)])
    assert payload == expected
    assert list(decode_update(payload, model).indices) == [65535, 65536, 90299]


# --- the vectors ---


def test_the_vectors_are_what_the_reference_makes() -> None:
    for name, document in make.documents().items():
        assert (make.HERE / name).read_text() == document, f"{name}: run tests/vectors/make.py"


def test_the_second_reading_refuses_every_malformed_vector() -> None:
    for row in json.loads((make.HERE / "malformed_updates.json").read_text()):
        model = Model(row["spec"])
        with pytest.raises(reference.Malformed):
            reference.decode_update(bytes.fromhex(row["hex"]), model.shape_hash, model.shared_size)
    for row in json.loads((make.HERE / "malformed_initializations.json").read_text()):
        model = Model(row["spec"])
        with pytest.raises(reference.Malformed):
            reference.decode_initialization(bytes.fromhex(row["hex"]), model.shape_hash, [6, 2])


# --- ill will ---


def good_messages() -> list[tuple[str, Model, bytes]]:
    rows = [("update", "updates.json"), ("init", "initializations.json")]
    found = []
    for kind, file in rows:
        for row in json.loads((make.HERE / file).read_text()):
            if len(row["hex"]) < 600:
                found.append((kind, Model(row["spec"]), bytes.fromhex(row["hex"])))
    return found


def decode(kind: str, data: bytes, model: Model) -> object:
    return decode_update(data, model) if kind == "update" else decode_init(data, model)


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def test_a_message_cut_anywhere_is_refused() -> None:
    for kind, model, payload in good_messages():
        for length in range(len(payload)):
            with pytest.raises(WireError):
                decode(kind, payload[:length], model)


def test_a_body_cut_anywhere_is_refused_also_with_a_fitting_crc() -> None:
    for kind, model, payload in good_messages():
        for length in range(len(payload) - 4):
            with pytest.raises(WireError):
                decode(kind, sealed(payload[:length]), model)


def test_every_bit_that_is_flipped_is_noticed() -> None:
    for kind, model, payload in good_messages():
        for at in range(8 * len(payload)):
            flipped = bytearray(payload)
            flipped[at >> 3] ^= 1 << (at & 7)
            with pytest.raises(WireError):
                decode(kind, bytes(flipped), model)


def test_every_bit_that_is_flipped_under_a_fitting_crc_gives_a_valid_update_or_is_refused() -> None:
    for kind, model, payload in good_messages():
        for at in range(8 * (len(payload) - 4)):
            flipped = bytearray(payload[:-4])
            flipped[at >> 3] ^= 1 << (at & 7)
            check(kind, sealed(bytes(flipped)), model)


def check(kind: str, data: bytes, model: Model) -> str:
    """Decode; the field that was refused, or "" for a message that is sound in every part. Anything else escapes."""
    try:
        decoded = decode(kind, data, model)
    except WireError as error:
        return str(error).split(":")[0]
    if isinstance(decoded, tuple):
        assert 0 <= decoded[0] < 2**32
        assert len(decoded[1]) == model.size
        values = decoded[1]
    else:
        assert max(decoded.key()) < 2**32  # type: ignore[attr-defined]
        indices, values = list(decoded.indices), decoded.values  # type: ignore[attr-defined]
        assert len(indices) == len(values)
        assert all(a < b for a, b in zip([-1, *indices], [*indices, model.shared_size], strict=True))
    assert all(value - value == 0 for value in values)
    return ""


FIELDS = {
    "update": "length,format,codec,Rice parameters,CRC,shape hash,version,boot,sequence,samples,count,scale,"
    "least magnitude,gaps,index,signs,magnitudes,magnitude,values",
    "init": "length,format,codec,CRC,shape hash,version,scale,values",
}


def mutated(draw: random.Random, payload: bytes) -> bytes:
    data = bytearray(payload)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        what = draw.randrange(6)
        at = draw.randrange(len(data)) if data else 0
        if what == 0 and data:
            data[at] ^= 1 << draw.randrange(8)
        elif what == 1 and data:
            data[at] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        elif what == 2 and data:
            del data[at : at + draw.choice((1, 1, 2, 9))]
        elif what == 3:
            data[at:at] = draw.randbytes(draw.choice((1, 1, 2, 9)))
        elif what == 4 and data:
            data[at:] = data[draw.randrange(len(data)) :]
        elif data:
            data[at : at + 5] = b"\xff\xff\xff\xff\x0f"
    return bytes(data)


def test_100000_random_and_mutated_payloads_raise_nothing_but_wire_errors() -> None:
    draw = random.Random(1)
    good = good_messages()
    seen: dict[str, Counter[str]] = {"update": Counter(), "init": Counter()}
    began = time.perf_counter()
    for number in range(100_000):
        kind, model, payload = draw.choice(good)
        if number % 5 == 0:
            data = draw.randbytes(draw.randrange(60))
            if number % 10 == 0 and len(data) > 4:  # a good start, so that more than the first byte is read
                data = sealed(payload[: draw.randrange(4, 10)] + data)
        elif number % 2:
            data = mutated(draw, payload)
        else:
            data = sealed(mutated(draw, payload[:-4]))
        seen[kind][check(kind, data, model)] += 1
        peek_key(data)
    seconds = time.perf_counter() - began
    assert seconds < 60
    for kind, counts in seen.items():
        assert set(counts) == {"", *FIELDS[kind].split(",")}


def test_both_readings_accept_the_same_mutated_payloads() -> None:
    draw = random.Random(4)
    good = [(model, payload) for kind, model, payload in good_messages() if kind == "update"]
    accepted = 0
    for _ in range(5_000):
        model, payload = draw.choice(good)
        data = sealed(mutated(draw, payload[:-4]))
        try:
            read = reference.decode_update(data, model.shape_hash, model.shared_size)
        except reference.Malformed:
            with pytest.raises(WireError):
                decode_update(data, model)
            continue
        update = decode_update(data, model)
        assert list(update.indices) == read["indices"]
        assert exact(update.values) == read["values"]
        accepted += 1
    assert accepted > 500


def test_random_and_mutated_small_messages_raise_nothing_but_wire_errors() -> None:
    draw = random.Random(2)
    good = [
        bytes.fromhex(row["hex"])
        for file in ("messages.json", "malformed_messages.json")
        for row in json.loads((make.HERE / file).read_text())
        if len(row["hex"]) < 800
    ]
    for _ in range(20_000):
        kind = draw.choice(MESSAGES)
        try:
            message = kind.decode(mutated(draw, draw.choice(good)))
        except WireError:
            continue
        for name, wanted, _ in messages.fields_of(kind):
            assert type(getattr(message, name)) is wanted, (name, getattr(message, name))


@pytest.mark.parametrize("text", ['{"state": "ready", "boot": false}', '{"state": "ready", "boot": 0.0}'])
def test_a_default_of_another_type_is_refused(text: str) -> None:
    with pytest.raises(WireError, match=r"^boot:"):
        messages.State.decode(text.encode())


def test_json_of_every_depth_is_a_wire_error() -> None:
    for depth in range(1, 257, 5):
        for text in ("[" * depth, '{"a":' * (depth // 3 + 1), "[" * depth + "]" * depth):
            with pytest.raises(WireError):
                messages.State.decode(text.encode()[:256])


def test_a_count_that_lies_allocates_nothing_large() -> None:
    model = Model("65535 | dense 1000 linear")  # 65,536,000 parameters
    shape = struct.pack("<H", model.shape_hash)
    for codec in range(len(CODECS)):
        for count in (1, 1000, 65_000_000, 2**32 - 1):
            for filler in (b"", bytes(100), b"\xff" * 100):
                head = bytes([0x10 | codec, 0]) + shape + bytes(4) + reference.varint(count)
                data = sealed(head + (b"\x80\x3f\x01" if codec == INT8 else b"") + filler)
                tracemalloc.start()
                try:
                    with pytest.raises(WireError):
                        decode_update(data, model)
                    peak = tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()
                assert peak < 40_000, (codec, count, len(filler), peak)
        tracemalloc.start()
        try:
            with pytest.raises(WireError):
                decode_init(sealed(bytes([0x10 | codec]) + shape + b"\x01" + bytes(50)), model)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 10_000, peak


def test_a_count_that_lies_takes_no_long_time() -> None:
    """The dearest message of 64 KiB that a broker lets through costs a bounded time, told as a ratio to a sound one."""
    model = Model("250 | dense 200 tanh | dense 4 softmax")  # 51,004 parameters
    draw = random.Random(3)
    values = array("f", [draw.gauss(0, 1) for _ in range(model.shared_size)])
    sound = bytes(encode_update(model, values, array("H", range(model.shared_size))))
    head = bytes([0x12, 0xF6]) + struct.pack("<H", model.shape_hash) + bytes(4) + reference.varint(model.shared_size)
    hostile = [
        sealed(head + b"\x80\x3f\x01" + filler + tail)
        for filler in (bytes(65000), b"\xff" * 65000, b"\x01" * 65000)
        for tail in (b"", b"\xff")
    ]
    began = time.perf_counter()
    decode_update(sound, model)
    fair = time.perf_counter() - began
    for data in hostile:
        began = time.perf_counter()
        with pytest.raises(WireError):
            decode_update(data, model)
        assert time.perf_counter() - began < 3 * fair + 0.05
