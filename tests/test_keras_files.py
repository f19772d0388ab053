"""Reading Keras files without Keras: the same shapes and counts as Keras itself says, and files that are broken or mean harm."""

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coordinator.semantics.model_files import keras_file
from coordinator.semantics.model_files.arena import records_bytes
from coordinator.semantics.models import Layer, Tensor
from experiments.exchange import keras

from .test_exchange import _needs_tensorflow


@pytest.fixture
def layers() -> Any:
    _needs_tensorflow()
    return keras().layers


def check(model: Any, folder: Path, suffix: str = "keras") -> Any:
    """What is read agrees with Keras: parameters of all, and the shape of every layer that does something."""
    path = folder / f"small.{suffix}"
    model.save(path)
    found = keras_file.read(path)
    assert found.parameters == model.count_params()
    kept = [each for each in model.layers if type(each).__name__ not in ("InputLayer", "Dropout")]
    assert [layer.output_shape[1:] for layer in found.layers] == [tuple(each.output.shape[1:]) for each in kept]
    assert [tensor.shape[1:] for tensor in found.inputs] == [tuple(each.shape[1:]) for each in model.inputs]
    assert [tensor.shape[1:] for tensor in found.outputs] == [tuple(each.shape[1:]) for each in model.outputs]
    return found


def test_a_small_network_is_described_as_worked_by_hand(layers: Any, tmp_path: Path) -> None:
    model = keras().Sequential(
        [
            layers.Input((9, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3, padding="same", activation="tanh"),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    found = check(model, tmp_path)
    assert found.layers == (
        Layer(1, "Conv2D", (1, 9, 8, 1), (1, 7, 6, 4), "relu", "float32", 40, 7 * 6 * 4 * 9),
        Layer(2, "MaxPool2D", (1, 7, 6, 4), (1, 3, 3, 4), "", "float32", 0, 0),
        Layer(3, "DepthwiseConv2D", (1, 3, 3, 4), (1, 3, 3, 4), "tanh", "float32", 40, 3 * 3 * 4 * 9),
        Layer(4, "Reshape", (1, 3, 3, 4), (1, 36), "", "float32", 0, 0),
        Layer(5, "FullyConnected", (1, 36), (1, 3), "softmax", "float32", 111, 108),
    )
    assert found.inputs == (Tensor((1, 9, 8, 1), "float32"),)
    assert found.flash_bytes == 4 * (40 + 40 + 111)
    # At the convolution its input of 288 bytes and its output of 672 are there; three layers have weights and biases.
    assert found.ram_bytes == 288 + 672 + records_bytes(6 + 3 * 2, 5)
    assert (found.training_ram_bytes, found.shape_hash) == (None, None)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((2, 3), 2), ((5, 1), 3)])
def test_windows_of_all_kinds_have_the_shapes_that_keras_says(
    layers: Any, tmp_path: Path, padding: str, kernel: tuple[int, int], stride: int
) -> None:
    where = {"strides": stride, "padding": padding}
    model = keras().Sequential(
        [
            layers.Input((33, 30, 4)),
            layers.Conv2D(6, kernel, groups=2, use_bias=False, **where),
            layers.SeparableConv2D(5, kernel, depth_multiplier=2, **where),
            layers.AveragePooling2D((2, 2), padding=padding),
            layers.Conv2D(3, 2, dilation_rate=2, padding=padding) if stride == 1 else layers.ReLU(6.0),
            layers.ZeroPadding2D(((1, 2), (3, 4))),
            layers.UpSampling2D((2, 3)),
            layers.GlobalMaxPooling2D(keepdims=True),
        ]
    )
    check(model, tmp_path)


def test_the_other_layers_have_the_shapes_that_keras_says(layers: Any, tmp_path: Path) -> None:
    model = keras().Sequential(
        [
            layers.Input((64, 3)),
            layers.Rescaling(0.5),
            layers.Conv1D(8, 5, strides=2, padding="same"),
            layers.BatchNormalization(scale=False),
            layers.Activation("sigmoid"),
            layers.MaxPooling1D(4),
            layers.Reshape((-1, 4)),
            layers.LeakyReLU(),
            layers.Dense(6),
            layers.AveragePooling1D(3, strides=2),
            layers.GlobalAveragePooling1D(),
            layers.Softmax(),
        ]
    )
    found = check(model, tmp_path)
    assert [layer.kind for layer in found.layers] == [
        *("Mul", "Conv2D", "BatchNormalization", "Logistic", "MaxPool2D", "Reshape", "LeakyRelu", "FullyConnected"),
        *("AveragePool2D", "Mean", "Softmax"),
    ]
    assert found.layers[1].multiply_accumulates == 32 * 8 * 5 * 3


def test_branches_are_followed_and_a_shared_layer_counts_once(layers: Any, tmp_path: Path) -> None:
    first, second = layers.Input((8,), name="a"), layers.Input((8,), name="b")
    shared = layers.Dense(5, "relu", name="shared")
    joined = layers.Concatenate()([shared(first), shared(second)])
    output = layers.Dense(2)(layers.Add()([joined, layers.Dense(10)(joined)]))
    path = tmp_path / "branches.keras"
    keras().Model([first, second], output).save(path)
    found = keras_file.read(path, input=["left", "right"])
    assert [layer.kind for layer in found.layers].count("FullyConnected") == 4
    assert found.parameters == (8 + 1) * 5 + (10 + 1) * 10 + (10 + 1) * 2
    assert found.multiply_accumulates == 2 * 8 * 5 + 10 * 10 + 10 * 2
    assert found.inputs == (Tensor((1, 8), "float32"), Tensor((1, 8), "float32"))
    assert (found.outputs, found.input) == ((Tensor((1, 2), "float32"),), ("left", "right"))


def test_the_older_format_says_the_same(layers: Any, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    model = keras().Sequential([layers.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(2, "softmax")])
    old, new = check(model, tmp_path, "h5"), check(model, tmp_path)
    assert old == new


def test_a_model_of_keras_2_is_read_too(tmp_path: Path) -> None:
    """Its layers name those before them in lists, and inputs have another key."""
    inputs = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 4], "dtype": "float32"}}
    dense = {
        "class_name": "Dense",
        "config": {"name": "d", "units": 3, "use_bias": True, "activation": "relu", "dtype": "float32"},
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }
    config = {"layers": [dense, inputs], "output_layers": [["d", 0, 0]], "input_layers": [["x", 0, 0]]}
    found = keras_file.read(zipped(tmp_path, {"class_name": "Functional", "config": config}))
    assert found.layers == (Layer(1, "FullyConnected", (1, 4), (1, 3), "relu", "float32", 15, 12),)


