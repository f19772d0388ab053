"""Three rounds of learning and encoding, the same numbers on whatever machine: what it says is compared, digit by digit.

Samples and first weights come from whole numbers and are multiples of 1/1024, which a float of any width holds. Run by CPython,
MicroPython's unix port and a board: play(Learner, print).
"""

from array import array
from binascii import crc32, hexlify

from tegu.kept import fold
from tegu.model import Model
from tegu.sparse import add, subtract, top_p
from tegu.wire.update import decode_update, encode_update

STEPS = 5
CASES = (  # spec, codec, top_p, which layers learn
    ("1 | dense 32 tanh | dense 32 relu | dense 1 linear", 2, 10, ""),
    ("11 | dense 24 tanh | dense 16 tanh local | dense 2 softmax", 1, 25, ""),
    ("4 | dense 9 sigmoid local | dense 5 relu | dense 1 sigmoid", 0, 60, "shared"),
    ("6x5x2 | conv 3 3x2 stride 2 same relu | depthwise 3x3 same tanh | maxpool 2x2 same | dense 4 softmax", 2, 30, ""),
    ("6x6x1 | conv 9 3x3 same tanh | meanpool 3x3 stride 2 same | dense 2 sigmoid", 2, 5, ""),
)


class Numbers:
    """Whole numbers in no order, the same ones each time."""

    def __init__(self):
        self.state = 12345

    def next(self, most):
        self.state = (self.state * 1103515245 + 12345) & 0x3FFFFFFF
        return (self.state >> 8) % (most + 1)

    def fill(self, row, least, most):
        """Multiples of 1/1024 from least to most."""
        for i in range(len(row)):
            row[i] = (least * 1024 + self.next((most - least) * 1024)) / 1024


def play(learner_of, say):
    """learner_of(model, weights, inner step size); say is called with each line."""
    numbers = Numbers()
    for spec, codec, percent, only in CASES:
        model = Model(spec)
        start = array("f", bytes(4 * model.size))
        numbers.fill(start, -1, 1)
        learner = learner_of(model, array("f", start), 1 / 32)
        learner.only = only
        residual = array("f", bytes(4 * model.shared_size))
        for number in range(3):
            learn(learner, numbers)
            say(f"{spec} round {number} weights {crc32(learner.weights) & 0xFFFFFFFF:08x}")
            send(model, learner.weights, start, residual, percent, (codec, 3 + number, 2, 130 + number, STEPS), say)
            learner.weights[:] = start


def learn(learner, numbers):
    model = learner.model
    x = array("f", bytes(4 * model.inputs))
    y = array("f", bytes(4 * model.outputs))
    for _ in range(STEPS):
        numbers.fill(x, -2, 2)
        numbers.fill(y, 0, 1)
        learner.step(x, numbers.next(model.classes - 1) if model.classes else y)


def send(model, weights, start, residual, percent, header, say):
    """Encodes what was learned, takes it from the residual and adds it to the start."""
    at = 0
    for first, stop in model.shared:
        finite = fold(residual, at, weights, start, first, first, stop - first)
        say(f"finite {finite}")
        at += stop - first
    update = encode_update(model, residual, top_p(residual, percent), *header)
    say("update " + hexlify(update).decode())
    sent = decode_update(update, model)
    subtract(residual, sent.indices, sent.values)
    add(model.shared, start, sent.indices, sent.values)
    say(f"residual {crc32(residual) & 0xFFFFFFFF:08x} start {crc32(start) & 0xFFFFFFFF:08x}")
