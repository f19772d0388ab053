"""The C of mcu_firmware/native, where a board has it as module tegu_native: the same bits and bytes, some hundred times faster.

Importing this raises ImportError where there is none. What a function does not do it says by its result, having changed
nothing: then the Python does it, or raises the error that says why.

    step(plan, x, y, step size, only)                        0 if it is done, as the next one
    predict(plan, x)                                         the outputs into the learner's rows
    top_p(values, k, indices)                                how many indices of the k largest were put there, or -1
    fold, add, scatter                                       as in tegu.kept, mcu_firmware/flash.py and tegu.sparse
    widen(target, at, int8 data, scale)                      target[at + i] = data[i] x scale
    get_indices, get_magnitudes                              sections of an update, the byte after them; -1: they are wrong
    encode(values, indices, codec, shape hash, version, boot, sequence, samples)         the update, or None
"""

from array import array

from tegu_native import add, encode, fold, get_indices, get_magnitudes, predict, scatter, step, top_p, widen

from .model import ACTIVATIONS

__all__ = (
    "add",
    "encode",
    "fold",
    "get_indices",
    "get_magnitudes",
    "predict",
    "scatter",
    "step",
    "top_p",
    "widen",
)
KINDS = ("dense", "conv", "depthwise", "maxpool", "meanpool")
MOST_LAYERS = 12

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .learner import Learner

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
    return (layers, learner.weights, learner.loss) + learner.deltas + tuple(learner.rows) + (row,)
