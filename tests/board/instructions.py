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
GC_BYTES = 1024  # as mcu_firmware/main.py has it


def count(work, *arguments):
    """(result, instructions), those of calling it among them: 1.6 ticks each."""
    gc.collect()
    before = board_emulated.ticks()
    reading = board_emulated.ticks() - before
    before = board_emulated.ticks()
    result = work(*arguments)
    spent = board_emulated.ticks() - before - reading
    return result, ((spent & 0x3FFFFFFF) * 5 + 4) // 8


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


def step(spec, active, steps, threshold):
    """Prints: instructions a step, whether C did it, hidden units that are active, the first output in hundred-thousandths above -100.

    threshold: bytes of garbage between two collections; -1: the heap is collected when it is full.
    """
    gc.threshold(threshold)
    model = Model(spec)
    weights = made(model, active)
    x = array("f", [0.5] * model.inputs)
    y = 1 if model.classes else array("f", [0.25] * model.outputs)
    of = learner.Learner(model, weights, STEP_SIZE)
    of.step(x, y)
    spent = count(loop, of, x, y, steps)[1] - count(empty, steps)[1]
    units = sum(sum(1 for out in row if out != 0) for row in of.rows[:-1])
    print(round(spent / steps), int(of.native is not None), units, int((of.rows[-1][0] + 100) * 100000))


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
    """Prints: instructions to select and to encode, bytes of the update, of the int8 initialization (0: not made), entries,
    instructions of a collection."""
    gc.threshold(-1)
    model = Model(spec)
    delta = trained(model, SAMPLES)
    gc.threshold(GC_BYTES)
    indices, selecting = count(top_p, delta, percent)
    update, encoding = count(encode_update, model, delta, indices, INT8, 5, 2, 9, SAMPLES)
    whole = len(encode_init(model, delta, 5, INT8)) if model.size < 10000 else 0
    print(selecting, encoding, len(update), whole, len(indices), count(gc.collect)[1])


def heap(spec):
    """Prints: bytes of heap that weights take, a Model, and a Learner that has learned."""
    size = Model(spec).size
    gc.collect()
    used = [gc.mem_alloc(), 0, 0, 0]
    weights = array("f", range(size))
    gc.collect()
    used[1] = gc.mem_alloc()
    model = Model(spec)
    gc.collect()
    used[2] = gc.mem_alloc()
    of = learner.Learner(model, weights, STEP_SIZE)
    of.step(array("f", [0.5]), array("f", [0.25]))
    gc.collect()
    used[3] = gc.mem_alloc()
    print(used[1] - used[0], used[2] - used[1], used[3] - used[2])
