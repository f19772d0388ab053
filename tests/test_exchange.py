"""Keras in, LiteRT out: the same outputs on both sides, refusals that name the layer, and int8 files that are measured."""

import importlib.util
import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.exchange import MISSING, keras, keras_in, litert_out, optional
from experiments.exchange.command import run
from tegu.learner import Learner
from tegu.model import Model

PACKAGES = {"tensorflow": "tensorflow-cpu>=2.21", "ai_edge_litert": "ai-edge-litert>=2.3"}


def _needs_tensorflow() -> None:
    """Go on if TensorFlow and LiteRT are installed. Else fail in CI, else skip: they are not there for every platform."""
    missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return
    words = " ".join(f"'{package}'" for package in missing)
    sentence = f"TensorFlow is not installed; install it with: {sys.executable} -m pip install {words}"
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture
def layers() -> Any:
    _needs_tensorflow()
    return keras().layers


def line(*parts: Any) -> Any:
    """A Sequential model whose weights and biases are all random, the same every time."""
    model = keras().Sequential(list(parts))
    draw = np.random.default_rng(7)
    model.set_weights([draw.normal(0, 0.5, each.shape) for each in model.get_weights()])
    return model


def outputs_of(spec: str, weights: "array[float]", rows: NDArray[np.float32]) -> NDArray[np.float64]:
    learner = Learner(Model(spec), weights, 0.1)
    return np.array([list(learner.predict_one(row)) for row in rows.reshape(len(rows), -1).tolist()])


def check(model: Any, spec: str) -> None:
    """The model is read as spec, and the outputs on both sides are within 1e-5."""
    found, weights = keras_in.read(model)
    assert found == spec
    rows = np.random.default_rng(8).normal(0, 1, (5, *model.inputs[0].shape[1:])).astype(np.float32)
    expected = np.asarray(model(rows)).reshape(len(rows), -1)
    np.testing.assert_allclose(outputs_of(spec, weights, rows), expected, rtol=0, atol=1e-5)


# --- Keras in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["linear", "relu", "tanh", "sigmoid", "softmax"])
def test_dense_layers_have_the_same_outputs(layers: Any, last: str) -> None:
    model = line(layers.Input((4,)), layers.Dense(6, "tanh"), layers.Dropout(0.5), layers.Dense(3, last))
    check(model, f"4 | dense 6 tanh | dense 3 {last}")


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (6, 9)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((3, 3), 2), ((2, 2), 2), ((5, 5), 3), ((2, 3), 2)])
def test_convolutions_and_pools_have_the_same_outputs(
    layers: Any, size: tuple[int, int], padding: str, kernel: tuple[int, int], stride: int
) -> None:
    shape, size_word = layers.Input((*size, 2)), f"{size[0]}x{size[1]}x2"
    tail = f"{kernel[0]}x{kernel[1]}" + (f" stride {stride}" if stride > 1 else "")
    tail += " same" if padding == "same" else ""
    where = {"strides": stride, "padding": padding}
    check(line(shape, layers.Conv2D(3, kernel, activation="relu", **where)), f"{size_word} | conv 3 {tail} relu")
    check(line(shape, layers.DepthwiseConv2D(kernel, **where)), f"{size_word} | depthwise {tail} linear")
    # Kernels before the pools, so that negative numbers meet the padding, and none of its zeros.
    front, words = layers.Conv2D(2, 1), f"{size_word} | conv 2 1x1 linear"
    pool_tail = f"{kernel[0]}x{kernel[1]}" + ("" if kernel == (stride, stride) else f" stride {stride}")
    pool_tail += " same" if padding == "same" else ""
    check(line(shape, front, layers.MaxPooling2D(kernel, **where)), f"{words} | maxpool {pool_tail}")
    check(line(shape, front, layers.AveragePooling2D(kernel, **where)), f"{words} | meanpool {pool_tail}")


