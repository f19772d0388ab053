"""Layers over a grid of height x width x channels: convolution, depthwise convolution, pooling. Loaded only when a model has one.

    14x14x1 | conv 8 3x3 stride 2 same relu | depthwise 3x3 same relu | maxpool 2x2 | meanpool 3x3 stride 1 | dense 5 softmax

    conv CHANNELS KxK [stride S] [same] ACTIVATION [local]     weights [channel][y][x][input channel], then biases
    depthwise KxK [stride S] [same] ACTIVATION [local]         weights [channel][y][x], then biases
    maxpool KxK [stride S] [same], meanpool the same           no weights; the stride is the kernel's size unless it is said

A grid is one flat row, channels last: (y * width + x) * channels + channel. The stride is 1 unless it is said. `same` is
TensorFlow's rule: ceil(size / stride) outputs, the odd cell of padding behind; without it the kernel stays inside. Cells
outside count as zeros in a convolution and not at all in a pool. What a device needs beside the weights is one row of
outputs a layer, as for dense layers: a weight's gradient is summed over the grid and applied before the next one's.
"""

from .model import ACTIVATIONS, Layer, _count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    Floats = array[float]
    Row = Sequence[float]


def grid_layer(words: list[str], shape: list[int], offset: int) -> "Grid":
    """The layer that `words` say, on inputs of `shape` (height, width, channels). ValueError with the faulty word."""
    if len(shape) != 3:
        raise ValueError("%r needs inputs of HEIGHTxWIDTHxCHANNELS" % " ".join(words))
    kind = words[0] if words else ""
    if kind not in ("conv", "depthwise", "maxpool", "meanpool"):
        raise ValueError("a layer is dense, conv, depthwise, maxpool or meanpool, not %r" % " ".join(words))
    rest = words[1:]
    channels = _count(rest.pop(0) if rest else "", "channels") if kind == "conv" else shape[2]
    kernel = [_count(word, "kernel") for word in (rest.pop(0) if rest else "").split("x")]
    if len(kernel) != 2:
        raise ValueError("a kernel is HEIGHTxWIDTH in %r" % " ".join(words))
    pool = kind in ("maxpool", "meanpool")
    stride = kernel[0] if pool else 1
    if rest[:1] == ["stride"]:
        stride = _count(rest[1] if len(rest) > 1 else "", "stride")
        rest = rest[2:]
    elif pool and kernel[0] != kernel[1]:
        raise ValueError("a pool that is not square needs its stride: %r" % " ".join(words))
    same = rest[:1] == ["same"]
    rest = rest[same:]
    activation = "linear" if pool else rest.pop(0) if rest else ""
    local = rest == ["local"] and not pool
    if activation not in ACTIVATIONS or activation == "softmax" or (rest and not local):
        raise ValueError("%r cannot be read; see tegu.grid" % " ".join(words))
    return Grid(kind, shape, channels, kernel, stride, same, activation, offset, local)


