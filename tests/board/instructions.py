"""Instructions and heap that learning and encoding take on the emulated board. Printed as numbers for tests/bench/instructions.py."""

import gc
from array import array

import board_emulated

from tegu import learner
from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire.initialization import encode_init
from tegu.wire.update import encode_update

STEP_SIZE = 0.01
SAMPLES = 32
INT8 = 2


def count(work, *arguments):
    """(result, instructions), those of calling it among them: 1.6 ticks each."""
    gc.collect()
    before = board_emulated.ticks()
    reading = board_emulated.ticks() - before
    before = board_emulated.ticks()
    result = work(*arguments)
    spent = board_emulated.ticks() - before - reading
    return result, round((spent & 0x3FFFFFFF) * 5 / 8)


class Numbers:
    """From -1,000 to 1,000, in no order; those of bare_metal/machine.h."""

    def __init__(self):
        self.state = 0

    def next(self):
        self.state = (self.state * 1103515245 + 12345) & 0x3FFFFFFF
        return (self.state >> 8) % 2001 - 1000


def made(model, active):
    """The first weights. active: all above zero, so that every unit is."""
    numbers = Numbers()
    weights = array("f", range(model.size))  # not of bytes(...), which would be there twice
    for i in range(model.size):
        weights[i] = abs(numbers.next()) / 10000 if active else numbers.next() / 5000
    return weights


def loop(of, x, y, steps):
    for _ in range(steps):
        of.step(x, y)


def empty(steps):
    for _ in range(steps):
        pass


def step(spec, active, steps):
    """Prints: instructions a step, whether C did it, hidden units that are active, the first output in hundred-thousandths above -100."""
    model = Model(spec)
    weights = made(model, active)
    x = array("f", [0.5] * model.inputs)
    y = 1 if model.classes else array("f", [0.25] * model.outputs)
    of = learner.Learner(model, weights, STEP_SIZE)
    of.step(x, y)
    spent = count(loop, of, x, y, steps)[1] - count(empty, steps)[1]
    units = sum(sum(1 for out in row if out != 0) for row in of.rows[:-1])
    print(spent // steps, int(of.native is not None), units, int((of.rows[-1][0] + 100) * 100000))


def trained(model, samples):
    """What so many samples change: the delta, in the memory of the weights."""
    numbers = Numbers()
    weights = made(model, False)
    of = learner.Learner(model, weights, STEP_SIZE)
    for _ in range(samples):
        of.step(array("f", [numbers.next() / 1000]), array("f", [numbers.next() / 1000]))
    numbers.state = 0
    for i in range(model.size):
        weights[i] -= numbers.next() / 5000
    return weights


def sending(spec, percent):
    """Prints: instructions to select and to encode, bytes of the update and of the int8 initialization (0: not made)."""
    model = Model(spec)
    delta = trained(model, SAMPLES)
    indices, selecting = count(top_p, delta, percent)
    update, encoding = count(encode_update, model, delta, indices, INT8, 5, 2, 9, SAMPLES)
    whole = len(encode_init(model, delta, 5, INT8)) if model.size < 10000 else 0
    print(selecting, encoding, len(update), whole, len(indices))


def heap(spec):
    """Prints: bytes of heap that weights take, and with them Model and Learner."""
    Model(spec)
    gc.collect()
    start = gc.mem_alloc()
    weights = array("f", bytes(4 * 1153))
    gc.collect()
    weighed = gc.mem_alloc() - start
    model = Model(spec)
    of = learner.Learner(model, weights, STEP_SIZE)
    of.step(array("f", [0.5]), array("f", [0.25]))
    gc.collect()
    print(weighed, gc.mem_alloc() - start)