def test_no_keras_and_no_tensorflow_is_loaded(tmp_path: Path) -> None:
    path = zipped(tmp_path, sequential(DENSE))
    script = (
        "import sys; from coordinator.semantics.model_files import keras_file, tflite; keras_file.read(sys.argv[1]);"
        "print(sorted({'keras', 'tensorflow', 'h5py', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


# --- files that are broken, or mean harm ---

DENSE = {"class_name": "Dense", "config": {"name": "d", "units": 3, "use_bias": True, "activation": "linear"}}


def sequential(*layers: dict[str, Any], shape: Any = (None, 4)) -> dict[str, Any]:
    inputs = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": shape, "dtype": "float32"}}
    return {"class_name": "Sequential", "config": {"layers": [inputs, *layers]}}


def zipped(folder: Path, config: Any) -> Path:
    path = folder / "small.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config if isinstance(config, str | bytes) else json.dumps(config))
    return path


def refused(path: Path) -> str:
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"small\.") as caught:
        keras_file.read(path)
    assert time.perf_counter() - began < 15
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def changed(**values: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {**DENSE["config"], **values}}  # type: ignore[dict-item]


def functional(*nodes: Any) -> dict[str, Any]:
    inputs = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4]}}
    layers = [{**changed(name=f"d{at}"), "inbound_nodes": [[node]]} for at, node in enumerate(nodes)]
    return {"class_name": "Functional", "config": {"layers": [inputs, *layers], "output_layers": ["d0", 0, 0]}}


