"""Reading .tflite files: what a small one says, worked by hand; what Keras' converter writes; and files that are broken or mean harm.

The small files are put together here, field by field, so that they are the same for ever and no TensorFlow is needed.
"""

import random
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

from coordinator.semantics.model_files import tflite
from coordinator.semantics.model_files.arena import plan_bytes, records_bytes
from coordinator.semantics.models import Layer, Tensor
from experiments.exchange.litert_out import export
from tegu.model import Model

from .test_exchange import _needs_tensorflow

FLOAT32, INT32, INT8 = 0, 2, 9
CONV, DEPTHWISE, DENSE, RESHAPE, SOFTMAX = 3, 4, 9, 22, 25
CONV_OPTIONS, DEPTHWISE_OPTIONS, DENSE_OPTIONS, SOFTMAX_OPTIONS = 1, 2, 8, 9
Offset = int
TensorSays = tuple[Sequence[int], int, bool]  # shape, type, whether it stands in the file
OperatorSays = tuple[
    int, Sequence[int], Sequence[int], int, dict[int, int]
]  # code, inputs, outputs, options' type and fields


def vector(builder: Any, offsets: Sequence[Offset]) -> Offset:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def numbers(builder: Any, values: Sequence[int]) -> Offset:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependInt32(value)
    return int(builder.EndVector())


def table(
    builder: Any, fields: int, offsets: dict[int, Offset], bytes_: dict[int, int], words: dict[int, int]
) -> Offset:
    builder.StartObject(fields)
    for at, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(at, offset, 0)
    for at, value in words.items():
        builder.PrependInt32Slot(at, value, 0)
    for at, value in bytes_.items():
        builder.PrependInt8Slot(at, value, 0)
    return int(builder.EndObject())


def built(
    tensors: Sequence[TensorSays],
    operators: Sequence[OperatorSays],
    inputs: Sequence[int],
    outputs: Sequence[int],
    graphs: int = 1,
) -> bytes:
    """A .tflite file as the schema has it. Constant tensors hold zeros."""
    builder: Any = flatbuffers.Builder(4096)
    buffers, made = [table(builder, 3, {}, {}, {})], []
    for shape, kind, constant in tensors:
        if constant:
            data = builder.CreateByteVector(bytes(int(np.prod(shape)) * (1 if kind == INT8 else 4)))
            buffers.append(table(builder, 3, {0: data}, {}, {}))
        at = len(buffers) - 1 if constant else 0
        made.append(table(builder, 10, {0: numbers(builder, shape)}, {1: kind}, {2: at}))
    codes = sorted({operator[0] for operator in operators})
    done = []
    for code, before, behind, options_type, options in operators:
        parts = {1: numbers(builder, before), 2: numbers(builder, behind)}
        if options_type:
            words = {
                field: value for field, value in options.items() if field in (1, 2)
            }  # strides; the others are bytes
            parts[4] = table(builder, 6, {}, {field: options[field] for field in options.keys() - words.keys()}, words)
        done.append(table(builder, 9, parts, {3: options_type}, {0: codes.index(code)}))
    ends = {1: numbers(builder, inputs), 2: numbers(builder, outputs)}
    graph = table(builder, 5, {0: vector(builder, made), **ends, 3: vector(builder, done)}, {}, {})
    said = vector(builder, [table(builder, 4, {}, {0: code}, {2: 1, 3: code}) for code in codes])
    parts = {1: said, 2: vector(builder, [graph] * graphs), 4: vector(builder, buffers)}
    builder.Finish(table(builder, 8, parts, {}, {0: 3}), file_identifier=b"TFL3")
    return bytes(builder.Output())


def small() -> bytes:
    """8x8 points | 4 filters 3x3 same relu | 3 units | softmax, in float32."""
    tensors: list[TensorSays] = [
        ([1, 8, 8, 1], FLOAT32, False),
        ([4, 3, 3, 1], FLOAT32, True),
        ([4], FLOAT32, True),
        ([1, 8, 8, 4], FLOAT32, False),
        ([3, 256], FLOAT32, True),
        ([3], FLOAT32, True),
        ([1, 3], FLOAT32, False),
        ([1, 3], FLOAT32, False),
    ]
    operators: list[OperatorSays] = [
        (CONV, [0, 1, 2], [3], CONV_OPTIONS, {1: 1, 2: 1, 3: 1}),
        (DENSE, [3, 4, 5], [6], DENSE_OPTIONS, {}),
        (SOFTMAX, [6], [7], SOFTMAX_OPTIONS, {}),
    ]
    return built(tensors, operators, [0], [7])


