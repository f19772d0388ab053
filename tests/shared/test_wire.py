"""The golden vectors: bytes out, bytes in, and the field that each malformed message is refused for."""

from array import array
from binascii import hexlify, unhexlify

from given import error_of, floats, vectors

from tegu.model import Model
from tegu.wire import WireError, messages
from tegu.wire.bits import from_half, to_half
from tegu.wire.initialization import decode_init, encode_init
from tegu.wire.update import decode_update, encode_update, peek_key


def test_an_update_is_encoded_to_the_golden_bytes():
    for row in vectors("updates.json"):
        model = Model(row["spec"])
        values = array("f", bytes(4 * model.shared_size))
        sent = floats(row["delta_values"])
        for at in range(len(sent)):
            values[row["delta_indices"][at]] = sent[at]
        payload = encode_update(model, values, array("H", row["delta_indices"]), row["codec"], *row["counters"])
        assert hexlify(payload).decode() == row["hex"], row["note"]


def test_an_update_is_decoded_from_the_golden_bytes():
    for row in vectors("updates.json"):
        update = decode_update(unhexlify(row["hex"]), Model(row["spec"]))
        assert [update.version, update.boot, update.sequence, update.samples] == row["counters"], row["note"]
        assert update.codec == row["codec"]
        assert update.key() == tuple(row["counters"][:3])
        assert list(update.indices) == row["indices"], row["note"]
        assert hexlify(bytes(update.values)).decode() == row["values"], row["note"]


def test_an_update_is_the_same_from_bytes_bytearray_and_memoryview():
    row = vectors("updates.json")[0]
    data = unhexlify(row["hex"])
    for given in (bytearray(data), memoryview(data)):
        assert list(decode_update(given, Model(row["spec"])).indices) == row["indices"]


def test_a_malformed_update_is_refused_for_its_field():
    for row in vectors("malformed_updates.json"):
        what = error_of(WireError, decode_update, unhexlify(row["hex"]), Model(row["spec"]))
        assert what.startswith(row["field"] + ":"), (row["field"], row["note"], what)


def test_a_malformed_update_that_still_says_its_key_can_be_answered():
    row = vectors("updates.json")[0]
    assert peek_key(unhexlify(row["hex"])[:-1]) == (1, 2, 3)
    for data in (b"", b"\x12", b"\x12\x00\x00\x00\xff\xff", b"\xff" * 20):
        assert peek_key(data) == (0, 0, 0)


def test_an_update_with_indices_out_of_order_or_range_is_not_encoded():
    model = Model("3 | dense 2 linear")
    values = array("f", [1.0] * 8)
    for indices in ([1, 1], [2, 1], [0, 8], [8]):
        assert "indices" in error_of(ValueError, encode_update, model, values, array("H", indices))


def test_an_update_with_a_value_that_is_not_finite_is_not_encoded():
    model = Model("3 | dense 2 linear")
    for bad in (float("nan"), float("inf"), -float("inf")):
        values = array("f", [1.0, bad] + [0.0] * 6)
        for codec in (0, 1, 2):
            assert "value 1" in error_of(ValueError, encode_update, model, values, array("H", [0, 1]), codec)


def test_an_update_with_arguments_out_of_range_is_not_encoded():
    model = Model("3 | dense 2 linear")
    values = array("f", bytes(32))
    none = array("H")
    assert "8 parameters" in error_of(ValueError, encode_update, model, array("f", bytes(28)), none)
    assert "codec" in error_of(ValueError, encode_update, model, values, none, 3)
    assert "codec" in error_of(ValueError, encode_update, model, values, none, -1)
    for at in range(4):
        for bad in (-1, 1 << 32):
            counters = [0, 0, 0, 0]
            counters[at] = bad
            assert "32 bits" in error_of(ValueError, encode_update, model, values, none, 2, *counters)


def test_an_initialization_is_encoded_to_the_golden_bytes():
    for row in vectors("initializations.json"):
        payload = encode_init(Model(row["spec"]), floats(row["weights"]), row["version"], row["codec"])
        assert hexlify(payload).decode() == row["hex"], (row["note"], row["codec"])


def test_an_initialization_is_decoded_from_the_golden_bytes():
    for row in vectors("initializations.json"):
        version, weights = decode_init(unhexlify(row["hex"]), Model(row["spec"]))
        assert version == row["version"]
        assert hexlify(bytes(weights)).decode() == row["values"], (row["note"], row["codec"])


def test_a_malformed_initialization_is_refused_for_its_field():
    for row in vectors("malformed_initializations.json"):
        what = error_of(WireError, decode_init, unhexlify(row["hex"]), Model(row["spec"]))
        assert what.startswith(row["field"] + ":"), (row["field"], row["note"], what)


def test_an_initialization_that_is_not_finite_or_not_whole_is_not_encoded():
    model = Model("3 | dense 2 linear")
    assert "weight 7" in error_of(ValueError, encode_init, model, array("f", [0.0] * 7 + [float("nan")]), 1)
    assert "8 weights" in error_of(ValueError, encode_init, model, array("f", [0.0] * 7), 1)


def test_an_initialization_with_a_version_or_codec_out_of_range_is_not_encoded():
    model = Model("3 | dense 2 linear")
    weights = array("f", [0.5] * 8)
    for version in (-1, 1 << 32):
        error_of(ValueError, encode_init, model, weights, version)
    for codec in (-1, 3, 7):
        error_of(ValueError, encode_init, model, weights, 1, codec)


def test_a_small_message_is_decoded_field_by_field():
    for row in vectors("messages.json"):
        message = getattr(messages, row["kind"]).decode(unhexlify(row["hex"]))
        for name, value in row["fields"].items():
            got = getattr(message, name)
            assert got == value and type(got) is type(value), (row["kind"], name, got)


def test_a_small_message_is_encoded_with_just_the_fields_that_differ_from_their_defaults():
    import json

    for row in vectors("messages.json"):
        if row["same"]:
            data = getattr(messages, row["kind"])(**row["fields"]).encode()
            assert json.loads(data) == json.loads(unhexlify(row["hex"])), row["kind"]


def test_a_malformed_small_message_is_refused_for_its_field():
    for row in vectors("malformed_messages.json"):
        what = error_of(WireError, getattr(messages, row["kind"]).decode, unhexlify(row["hex"]))
        assert what.startswith(row["field"] + ":"), (row["kind"], row["field"], row["note"], what)


def test_a_small_message_above_its_limit_is_not_encoded():
    assert "256" in error_of(ValueError, messages.State(state="x" * 250).encode)


def test_every_half_is_read_and_written_back():
    for bits in range(0x8000):
        if bits >> 10 != 31:
            assert to_half(from_half(bits)) == bits, bits
            assert to_half(-from_half(bits)) == bits | 0x8000, bits


def test_a_round_invites_everybody_one_or_those_who_are_drawn():
    told = {"round_num": 1, "version": 1, "opens_s": 0, "closes_s": 60, "quorum": 2}
    assert messages.Round(**told).invites("a")
    assert [messages.Round(invited="b", join_percent=0.0, **told).invites(name) for name in "ab"] == [False, True]
    for percent, drawn in ((38.3, False), (38.4, True)):  # the CRC-32 of "a 1" leaves 3837 by 10,000
        assert messages.Round(join_percent=percent, **told).invites("a") is drawn
    assert not messages.Round(join_percent=0.0, **told).invites("a")
