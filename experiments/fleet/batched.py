"""The fleet learner in numpy: every operation is over all devices of a chunk, and a chunk's weights stay in the cache.

tegu.learner has the rules and the sources; here a row of activations is (devices, samples, units). A convolution is a matrix
product over gathered windows (im2col), its way back a sum over the taps of the kernel.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tegu.grid import Grid
from tegu.learner import DELTA_BOUND
from tegu.model import Layer, Model

Floats = NDArray[np.float32]
CHUNK_WEIGHTS = 150_000  # of a chunk of devices: about 0.6 MB, which a second-level cache holds


def learn(
    model: Model, weights: Floats, x: Floats, targets: Floats, step: float, batch: int, only: str, pull: float
) -> None:
    """See experiments.fleet.learn."""
    chunk = max(1, CHUNK_WEIGHTS // model.size)
    with np.errstate(all="ignore"):  # what diverges is told by its weights
        for at in range(0, len(weights), chunk):
            part = slice(at, at + chunk)
            _learn_chunk(model, weights[part], x[part], targets[part], step, batch, only, pull)


def predict(model: Model, weights: Floats, x: Floats) -> Floats:
    """See experiments.fleet.predict."""
    row = x if x.ndim == 3 else np.broadcast_to(x, (len(weights), *x.shape))
    for layer in model.layers:
        row = activate(layer, _forward(layer, weights, row)[0])
    return row


def _learn_chunk(
    model: Model, weights: Floats, x: Floats, targets: Floats, step: float, batch: int, only: str, pull: float
) -> None:
    anchor = weights.copy() if pull else weights
    moves = {
        layer.offset: np.empty((len(weights), layer.size), dtype=np.float32) for layer in model.layers if layer.size
    }
    for first in range(0, x.shape[1], batch):
        stop = min(first + batch, x.shape[1])
        rows, windows = [x[:, first:stop]], []
        for layer in model.layers:
            out, window = _forward(layer, weights, rows[-1])
            rows.append(activate(layer, out))
            windows.append(window)
        delta = _output_delta(model.layers[-1], rows[-1], targets[:, first:stop])
        for at in range(len(model.layers) - 1, -1, -1):
            layer = model.layers[at]
            before = _carry(layer, weights, rows[at], delta) if at else None
            if layer.size and only in ("", "local" if layer.local else "shared"):
                _move(layer, weights, anchor, windows[at], delta, step, pull, moves[layer.offset])
            if before is not None:
                delta = _through(model.layers[at - 1], rows[at], before)


def activate(layer: Layer, out: Floats) -> Floats:
    """The layer's activation of its pre-activations, shape (..., units), in place."""
    name = layer.activation
    if name == "tanh":
        np.tanh(out, out=out)
    elif name == "relu":
        np.maximum(out, 0, out=out)
    elif name == "sigmoid":
        np.clip(out, -60, 60, out=out)
        np.exp(np.negative(out, out=out), out=out)
        np.reciprocal(np.add(out, 1, out=out), out=out)
    elif name == "softmax":
        out -= out.max(axis=-1, keepdims=True)
        np.exp(np.maximum(out, -80, out=out), out=out)
        out /= out.sum(axis=-1, keepdims=True)
    return out


def _output_delta(layer: Layer, out: Floats, targets: Floats) -> Floats:
    delta = out - targets
    return delta if layer.activation in ("softmax", "sigmoid") else _through(layer, out, delta)


def _through(layer: Layer, out: Floats, delta: Floats) -> Floats:
    name = layer.activation
    if name == "tanh":
        delta *= 1 - out * out
    elif name == "relu":
        delta *= out > 0
    elif name == "sigmoid":
        delta *= out * (1 - out)
    return np.clip(delta, -DELTA_BOUND, DELTA_BOUND, out=delta)


# --- one layer -------------------------------------------------------------------------------------------------------


def _forward(layer: Layer, weights: Floats, row: Floats) -> tuple[Floats, Floats]:
    """(pre-activations (devices, samples, units), what the layer's weights are multiplied with)."""
    if not isinstance(layer, Grid):
        if row.shape[1] == 1:
            out = np.matmul(_matrix(layer, weights), row[:, 0, :, None])[:, None, :, 0]
        else:
            out = row @ _matrix(layer, weights).swapaxes(1, 2)
        out += weights[:, None, layer.bias : layer.offset + layer.size]
        return out, row
    windows = _windows(layer, row, -np.inf if layer.kind == "maxpool" else 0.0)
    devices, samples = row.shape[:2]
    if layer.kind == "maxpool":
        return windows.max(axis=3).reshape(devices, samples, -1), windows
    if layer.kind == "meanpool":
        return (windows.sum(axis=3) / _inside(layer)).astype(np.float32).reshape(devices, samples, -1), windows
    if layer.kind == "depthwise":
        out = np.einsum("dspkc,dck->dspc", windows, _matrix(layer, weights))
    else:
        out = (windows.reshape(devices, -1, layer.taps) @ _matrix(layer, weights).swapaxes(1, 2)).reshape(
            devices, samples, -1, layer.shape[2]
        )
    out += weights[:, None, None, layer.bias : layer.offset + layer.size]
    return out.reshape(devices, samples, -1), windows