CONV = {"name": "c", "filters": 2, "kernel_size": 9, "padding": "valid", "use_bias": True, "strides": 1}
HUGE = {**CONV, "kernel_size": 1 << 24, "filters": 1 << 24, "padding": "same"}
REFUSED: list[tuple[Any, str]] = [
    ("", "none that Keras writes"),
    (b"\xff\xfe", "none that Keras writes"),
    ("[" * 100_000, "none that Keras writes"),
    ([], "none that Keras writes"),
    ({"class_name": "Sequential"}, "none that Keras writes"),
    ({"class_name": "Mine", "config": {"layers": []}}, "it is a Mine; only Sequential and Functional"),
    (sequential(*[DENSE] * 2048), "it has 2049 layers"),
    (sequential(shape=(None, None)), "the size of its input is open"),
    (sequential(DENSE, shape=(None, *[1 << 20] * 3)), "is not possible here"),
    (sequential(DENSE, shape=(None, *[2] * 100_000)), "2x2x2x2 is not possible here"),
    (sequential(changed(units=1 << 40)), "layer 'd': 1099511627776 is no possible count"),
    (sequential(changed(units=-3)), "layer 'd': -3 is no possible count"),
    (sequential(changed(activation="My<code>")), "its activation is 'my<code>'"),
    (sequential(changed(dtype="x y")), "there is no type 'x y'"),
    (
        sequential({"class_name": "LSTM", "config": {"name": "l"}}),
        "it is a LSTM; these can be read: Activation",
    ),
    (sequential({"class_name": "Conv2D", "config": CONV}, shape=(None, 8, 8, 1)), "0 is no possible count"),
    (sequential({"class_name": "Conv2D", "config": HUGE}, shape=(None, 8, 8, 1)), "too large to be described"),
    (functional(["d1", 0, 0], ["d0", 0, 0]), "go in a circle"),
    (functional(["y", 0, 0]), "'y', which is not there"),
    (functional(["x", 0, 1]), "several outputs"),
]


@pytest.mark.parametrize(("config", "why"), REFUSED, ids=[why[:20] for _, why in REFUSED])
def test_what_cannot_be_is_refused_with_a_sentence(tmp_path: Path, config: Any, why: str) -> None:
    assert why in refused(zipped(tmp_path, config))


def test_a_configuration_that_unpacks_to_gigabytes_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "small.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("config.json", "w") as file:
        for _ in range(256):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    assert "more than 4 MiB" in refused(path)


def test_a_zip_of_a_million_entries_takes_no_memory_of_ours(tmp_path: Path) -> None:
    """Its directory alone would take gigabytes of Python objects; the process that reads it has a limit."""
    path = tmp_path / "small.keras"
    entry = io.BytesIO()
    with zipfile.ZipFile(entry, "w") as archive:
        archive.writestr("x", b"")
    content = entry.getvalue()
    start = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    count = 1_000_000
    record = content[start:end]
    with path.open("wb") as file:
        file.write(content[:start] + record * count)
        size, at = len(record) * count, start
        locator = b"PK\6\7" + (0).to_bytes(4, "little") + (at + size).to_bytes(8, "little") + (1).to_bytes(4, "little")
        counts = count.to_bytes(8, "little") * 2 + size.to_bytes(8, "little") + at.to_bytes(8, "little")
        file.write(b"PK\6\6" + (44).to_bytes(8, "little") + bytes(12) + counts + locator)
        file.write(b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2))
    assert "broken (MemoryError)" in refused(path)


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4", b"PK\3\4" + bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(500), bytes(64)]
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "small.keras"
    path.write_bytes(content)
    assert "it is" in refused(path)


def test_a_file_of_weights_alone_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "small.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = [1.0, 2.0]
    assert "perhaps weights alone" in refused(path)
    with zipfile.ZipFile(tmp_path / "small.keras", "w") as archive:
        archive.writestr("other.json", "{}")
    assert "perhaps weights alone" in refused(tmp_path / "small.keras")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keras_file.read(tmp_path / "none.keras")