@pytest.mark.parametrize(("size", "pool"), [((6, 6), "6x6"), ((4, 7), "4x7 stride 1")])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_global_pool_is_a_mean_over_the_whole_grid(
    layers: Any, size: tuple[int, int], pool: str, keepdims: bool
) -> None:
    front = layers.Conv2D(5, 3, padding="same", activation="tanh")
    model = line(layers.Input((*size, 2)), front, layers.GlobalAveragePooling2D(keepdims=keepdims), layers.Dense(3))
    check(model, f"{size[0]}x{size[1]}x2 | conv 5 3x3 same tanh | meanpool {pool} | dense 3 linear")


def test_a_whole_network_of_every_kind_has_the_same_outputs(layers: Any) -> None:
    model = line(
        *(layers.Input((9, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()),
        *(layers.DepthwiseConv2D(3, padding="same", activation="tanh"), layers.AveragePooling2D(2, padding="same")),
        *(layers.Dropout(0.3), layers.Flatten(), layers.Dense(6, "sigmoid"), layers.Dense(3, "softmax")),
    )
    tail = "depthwise 3x3 same tanh | meanpool 2x2 same | dense 6 sigmoid | dense 3 softmax"
    check(model, f"9x8x1 | conv 4 3x3 relu | maxpool 2x2 | {tail}")


def test_weights_stand_output_first_and_absent_biases_are_zeros(layers: Any) -> None:
    dense = line(layers.Input((2,)), layers.Dense(3, use_bias=False))
    dense.set_weights([np.array([[1, 2, 3], [4, 5, 6]])])  # [input][unit]
    assert keras_in.read(dense)[1].tolist() == [1, 4, 2, 5, 3, 6, 0, 0, 0]
    conv = line(layers.Input((2, 2, 2)), layers.Conv2D(2, (1, 2), use_bias=False))
    conv.set_weights([np.arange(8).reshape(1, 2, 2, 2)])  # [y][x][in][out]: the even ones belong to the first channel
    assert keras_in.read(conv)[1].tolist() == [0, 2, 4, 6, 1, 3, 5, 7, 0, 0]
    depthwise = line(layers.Input((2, 2, 2)), layers.DepthwiseConv2D((2, 1)))
    depthwise.set_weights([np.array([1, 2, 3, 4]).reshape(2, 1, 2, 1), np.array([8, 9])])  # [y][x][channel][1]
    assert keras_in.read(depthwise)[1].tolist() == [1, 3, 2, 4, 8, 9]
    check(dense, "2 | dense 3 linear")
    check(conv, "2x2x2 | conv 2 1x2 linear")


def test_separate_activations_are_folded_into_the_layer_before_and_through_a_max_pool(layers: Any) -> None:
    front = (layers.Input((6, 6, 1)), layers.Conv2D(2, 3))
    words = "6x6x1 | conv 2 3x3"
    check(line(*front, layers.ReLU(), layers.Activation("relu")), f"{words} relu")
    check(line(*front, layers.MaxPooling2D(), layers.Activation("tanh")), f"{words} tanh | maxpool 2x2")
    tail = (layers.Flatten(), layers.Dropout(0.1), layers.Dense(3), layers.Activation("linear"), layers.Softmax())
    check(line(*front, layers.Activation("sigmoid"), *tail), f"{words} sigmoid | dense 3 softmax")


def test_a_functional_model_in_a_straight_line_is_read_and_so_are_flattened_pictures(layers: Any) -> None:
    inputs = layers.Input((3, 4))
    outputs = layers.Dense(2, "softmax")(layers.Dense(5, "relu")(layers.Flatten()(inputs)))
    check(keras().Model(inputs, outputs), "12 | dense 5 relu | dense 2 softmax")


# --- what is refused -------------------------------------------------------------------------------------------------

GRID = (6, 6, 2)
REFUSED: list[tuple[tuple[int, ...], Callable[[Any], list[Any]], str]] = [
    (
        (4,),
        lambda k: [k.Dense(2), k.BatchNormalization(name="b")],
        "layer 'b' is a BatchNormalization; Tegu knows Dense, ",
    ),
    ((4,), lambda k: [k.Dense(2, "gelu", name="d")], "layer 'd' has the activation gelu; Tegu knows linear, relu"),
    ((4,), lambda k: [k.Activation("elu", name="a")], "layer 'a' has the activation elu"),
    ((4,), lambda k: [k.Dense(2), k.ReLU(6.0, name="r")], "layer 'r' has max_value=6.0; Tegu knows None"),
    ((4,), lambda k: [k.Dense(2), k.ReLU(None, 0.1, name="r")], "layer 'r' has negative_slope=0.1"),
    ((4,), lambda k: [k.Dense(2), k.ReLU(threshold=1.0, name="r")], "layer 'r' has threshold=1.0"),
    ((4,), lambda k: [k.Dense(3, dtype="float16", name="d")], "layer 'd' has the dtype float16; Tegu reads float32"),
    (
        (4,),
        lambda k: [k.Dense(3, "softmax", name="s"), k.Dense(2)],
        "'s' has the activation softmax.* only on the last",
    ),
    (
        (4,),
        lambda k: [k.Dense(3, "tanh", name="d"), k.ReLU(name="r")],
        "'r' is a second activation, relu, behind .*tanh of 'd'",
    ),
    ((4,), lambda k: [k.Dense(3, "tanh"), k.Activation("tanh", name="t")], "layer 't' is a second activation, tanh"),
    ((4,), lambda k: [k.Dense(3), k.Softmax(axis=0, name="s")], "layer 's' has axis=0; Tegu knows -1 or 1"),
    ((4,), lambda k: [k.ReLU(name="r"), k.Dense(1)], "layer 'r' is an activation with no layer before it"),
    ((4,), lambda k: [k.Dropout(0.1)], "a model needs at least one layer"),
    (
        GRID,
        lambda k: [k.Dense(3, name="d")],
        r"layer 'd' is a Dense on inputs of shape \(6, 6, 2\).*put a Flatten before",
    ),
    (GRID, lambda k: [k.Conv2D(2, 2, dilation_rate=2, name="c")], r"layer 'c' has dilation_rate=\(2, 2\)"),
    (GRID, lambda k: [k.Conv2D(2, 2, groups=2, name="c")], "layer 'c' has groups=2; Tegu knows 1"),
    (GRID, lambda k: [k.Conv2D(3, 2, activation="softmax", name="c")], "layer 'c' is a Conv2D with softmax"),
    (GRID, lambda k: [k.Conv2D(3, 2, name="c"), k.Softmax(name="s")], "layer 's' is a softmax behind 'c'"),
    (
        GRID,
        lambda k: [k.Conv2D(3, 2), k.AveragePooling2D(2, name="p"), k.ReLU(name="r")],
        "'r' is an activation behind 'p', a pool",
    ),
    (GRID, lambda k: [k.DepthwiseConv2D(2, depth_multiplier=2, name="w")], "layer 'w' has depth_multiplier=2"),
    (
        GRID,
        lambda k: [k.MaxPooling2D(2, strides=(2, 1), name="p")],
        r"layer 'p' has strides=\(2, 1\); Tegu knows one stride",
    ),
    (GRID, lambda k: [k.Flatten("channels_first", name="f"), k.Dense(2)], "layer 'f' has data_format='channels_first'"),
]


@pytest.mark.parametrize(("shape", "parts", "sentence"), REFUSED)
def test_what_tegu_does_not_have_is_refused_by_the_layers_name(
    layers: Any, shape: tuple[int, ...], parts: Callable[[Any], list[Any]], sentence: str
) -> None:
    model = keras().Sequential([layers.Input(shape), *parts(layers)])
    with pytest.raises(ValueError, match=sentence):
        keras_in.read(model)


def test_models_that_are_not_one_straight_line_are_refused(layers: Any) -> None:
    inputs, shared = layers.Input((3,)), layers.Dense(3, name="twice")
    one, other = layers.Dense(2)(inputs), layers.Dense(2)(inputs)
    refused = {
        "layer 'join' is a Add": (inputs, layers.Add(name="join")([one, other])),
        "has 2 outputs": (inputs, [one, other]),
        "layer 'twice' is used twice": (inputs, shared(shared(inputs))),
        "layer 'drop' is called with training=True": (inputs, layers.Dropout(0.5, name="drop")(one, training=True)),
        "has inputs of shape": (many := layers.Input((None, None, 1)), layers.Conv2D(1, 2)(many)),
    }
    for sentence, (begin, end) in refused.items():
        with pytest.raises(ValueError, match=sentence):
            keras_in.read(keras().Model(begin, end))
    nested = keras().Sequential([layers.Input((3,)), keras().Sequential([layers.Dense(2)], name="inner")])
    with pytest.raises(ValueError, match="layer 'inner' is a Sequential; Tegu knows"):
        keras_in.read(nested)


def test_models_that_cannot_be_read_are_refused(layers: Any, tmp_path: Path) -> None:
    class Own(keras().Model):  # type: ignore[misc]
        pass

    class Dense(layers.Dense):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return super().call(x) * 2.0

    with pytest.raises(ValueError, match="is a Own; Tegu knows Sequential and functional"):
        keras_in.read(Own())
    with pytest.raises(ValueError, match=f"is a Dense of {__name__}; Tegu knows"):
        keras_in.read(line(layers.Input((2,)), Dense(1)))
    with pytest.raises(ValueError, match="does not know its inputs yet"):
        keras_in.read(keras().Sequential([layers.Dense(1)]))
    with pytest.raises(ValueError, match="a list is not a Keras"):
        keras_in.read([])
    broken = line(layers.Input((2,)), layers.Dense(1, name="broken"))
    broken.set_weights([np.full((2, 1), np.nan), np.zeros(1)])
    with pytest.raises(ValueError, match="layer 'broken' has weights that are not finite"):
        keras_in.read(broken)
    (tmp_path / "no.keras").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"no\.keras cannot be read as a Keras model"):
        keras_in.read(tmp_path / "no.keras")


# --- back to Keras, and out ------------------------------------------------------------------------------------------

SPECS = [
    "3 | dense 4 relu | dense 1 sigmoid",
    "7x6x2 | conv 3 3x3 stride 2 same relu | depthwise 2x2 tanh | maxpool 2x2 | dense 5 softmax",
    "6x6x1 | conv 2 2x3 linear | meanpool 3x2 stride 1 same | maxpool 3x3 stride 2 | dense 2 linear",
    "4x4x1 | dense 3 tanh | dense 2 softmax",
    "5x5x2 | depthwise 3x3 same sigmoid | meanpool 2x2",
]


@pytest.mark.usefixtures("layers")
@pytest.mark.parametrize("spec", SPECS)
def test_a_model_comes_back_from_keras_as_it_went(spec: str) -> None:
    model = Model(spec)
    weights = model.initial(3, 1.0)
    built = litert_out.to_keras(spec, weights)
    assert keras_in.read(built) == (spec, weights)
    rows = np.random.default_rng(2).normal(0, 1, (4, *built.inputs[0].shape[1:])).astype(np.float32)
    expected = outputs_of(spec, weights, rows)
    assert np.asarray(built(rows)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("layers")
def test_a_local_layer_goes_out_like_another_and_a_wrong_number_of_weights_does_not() -> None:
    spec = "3 | dense 4 relu | dense 2 softmax local"
    weights = Model(spec).initial(1)
    assert keras_in.read(litert_out.to_keras(spec, weights)) == (spec.removesuffix(" local"), weights)
    with pytest.raises(ValueError, match="the model has 26 weights, not 25"):
        litert_out.to_keras(spec, weights[1:])


def bars(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noisy pictures of 8 x 8: a bar that lies (class 0), one that stands (1), or none (2)."""
    draw = np.random.default_rng(seed)
    pictures = draw.normal(0, 0.2, (count, 8, 8, 1)).astype(np.float32)
    kinds = draw.integers(0, 3, count)
    for picture, kind, place in zip(pictures, kinds, draw.integers(0, 8, count), strict=True):
        if kind == 0:
            picture[place] += 1
        elif kind == 1:
            picture[:, place] += 1
    return pictures, kinds


@cache
def trained() -> Any:
    """A small network that tells the bars apart, with one layer of each kind."""
    library = keras()
    library.utils.set_random_seed(5)
    k = library.layers
    model = library.Sequential(
        [
            *(k.Input((8, 8, 1)), k.Conv2D(6, 3, padding="same", activation="relu"), k.MaxPooling2D()),
            *(k.DepthwiseConv2D(3, activation="relu"), k.AveragePooling2D(2), k.Flatten()),
            *(k.Dense(12, "tanh"), k.Dense(3, "softmax")),
        ]
    )
    model.compile(library.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(*bars(1, 600), epochs=8, batch_size=20, verbose=0)
    return model


def litert_outputs(path: Path, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """A second reading of the file, with LiteRT's usual kernels. Also that its inputs and outputs are int8."""
    interpreter = optional("ai_edge_litert.interpreter").Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    into, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (into["dtype"], out["dtype"]) == (np.int8, np.int8)
    (step, zero), (out_step, out_zero) = into["quantization"], out["quantization"]
    found = []
    for row in rows:
        cells = np.clip(np.round(row.reshape(into["shape"]) / step) + zero, -128, 127)
        interpreter.set_tensor(into["index"], cells.astype(np.int8))
        interpreter.invoke()
        found.append((interpreter.get_tensor(out["index"])[0].astype(float) - out_zero) * out_step)
    return np.array(found, np.float32)


@pytest.mark.usefixtures("layers")
def test_a_trained_network_keeps_its_answers_in_int8_and_the_difference_is_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, path = trained(), tmp_path / "bars.tflite"
    spec, weights = keras_in.read(model)
    calibration, _ = bars(2, 300)
    capfd.readouterr()
    difference = litert_out.export(spec, weights, calibration.reshape(300, -1), path)
    assert capfd.readouterr() == ("", "")
    assert difference.file_bytes == path.stat().st_size < 8000
    assert difference.rows == 60
    assert difference.output_step == 1 / 256  # LiteRT's rule for softmax
    assert difference.same_answer_share is not None and difference.same_answer_share >= 0.95
    assert difference.mean < 0.01 and difference.mean < difference.largest < 0.15
    pictures, kinds = bars(3, 200)
    exact, found = np.asarray(model(pictures)), litert_outputs(path, pictures)
    assert (exact.argmax(1) == kinds).mean() > 0.9  # else equal answers would say little
    assert (exact.argmax(1) == found.argmax(1)).mean() >= 0.95
    assert np.abs(exact - found).mean() < 0.01


@pytest.mark.usefixtures("layers")
def test_the_difference_is_measured_on_inputs_that_set_no_range(tmp_path: Path) -> None:
    rows = np.linspace(-1, 1, 50).reshape(-1, 1)
    rows[4::5] = 10.0  # held out: y = x is cut at about 1, so 9 away
    difference = litert_out.export("1 | dense 1 linear", array("f", [1.0, 0.0]), rows, tmp_path / "line.tflite")
    assert difference.rows == 10
    assert difference.largest == pytest.approx(9.0, abs=0.05) == difference.mean
    assert difference.same_answer_share is None


@pytest.mark.usefixtures("layers")
def test_a_sigmoid_answers_by_the_side_of_one_half(tmp_path: Path) -> None:
    rows = np.random.default_rng(4).uniform(-1, 1, (100, 2))
    weights = array("f", [8.0, -8.0, 0.0])  # far from one half for most
    difference = litert_out.export("2 | dense 1 sigmoid", weights, rows, tmp_path / "side.tflite")
    assert difference.same_answer_share is not None and difference.same_answer_share >= 0.95
    assert difference.largest < 0.05


def test_calibration_inputs_are_checked(tmp_path: Path) -> None:
    def refused(rows: NDArray[Any], sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            litert_out.export("2 | dense 1 linear", array("f", [1, 1, 1]), rows, tmp_path / "no.tflite")
        assert not (tmp_path / "no.tflite").exists()

    refused(np.zeros((20, 3)), r"numbers of shape \(rows, 2\), not float64 of shape \(20, 3\)")
    refused(np.zeros((20, 2), dtype=bool), "not bool of shape")
    refused(np.zeros((9, 2)), "9 calibration inputs are too few; at least 10")
    refused(np.full((20, 2), np.inf), "must be finite")


# --- tegu model ------------------------------------------------------------------------------------------------------


def test_the_command_imports_a_model_and_exports_it(
    layers: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, weights, out, inputs = (tmp_path / name for name in ("m.keras", "w.f32", "m.tflite", "x.npy"))
    model = line(layers.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2, "softmax"))
    model.save(source)
    np.save(inputs, np.random.default_rng(1).normal(0, 1, (50, 3)))
    capfd.readouterr()
    assert run(["import", str(source), "--out", str(weights)]) == 0
    said = capfd.readouterr()
    assert said.out == "3 | dense 4 tanh | dense 2 softmax\n"
    assert said.err.startswith(f"26 weights are in {weights}; outputs are within ")
    assert weights.read_bytes() == np.array(keras_in.read(model)[1], "<f4").tobytes()
    words = ["--spec", said.out.strip(), "--weights", str(weights), "--calibration", str(inputs), "--out", str(out)]
    assert run(["export", *words]) == 0
    said = capfd.readouterr()
    assert said.out.startswith(f"{out}: {out.stat().st_size} bytes\nOn 10 held-out inputs outputs are ")
    assert said.err == ""


@pytest.mark.usefixtures("layers")
def test_the_commands_errors_are_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def refused(sentence: str, *arguments: str) -> None:
        assert run([*arguments, "--out", str(tmp_path / "out")]) == 1
        said = capfd.readouterr()
        assert said.out == ""
        assert said.err.startswith("tegu model: ") and said.err.count("\n") == 1
        assert sentence in said.err
        assert not (tmp_path / "out").exists()

    weights, inputs, odd = (tmp_path / name for name in ("w.f32", "x.npy", "odd.f32"))
    weights.write_bytes(bytes(12))
    odd.write_bytes(bytes(13))
    np.save(inputs, np.zeros((20, 2)))
    spec = ["--spec", "2 | dense 1 linear"]
    refused("nowhere.keras is not a file", "import", str(tmp_path / "nowhere.keras"))
    refused("13 bytes", "export", *spec, "--weights", str(odd), "--calibration", str(inputs))
    refused("No such file", "export", *spec, "--weights", str(tmp_path / "none"), "--calibration", str(inputs))
    refused("is not a .npy file", "export", *spec, "--weights", str(weights), "--calibration", str(weights))
    refused("'gelu'", "export", "--spec", "2 | dense 1 gelu", "--weights", str(weights), "--calibration", str(inputs))


@pytest.mark.usefixtures("layers")
def test_an_import_whose_outputs_differ_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, weights = "2 | dense 2 tanh | dense 1 linear", array("f", [1] * 9)
    litert_out.to_keras(spec, weights).save(tmp_path / "m.keras")
    monkeypatch.setattr(keras_in, "read", lambda _: (spec, array("f", [2] * 9)))  # as if the reader were wrong
    assert run(["import", str(tmp_path / "m.keras"), "--out", str(tmp_path / "w.f32")]) == 1
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "w.f32").exists()


def test_tensorflow_is_imported_only_when_a_model_is() -> None:
    code = (
        "import sys, experiments.exchange.command; print({'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


def test_without_tensorflow_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in PACKAGES:
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
        with pytest.raises(ValueError, match="Keras models need TensorFlow; install it with: pip install 'tegu"):
            optional(module)
    assert "'tegu[tensorflow]'" in MISSING
