"""Reading a `.tflite` file: its operators as layers, what they multiply, and the memory they take. No interpreter is needed.

Follows the schema of TensorFlow Lite, version 3: a FlatBuffer with the identifier TFL3. Only the fields named below are
read, by their place in the schema, which never changes. The file is not believed: `flatbuffers` raises when an offset points
outside of it, and sizes, lengths and the work in all have limits. Files with several subgraphs (loops, branches) are refused.

Counted as multiply-accumulates are those of Conv2D, DepthwiseConv2D and FullyConnected: for each output the weights that it is
a sum over, those that meet padding too. Flash is the file's size. RAM is an estimate, see arena.py.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatbuffers import number_types as kinds

from ..about import told
from ..description import Description, Layer, Tensor
from .arena import plan_bytes, records_bytes
from .flatbuffer import Fields, root

LARGEST_BYTES = 64 << 20  # of a file
MOST_READS = 400_000  # of numbers: a second's work
MOST_TENSORS, MOST_OPERATORS, MOST_SIDES, MOST_ENDS = 8192, 2048, 8, 256
MOST_ELEMENTS = 1 << 31  # of a tensor
TYPES = {  # of elements: name, bits
    0: ("float32", 32),
    1: ("float16", 16),
    2: ("int32", 32),
    3: ("uint8", 8),
    4: ("int64", 64),
    6: ("bool", 8),
    7: ("int16", 16),
    8: ("complex64", 64),
    9: ("int8", 8),
    10: ("float64", 64),
    11: ("complex128", 128),
    12: ("uint64", 64),
    15: ("uint32", 32),
    16: ("uint16", 16),
    17: ("int4", 4),
    18: ("bfloat16", 16),
}
ACTIVATIONS = ("", "relu", "relu-n1-to-1", "relu6", "tanh", "sign-bit")
NAMES = """
    Add AveragePool2D Concatenation Conv2D DepthwiseConv2D DepthToSpace Dequantize EmbeddingLookup Floor
    FullyConnected HashtableLookup L2Normalization L2Pool2D LocalResponseNormalization Logistic LshProjection Lstm
    MaxPool2D Mul Relu ReluN1To1 Relu6 Reshape ResizeBilinear Rnn Softmax SpaceToDepth Svdf Tanh ConcatEmbeddings
    SkipGram Call Custom EmbeddingLookupSparse Pad UnidirectionalSequenceRnn Gather BatchToSpaceNd SpaceToBatchNd
    Transpose Mean Sub Div Squeeze UnidirectionalSequenceLstm StridedSlice BidirectionalSequenceRnn Exp TopkV2 Split
    LogSoftmax Delegate BidirectionalSequenceLstm Cast Prelu Maximum ArgMax Minimum Less Neg Padv2 Greater
    GreaterEqual LessEqual Select Slice Sin TransposeConv SparseToDense Tile ExpandDims Equal NotEqual Log Sum Sqrt
    Rsqrt Shape Pow ArgMin FakeQuant ReduceProd ReduceMax Pack LogicalOr OneHot LogicalAnd LogicalNot Unpack
    ReduceMin FloorDiv ReduceAny Square ZerosLike Fill FloorMod Range ResizeNearestNeighbor LeakyRelu
    SquaredDifference MirrorPad Abs SplitV Unique Ceil ReverseV2 AddN GatherNd Cos Where Rank Elu ReverseSequence
    MatrixDiag Quantize MatrixSetDiag Round HardSwish If While NonMaxSuppressionV4 NonMaxSuppressionV5 ScatterNd
    SelectV2 Densify SegmentSum BatchMatmul"""
OPERATORS = NAMES.split()  # by their codes
TAPS = {
    "Conv2D": (1, 2, 3),
    "DepthwiseConv2D": (1, 2),
    "FullyConnected": (1,),
}  # sides of the weights an output sums over
SIDES = {"Conv2D": 4, "DepthwiseConv2D": 4, "FullyConnected": 2}  # that weights have
CHANNELS = {"Conv2D": 0, "DepthwiseConv2D": 3}  # the side of the weights that is the channels
FUSED = {  # the field of an operator's options that names its activation
    "Conv2D": 3,
    "DepthwiseConv2D": 4,
    "FullyConnected": 0,
    "AveragePool2D": 5,
    "MaxPool2D": 5,
    "L2Pool2D": 5,
    "Add": 0,
    "Mul": 0,
    "Sub": 0,
    "Div": 0,
    "Concatenation": 1,
    "Svdf": 1,
}
WITH_PARAMETERS = frozenset([*TAPS, "TransposeConv", "Prelu", "Svdf", "Add", "Mul", "Sub", "Div"])


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    constant: bool  # it stands in the file
    variable: bool  # it is kept from one run to the next
    quantised: bool

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class _Operator:
    kind: str
    inputs: list[int]  # tensors; one that is left out is not here
    outputs: list[int]
    activation: str


def read(path: str | Path, **facts: object) -> Description:
    """The description of a .tflite file. facts: fields of About, which win over those of the side file.

    OSError: it is not there. ValueError, as a sentence: it cannot be read, or a fact is none.
    """
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    about = {"runtime": "TFLite Micro", **told(path, facts)}
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"{path.name} has more than {LARGEST_BYTES >> 20} MiB")
    if content[4:8] != b"TFL3":
        raise ValueError(f"{path.name} is no .tflite file: it does not say TFL3 behind its first 4 bytes")
    try:
        return _described(content, about)
    except (struct.error, TypeError) as error:  # so flatbuffers refuses an offset
        raise ValueError(f"{path.name} is no whole .tflite file: it points outside of itself") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _described(content: bytes, about: dict[str, Any]) -> Description:
    model = root(content, MOST_READS)
    graphs = model.tables(2, 1, "subgraphs")
    if not graphs:
        raise ValueError("it has no subgraph")
    buffers = [
        buffer.length(0) > 0 or buffer.number(2, kinds.Uint64Flags) > 0 for buffer in model.tables(4, MOST_TENSORS)
    ]
    tensors = [_tensor(table, buffers) for table in graphs[0].tables(0, MOST_TENSORS, "tensors")]
    codes = [_code(table) for table in model.tables(1, MOST_OPERATORS)]
    operators = [_operator(table, codes, tensors) for table in graphs[0].tables(3, MOST_OPERATORS, "operators")]
    if not operators:
        raise ValueError("it has no operator")
    inputs, outputs = (_within(graphs[0].numbers(field, MOST_ENDS), tensors) for field in (1, 2))
    return Description(
        **about,
        layers=tuple(_layer(at, operator, tensors) for at, operator in enumerate(operators, 1)),
        inputs=tuple(Tensor(tensors[at].shape, tensors[at].dtype) for at in inputs),
        outputs=tuple(Tensor(tensors[at].shape, tensors[at].dtype) for at in outputs),
        flash_bytes=len(content),
        ram_bytes=_ram_bytes(tensors, operators, inputs, outputs),
    )


def _tensor(table: Fields, buffers: list[bool]) -> _Tensor:
    shape = tuple(table.numbers(0, MOST_SIDES, "sides of a tensor"))
    code = table.number(1, kinds.Int8Flags)
    if code not in TYPES:
        raise ValueError(f"it has a tensor whose type has the number {code}, which cannot be read")
    elements = math.prod(shape)
    if any(side < 0 for side in shape) or elements > MOST_ELEMENTS:
        raise ValueError(f"it has a tensor of {'x'.join(map(str, shape))}")
    dtype, bits = TYPES[code]
    buffer = table.number(2, kinds.Uint32Flags)
    if buffer >= len(buffers):
        raise ValueError("it has a tensor whose buffer is not there")
    quantisation = table.table_at(4)
    quantised = quantisation is not None and quantisation.length(2) > 0
    variable = bool(table.number(5, kinds.Uint8Flags))
    return _Tensor(shape, dtype, -(-elements * bits // 8), buffers[buffer], variable, quantised)


def _code(table: Fields) -> str:
    """Its name. Codes up to 127 stand in the old field, and in files of today in both."""
    code = max(table.number(0, kinds.Int8Flags), table.number(3))
    return OPERATORS[code] if 0 <= code < len(OPERATORS) else f"Operator{code}"


def _operator(table: Fields, codes: list[str], tensors: list[_Tensor]) -> _Operator:
    code = table.number(0, kinds.Uint32Flags)
    if code >= len(codes):
        raise ValueError("it has an operator whose code is not there")
    kind = codes[code]
    inputs, outputs = (_within(table.numbers(field, MOST_ENDS, "ends of an operator"), tensors) for field in (1, 2))
    if not outputs or (kind in SIDES and (len(inputs) < 2 or len(tensors[inputs[1]].shape) != SIDES[kind])):
        raise ValueError(f"it has a {kind} without its outputs, or without weights of {SIDES.get(kind, 0)} sides")
    options = table.table_at(4) if kind in FUSED else None
    activation = options.number(FUSED[kind], kinds.Int8Flags) if options else 0
    if not 0 <= activation < len(ACTIVATIONS):
        raise ValueError(f"it has an activation of the number {activation}")
    return _Operator(kind, inputs, outputs, ACTIVATIONS[activation])


def _within(found: list[int], tensors: list[_Tensor]) -> list[int]:
    """Those that are not left out (-1)."""
    if any(not -1 <= at < len(tensors) for at in found):
        raise ValueError("it names a tensor that is not there")
    return [at for at in found if at >= 0]


def _layer(index: int, operator: _Operator, tensors: list[_Tensor]) -> Layer:
    constants = [tensors[at] for at in operator.inputs if tensors[at].constant]
    moving = [tensors[at] for at in operator.inputs if not tensors[at].constant]
    output = tensors[operator.outputs[0]]
    macs = 0
    if operator.kind in TAPS:
        weights = tensors[operator.inputs[1]]
        macs = output.elements * math.prod(weights.shape[side] for side in TAPS[operator.kind])
        constants = [weights, *(tensor for tensor in constants if tensor is not weights)]
    has_parameters = bool(constants) and operator.kind in WITH_PARAMETERS
    return Layer(
        index,
        operator.kind,
        moving[0].shape if moving else (),
        output.shape,
        operator.activation,
        constants[0].dtype if has_parameters else output.dtype,
        sum(tensor.elements for tensor in constants) if has_parameters else 0,
        macs,
    )


def _ram_bytes(tensors: list[_Tensor], operators: list[_Operator], inputs: list[int], outputs: list[int]) -> int:
    end = len(operators)
    lives = {at: (0, end if at in outputs else 0) for at in inputs}
    for turn, operator in enumerate(operators):
        for at in operator.inputs + operator.outputs:
            lives[at] = (lives.get(at, (turn, 0))[0], end if at in outputs else turn)
    for at in lives:
        if tensors[at].variable:
            lives[at] = (0, end)
    convolved = [(tensors[one.inputs[1]], CHANNELS[one.kind]) for one in operators if one.kind in CHANNELS]
    channels = sum(weights.shape[side] for weights, side in convolved if weights.quantised)
    plan = plan_bytes((tensors[at].bytes, *lives[at]) for at in sorted(lives) if not tensors[at].constant)
    return plan + records_bytes(len(tensors), len(operators), channels)
