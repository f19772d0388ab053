"""The fleet learner compiled by numba: one device after the other, each sample's step fused as on a board.

The same rules as tegu.learner and tegu.grid, in float32. Layers come as rows of a table of numbers, which the columns below
name. A batch of one without a pull moves the weights on the way back; else the gradient is gathered first.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tegu.grid import Grid
from tegu.learner import DELTA_BOUND
from tegu.model import ACTIVATIONS, Model

Floats = NDArray[np.float32]
DENSE, CONV, DEPTHWISE, MAXPOOL, MEANPOOL = range(5)
KINDS = ("dense", "conv", "depthwise", "maxpool", "meanpool")
LINEAR, RELU, TANH, SIGMOID, SOFTMAX = range(5)
assert ACTIVATIONS == ("linear", "relu", "tanh", "sigmoid", "softmax")
# columns of the table
KIND, INPUTS, UNITS, ACTIVATION, OFFSET, BIAS, SIZE, LEARNS, ROW = range(9)  # ROW: where its outputs stand in `rows`
HEIGHT, WIDTH, DEPTH, KERNEL_Y, KERNEL_X, STRIDE, PAD_Y, PAD_X, OUT_Y, OUT_X, CHANNELS, TAPS = range(9, 21)
BOUND = np.float32(DELTA_BOUND)
fast = njit(cache=True, fastmath={"nsz", "arcp", "contract", "afn", "reassoc"})


def learn(
    model: Model, weights: Floats, x: Floats, targets: Floats, step: float, batch: int, only: str, pull: float
) -> None:
    """See experiments.fleet.learn."""
    _learn_all(
        _table(model, only),
        weights,
        np.ascontiguousarray(x, dtype=np.float32),
        np.ascontiguousarray(targets),
        np.float32(step),
        batch,
        np.float32(pull),
    )


def _table(model: Model, only: str) -> NDArray[np.int64]:
    at, rows = 0, []
    for layer in model.layers:
        learns = layer.size > 0 and only in ("", "local" if layer.local else "shared")
        row = [
            KINDS.index(layer.kind),
            layer.inputs,
            layer.units,
            ACTIVATIONS.index(layer.activation),
            layer.offset,
            layer.bias,
            layer.size,
            int(learns),
            at,
        ]
        rows.append(row + (_grid(layer) if isinstance(layer, Grid) else [0] * 12))
        at += layer.units
    return np.array(rows, dtype=np.int64)


def _grid(layer: Grid) -> list[int]:
    side = [layer.height, layer.width, layer.depth, *layer.kernel, layer.stride, layer.pad_top, layer.pad_left]
    return [*side, *layer.shape, layer.taps]


@fast
def _learn_all(
    table: Any, weights: Any, x: Any, targets: Any, step: Any, batch: int, pull: Any
) -> None:  # pragma: no cover
    rows = np.zeros(int(table[:, UNITS].sum()), dtype=np.float32)
    deltas = np.zeros((2, int(table[:, UNITS].max())), dtype=np.float32)
    fused = batch == 1 and pull == 0
    gradient = np.zeros(1 if fused else weights.shape[1], dtype=np.float32)
    anchor = np.zeros(weights.shape[1] if pull != 0 else 1, dtype=np.float32)
    samples = x.shape[1]
    for device in range(x.shape[0]):
        own = weights[device]
        if pull != 0:
            anchor[:] = own
        at = 0
        while at < samples:
            if fused:
                _one(table, own, x[device, at], targets[device, at], rows, deltas, own, -step)
                at += 1
                continue
            size = min(batch, samples - at)
            gradient[:] = 0
            for n in range(size):
                _one(
                    table,
                    own,
                    x[device, at + n],
                    targets[device, at + n],
                    rows,
                    deltas,
                    gradient,
                    np.float32(1) / np.float32(size),
                )
            at += size
            for layer in range(table.shape[0]):
                if table[layer, LEARNS]:
                    for i in range(table[layer, OFFSET], table[layer, OFFSET] + table[layer, SIZE]):
                        move = gradient[i]
                        if pull != 0:
                            move += pull * (own[i] - anchor[i])
                        own[i] -= step * move


@fast
def _one(
    table: Any, weights: Any, x: Any, wanted: Any, rows: Any, deltas: Any, into: Any, scale: Any
) -> None:  # pragma: no cover
    """One sample: into[i] += scale * gradient[i]. `into` may be the weights themselves."""
    last = table.shape[0] - 1
    for at in range(last + 1):
        layer = table[at]
        row = x if at == 0 else rows[table[at - 1, ROW] : table[at - 1, ROW] + table[at - 1, UNITS]]
        out = rows[layer[ROW] : layer[ROW] + layer[UNITS]]
        if layer[KIND] == DENSE:
            _dense(layer, weights, row, out)
        else:
            _grid_forward(layer, weights, row, out)
        _activate(layer[ACTIVATION], out)
    out = rows[table[last, ROW] : table[last, ROW] + table[last, UNITS]]
    delta, before = deltas[0], deltas[1]
    for u in range(table[last, UNITS]):
        delta[u] = out[u] - wanted[u]
    if table[last, ACTIVATION] != SOFTMAX and table[last, ACTIVATION] != SIGMOID:
        _through(table[last, ACTIVATION], out, delta)
    for at in range(last, -1, -1):
        layer = table[at]
        row = x if at == 0 else rows[table[at - 1, ROW] : table[at - 1, ROW] + table[at - 1, UNITS]]
        out = rows[layer[ROW] : layer[ROW] + layer[UNITS]]
        if layer[KIND] == DENSE:
            _dense_back(layer, weights, row, delta, before, at > 0, into, scale)
        else:
            _grid_back(layer, weights, row, out, delta, before, at > 0, into, scale)
        if at > 0:
            _through(table[at - 1, ACTIVATION], row, before)
            delta, before = before, delta


@fast
def _activate(name: int, out: Any) -> None:  # pragma: no cover
    if name == TANH:
        for u in range(
            out.size
        ):  # tanh z = 2 t / (1 + t^2) with t = tanh z/2 by Lambert's continued fraction: no call,
            z = np.float32(0.5) * max(np.float32(-18), min(np.float32(18), out[u]))  # so that units go side by side
            q = z * z
            above = z * (np.float32(135135) + q * (np.float32(17325) + q * (np.float32(378) + q)))
            below = np.float32(135135) + q * (np.float32(62370) + q * (np.float32(3150) + q * np.float32(28)))
            t = above / below
            out[u] = np.float32(2) * t / (np.float32(1) + t * t)
    elif name == RELU:
        for u in range(out.size):
            out[u] = max(out[u], np.float32(0))
    elif name == SIGMOID:
        for u in range(out.size):
            z = max(np.float32(-60), min(np.float32(60), out[u]))
            out[u] = np.float32(1) / (np.float32(1) + np.exp(-z))
    elif name == SOFTMAX:
        top = out.max()
        total = np.float32(0)
        for u in range(out.size):
            out[u] = np.exp(max(np.float32(-80), out[u] - top))
            total += out[u]
        for u in range(out.size):
            out[u] /= total


@fast
def _through(name: int, out: Any, delta: Any) -> None:  # pragma: no cover
    for u in range(out.size):
        d = delta[u]
        if name == TANH:
            d *= np.float32(1) - out[u] * out[u]
        elif name == RELU:
            if not out[u] > 0:
                d = np.float32(0)
        elif name == SIGMOID:
            d *= out[u] * (np.float32(1) - out[u])
        delta[u] = max(-BOUND, min(BOUND, d))


@fast
def _dense(layer: Any, weights: Any, x: Any, out: Any) -> None:  # pragma: no cover
    width = layer[INPUTS]
    for u in range(layer[UNITS]):
        own = weights[layer[OFFSET] + u * width : layer[OFFSET] + (u + 1) * width]
        total = np.float32(0)
        for i in range(width):
            total += own[i] * x[i]
        out[u] = total + weights[layer[BIAS] + u]


@fast
def _dense_back(
    layer: Any, weights: Any, x: Any, delta: Any, before: Any, carry: bool, into: Any, scale: Any
) -> None:  # pragma: no cover
    width = layer[INPUTS]
    if carry:
        before[:width] = 0
    for u in range(layer[UNITS]):
        d = delta[u]
        at = layer[OFFSET] + u * width
        if carry:
            own = weights[at : at + width]
            for i in range(width):
                before[i] += own[i] * d
        if layer[LEARNS]:
            move = scale * d
            target = into[at : at + width]
            for i in range(width):
                target[i] += move * x[i]
            into[layer[BIAS] + u] += move


@fast
def _grid_forward(layer: Any, weights: Any, x: Any, out: Any) -> None:  # pragma: no cover
    channels, depth = layer[CHANNELS], layer[DEPTH]
    place = 0
    for oy in range(layer[OUT_Y]):
        top = oy * layer[STRIDE] - layer[PAD_Y]
        y0, y1 = max(0, -top), min(layer[KERNEL_Y], layer[HEIGHT] - top)
        for ox in range(layer[OUT_X]):
            left = ox * layer[STRIDE] - layer[PAD_X]
            x0, x1 = max(0, -left), min(layer[KERNEL_X], layer[WIDTH] - left)
            for channel in range(channels):
                total, most = np.float32(0), np.float32(-np.inf)
                first = layer[OFFSET] + channel * layer[TAPS]
                for ky in range(y0, y1):
                    for kx in range(x0, x1):
                        cell = ((top + ky) * layer[WIDTH] + left + kx) * depth
                        tap = ky * layer[KERNEL_X] + kx
                        if layer[KIND] == CONV:
                            for i in range(depth):
                                total += weights[first + tap * depth + i] * x[cell + i]
                        elif layer[KIND] == DEPTHWISE:
                            total += weights[first + tap] * x[cell + channel]
                        else:
                            total += x[cell + channel]
                            most = max(most, x[cell + channel])
                if layer[KIND] == MAXPOOL:
                    total = most
                elif layer[KIND] == MEANPOOL:
                    total /= np.float32((y1 - y0) * (x1 - x0))
                else:
                    total += weights[layer[BIAS] + channel]
                out[place] = total
                place += 1


@fast
def _grid_back(
    layer: Any, weights: Any, x: Any, out: Any, delta: Any, before: Any, carry: bool, into: Any, scale: Any
) -> None:  # pragma: no cover
    """All of `before` first, from the old weights; then the weights, each summed over the grid."""
    if carry:
        before[: layer[INPUTS]] = 0
        _grid_walk(layer, weights, x, out, delta, before, into, scale, True)
    if layer[LEARNS]:
        _grid_walk(layer, weights, x, out, delta, before, into, scale, False)


@fast
def _grid_walk(
    layer: Any, weights: Any, x: Any, out: Any, delta: Any, before: Any, into: Any, scale: Any, carry: bool
) -> None:  # pragma: no cover
    channels, depth, kind = layer[CHANNELS], layer[DEPTH], layer[KIND]
    place = 0
    for oy in range(layer[OUT_Y]):
        top = oy * layer[STRIDE] - layer[PAD_Y]
        y0, y1 = max(0, -top), min(layer[KERNEL_Y], layer[HEIGHT] - top)
        for ox in range(layer[OUT_X]):
            left = ox * layer[STRIDE] - layer[PAD_X]
            x0, x1 = max(0, -left), min(layer[KERNEL_X], layer[WIDTH] - left)
            share = np.float32(1) / np.float32(max(1, (y1 - y0) * (x1 - x0)))
            for channel in range(channels):
                d = delta[place]
                first = layer[OFFSET] + channel * layer[TAPS]
                routed = False
                if not carry:
                    into[layer[BIAS] + channel] += scale * d
                for ky in range(y0, y1):
                    for kx in range(x0, x1):
                        cell = ((top + ky) * layer[WIDTH] + left + kx) * depth
                        tap = ky * layer[KERNEL_X] + kx
                        if kind == CONV:
                            own = first + tap * depth
                            if carry:
                                for i in range(depth):
                                    before[cell + i] += weights[own + i] * d
                            else:
                                move = scale * d
                                for i in range(depth):
                                    into[own + i] += move * x[cell + i]
                        elif kind == DEPTHWISE:
                            if carry:
                                before[cell + channel] += weights[first + tap] * d
                            else:
                                into[first + tap] += scale * d * x[cell + channel]
                        elif kind == MEANPOOL:
                            before[cell + channel] += d * share
                        elif not routed and x[cell + channel] == out[place]:
                            before[cell + channel] += d
                            routed = True
                place += 1
