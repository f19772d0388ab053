"""What each kind of Keras layer makes of its inputs: shape, parameters, multiply-accumulates. Worked out without Keras.

The rules are those of Keras' documentation, channels last. Shapes have the batch first. `padding = "same"` gives ceil(size /
stride) outputs, "valid" only the places where the whole kernel fits. A convolution over one dimension counts as Conv2D, as
TensorFlow Lite runs it; a separable one counts its two products.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Config = dict[str, Any]
WORD = re.compile(r"[a-z0-9-]{1,32}")
MOST_COUNT = 1 << 24  # of units, filters, or of one side
MOST_ELEMENTS = 1 << 31  # of a tensor
MOST_SIDES = 8
PASS_THROUGH = frozenset(  # do nothing when a model only runs
    [
        "ActivityRegularization",
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "SpatialDropout1D",
        "SpatialDropout2D",
    ]
)
FUNCTIONS = {"relu": "Relu", "relu6": "Relu6", "softmax": "Softmax", "sigmoid": "Logistic", "tanh": "Tanh"}
POINT_BY_POINT = {
    "Add": "Add",
    "Average": "Average",
    "Maximum": "Maximum",
    "Minimum": "Minimum",
    "Multiply": "Mul",
    "Subtract": "Sub",
}


@dataclass(frozen=True)
class Asked:
    """A layer as the file has it: its class, its configuration, and the shapes of its inputs."""

    class_name: str
    config: Config
    shapes: list[Shape]

    @property
    def shape(self) -> Shape:
        """Of the one input."""
        if len(self.shapes) != 1:
            raise ValueError(f"it has {len(self.shapes)} inputs")
        return self.shapes[0]


@dataclass(frozen=True)
class Made:
    """kind: nnet's LayerType or ours."""

    kind: str
    shape: Shape
    parameters: int = 0
    multiply_accumulates: int = 0
    activation: str = ""


def make(asked: Asked) -> Made | None:
    """What a layer makes; None: nothing, its output is its input.

    ValueError: a kind that is not known, or numbers that cannot be. KeyError, TypeError and IndexError: Keras wrote none of that.
    """
    name = asked.class_name
    if name in PASS_THROUGH or (name == "Activation" and activation_of(asked.config) == ""):
        return None
    if name not in RULES:
        raise ValueError(f"it is a {name[:40]}; these can be read: {', '.join(sorted([*RULES, *PASS_THROUGH]))}")
    if asked.config.get("data_format") == "channels_first":
        raise ValueError("channels come first; only channels last can be read")
    made = RULES[name](asked)
    checked(made.shape)
    return made


def checked(shape: Shape) -> Shape:
    """shape itself, if something can have it. ValueError."""
    if len(shape) > MOST_SIDES or math.prod(_count(side) for side in shape) > MOST_ELEMENTS:
        raise ValueError(f"a shape of {'x'.join(map(str, shape[: MOST_SIDES + 1]))} is not possible here")
    return shape


def activation_of(config: Config) -> str:
    """The activation, "" for none. ValueError: it is one of somebody's own."""
    found = config.get("activation") or "linear"
    name = str(found if isinstance(found, str) else found["class_name"]).lower().replace("_", "-")
    if not WORD.fullmatch(name):
        raise ValueError(f"its activation is {name[:40]!r}")
    return "" if name == "linear" else name


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_COUNT:
        raise ValueError(f"{str(value)[:40]} is no possible count")
    return value


def _counts(value: object, dimensions: int) -> Shape:
    values = [value] * dimensions if isinstance(value, int) else value
    if not isinstance(values, list) or len(values) != dimensions:
        raise ValueError(f"{str(value)[:40]} has not {dimensions} sides")
    return tuple(_count(each) for each in values)


