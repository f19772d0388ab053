"""What steps and updates leave in a board's heap: gc.mem_alloc() before and after. For a board with the C of native."""

import gc
from array import array

from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire.update import encode_update

SPEC = "1 | dense 32 relu | dense 32 relu | dense 1 linear"


def filled(size):
    """Numbers between -1 and 1 in no order."""
    row = array("f", bytes(4 * size))
    state = 12345
    for i in range(size):
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        row[i] = ((state >> 8) % 2001 - 1000) / 1000
    return row


def steps(learner_of, count):
    """Prints bytes before and after so many steps without any collection, and whether the weights have moved."""
    model = Model(SPEC)
    weights = filled(model.size)
    for i in range(model.size):
        weights[i] *= 0.25
    start = bytes(weights)
    learner = learner_of(model, weights, 0.01)
    x, y = array("f", [0.5]), array("f", [0.25])
    learner.step(x, y)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(count):
        learner.step(x, y)
    after = gc.mem_alloc()
    gc.enable()
    print(before, after, bytes(weights) != start)


def updates(count):
    """Prints bytes before and after so many updates were selected and encoded, collected, and whether all were alike."""
    model = Model(SPEC)
    values = filled(model.size)
    alike = True
    first = encode_update(model, values, top_p(values, 10))
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(count):
        alike = alike and encode_update(model, values, top_p(values, 10)) == first
    gc.collect()
    print(before, gc.mem_alloc(), alike)
