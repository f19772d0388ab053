"""Online learning on a device: one sample, one pass, no buffer.

TinyReptile (arXiv 2304.05201) makes Reptile's inner loop online: plain stochastic gradient descent on each sample as it
comes, after which the sample is forgotten. Weights change layer by layer, from the last to the first, so that beside the
weights only the activations and two rows of deltas are held. The bound on a delta is our choice.

What is computed, and in which order, is defined here for floats of 32 bits, operation by operation, so that every machine
that computes in float32 gets the same bits: this file on a board, and the C of mcu_firmware/native, which does the same
where it is there. For that exp and tanh are our own, of plain operations. Where floats have 64 bits, on Linux, they are the
machine's, and the last digits differ.
"""

import math
from array import array
from math import ldexp, log

from .model import Layer, Model

try:
    from . import native
except ImportError:  # no C on this machine: what is below does all of it
    native = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .normaliser import Normaliser

    Floats = array[float]
    Row = Sequence[float]

DELTA_BOUND = 10.0  # a delta (loss by pre-activation) beyond this is cut: one bad sample must not end the learning
LARGEST = 1e15  # of a sample's numbers: squares and their sums stay within float32
SMALLEST = 1e-12  # a probability below this counts as this much in the loss


class Learner:
    """A model with its weights, learning in place.

    weights: array('f') of model.size, changed by learn_one. A sample is x, a sequence of model.inputs numbers, and y: the
    class as an int when model.classes, else a sequence of model.outputs numbers. Bad samples are a ValueError, raised
    before any weight has changed. `only` says which layers learn: all if empty, else the "local" or the "shared" ones
    (partial local reconstruction, arXiv 2307.06822).
    """

    def __init__(
        self, model: Model, weights: "Floats", inner_step_size: float, normaliser: "Normaliser | None" = None
    ) -> None:
        if len(weights) != model.size:
            raise ValueError("the model has %d weights, not %d" % (model.size, len(weights)))
        self.model = model
        self.weights = weights
        self.inner_step_size = inner_step_size
        self.normaliser = normaliser
        self.only = ""
        self.loss = array("f", bytes(4))  # of the last step, before it
        self.rows = [array("f", bytes(4 * layer.units)) for layer in model.layers]  # activations
        widest = max(layer.units for layer in model.layers)
        self.deltas = (array("f", bytes(4 * widest)), array("f", bytes(4 * widest)))
        self.native = None if native is None or normaliser is not None else native.plan(self)
        self.native_step = None if self.native is None else native.step

    def predict_one(self, x: "Row") -> "Floats":
        """The outputs for x: probabilities of the classes (of class 1, if it is one number), or numbers. The array is reused by the next call."""
        row = x if self.normaliser is None else self.normaliser.apply(x)
        if self.native is not None and native.predict(self.native, row) == 0:
            return self.rows[-1]
        for layer, out in zip(self.model.layers, self.rows):
            layer.forward(self.weights, row, out)
            _activate(layer.activation, out, layer.units)
            row = out
        return out

    def loss_one(self, x: "Row", y: "int | Row") -> float:
        """The loss of one sample: -ln p(class), binary cross-entropy, or half the sum of squared errors. Nothing is learned."""
        return _loss(self.model, self.predict_one(x), y)

    def learn_one(self, x: "Row", y: "int | Row") -> float:
        """One step down the gradient of one sample's loss; returns the loss before the step.

        ArithmeticError if that loss is not finite: the weights have diverged, and are not changed any more.
        """
        self.step(x, y)
        return self.loss[0]

    def step(self, x: "Row", y: "int | Row") -> None:
        """As learn_one, leaving the loss in `loss`: on a board with the C of native a step takes nothing from the heap."""
        if self.native_step is None or self.native_step(self.native, x, y, self.inner_step_size, self.only):
            self._step(x, y)

    def _step(self, x: "Row", y: "int | Row") -> None:
        self._check(x, y)
        if self.normaliser is not None:
            self.normaliser.learn(x)
        out = self.predict_one(x)
        loss = _loss(self.model, out, y)
        self.loss[0] = loss
        if not loss - loss == 0.0:
            raise ArithmeticError("the loss is not finite: the weights have diverged")
        delta, before = self.deltas
        self._output_delta(out, y, delta)
        for at in range(len(self.model.layers) - 1, -1, -1):
            layer = self.model.layers[at]
            step = self.inner_step_size if self.only in ("", "local" if layer.local else "shared") else 0.0
            if at == 0:
                row = x if self.normaliser is None else self.normaliser.row
                layer.backward(self.weights, step, row, self.rows[0], delta, None)
                break
            layer.backward(self.weights, step, self.rows[at - 1], self.rows[at], delta, before)
            _through(self.model.layers[at - 1], self.rows[at - 1], before)
            delta, before = before, delta

    def _check(self, x: "Row", y: "int | Row") -> None:
        model = self.model
        if len(x) != model.inputs:
            raise ValueError("a sample has %d inputs, not %d" % (model.inputs, len(x)))
        _check_bounds(x)
        if model.classes:
            if not (isinstance(y, int) and 0 <= y < model.classes):
                raise ValueError("a class is a whole number from 0 to %d" % (model.classes - 1))
        elif isinstance(y, int) or len(y) != model.outputs:
            raise ValueError("a sample has %d outputs" % model.outputs)
        else:
            _check_bounds(y)
            if model.layers[-1].activation == "sigmoid" and not all(0 <= value <= 1 for value in y):
                raise ValueError("what a sigmoid is to give must be from 0 to 1")

    def _output_delta(self, out: "Floats", y: "int | Row", delta: "Floats") -> None:
        layer = self.model.layers[-1]
        if layer.activation == "softmax":  # as below with y one-hot
            for u in range(layer.units):
                delta[u] = out[u] - (1.0 if u == y else 0.0)
            return
        for u in range(layer.units):
            delta[u] = out[u] - (y if self.model.classes else y[u])  # type: ignore[index,operator]
        if layer.activation != "sigmoid":  # with binary cross-entropy the slope cancels out
            _through(layer, out, delta)


