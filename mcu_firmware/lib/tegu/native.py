"""The C of mcu_firmware/native, where a board has it as module tegu_native: the same bits and bytes, two hundred times faster.

Importing this raises ImportError where there is none. Each function has the result of the Python that it stands for, or says
by None or a number that it did not do it: then the Python does it, or raises the error that says why.
"""

from array import array

import tegu_native as c

from .model import ACTIVATIONS

KINDS = ("dense", "conv", "depthwise", "maxpool", "meanpool")
MOST_LAYERS = 12
WIDEST_SAMPLE = 16  # outputs of a sample that is not an array('f')
ONLY = ("", "local", "shared")

_message = array("I", bytes(4 * 13))  # message_t of coding.h
_seen = bytearray(256)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .learner import Learner
    from .model import Model

    Bytes = bytes | bytearray
    Floats = array[float]
    Indices = array[int]
    Plan = tuple[Any, ...]


def plan(learner: "Learner") -> "Plan | None":
    """What the C needs of a learner, whose arrays it shares. None: the model is too deep for it."""
    model = learner.model
    if len(model.layers) > MOST_LAYERS:
        return None
    layers = array("i")
    for layer in model.layers:
        numbers = [KINDS.index(layer.kind), ACTIVATIONS.index(layer.activation), int(layer.local)]
        numbers += [layer.offset, layer.bias, layer.inputs, layer.units]
        if layer.kind == "dense":
            numbers += [layer.inputs, 1, 1, 1, 1, 0, 0, 1, layer.units]
        else:
            numbers += [layer.width, layer.depth, layer.kernel[0], layer.kernel[1], layer.stride]  # type: ignore[attr-defined]
            numbers += [layer.pad_top, layer.pad_left, layer.shape[1], layer.shape[2]]  # type: ignore[attr-defined]
        layers.extend(array("i", numbers))
    row = array("f", bytes(4 * model.inputs))
    return (layers, learner.weights, learner.loss, *learner.deltas, *learner.rows, row)


def step(plan: "Plan", x: "Sequence[float]", y: "int | Sequence[float]", step_size: float, only: str) -> int:
    """Learn from one sample; 0 if it is done."""
    done: int = c.step(plan, x, y, step_size, ONLY.index(only))
    return done


def predict(plan: "Plan", x: "Sequence[float]") -> int:
    """The outputs for x into the learner's rows; 0 if it is done."""
    done: int = c.predict(plan, x)
    return done


def top_p(values: "Floats", k: int, indices: "Indices") -> int:
    """How many indices of the largest were put into `indices`; -1 if they were not found."""
    count: int = c.top_p(values, k, indices)
    return count


def encode(values: "Floats", indices: "Indices", numbers: "tuple[int, ...]") -> "bytearray | None":
    """The update. numbers: codec, shape hash, version, boot, sequence, samples."""
    for at in range(6):
        _message[at] = numbers[at]
    length = c.measure(_message, values, indices, _seen)
    if length < 0:
        return None
    out = bytearray(length)
    c.encode(out, _message, values, indices, _seen)
    return out