def written(folder: Path, content: bytes) -> Path:
    path = folder / "small.tflite"
    path.write_bytes(content)
    return path


# --- what a file says ---


def test_a_small_file_is_described_as_worked_by_hand(tmp_path: Path) -> None:
    found = tflite.read(written(tmp_path, small()))
    assert found.layers == (
        Layer(1, "Conv2D", (1, 8, 8, 1), (1, 8, 8, 4), "relu", "float32", 4 * 9 + 4, 8 * 8 * 4 * 9),
        Layer(2, "FullyConnected", (1, 8, 8, 4), (1, 3), "", "float32", 3 * 256 + 3, 3 * 256),
        Layer(3, "Softmax", (1, 3), (1, 3), "", "float32", 0, 0),
    )
    assert (found.name, found.multiply_accumulates, found.parameters) == ("small", 2304 + 768, 40 + 771)
    assert (found.inputs, found.outputs) == ((Tensor((1, 8, 8, 1), "float32"),), (Tensor((1, 3), "float32"),))
    assert found.flash_bytes == len(small())
    assert (found.training_ram_bytes, found.shape_hash) == (None, None)


def test_a_small_file_is_one_that_an_interpreter_runs() -> None:
    _needs_tensorflow()
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=small())
    interpreter.allocate_tensors()
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    np.testing.assert_allclose(interpreter.get_tensor(output["index"]), [[1 / 3, 1 / 3, 1 / 3]])  # of zeros alone


def test_the_arena_of_a_small_file_is_a_little_more_than_the_interpreter_of_boards_takes(tmp_path: Path) -> None:
    """tflite-micro of October 2026 said of this file, on x86-64: 1,280 bytes of activations, 1,376 of notes."""
    found = tflite.read(written(tmp_path, small()))
    assert found.ram_bytes == (256 + 1024) + (832 + 8 * 48 + 3 * 112)
    assert 1 <= found.ram_bytes / (1280 + 1376) < 1.07


def test_channels_of_quantised_convolutions_cost_notes() -> None:
    assert records_bytes(10, 5, 16) - records_bytes(10, 5) == 16 * 8


def test_activations_share_memory_unless_they_live_at_the_same_time() -> None:
    assert (
        plan_bytes([(100, 0, 1), (64, 1, 2), (32, 2, 3)]) == 112 + 64
    )  # in steps of 16; the third lies where the first did
    assert plan_bytes([(64, 0, 0), (64, 1, 1), (64, 2, 2)]) == 64
    # 32 live at a time, but what lives last finds the first place and the second taken by two that never meet.
    assert plan_bytes([(16, 0, 0), (16, 0, 1), (16, 2, 2), (16, 1, 2)]) == 48
    assert plan_bytes([]) == 0


def test_a_residual_keeps_what_it_jumps_over_alive(tmp_path: Path) -> None:
    """x -> a -> b, then x + b: at the end of it x, b and the sum are there, 16 numbers each."""
    tensors: list[TensorSays] = [([1, 16], FLOAT32, False)] * 4
    operators: list[OperatorSays] = [(28, [0], [1], 0, {}), (28, [1], [2], 0, {}), (0, [0, 2], [3], 0, {})]
    found = tflite.read(written(tmp_path, built(tensors, operators, [0], [3])))
    assert [layer.kind for layer in found.layers] == ["Tanh", "Tanh", "Add"]
    assert found.ram_bytes - records_bytes(4, 3) == 3 * 64


def test_a_depthwise_convolution_multiplies_its_kernel_once_an_output(tmp_path: Path) -> None:
    tensors: list[TensorSays] = [
        ([1, 9, 9, 2], INT8, False),
        ([1, 3, 5, 4], INT8, True),
        ([4], INT32, True),
        ([1, 5, 5, 4], INT8, False),
    ]
    operators: list[OperatorSays] = [(DEPTHWISE, [0, 1, 2], [3], DEPTHWISE_OPTIONS, {1: 2, 2: 2, 4: 3})]
    (layer,) = tflite.read(written(tmp_path, built(tensors, operators, [0], [3]))).layers
    assert layer == Layer(1, "DepthwiseConv2D", (1, 9, 9, 2), (1, 5, 5, 4), "relu6", "int8", 60 + 4, 5 * 5 * 4 * 15)