def _places(config: Config, sides: Shape, kernel: Shape) -> Shape:
    """Outputs along each side."""
    strides = _counts(config.get("strides") or list(kernel), len(sides))
    spread = _counts(config.get("dilation_rate", 1), len(sides))
    if config["padding"] == "same":
        return tuple(-(-side // stride) for side, stride in zip(sides, strides, strict=True))
    if config["padding"] != "valid":
        raise ValueError("padding is neither same nor valid")
    covered = [(count - 1) * step + 1 for count, step in zip(kernel, spread, strict=True)]
    return tuple((side - over) // stride + 1 for side, over, stride in zip(sides, covered, strides, strict=True))


def _grid(asked: Asked, dimensions: int) -> tuple[int, Shape, int]:
    """(batch, sides, channels) of the one input."""
    shape = asked.shape
    if len(shape) != dimensions + 2:
        raise ValueError(f"its input has {len(shape)} sides")
    return shape[0], shape[1:-1], shape[-1]


def _dense(asked: Asked) -> Made:
    shape = asked.shape
    out = (*shape[:-1], _count(asked.config["units"]))
    weights = shape[-1] * out[-1]
    return Made(
        "FullyConnected",
        out,
        weights + out[-1] * bool(asked.config["use_bias"]),
        math.prod(out) * shape[-1],
        activation_of(asked.config),
    )


def _conv(asked: Asked) -> Made:
    batch, sides, channels = _grid(asked, 2 if asked.class_name == "Conv2D" else 1)
    kernel, filters = _counts(asked.config["kernel_size"], len(sides)), _count(asked.config["filters"])
    groups = _count(asked.config.get("groups", 1))
    if channels % groups or filters % groups:
        raise ValueError(f"{channels} channels and {filters} filters do not divide into {groups} groups")
    taps = math.prod(kernel) * channels // groups
    out = (batch, *_places(asked.config, sides, kernel), filters)
    parameters = (taps + bool(asked.config["use_bias"])) * filters
    return Made("Conv2D", out, parameters, math.prod(out) * taps, activation_of(asked.config))


def _depthwise(asked: Asked) -> Made:
    batch, sides, channels = _grid(asked, 2)
    kernel = _counts(asked.config["kernel_size"], 2)
    out = (batch, *_places(asked.config, sides, kernel), channels * _count(asked.config["depth_multiplier"]))
    taps = math.prod(kernel)
    return Made(
        "DepthwiseConv2D",
        out,
        (taps + bool(asked.config["use_bias"])) * out[-1],
        math.prod(out) * taps,
        activation_of(asked.config),
    )


def _separable(asked: Asked) -> Made:
    point = {**asked.config, "kernel_size": 1, "strides": 1, "dilation_rate": 1, "groups": 1}
    first = _depthwise(Asked("DepthwiseConv2D", {**asked.config, "use_bias": False}, asked.shapes))
    second = _conv(Asked("Conv2D", point, [first.shape]))
    macs = first.multiply_accumulates + second.multiply_accumulates
    return Made("SeparableConv2D", second.shape, first.parameters + second.parameters, macs, second.activation)


def _pool(asked: Asked) -> Made:
    batch, sides, channels = _grid(asked, int(asked.class_name[-2]))
    kernel = _counts(asked.config["pool_size"], len(sides))
    kind = "MaxPool2D" if asked.class_name.startswith("Max") else "AveragePool2D"
    return Made(kind, (batch, *_places(asked.config, sides, kernel), channels))


def _global_pool(asked: Asked) -> Made:
    batch, sides, channels = _grid(asked, int(asked.class_name[-2]))
    kept = (1,) * len(sides) if asked.config.get("keepdims") else ()
    return Made("ReduceMax" if "Max" in asked.class_name else "Mean", (batch, *kept, channels))


def _flatten(asked: Asked) -> Made:
    shape = asked.shape
    return Made("Reshape", (shape[0], math.prod(shape[1:])))


def _reshape(asked: Asked) -> Made:
    shape = asked.shape
    wanted = [side if side == -1 else _count(side) for side in asked.config["target_shape"][:MOST_SIDES]]
    known = math.prod(side for side in wanted if side != -1)
    rest = math.prod(shape[1:]) // known
    out = (shape[0], *(rest if side == -1 else side for side in wanted))
    if math.prod(out) != math.prod(shape):
        raise ValueError(f"{'x'.join(map(str, shape[1:]))} cannot be reshaped to {wanted}")
    return Made("Reshape", out)


def _activation(asked: Asked) -> Made:
    shape = asked.shape
    if asked.class_name == "Activation":
        name = activation_of(asked.config)
        if name not in FUNCTIONS:
            raise ValueError(f"it has the activation {name}; these can be read: {', '.join(FUNCTIONS)}")
        return Made(FUNCTIONS[name], shape)
    kind = {"ReLU": "Relu", "LeakyReLU": "LeakyRelu", "ELU": "Elu", "Softmax": "Softmax"}[asked.class_name]
    return Made("Relu6" if asked.class_name == "ReLU" and asked.config.get("max_value") == 6 else kind, shape)


def _normalised(asked: Asked) -> Made:
    """Mean and variance, and a factor and a summand where it learns them: one of each a channel."""
    shape = asked.shape
    axis = asked.config["axis"][0] if isinstance(asked.config["axis"], list) else asked.config["axis"]
    rows = 2 + bool(asked.config["scale"]) + bool(asked.config["center"])
    return Made(asked.class_name, shape, rows * shape[axis])


def _padded(asked: Asked) -> Made:
    batch, sides, channels = _grid(asked, 2)
    added = [sum(0 if one == 0 else _count(one) for one in pair) for pair in asked.config["padding"]]
    return Made("Pad", (batch, *(side + more for side, more in zip(sides, added, strict=True)), channels))


def _joined(asked: Asked) -> Made:
    if asked.class_name == "Concatenate":
        axis = asked.config["axis"] % len(asked.shapes[0])
        apart = {shape[:axis] + shape[axis + 1 :] for shape in asked.shapes}
        out = (*asked.shapes[0][:axis], sum(shape[axis] for shape in asked.shapes), *asked.shapes[0][axis + 1 :])
    else:
        apart, out = set(asked.shapes), asked.shapes[0]
    if len(apart) > 1:
        raise ValueError("its inputs do not fit together")
    return Made(POINT_BY_POINT.get(asked.class_name, "Concatenation"), out)


def _grown(asked: Asked) -> Made:
    batch, sides, channels = _grid(asked, 2)
    times = _counts(asked.config["size"], 2)
    kind = "ResizeNearestNeighbor" if asked.config.get("interpolation", "nearest") == "nearest" else "ResizeBilinear"
    return Made(kind, (batch, *(side * count for side, count in zip(sides, times, strict=True)), channels))


def _scaled(asked: Asked) -> Made:
    return Made("Mul", asked.shape)


RULES: dict[str, Callable[[Asked], Made]] = {
    **dict.fromkeys(["Activation", "ELU", "LeakyReLU", "ReLU", "Softmax"], _activation),
    **dict.fromkeys(["AveragePooling1D", "AveragePooling2D", "MaxPooling1D", "MaxPooling2D"], _pool),
    **dict.fromkeys(["GlobalAveragePooling1D", "GlobalAveragePooling2D"], _global_pool),
    **dict.fromkeys(["GlobalMaxPooling1D", "GlobalMaxPooling2D"], _global_pool),
    **dict.fromkeys([*POINT_BY_POINT, "Concatenate"], _joined),
    **dict.fromkeys(["Conv1D", "Conv2D"], _conv),
    "BatchNormalization": _normalised,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Flatten": _flatten,
    "Rescaling": _scaled,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "UpSampling2D": _grown,
    "ZeroPadding2D": _padded,
}
