"""Top-P% selection without sorting, and the residual that keeps what was not sent.

TinyMetaFed (arXiv 2307.06822) sends the P percent of the parameters that changed most. The criterion (largest absolute
change over the whole model), exactly k of them, and the error feedback are our choice. Sorting allocates megabytes on a
board, so the threshold is found with two histograms over the bits of the float32 magnitudes: first by octave eighths, then
inside the octave eighth that holds the k-th. Of entries that are equal to 1 part in 2048 the first by index are taken.
"""

from array import array
from struct import unpack_from

try:
    from . import native
except ImportError:  # see tegu.learner
    native = None  # type: ignore[assignment]

BINS = 256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = array[float]
    Indices = array[int]


def top_p(values: "Floats", percent: float) -> "Indices":
    """The ascending indices of the ceil(percent% of len(values)) largest magnitudes.

    Fewer if the rest are zeros, below 2**-137, or 32 octaves below the largest.
    values: array('f'), all finite, else ValueError. The indices are array('H') up to 65,536 values, else array('I').
    """
    if not 0.0 < percent <= 100.0:
        raise ValueError("top_p must be above 0 and at most 100 percent")
    size = len(values)
    k = int(size * percent / 100)
    if k * 100 < size * percent:
        k += 1
    width = 2 if size <= 65536 else 4  # many without a second array of zeros beside them, though it takes longer
    indices = array("H" if width == 2 else "I", bytearray(width * k) if k < 256 else range(k))
    if native is not None:
        count = native.top_p(values, k, indices)
        if count >= 0:
            return indices if count == k else indices[:count]
    floor, ties = _threshold(values, k)
    count = 0
    for i in range(size):
        bits = (unpack_from("<I", values, 4 * i)[0] & 0x7FFFFFFF) >> 12
        if bits < floor or bits == 0:
            continue
        if bits == floor:
            if ties == 0:
                continue
            ties -= 1
        indices[count] = i
        count += 1
    return indices[:count]


def _threshold(values: "Floats", k: int) -> "tuple[int, int]":
    """(the magnitude bits above which all are kept, how many of those equal to it are kept too), bits cut to 19."""
    top = 0
    for i in range(len(values)):
        bits = unpack_from("<I", values, 4 * i)[0] & 0x7FFFFFFF
        if bits >= 0x7F800000:
            raise ValueError("value %d is not finite" % i)
        if bits > top:
            top = bits
    highest = top >> 20
    counts = array("H" if len(values) < 65536 else "I", bytes((2 if len(values) < 65536 else 4) * BINS))
    for i in range(len(values)):  # below 32 octaves under the largest, all share the last bin
        counts[min(BINS - 1, highest - ((unpack_from("<I", values, 4 * i)[0] & 0x7FFFFFFF) >> 20))] += 1
    above = 0
    at = 0
    while at < BINS - 1 and above + counts[at] < k:
        above += counts[at]
        at += 1
    if at == BINS - 1:
        return max(0, highest - BINS + 2) << 8, k
    wanted = highest - at
    for i in range(BINS):
        counts[i] = 0
    for i in range(len(values)):
        bits = unpack_from("<I", values, 4 * i)[0] & 0x7FFFFFFF
        if bits >> 20 == wanted:
            counts[(bits >> 12) & 0xFF] += 1
    fine = BINS - 1
    while fine > 0 and above + counts[fine] < k:
        above += counts[fine]
        fine -= 1
    return wanted << 8 | fine, k - above


def add(runs: "Sequence[tuple[int, int]]", weights: "Floats", indices: "Indices", values: "Floats") -> None:
    """Add a sparse delta: indices, ascending, are positions among the parameters in runs [start, stop) of weights."""
    at = 0
    before = 0  # parameters in the runs so far
    for start, stop in runs:
        at = scatter(weights, start, before, before + stop - start, indices, values, 1, at)
        before += stop - start


def subtract(values: "Floats", indices: "Indices", sent: "Floats") -> None:
    """values[indices] -= sent, in place: what remains is the residual."""
    scatter(values, 0, 0, len(values), indices, sent, -1, 0)


def scatter(
    target: "Floats", start: int, first: int, last: int, indices: "Indices", values: "Floats", sign: int, at: int
) -> int:
    """Entries from number `at` on, up to index `last`: target[start + index - first] += sign x value. The next entry's number."""
    if native is not None:
        following: int = native.scatter(target, start, first, last, indices, values, sign, at)
        return following
    while at < len(indices) and indices[at] < last:
        target[start + indices[at] - first] += sign * values[at]
        at += 1
    return at


def fold(
    residual: "Floats", residual_at: int, weights: "Floats", start: "Floats", weights_at: int, start_at: int, count: int
) -> bool:
    """residual += weights - start, for `count` of each from their own places on; False if one of them is not finite."""
    if native is not None:
        done: bool = native.fold(residual, residual_at, weights, start, weights_at, start_at, count) == 1
        return done
    fine = True
    for i in range(count):
        residual[residual_at + i] += weights[weights_at + i] - start[start_at + i]
        if not residual[residual_at + i] - residual[residual_at + i] == 0.0:
            fine = False
    return fine