def test_constants_that_are_no_weights_are_not_counted_as_parameters(tmp_path: Path) -> None:
    tensors: list[TensorSays] = [([1, 4, 4], INT8, False), ([2], INT32, True), ([1, 16], INT8, False)]
    found = tflite.read(written(tmp_path, built(tensors, [(RESHAPE, [0, 1], [2], 0, {})], [0], [2])))
    assert found.layers == (Layer(1, "Reshape", (1, 4, 4), (1, 16), "", "int8", 0, 0),)


def test_an_operator_that_has_no_name_here_is_named_by_its_code(tmp_path: Path) -> None:
    tensors: list[TensorSays] = [([1, 4], FLOAT32, False)] * 2
    (layer,) = tflite.read(written(tmp_path, built(tensors, [(127, [0], [1], 0, {})], [0], [1]))).layers
    assert layer.kind == "Operator127"


# --- what the converter writes ---


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of our models as an int8 file: 12x12 | 8 filters 3x3, stride 2 | depthwise 3x3 | pool | 4 classes."""
    _needs_tensorflow()
    spec = "12x12x1 | conv 8 3x3 stride 2 same relu | depthwise 3x3 same relu | maxpool 2x2 | dense 4 softmax"
    model = Model(spec)
    rows = np.random.default_rng(1).normal(size=(20, model.inputs)).astype(np.float32)
    path = tmp_path_factory.mktemp("converted") / "grid.tflite"
    export(spec, np.random.default_rng(2).normal(0, 0.1, model.size).astype(np.float32), rows, path)
    return path


def test_a_converted_model_multiplies_and_holds_what_ours_does(converted: Path) -> None:
    found = tflite.read(converted)
    assert [layer.kind for layer in found.layers] == [
        *("Conv2D", "DepthwiseConv2D", "MaxPool2D", "Reshape", "FullyConnected", "Softmax")
    ]
    convolutions = (6 * 6 * 8 * 9, 6 * 6 * 8 * 9)
    assert [layer.multiply_accumulates for layer in found.layers] == [*convolutions, 0, 0, 72 * 4, 0]
    assert found.parameters == (9 + 1) * 8 + (9 + 1) * 8 + 72 * 4 + 4
    assert {layer.quantisation for layer in found.layers} == {"int8"}
    assert [layer.activation for layer in found.layers] == ["relu", "relu", "", "", "", ""]
    assert found.flash_bytes == converted.stat().st_size
    # 6x6x8 int8 in and out of the depthwise convolution, 16 channels of quantised convolutions
    assert found.ram_bytes > 2 * 288 + 16 * 8


def test_shapes_and_types_are_those_that_the_interpreter_says(converted: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(converted))
    found = tflite.read(converted)
    for details, tensors in (
        (interpreter.get_input_details(), found.inputs),
        (interpreter.get_output_details(), found.outputs),
    ):
        assert [(tuple(each["shape"]), np.dtype(each["dtype"]).name) for each in details] == [
            (tensor.shape, tensor.dtype) for tensor in tensors
        ]
    kinds = [each["op_name"] for each in interpreter._get_ops_details() if each["op_name"] != "DELEGATE"]
    plain = [kind.replace("_", "").lower() for kind in kinds]
    assert [layer.kind.lower() for layer in found.layers] == plain[: len(found.layers)]


# --- files that are broken, or mean harm ---


def refused(path: Path) -> str:
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r"small\.tflite") as caught:
        tflite.read(path)
    assert time.perf_counter() - began < 10
    return str(caught.value)


def test_every_cut_of_a_file_is_refused_or_read(tmp_path: Path) -> None:
    content, whole = small(), 0
    for end in range(0, len(content), 7):
        try:
            tflite.read(written(tmp_path, content[:end]))
            whole += 1
        except ValueError as error:
            assert "small.tflite" in str(error)
    assert whole == 0  # the builder writes from the end, so the last bytes are the first ones that are needed


def test_a_thousand_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    draw, content = random.Random(3), small()
    refusals = 0
    for _ in range(1000):
        damaged = bytearray(content)
        for _ in range(draw.randrange(1, 12)):
            at = draw.randrange(0, len(damaged) - 4)
            damaged[at : at + 4] = draw.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), draw.randbytes(4)])
        try:
            tflite.read(written(tmp_path, bytes(damaged)))
        except ValueError as error:
            refusals += "small.tflite" in str(error)
    assert 300 < refusals < 1000


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(100), b"\x08\0\0\0TFL3", b"\xff\xff\xff\xffTFL3" + bytes(64)])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "tflite" in refused(written(tmp_path, content))


def one_layer(shape: Sequence[int], weights: Sequence[int] = (3, 4)) -> bytes:
    tensors: list[TensorSays] = [(shape, FLOAT32, False), (weights, FLOAT32, False), ([1, 3], FLOAT32, False)]
    return built(tensors, [(DENSE, [0, 1], [2], DENSE_OPTIONS, {})], [0], [2])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: one_layer([1 << 30, 1 << 30]), "a tensor of 1073741824x1073741824"),
        (lambda: one_layer([1, -4]), "a tensor of 1x-4"),
        (lambda: one_layer([1] * 9), "9 sides of a tensor"),
        (lambda: one_layer([1, 4], [3, 4, 1]), "without weights of 2 sides"),
        (lambda: one_layer([1, 4], []), "without weights of 2 sides"),
        (lambda: built([([1, 3], FLOAT32, False)], [(28, [7], [0], 0, {})], [0], [0]), "a tensor that is not there"),
        (lambda: built([([1, 3], FLOAT32, False)], [(28, [0], [-1], 0, {})], [0], [0]), "without its outputs"),
        (lambda: built([([1, 3], 99, False)], [(28, [0], [0], 0, {})], [0], [0]), "the number 99"),
        (lambda: built([([1, 3], FLOAT32, False)], [], [0], [0]), "no operator"),
        (lambda: built([([1], FLOAT32, False)], [(28, [0], [0], 0, {})], [0], [0], 2), "2 subgraphs"),
        (lambda: built([([1], FLOAT32, False)], [(28, [0] * 257, [0], 0, {})], [0], [0]), "257 ends"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(tmp_path: Path, make: Callable[[], bytes], why: str) -> None:
    assert why in refused(written(tmp_path, make()))


def test_a_file_that_says_the_same_table_again_and_again_is_soon_given_up(tmp_path: Path) -> None:
    """2,000 operators that are all one, of 250 inputs: few bytes and much work."""
    builder: Any = flatbuffers.Builder(1 << 16)
    tensor = table(builder, 10, {0: numbers(builder, [1])}, {}, {})
    ends = {1: numbers(builder, [0] * 250), 2: numbers(builder, [0])}
    operator = table(builder, 9, ends, {}, {})
    parts = {0: vector(builder, [tensor]), 3: vector(builder, [operator] * 2000)}
    graph = vector(builder, [table(builder, 5, parts, {}, {})])
    code = vector(builder, [table(builder, 4, {}, {0: 28}, {})])
    buffers = vector(builder, [table(builder, 3, {}, {}, {})])
    builder.Finish(table(builder, 8, {1: code, 2: graph, 4: buffers}, {}, {0: 3}), file_identifier=b"TFL3")
    assert "too intricate" in refused(written(tmp_path, bytes(builder.Output())))


def test_a_model_of_two_thousand_operators_is_planned_in_seconds(tmp_path: Path) -> None:
    """Each makes what the last one joins, so that at the first join 1,999 and the outcome are there, 16 bytes each."""
    count = 2000
    tensors: list[TensorSays] = [([4], FLOAT32, False)] * (count + 2)
    chain: list[OperatorSays] = [(28, [0], [at], 0, {}) for at in range(1, count)]
    began = time.perf_counter()
    joined: list[OperatorSays] = [
        (2, list(range(at, min(at + 250, count))), [count], 0, {}) for at in range(1, count, 250)
    ]
    found = tflite.read(written(tmp_path, built(tensors, [*chain, *joined], [0], [count])))
    assert time.perf_counter() - began < 20
    assert found.ram_bytes - records_bytes(count + 2, len(chain) + len(joined)) == 16 * count


def test_a_file_of_more_than_64_mib_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "small.tflite"
    with path.open("wb") as file:
        file.write(struct.pack("<I4s", 8, b"TFL3"))
        file.truncate(1 << 33)
    assert "more than 64 MiB" in refused(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tflite.read(tmp_path / "none.tflite")
