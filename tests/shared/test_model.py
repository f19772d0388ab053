"""Models from text: shapes, the layout of the weights, the hash, and the same first weights everywhere."""

from binascii import hexlify

from given import error_of

from tegu.model import Model

# Worked out with whole numbers and fractions apart from Model, rounded once to float32.
WEIGHTS_OF_SEED_1 = "4641adbe0ca54b3f1890b5be804348bff6d3983dd5edc7be0000008000000080"
WEIGHTS_OF_SEED_7 = "d00eabbf6ef7abbe925cb43ec05e5bbdf02377bf67c1e2bd00000000"


def test_a_model_is_read_from_its_spec():
    model = Model("11 | dense 24 tanh | dense 16 relu | dense 2 softmax")
    assert (model.inputs, model.outputs, model.classes) == (11, 2, 2)
    assert model.size == 11 * 24 + 24 + 24 * 16 + 16 + 16 * 2 + 2
    assert [layer.offset for layer in model.layers] == [0, 288, 688]
    assert [layer.activation for layer in model.layers] == ["tanh", "relu", "softmax"]
    assert model.shared == [(0, model.size)]
    assert model.shared_size == model.size


def test_a_model_of_numbers_has_no_classes():
    assert Model("1 | dense 3 linear").classes == 0


def test_local_layers_are_not_shared():
    model = Model("4 | dense 3 tanh local | dense 5 relu | dense 2 softmax local")
    assert model.shared == [(15, 35)]
    assert model.shared_size == 20
    ends = Model("4 | dense 3 tanh | dense 5 relu local | dense 2 softmax")
    assert ends.shared == [(0, 15), (35, 47)]
    assert ends.shared_size == 27
    assert Model("1 | dense 1 linear local").shared == []


def test_blanks_do_not_change_the_model():
    one, other = Model("  3|dense 2   linear "), Model("3 | dense 2 linear")
    assert one.spec == other.spec == "3 | dense 2 linear"
    assert one.shape_hash == other.shape_hash == 0x4132


def test_every_part_of_the_spec_is_in_the_hash():
    specs = (
        "3 | dense 2 linear",
        "2 | dense 2 linear",
        "3 | dense 3 linear",
        "3 | dense 2 tanh",
        "3 | dense 2 linear local",
    )
    assert len({Model(spec).shape_hash for spec in specs}) == len(specs)


def test_a_spec_that_cannot_be_read_is_refused_with_the_faulty_word():
    for spec, word in (
        ("", "inputs"),
        ("3", "at least one layer"),
        ("x | dense 2 linear", "'x'"),
        ("0 | dense 2 linear", "'0'"),
        ("-1 | dense 2 linear", "'-1'"),
        ("65536 | dense 2 linear", "'65536'"),
        ("1.5 | dense 2 linear", "'1.5'"),
        ("3 4 | dense 2 linear", "3 4"),
        ("3 | conv 2 linear", "'conv 2 linear'"),
        ("3 | dense 0 linear", "'0'"),
        ("3 | dense two linear", "'two'"),
        ("3 | dense 65536 linear", "'65536'"),
        ("3 | dense 2 gelu", "'gelu'"),
        ("3 | dense 2", "'dense 2'"),
        ("3 | dense 2 linear global", "'dense 2 linear global'"),
        ("3 | dense 2 linear local local", "'dense 2 linear local local'"),
        ("3 |", "''"),
        ("3 | dense 2 softmax | dense 2 linear", "softmax"),
    ):
        assert word in error_of(ValueError, Model, spec), spec


def test_a_digit_of_another_alphabet_is_refused_as_on_a_board():
    for spec in ("\u0663 | dense 2 linear", "3 | dense \u0662 linear", "\u00b2 | dense 2 linear"):
        error_of(ValueError, Model, spec)


def test_the_first_weights_are_the_same_on_every_interpreter():
    weights = Model("3 | dense 2 linear").initial(1)
    assert hexlify(bytes(weights)).decode() == WEIGHTS_OF_SEED_1, hexlify(bytes(weights))
    with_bias = Model("1 | dense 2 tanh | dense 1 linear").initial(7, 0.5)
    assert hexlify(bytes(with_bias)).decode() == WEIGHTS_OF_SEED_7, hexlify(bytes(with_bias))


def test_the_first_weights_lie_within_their_limits():
    model = Model("10 | dense 20 tanh | dense 10 linear")
    weights = model.initial(3)
    limit = (6.0 / 30) ** 0.5
    assert max(abs(w) for w in weights) <= limit
    assert max(abs(w) for w in weights) > 0.95 * limit
    assert list(weights[200:220]) == [0.0] * 20
    assert list(weights[420:430]) == [0.0] * 10
    assert list(model.initial(3)) == list(weights)
    assert list(model.initial(4)) != list(weights)
