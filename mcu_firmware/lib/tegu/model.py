"""What a model is: its layers, where each weight stands in one flat float32 array, and the hash that names its shape.

A model is written as one line of text, small enough for a manifest and for a person to read:

    11 | dense 24 tanh | dense 16 tanh | dense 2 softmax

The first word is the number of inputs. A layer is `dense UNITS ACTIVATION`, with `local` behind it when its parameters
stay on the device (partial local reconstruction, after TinyMetaFed, arXiv 2307.06822; which layers are local is our
choice). A last layer of `softmax` means classes and cross-entropy; any other means numbers and squared error.

Layout of the weights: layer by layer, weights[unit][input] row by row, then one bias a unit.
"""

from array import array
from binascii import crc32
from math import sqrt

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax")


class Layer:
    """A dense layer: `units` x `inputs` weights from `offset` on, then `units` biases."""

    def __init__(self, inputs: int, units: int, activation: str, offset: int, local: bool) -> None:
        self.inputs = inputs
        self.units = units
        self.activation = activation
        self.offset = offset
        self.local = local
        self.size = units * inputs + units


class Model:
    """The shape of a model. Raises ValueError with the faulty word if `spec` cannot be read."""

    def __init__(self, spec: str) -> None:
        parts = [part.split() for part in spec.split("|")]
        self.inputs = _count(parts[0][0] if len(parts[0]) == 1 else spec, "inputs")
        self.layers: list[Layer] = []
        self.size = 0
        width = self.inputs
        for words in parts[1:]:
            layer = _layer(words, width, self.size)
            self.layers.append(layer)
            self.size += layer.size
            width = layer.units
        if not self.layers:
            raise ValueError("a model needs at least one layer: " + spec)
        for layer in self.layers[:-1]:
            if layer.activation == "softmax":
                raise ValueError("softmax is for the last layer only: " + spec)
        self.outputs = width
        self.classes = width if self.layers[-1].activation == "softmax" else 0
        self.spec = " | ".join(" ".join(words) for words in parts)
        self.shape_hash = crc32(self.spec.encode()) & 0xFFFF
        self.shared = _shared(self.layers)
        self.shared_size = sum(stop - start for start, stop in self.shared)

    def initial(self, seed: int, bias: float = 0.0) -> "array[float]":
        """Random weights, the same wherever floats are 64 bits wide: Glorot uniform, biases of the first layer uniform in +-bias."""
        weights = array("f", bytes(4 * self.size))
        state = (seed * 2654435761 + 88172645) & 0xFFFFFFFF or 1
        for layer in self.layers:
            limit = sqrt(6.0 / (layer.inputs + layer.units))
            biases_from = layer.offset + layer.units * layer.inputs
            for i in range(layer.offset, layer.offset + layer.size):
                if i >= biases_from:
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
    if words[:1] != ["dense"] or len(words) != 3 + local:
        raise ValueError("a layer is 'dense UNITS ACTIVATION [local]', not %r" % " ".join(words))
    if words[2] not in ACTIVATIONS:
        raise ValueError("no activation %r; there are: %s" % (words[2], ", ".join(ACTIVATIONS)))
    return Layer(width, _count(words[1], "units"), words[2], offset, local)


def _shared(layers: list[Layer]) -> list[tuple[int, int]]:
    """The runs [start, stop) of weights that are sent, neighbours joined."""
    runs: list[tuple[int, int]] = []
    for layer in layers:
        if layer.local:
            continue
        stop = layer.offset + layer.size
        if runs and runs[-1][1] == layer.offset:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((layer.offset, stop))
    return runs