def _places(size: int, kernel: int, stride: int, same: bool) -> "tuple[int, int]":
    """(outputs along one side, cells of padding before the first input)."""
    if not same:
        if kernel > size:
            raise ValueError("a kernel of %d does not fit %d cells" % (kernel, size))
        return (size - kernel) // stride + 1, 0
    count = -(-size // stride)
    return count, max(0, (count - 1) * stride + kernel - size) // 2


class Grid(Layer):
    """A convolution, depthwise convolution or pool. `taps` is the weights of one channel, `shape` that of its outputs."""

    def __init__(
        self,
        kind: str,
        shape: list[int],
        channels: int,
        kernel: list[int],
        stride: int,
        same: bool,
        activation: str,
        offset: int,
        local: bool,
    ) -> None:
        self.kind = kind
        self.height, self.width, self.depth = shape
        self.kernel = kernel
        self.stride = stride
        rows, self.pad_top = _places(self.height, kernel[0], stride, same)
        columns, self.pad_left = _places(self.width, kernel[1], stride, same)
        self.shape = [rows, columns, channels]
        self.inputs = self.height * self.width * self.depth
        self.units = rows * columns * channels
        self.activation = activation
        self.offset = offset
        self.local = local
        self.taps = kernel[0] * kernel[1] * (self.depth if kind == "conv" else 1)
        has_weights = kind in ("conv", "depthwise")
        self.bias = offset + self.taps * channels * has_weights
        self.size = (self.taps + 1) * channels * has_weights
        self.fan_in = self.taps
        self.fans = kernel[0] * kernel[1] * (self.depth + channels if kind == "conv" else 2)

    def _span(self, at: int, limit: int, kernel: int, pad: int) -> "tuple[int, int, int]":
        """(the first cell, the kernel's first and last+1 place inside) of output `at` along a side of `limit` cells."""
        start = at * self.stride - pad
        return start, max(0, -start), min(kernel, limit - start)

    def _window(self, y: int, x: int) -> "tuple[int, int, int, int, int, int]":
        top, y0, y1 = self._span(y, self.height, self.kernel[0], self.pad_top)
        left, x0, x1 = self._span(x, self.width, self.kernel[1], self.pad_left)
        return top, y0, y1, left, x0, x1

    def forward(self, weights: "Floats", x: "Row", out: "Floats") -> None:
        """The pre-activations of x into out."""
        rows, columns, channels = self.shape
        at = 0
        for row in range(rows):
            for column in range(columns):
                window = self._window(row, column)
                for channel in range(channels):
                    if self.kind == "conv":
                        out[at] = self._sum(weights, x, window, channel, self.depth)
                    elif self.kind == "depthwise":
                        out[at] = self._sum(weights, x, window, channel, 1)
                    else:
                        out[at] = self._pool(x, window, channel)
                    at += 1

    def _sum(self, weights: "Floats", x: "Row", window: "tuple[int, ...]", channel: int, depth: int) -> float:
        top, y0, y1, left, x0, x1 = window
        total = weights[self.bias + channel]
        first = self.offset + channel * self.taps
        inside = 0 if depth == self.depth else channel
        for ky in range(y0, y1):
            cell = ((top + ky) * self.width + left) * self.depth + inside
            tap = first + ky * self.kernel[1] * depth
            for kx in range(x0, x1):
                for i in range(depth):
                    total += weights[tap + kx * depth + i] * x[cell + kx * self.depth + i]
        return total

    def _pool(self, x: "Row", window: "tuple[int, ...]", channel: int) -> float:
        top, y0, y1, left, x0, x1 = window
        total = 0.0
        most = None
        for ky in range(y0, y1):
            cell = ((top + ky) * self.width + left) * self.depth + channel
            for kx in range(x0, x1):
                value = x[cell + kx * self.depth]
                total += value
                if most is None or value > most:
                    most = value
        return total / ((y1 - y0) * (x1 - x0)) if self.kind == "meanpool" else most or 0.0

    def backward(
        self, weights: "Floats", step: float, x: "Row", out: "Floats", delta: "Floats", before: "Floats | None"
    ) -> None:
        """Carry delta back through the old weights into `before`, if there is one, then move the weights."""
        if before is not None:
            for i in range(self.inputs):
                before[i] = 0.0
            rows, columns, channels = self.shape
            at = 0
            for row in range(rows):
                for column in range(columns):
                    window = self._window(row, column)
                    for channel in range(channels):
                        if delta[at] != 0.0:
                            self._carry(weights, x, out[at], delta[at], before, window, channel)
                        at += 1
        if self.size and step:
            self._move(weights, step, x, delta)

    def _carry(
        self,
        weights: "Floats",
        x: "Row",
        out: float,
        d: float,
        before: "Floats",
        window: "tuple[int, ...]",
        channel: int,
    ) -> None:
        """One output's delta to the inputs that it came from."""
        top, y0, y1, left, x0, x1 = window
        depth = self.depth if self.kind == "conv" else 1
        inside = 0 if self.kind == "conv" else channel
        share = d / max(1, (y1 - y0) * (x1 - x0))
        first = self.offset + channel * self.taps
        for ky in range(y0, y1):
            cell = ((top + ky) * self.width + left) * self.depth + inside
            tap = first + ky * self.kernel[1] * depth
            for kx in range(x0, x1):
                place = cell + kx * self.depth
                if self.kind == "meanpool":
                    before[place] += share
                elif self.kind == "maxpool":
                    if x[place] == out:
                        before[place] += d
                        return  # to the first of equals
                else:
                    for i in range(depth):
                        before[place + i] += weights[tap + kx * depth + i] * d

    def _move(self, weights: "Floats", step: float, x: "Row", delta: "Floats") -> None:
        """Every weight by its gradient, summed over the grid one weight at a time."""
        channels = self.shape[2]
        depth = self.depth if self.kind == "conv" else 1
        for channel in range(channels):
            total = 0.0
            for at in range(channel, self.units, channels):
                total += delta[at]
            weights[self.bias + channel] -= step * total
            for tap in range(self.taps):
                cell, i = divmod(tap, depth)
                ky, kx = divmod(cell, self.kernel[1])
                total = self._gradient(x, delta, channel, ky, kx, i if depth > 1 else channel * (self.kind != "conv"))
                weights[self.offset + channel * self.taps + tap] -= step * total

    def _gradient(self, x: "Row", delta: "Floats", channel: int, ky: int, kx: int, inside: int) -> float:
        """The sum of delta times input over the grid, for one weight of a channel."""
        rows, columns, channels = self.shape
        total = 0.0
        for row in range(rows):
            y = row * self.stride - self.pad_top + ky
            if not 0 <= y < self.height:
                continue
            for column in range(columns):
                place = column * self.stride - self.pad_left + kx
                if 0 <= place < self.width:
                    d = delta[(row * columns + column) * channels + channel]
                    total += d * x[(y * self.width + place) * self.depth + inside]
        return total
