"""What a model is: its layers, where each weight stands in one flat float32 array, and the hash that names its shape.

A model is written as one line of text, small enough for a manifest and for a person to read:

    11 | dense 24 tanh | dense 16 tanh | dense 2 softmax

The first word is the number of inputs, or their height x width x channels for the layers of tegu.grid. A layer is `dense
UNITS ACTIVATION`, with `local` behind it when its parameters stay on the device (partial local reconstruction, after
TinyMetaFed, arXiv 2307.06822; which layers are local is our choice). The last layer's activation says what the outputs
are: `softmax` classes and cross-entropy; `sigmoid` binary cross-entropy, one unit being two classes and more units
being numbers from 0 to 1; any other numbers and squared error.

Layout of the weights: layer by layer, weights[unit][input] row by row, then one bias a unit.
"""

from array import array
from binascii import crc32
from math import sqrt

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = array[float]
    Row = Sequence[float]


class Layer:
    """A dense layer: `units` x `inputs` weights from `offset` on, then `units` biases from `bias` on.

    Layers of other kinds (tegu.grid) have the same members; `fans` are the inputs and outputs that a weight joins.
    """

    kind = "dense"

    def __init__(self, inputs: int, units: int, activation: str, offset: int, local: bool) -> None:
        self.inputs = inputs
        self.units = units
        self.activation = activation
        self.offset = offset
        self.local = local
        self.bias = offset + units * inputs
        self.size = units * inputs + units
        self.fan_in = inputs
        self.fans = inputs + units

    def forward(self, weights: "Floats", x: "Row", out: "Floats") -> None:
        """The pre-activations of x into out."""
        at = self.offset
        width = self.inputs
        bias = self.bias
        for u in range(self.units):
            total = weights[bias + u]
            for i in range(width):
                total += weights[at + i] * x[i]
            at += width
            out[u] = total

    def backward(
        self, weights: "Floats", step: float, x: "Row", out: "Floats", delta: "Floats", before: "Floats | None"
    ) -> None:  # `out` is for pools
        """Fused: carry delta back through the old weights into `before`, if there is one, and move the weights.

        x, out: the layer's inputs and outputs of this sample; delta: loss by pre-activation.
        """
        at = self.offset
        width = self.inputs
        bias = self.bias
        if before is not None:
            for i in range(width):
                before[i] = 0.0
        for u in range(self.units):
            d = delta[u]
            if d == 0.0:  # a unit that the sample does not touch, as half of the relu ones
                at += width
                continue
            move = step * d
            weights[bias + u] -= move
            if before is None:
                for i in range(width):
                    weights[at + i] -= move * x[i]
            else:
                for i in range(width):
                    w = weights[at + i]
                    before[i] += w * d
                    weights[at + i] = w - move * x[i]
            at += width


class Model:
    """The shape of a model. Raises ValueError with the faulty word if `spec` cannot be read."""

    def __init__(self, spec: str) -> None:
        parts = [part.split() for part in spec.split("|")]
        first = parts[0][0] if len(parts[0]) == 1 else spec
        shape = [_count(word, "inputs") for word in (first.split("x") if first.count("x") == 2 else [first])]
        self.inputs = shape[0] if len(shape) == 1 else shape[0] * shape[1] * shape[2]
        self.layers: list[Layer] = []
        self.size = 0
        width = self.inputs
        for words in parts[1:]:
            if words[:1] == ["dense"]:
                layer = _layer(words, width, self.size)
            else:
                from .grid import grid_layer  # a board that has no such layer does not pay for it

                layer = grid_layer(words, shape, self.size)
                shape = layer.shape
            self.layers.append(layer)
            self.size += layer.size
            width = layer.units
            if layer.kind == "dense":
                shape = [width]
        if not self.layers:
            raise ValueError("a model needs at least one layer: " + spec)
        for layer in self.layers[:-1]:
            if layer.activation == "softmax":
                raise ValueError("softmax is for the last layer only: " + spec)
        self.outputs = width
        last = self.layers[-1].activation
        self.classes = width if last == "softmax" else 2 if last == "sigmoid" and width == 1 else 0
        self.spec = " | ".join(" ".join(words) for words in parts)
        self.shape_hash = crc32(self.spec.encode()) & 0xFFFF
        self.shared = _shared(self.layers)
        self.shared_size = sum(stop - start for start, stop in self.shared)

    def initial(self, seed: int, bias: float = 0.0, fan_in: bool = False) -> "array[float]":
        """Random weights, the same wherever floats are 64 bits wide: Glorot uniform, biases of the first layer uniform in +-bias.

        fan_in: weights uniform in +-1/sqrt(inputs of a unit) instead.
        """
        weights = array("f", bytes(4 * self.size))
        state = (seed * 2654435761 + 88172645) & 0xFFFFFFFF or 1
        for layer in self.layers:
            limit = sqrt(1.0 / layer.fan_in if fan_in else 6.0 / layer.fans)
            for i in range(layer.offset, layer.offset + layer.size):
                if i >= layer.bias:
                    limit = bias if layer.offset == 0 else 0.0
                state ^= (state << 13) & 0xFFFFFFFF
                state ^= state >> 17
                state ^= (state << 5) & 0xFFFFFFFF
                weights[i] = limit * ((state >> 8) / 8388608.0 - 1.0)
        return weights


def _count(word: str, what: str) -> int:
    if not 1 <= len(word) <= 5 or not all(letter in "0123456789" for letter in word) or not 1 <= int(word) <= 65535:
        raise ValueError("%s must be a whole number from 1 to 65535, not %r" % (what, word))
    return int(word)


def _layer(words: list[str], width: int, offset: int) -> Layer:
    local = len(words) == 4 and words[3] == "local"
    if len(words) != 3 + local:
        raise ValueError("a layer is 'dense UNITS ACTIVATION [local]', not %r" % " ".join(words))
    if words[2] not in ACTIVATIONS:
        raise ValueError("no activation %r; there are: %s" % (words[2], ", ".join(ACTIVATIONS)))
    return Layer(width, _count(words[1], "units"), words[2], offset, local)


def _shared(layers: list[Layer]) -> list[tuple[int, int]]:
    """The runs [start, stop) of weights that are sent, neighbours joined."""
    runs: list[tuple[int, int]] = []
    for layer in layers:
        if layer.local or not layer.size:
            continue
        stop = layer.offset + layer.size
        if runs and runs[-1][1] == layer.offset:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((layer.offset, stop))
    return runs
