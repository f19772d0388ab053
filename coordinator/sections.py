"""The sections of an update read with numpy: the same results and the same errors as tegu.wire.update's own readers.

The wire splits every Golomb-Rice code into a section of unary parts and one of low bits, so that no loop over bits is
needed: the ones of an unary section are its terminators. A test holds both readers against each other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tegu.wire import F32, WireError

Bits = NDArray[np.uint8]
Longs = NDArray[np.int64]


def get_indices(data: bytes, at: int, end: int, count: int, r: int, size: int) -> tuple[NDArray[Any], int]:
    """(ascending indices below size, the byte after them)."""
    quotients, at = _unary(data, at, end, count, size >> r, "gaps", size >> r)
    low = _low_bits(data, at, end, count, r, "gaps")
    indices = np.cumsum((quotients << r | low) + 1) - 1
    if count and indices[-1] >= size:
        raise WireError(f"index: {indices[np.argmax(indices >= size)]} is out of range")
    return indices.astype(np.uint16 if size <= 65536 else np.uint32), _close(data, at, count * r, "gaps")


def get_magnitudes(
    data: bytes, at: int, end: int, count: int, r: int, scale: float, least: int
) -> tuple[NDArray[np.float32], int]:
    """(values, the byte after them)."""
    signs_at, at = at, at + ((count + 7) >> 3)
    quotients, at = _unary(data, at, end, count, 126 >> r, "magnitudes")
    magnitudes = least + (quotients << r | _low_bits(data, at, end, count, r, "magnitudes"))
    if (magnitudes > 127).any():
        raise WireError(f"magnitude: {magnitudes[np.argmax(magnitudes > 127)]} is out of range")
    _close(data, signs_at, count, "signs")
    values = np.where(_bits(data, signs_at, count) == 1, -magnitudes, magnitudes) * scale
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    _check_finite(narrow)
    return narrow, _close(data, at, count * r, "magnitudes")


def get_floats(data: bytes, at: int, end: int, count: int, codec: int) -> tuple[NDArray[np.float32], int]:
    """(values, the byte after them)."""
    kind = np.dtype("<f4" if codec == F32 else "<f2")
    if at + count * kind.itemsize > end:
        raise WireError("length: ends within the values")
    values = np.frombuffer(data, dtype=kind, count=count, offset=at).astype(np.float32)
    _check_finite(values)
    return values, at + count * kind.itemsize


def _unary(
    data: bytes, at: int, end: int, count: int, most: int, field: str, sum_most: int | None = None
) -> tuple[Longs, int]:
    """(`count` runs of zeros, each ended by a one, the byte after them).

    The first run beyond `most`, or the first at which the sum passes sum_most, is the error, as for a reader bit by bit.
    """
    zeros = (count + 1) * most if sum_most is None else sum_most + most  # more of them are an error in any case
    bits = _bits(data, at, min((end - at) * 8, (count + zeros + 15) & ~7))
    ones = np.flatnonzero(bits)[:count].astype(np.int64)
    runs = np.diff(ones, prepend=-1) - 1
    too_long = _first(runs > most)
    too_far = _first(np.cumsum(runs) > sum_most) if sum_most is not None else len(runs)
    if too_long < len(runs) and too_long <= too_far:
        raise WireError(f"{field}: out of range")
    if too_far < len(runs):
        raise WireError("index: out of range")
    after = int(ones[-1]) + 1 if len(ones) else 0
    if len(ones) < count:
        raise WireError(f"{field}: out of range" if len(bits) - after > most else f"length: ends within the {field}")
    return runs, _close(data, at, after, field)


def _first(marks: NDArray[np.bool_]) -> int:
    """The place of the first mark; their number if there is none."""
    return int(np.argmax(marks)) if marks.any() else len(marks)


def _low_bits(data: bytes, at: int, end: int, count: int, r: int, field: str) -> Longs:
    """`count` numbers of r bits."""
    if at + ((count * r + 7) >> 3) > end:
        raise WireError(f"length: ends within the {field}")
    if r == 0:
        return np.zeros(count, dtype=np.int64)
    return _bits(data, at, count * r).reshape(count, r).astype(np.int64) @ (1 << np.arange(r, dtype=np.int64))


def _bits(data: bytes, at: int, count: int) -> Bits:
    """`count` bits from byte `at` on, least significant first."""
    octets = np.frombuffer(data, dtype=np.uint8, count=max(0, (count + 7) >> 3), offset=min(at, len(data)))
    return np.unpackbits(octets, bitorder="little")[:count]


def _close(data: bytes, at: int, count: int, field: str) -> int:
    """The byte after a section of `count` bits; its padding must be zeros."""
    if count & 7 and data[at + (count >> 3)] >> (count & 7):
        raise WireError(f"{field}: padding is not zero")
    return at + ((count + 7) >> 3)


def _check_finite(values: NDArray[np.float32]) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise WireError(f"values: value {np.argmax(wrong)} is not finite")
