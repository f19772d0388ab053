"""A Keras model becomes Tegu's one line of text and flat weights, with the same outputs, or is refused by name.

Known are Sequential models, and functional ones that are a straight line, of keras_layers.KNOWN. Kernels change their
order: Keras has [y][x][input channel][output channel] and [input][unit], Tegu the output first (tegu.model, tegu.grid).
Dropout does nothing when predicting and is left out, Flatten is Tegu's layout already. A separate activation is folded
into the layer before; through a max pool too, since the largest stays the largest under an activation that never falls.
"""

from array import array
from collections.abc import Iterator
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tegu.model import Model

from . import keras
from .keras_layers import Line, read_layer, refuse_unknown


def load(path: str | PathLike[str]) -> Any:
    """The Keras model in a .keras or .h5 file, not compiled. ValueError with Keras' own reason if it cannot be read."""
    library = keras()
    if not Path(path).is_file():
        raise ValueError(f"{Path(path)} is not a file")
    try:
        return library.models.load_model(path, compile=False)
    except Exception as error:  # what Keras raises depends on the format and on what is wrong
        reason = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ValueError(f"{Path(path)} cannot be read as a Keras model: {reason}") from error


def read(model: Any) -> "tuple[str, array[float]]":
    """The text of a Keras model, or of the one in the file of that name, and its weights, float32 in Tegu's layout.

    ValueError names the layer and the property that Tegu does not have.
    """
    if isinstance(model, str | PathLike):
        model = load(model)
    size, steps = _straight(model)
    lines: list[Line] = []
    for layer, shape in steps:
        refuse_unknown(layer)
        read_layer(layer, shape, lines)
    for line in lines[:-1]:
        if line.activation == "softmax":
            raise ValueError(f"layer {line.name!r} has the activation softmax, which Tegu knows only on the last layer")
    spec = " | ".join([size, *(line.words + (f" {line.activation}" if line.activation else "") for line in lines)])
    weights = array("f")
    for line in lines:
        for each in line.weights:
            if not np.isfinite(each).all():
                raise ValueError(f"layer {line.name!r} has weights that are not finite")
            weights.frombytes(each.tobytes())
    return Model(spec).spec, weights


# --- the layers in their order ---------------------------------------------------------------------------------------


def _straight(model: Any) -> tuple[str, list[tuple[Any, list[int]]]]:
    """The text of the inputs, and each layer after them with the shape of its inputs. ValueError if they branch."""
    library = keras()
    if not isinstance(model, library.Model):
        raise ValueError(f"a {type(model).__name__} is not a Keras {library.__version__} model")
    if type(model).__name__ not in ("Sequential", "Functional"):
        raise ValueError(
            f"model {model.name!r} is a {type(model).__name__}; Tegu knows Sequential and functional models"
        )
    if not model.built:
        raise ValueError(f"model {model.name!r} does not know its inputs yet; begin it with keras.Input")
    for what, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            raise ValueError(f"model {model.name!r} has {len(tensors)} {what}; Tegu knows one")
    steps = list(_backwards(model.outputs[0]))[::-1]
    shape = list(model.inputs[0].shape[1:])
    if not shape or None in shape:
        raise ValueError(f"model {model.name!r} has inputs of shape {tuple(shape)}; Tegu needs each size")
    return "x".join(map(str, shape)) if len(shape) == 3 else str(prod(shape)), steps


def _backwards(tensor: Any) -> Iterator[tuple[Any, list[int]]]:
    """Each layer from the one that makes `tensor` back to the inputs, with the shape of its inputs."""
    seen: set[int] = set()
    while True:
        layer, node_index, _ = tensor._keras_history
        node = layer._inbound_nodes[node_index]
        if node.is_input:
            return
        refuse_unknown(layer)  # before the line is known to be straight: an Add is better called an Add
        if id(layer) in seen:
            raise ValueError(f"layer {layer.name!r} is used twice; Tegu's layers do not share weights")
        if len(node.input_tensors) != 1:
            raise ValueError(f"layer {layer.name!r} has {len(node.input_tensors)} inputs; Tegu knows one")
        if node.arguments.kwargs.get("training"):
            raise ValueError(f"layer {layer.name!r} is called with training=True; Tegu reads what predicts")
        seen.add(id(layer))
        tensor = node.input_tensors[0]
        yield layer, list(tensor.shape[1:])
