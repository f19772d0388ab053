"""One layer of Keras becomes one line of Tegu, changes the line before it, or is refused by name. See keras_in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tegu.model import ACTIVATIONS

from . import keras

KNOWN = (
    *("Dense", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D"),
    *("Flatten", "Activation", "ReLU", "Softmax", "Dropout"),
)


@dataclass
class Line:
    """One layer of Tegu's: `words` without its activation, which pools do not have. Weights as Tegu orders them."""

    name: str
    words: str
    activation: str | None = None
    weights: list[NDArray[np.float32]] = field(default_factory=list)


def refuse_unknown(layer: Any) -> None:
    """ValueError if the layer is none of KNOWN, or not of float32 with its channels last."""
    kind = type(layer).__name__
    if kind not in KNOWN or type(layer) is not getattr(keras().layers, kind):
        whose = f" of {type(layer).__module__}" if kind in KNOWN else ""
        raise ValueError(f"layer {layer.name!r} is a {kind}{whose}; Tegu knows {', '.join(KNOWN)}")
    if layer.dtype_policy.name != "float32":
        raise ValueError(f"layer {layer.name!r} has the dtype {layer.dtype_policy.name}; Tegu reads float32")
    _only(layer, "data_format", "channels_last")


def _only(layer: Any, name: str, *allowed: Any) -> None:
    """ValueError if the layer has another value of this property than those allowed."""
    found = getattr(layer, name, allowed[0])
    if found not in allowed:
        raise ValueError(f"layer {layer.name!r} has {name}={found!r}; Tegu knows {' or '.join(map(repr, allowed))}")


def _activation(layer: Any) -> str:
    names = {keras().activations.get(name): name for name in ACTIVATIONS}
    if layer.activation not in names:
        found = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        raise ValueError(f"layer {layer.name!r} has the activation {found}; Tegu knows {', '.join(ACTIVATIONS)}")
    return names[layer.activation]


def _numpy(weight: Any, *order: int) -> NDArray[np.float32]:
    kernel = np.asarray(keras().ops.convert_to_tensor(weight), np.float32)
    return np.ascontiguousarray(kernel.transpose(order) if order else kernel)


def _weights(layer: Any, *order: int) -> list[NDArray[np.float32]]:
    """The kernel with its axes in Tegu's order, outputs first, and the biases, which are zero if there are none."""
    kernel = _numpy(layer.kernel, *order)
    return [kernel, _numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[0], np.float32)]


def _window(layer: Any, kernel: tuple[int, int], usual: int | None) -> str:
    """`KxK [stride S] [same]`. usual: the stride that need not be said."""
    strides = tuple(layer.strides)
    if strides[0] != strides[1]:
        raise ValueError(f"layer {layer.name!r} has strides={strides}; Tegu knows one stride for both sides")
    _only(layer, "padding", "valid", "same")
    stride = "" if strides[0] == usual else f" stride {strides[0]}"
    return f"{kernel[0]}x{kernel[1]}{stride}{' same' if layer.padding == 'same' else ''}"


def _dense(layer: Any, shape: list[int], lines: list[Line]) -> None:
    if prod(shape) != shape[-1]:
        raise ValueError(
            f"layer {layer.name!r} is a Dense on inputs of shape {tuple(shape)}, the last of which it works on; "
            "put a Flatten before it"
        )
    lines.append(Line(layer.name, f"dense {layer.units}", _activation(layer), _weights(layer, 1, 0)))


def _conv(layer: Any, _shape: list[int], lines: list[Line]) -> None:
    _only(layer, "groups", 1)
    _only(layer, "dilation_rate", (1, 1), 1)
    words = f"conv {layer.filters} {_window(layer, layer.kernel_size, 1)}"
    lines.append(Line(layer.name, words, _over_grid(layer), _weights(layer, 3, 0, 1, 2)))


def _depthwise(layer: Any, _shape: list[int], lines: list[Line]) -> None:
    _only(layer, "depth_multiplier", 1)
    _only(layer, "dilation_rate", (1, 1), 1)
    words = f"depthwise {_window(layer, layer.kernel_size, 1)}"
    lines.append(Line(layer.name, words, _over_grid(layer), _weights(layer, 2, 3, 0, 1)))


def _over_grid(layer: Any) -> str:
    name = _activation(layer)
    if name == "softmax":
        raise ValueError(
            f"layer {layer.name!r} is a {type(layer).__name__} with softmax; Tegu knows it on a Dense only"
        )
    return name


def _pool(layer: Any, _shape: list[int], lines: list[Line]) -> None:
    height, width = layer.pool_size
    kind = "maxpool" if type(layer).__name__ == "MaxPooling2D" else "meanpool"
    lines.append(Line(layer.name, f"{kind} {_window(layer, (height, width), height if height == width else None)}"))


def _global_pool(layer: Any, shape: list[int], lines: list[Line]) -> None:
    height, width = shape[:2]
    lines.append(Line(layer.name, f"meanpool {height}x{width}{'' if height == width else ' stride 1'}"))


def _nothing(_layer: Any, _shape: list[int], _lines: list[Line]) -> None:
    """What changes nothing in Tegu's layout when predicting."""


# --- activations of their own ----------------------------------------------------------------------------------------


def _separate(layer: Any, _shape: list[int], lines: list[Line]) -> None:
    _fold(layer, _activation(layer), lines)


def _relu(layer: Any, _shape: list[int], lines: list[Line]) -> None:
    _only(layer, "max_value", None)
    _only(layer, "negative_slope", 0)
    _only(layer, "threshold", 0)
    _fold(layer, "relu", lines)


def _softmax(layer: Any, shape: list[int], lines: list[Line]) -> None:
    _only(layer, "axis", -1, len(shape))
    _fold(layer, "softmax", lines)


def _fold(layer: Any, name: str, lines: list[Line]) -> None:
    """Put the activation on the layer before."""
    if name == "linear":
        return
    before = [line for line in lines if not line.words.startswith("maxpool")]
    if not before or before[-1].activation is None:
        last = f"behind {before[-1].name!r}, a pool" if before else "with no layer before it that has weights"
        raise ValueError(f"layer {layer.name!r} is an activation {last}; Tegu has activations on layers with weights")
    target = before[-1]
    if name == "softmax" and not (target is lines[-1] and target.words.startswith("dense")):
        raise ValueError(f"layer {layer.name!r} is a softmax behind {lines[-1].name!r}; Tegu knows it on a Dense only")
    if target.activation not in ("linear", name) or (name == target.activation != "relu"):
        raise ValueError(
            f"layer {layer.name!r} is a second activation, {name}, behind the {target.activation} of {target.name!r}; "
            "Tegu has one a layer"
        )
    target.activation = name


READERS: dict[str, Callable[[Any, list[int], list[Line]], None]] = {
    "Dense": _dense,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _global_pool,
    "Flatten": _nothing,
    "Dropout": _nothing,
    "Activation": _separate,
    "ReLU": _relu,
    "Softmax": _softmax,
}


def read_layer(layer: Any, shape: list[int], lines: list[Line]) -> None:
    """Add the layer, on inputs of this shape, to the lines so far. ValueError naming it and what Tegu does not have."""
    READERS[type(layer).__name__](layer, shape, lines)
