"""What the shared tests are given: golden vectors, seeded numbers, and a check for errors."""

import json
import sys
from array import array
from binascii import unhexlify

from tegu.learner import Learner
from tegu.model import Model

VECTORS = (sys.argv[0].rsplit("/", 1)[0] if "/" in sys.argv[0] else ".") + "/../vectors/"


def vectors(name):
    with open(VECTORS + name) as file:
        return json.load(file)


def floats(hex_digits):
    """The float32 numbers of little-endian hex."""
    return array("f", unhexlify(hex_digits))


def error_of(kind, call, *arguments):
    """The text of the error that the call must raise."""
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__} was raised")


def check_gradient(spec, numbers):
    """One step of a model with random weights and one random sample, against finite differences of the loss."""
    model = Model(spec)
    weights = array("f", [numbers.real(1.0) for _ in range(model.size)])
    x = [numbers.real(1.0) for _ in range(model.inputs)]
    y = 1 if model.classes else [abs(numbers.real(0.5)) for _ in range(model.outputs)]
    after = Learner(model, array("f", weights), 0.0625)
    after.learn_one(x, y)
    step = 2.0**-8
    for i in range(model.size):
        losses = []
        for sign in (1, -1):
            probe = array("f", weights)
            probe[i] += sign * step
            losses.append(Learner(model, probe, 0.1).loss_one(x, y))
        wanted = (losses[0] - losses[1]) / (2 * step)
        got = (weights[i] - after.weights[i]) / 0.0625
        assert abs(got - wanted) < 1e-3, (spec, i, got, wanted)


class Numbers:
    """The same pseudo-random numbers on every interpreter (a linear congruential generator)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % limit

    def real(self, limit):
        """In -limit..limit, in 2 ** 20 steps that are exact in float32 when limit is a power of two."""
        return limit * (self.below(1 << 20) - (1 << 19)) / (1 << 19)


def delta(numbers, size):
    """Seeded float32 changes whose size spreads over some orders of magnitude, with some zeros."""
    values = array("f", bytes(4 * size))
    for i in range(size):
        scale = 2.0 ** -numbers.below(12)
        values[i] = 0.0 if numbers.below(10) == 0 else numbers.real(scale)
    return values
