"""Samples that cannot be learned and weights that have diverged: what is said of each, and that nothing has changed.

The same on whatever machine: play(Learner, print).
"""

from array import array

from tegu.model import Model

NAN, ENDLESS = float("nan"), float("inf")
NUMBERS = "2 | dense 3 tanh | dense 2 linear"
SHARES = "2 | dense 3 tanh | dense 2 sigmoid"
CLASSES = "2 | dense 3 tanh | dense 3 softmax"
TWO = "2 | dense 3 tanh | dense 1 sigmoid"
ROWS = (  # for x, and for the y of numbers
    ([0.5], "short"),
    ([0.5, 0.5, 0.5], "long"),
    ([], "empty"),
    ([0.5, NAN], "not a number"),
    ([ENDLESS, 0.5], "endless"),
    ([0.5, -ENDLESS], "endless downwards"),
    ([2e15, 0.5], "too large"),
)
KINDS = (("array", lambda row: array("f", row)), ("list", list), ("tuple", tuple))
LABELS = (-1, 3, 2**20, 2**40, 1.0, [1], None)
COUNT = 2 * len(ROWS) * len(KINDS) + 2 * len(KINDS) + 2 * len(LABELS) + 3


def cases():
    """(spec, x, y, what it is)"""
    for kind, made in KINDS:
        for row, what in ROWS:
            yield NUMBERS, made(row), [0.5, 0.5], f"x {kind} {what}"
            yield NUMBERS, [0.5, 0.5], made(row), f"y {kind} {what}"
        yield SHARES, [0.5, 0.5], made([0.5, 1.5]), f"y {kind} above 1"
        yield SHARES, [0.5, 0.5], made([-0.25, 0.5]), f"y {kind} below 0"
    for y in LABELS:
        yield CLASSES, array("f", [0.5, 0.5]), y, f"class {y}"
        yield TWO, (0.5, 0.5), y, f"one of two {y}"
    yield NUMBERS, [0.5, 0.5], 1, "a class where numbers are wanted"


def weights_of(model, value):
    return array("f", [value * (i % 5 - 2) for i in range(model.size)])


def play(learner_of, say):
    for spec, x, y, what in cases():
        tried(learner_of, Model(spec), 0.25, x, y, what, say)
    tried(learner_of, Model("2 | dense 3 linear | dense 2 linear"), 1e30, [1e9, 1.0], [0.5, 0.5], "diverged", say)
    tried(learner_of, Model(NUMBERS), NAN, [0.5, 0.5], [0.5, 0.5], "no numbers", say)


def tried(learner_of, model, value, x, y, what, say):
    weights = weights_of(model, value)
    before = bytes(weights)
    learner = learner_of(model, weights, 0.5)
    try:
        learner.step(x, y)
        say(what + ": learned")
    except (ValueError, ArithmeticError, TypeError) as error:
        said = "" if isinstance(error, TypeError) else str(error)  # each interpreter has its own
        kind = type(error).__name__
        changed = bytes(weights) != before
        say(f"{what}: {kind} {said}, changed: {changed}")