def _check_bounds(row: "Row") -> None:
    for value in row:
        if not -LARGEST <= value <= LARGEST:  # as NaN is not
            raise ValueError("a sample must be finite numbers, at most %g" % LARGEST)


def exp32(z: float) -> float:
    """e to the z, for z from -120 to 0: 2**n times a polynomial of what remains, within 1e-8 of it."""
    n = int(z * 1.442695 - 0.5)
    r = z - n * 355 / 512 + n * 113921 / 536870912  # ln 2 in two parts
    p = 1 + r * (1 / 6) * (1 + r * (1 / 7))
    p = 1 + r * (1 / 4) * (1 + r * (1 / 5) * p)
    p = 1 + r * (1 + r * (1 / 2) * (1 + r * (1 / 3) * p))
    return ldexp(p, n)


def tanh32(z: float) -> float:
    """The hyperbolic tangent, within 1e-7 of it."""
    if -0.2 < z < 0.2:
        s = z * z
        return z * (1 - s * (1 / 3 - s * (2 / 15 - s * (17 / 315))))
    if not -9 < z < 9:
        return 1.0 if z > 0 else -1.0
    e = exp32(-2 * abs(z))
    t = (1 - e) / (1 + e)
    return t if z > 0 else -t


exp, tanh = (exp32, tanh32) if 1.0 + 1e-9 == 1.0 else (math.exp, math.tanh)


def _activate(name: str, out: "Floats", units: int) -> None:
    if name == "tanh":
        for u in range(units):
            out[u] = tanh(out[u])
    elif name == "relu":
        for u in range(units):
            if out[u] < 0.0:
                out[u] = 0.0
    elif name == "sigmoid":
        for u in range(units):
            e = exp(-min(60.0, abs(out[u])))
            out[u] = (1 if out[u] > 0 else e) / (1 + e)
    elif name == "softmax":
        top = max(out[u] for u in range(units))
        total = 0.0
        for u in range(units):
            out[u] = exp(max(-80.0, out[u] - top))
            total += out[u]
        for u in range(units):
            out[u] /= total


def _through(layer: Layer, out: "Floats", delta: "Floats") -> None:
    """delta times the slope of the layer's activation, which its output tells; bounded."""
    name = layer.activation
    for u in range(layer.units):
        d = delta[u]
        if name == "tanh":
            d *= 1.0 - out[u] * out[u]
        elif name == "relu":
            d = d if out[u] > 0.0 else 0.0
        elif name == "sigmoid":
            d *= out[u] * (1.0 - out[u])
        delta[u] = max(-DELTA_BOUND, min(DELTA_BOUND, d))


def _loss(model: Model, out: "Floats", y: "int | Row") -> float:
    last = model.layers[-1].activation
    if last == "softmax":
        return -log(max(SMALLEST, out[y]))  # type: ignore[index]
    total = 0.0
    for u in range(model.outputs):
        wanted = y if model.classes else y[u]  # type: ignore[index]
        if last == "sigmoid":
            total -= wanted * log(max(SMALLEST, out[u])) + (1.0 - wanted) * log(max(SMALLEST, 1.0 - out[u]))  # type: ignore[operator]
        else:
            total += 0.5 * (out[u] - wanted) ** 2  # type: ignore[operator]
    return total