def _carry(layer: Layer, weights: Floats, row: Floats, delta: Floats) -> Floats:
    """The loss by the layer's inputs, (devices, samples, inputs)."""
    if not isinstance(layer, Grid):
        carried: Floats = delta @ _matrix(layer, weights)
        return carried
    devices, samples = row.shape[:2]
    index = _index(layer)
    spread = delta.reshape(devices, samples, *index.shape[:1], layer.shape[2])
    before = np.zeros((devices, samples, layer.inputs + 1), dtype=np.float32)  # the last one takes what falls outside
    if layer.kind == "conv":
        share = (spread.reshape(devices, -1, layer.shape[2]) @ _matrix(layer, weights)).reshape(
            devices, samples, *index.shape
        )
    elif layer.kind == "depthwise":
        share = np.einsum("dspc,dck->dspkc", spread, _matrix(layer, weights))
    elif layer.kind == "meanpool":
        share = np.broadcast_to((spread / _inside(layer))[:, :, :, None], (devices, samples, *index.shape))
    else:
        windows = _windows(layer, row, -np.inf)
        first = windows.argmax(axis=3)[:, :, :, None] == np.arange(index.shape[1])[:, None]
        share = spread[:, :, :, None] * first
    for tap in range(index.shape[1]):  # within one tap no input comes twice
        before[:, :, index[:, tap]] += share[:, :, :, tap]
    return before[:, :, :-1]


def _move(
    layer: Layer, weights: Floats, anchor: Floats, row: Floats, delta: Floats, step: float, pull: float, move: Floats
) -> None:
    """Take the mean gradient's step in the layer; `move` is where it is put together."""
    samples = delta.shape[1]
    middle, channels = layer.bias - layer.offset, layer.size - (layer.bias - layer.offset)
    gradient = move[:, :middle].reshape(len(weights), channels, -1)
    if isinstance(layer, Grid):
        spread = delta.reshape(*delta.shape[:2], -1, channels)
        if layer.kind == "depthwise":
            gradient[:] = np.einsum("dspc,dspkc->dck", spread, row)
        else:
            flat = row.reshape(len(row), -1, layer.taps)
            np.matmul(spread.reshape(len(row), -1, channels).swapaxes(1, 2), flat, out=gradient)
        move[:, middle:] = spread.sum(axis=(1, 2))
    elif samples == 1:
        np.multiply(delta[:, 0, :, None], row[:, 0, None, :], out=gradient)
        move[:, middle:] = delta[:, 0]
    else:
        np.matmul(delta.swapaxes(1, 2), row, out=gradient)
        move[:, middle:] = delta.sum(axis=1)
    move *= step / samples
    own = weights[:, layer.offset : layer.offset + layer.size]
    if pull:
        move += step * pull * (own - anchor[:, layer.offset : layer.offset + layer.size])
    own -= move


def _matrix(layer: Layer, weights: Floats) -> Floats:
    """The layer's weights as (devices, units or channels, inputs or taps); a view."""
    rows = layer.size - (layer.bias - layer.offset)
    return weights[:, layer.offset : layer.bias].reshape(len(weights), rows, -1)


# --- windows of a grid -----------------------------------------------------------------------------------------------


def _windows(layer: Grid, row: Floats, outside: float) -> Floats:
    """(devices, samples, places, cells of the kernel, channels) gathered from row (devices, samples, inputs)."""
    padded = np.concatenate((row, np.full((*row.shape[:2], 1), outside, dtype=np.float32)), axis=2)
    gathered: Floats = padded[:, :, _index(layer)]
    return gathered


@lru_cache(maxsize=64)
def _index(layer: Grid) -> NDArray[np.int64]:
    """The input that each place, cell of the kernel and input channel looks at; layer.inputs when it is outside."""
    rows, columns, _ = layer.shape
    y = np.arange(rows)[:, None] * layer.stride - layer.pad_top + np.arange(layer.kernel[0])
    x = np.arange(columns)[:, None] * layer.stride - layer.pad_left + np.arange(layer.kernel[1])
    y, x = y[:, None, :, None], x[None, :, None, :]
    inside = (y >= 0) & (y < layer.height) & (x >= 0) & (x < layer.width)
    cell = np.where(inside, (y * layer.width + x) * layer.depth, -1)[..., None]
    found: NDArray[np.int64] = np.where(cell < 0, layer.inputs, cell + np.arange(layer.depth))
    return found.reshape(rows * columns, layer.kernel[0] * layer.kernel[1], layer.depth)


def _inside(layer: Grid) -> NDArray[Any]:
    """How many cells of each place's window are inside, (places, 1)."""
    inside: NDArray[np.bool_] = _index(layer)[:, :, :1] < layer.inputs
    count: Floats = inside.sum(axis=1).astype(np.float32)
    return count
