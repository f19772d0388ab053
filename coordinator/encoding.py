"""The device's encoders with numpy: byte for byte what tegu.sparse, tegu.wire.update and tegu.wire.initialization make.

For a fleet simulated as arrays and for the coordinator itself. The layout is in tegu.wire; the header, the varints and the
scale come from the library, only the loops over values are arrays here. A test holds both against each other.
"""

from binascii import crc32
from struct import pack, pack_into, unpack_from
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tegu.model import Model
from tegu.wire import CODECS, F16, F32, FORMAT, INT8, WireError
from tegu.wire.bits import check_crc, from_bits, get_varint, put_varint, scale_of, varint_bytes
from tegu.wire.initialization import tensors_of, values_bytes
from tegu.wire.update import _Plan, _with_header

from .sections import get_floats

Floats = NDArray[np.float32]
Longs = NDArray[np.int64]

OCTAVE_EIGHTHS = 254  # how far below the largest tegu.sparse still tells magnitudes apart
LARGEST_HALF = 65504.0


def top_p(values: Floats, percent: float) -> NDArray[Any]:
    """The ascending indices that tegu.sparse.top_p chooses of values, shape (n,): uint16 up to 65,536 values, else uint32.

    ValueError if percent is not above 0 and at most 100, or a value is not finite.
    """
    if not 0.0 < percent <= 100.0:
        raise ValueError("top_p must be above 0 and at most 100 percent")
    values = np.asarray(values, dtype=np.float32)
    size = len(values)
    kind = np.uint16 if size <= 65536 else np.uint32
    if size == 0:
        return np.zeros(0, dtype=kind)
    k = min(size, max(1, -int(-(size * percent) // 100)))
    magnitudes = (values.view(np.uint32) & 0x7FFFFFFF) >> 12  # equal to 1 part in 2048 is equal
    largest = int(magnitudes.max())
    if largest >= 0x7F800:
        raise ValueError(f"value {np.argmax(magnitudes >= 0x7F800)} is not finite")
    lowest = max(0, (largest >> 8) - OCTAVE_EIGHTHS) << 8
    floor = max(1, lowest, int(np.partition(magnitudes, size - k)[size - k]))
    kept = np.flatnonzero(magnitudes >= floor)
    if len(kept) > k:  # of equals at the floor the first by index stay
        kept = np.delete(kept, np.flatnonzero(magnitudes[kept] == floor)[k - len(kept) :])
    return kept.astype(kind)


def encode_update(
    model: Model,
    values: Floats,
    indices: NDArray[Any],
    codec: int = INT8,
    version: int = 0,
    boot: int = 0,
    sequence: int = 0,
    samples: int = 0,
) -> bytes:
    """The update that carries values[i] for each i of indices.

    values: the whole delta, shape (model.shared_size,); indices: whole numbers, ascending. ValueError as
    tegu.wire.update.encode_update.
    """
    values = np.asarray(values, dtype=np.float32)
    if len(values) != model.shared_size:
        raise ValueError(f"the model shares {model.shared_size} parameters, not {len(values)}")
    if not 0 <= codec < len(CODECS):
        raise ValueError(f"no codec {codec!r}")
    plan = _Sections(values, np.asarray(indices, dtype=np.int64), codec)
    out = _with_header(model, plan, (version, boot, sequence, samples, plan.count))
    end = len(out) - 4
    out[end - len(plan.payload) : end] = plan.payload
    pack_into("<I", out, end, crc32(memoryview(out)[:end]))
    return bytes(out)


def encode_init(model: Model, weights: Floats, version: int, codec: int = F32) -> bytes:
    """All weights of a version, shape (model.size,). ValueError as tegu.wire.initialization.encode_init."""
    weights = np.asarray(weights, dtype=np.float32)
    if len(weights) != model.size:
        raise ValueError(f"the model has {model.size} weights, not {len(weights)}")
    finite = np.isfinite(weights)
    if not finite.all():
        raise ValueError(f"weight {np.argmin(finite)} is not finite")
    if not 0 <= codec < len(CODECS) or not 0 <= version <= 0xFFFFFFFF:
        raise ValueError(f"no codec {codec!r}, or the version does not fit 32 bits")
    out = bytearray(3 + varint_bytes(version))
    pack_into("<BH", out, 0, FORMAT << 4 | codec, model.shape_hash)
    put_varint(out, 3, version)
    if codec == INT8:
        for start, stop in tensors_of(model):
            out += _tensor_bytes(weights[start:stop])
    else:
        out += _float_bytes(weights, codec)
    return bytes(out + pack("<I", crc32(out)))


def on_grid(model: Model, weights: Floats, codec: int, tries: int = 20) -> Floats:
    """Weights near these that the codec carries to the bit; as they were if there are none within `tries` roundings."""
    near = weights
    for _ in range(tries):
        before, near = near, decode_init(encode_init(model, near, 1, codec), model)[1]
        if (near == before).all():
            return near
    return weights


def decode_init(data: bytes, model: Model) -> tuple[int, Floats]:
    """(version, weights), every byte checked as tegu.wire.initialization.decode_init does: the same WireError."""
    if len(data) < 8:
        raise WireError(f"length: {len(data)} bytes are too few")
    if data[0] >> 4 != FORMAT:
        raise WireError(f"format: {data[0] >> 4} is not known")
    codec = data[0] & 15
    if codec >= len(CODECS):
        raise WireError(f"codec: {codec} is not known")
    end = check_crc(data)
    if unpack_from("<H", data, 1)[0] != model.shape_hash:
        raise WireError("shape hash: not of this model")
    version, at = get_varint(data, 3, end, "version")
    wanted = values_bytes(model, codec)
    if end - at != wanted:
        raise WireError(f"length: {end - at} bytes of values, not {wanted}")
    if codec != INT8:
        return version, get_floats(data, at, end, model.size, codec)[0]
    return version, _get_tensors(data, at, model)


class _Sections(_Plan):
    """The library's plan of an update, of which the header is made, with `payload`: the bytes of all sections."""

    def __init__(self, values: Floats, indices: Longs, codec: int) -> None:
        entries = _entries(values, indices)
        self.codec = codec
        self.magnitude_r = 0
        tail = _float_bytes(entries, codec) if codec != INT8 else b""
        if codec == INT8:
            self.scale_bits, magnitudes = _quantized(entries)
            if not magnitudes.all():
                kept = magnitudes != 0
                entries, magnitudes, indices = entries[kept], magnitudes[kept], indices[kept]
            self.least = int(magnitudes.min(initial=127))
            self.magnitude_r, coded = _rice(magnitudes - self.least)
            tail = np.packbits(entries < 0, bitorder="little").tobytes() + coded
        self.count = len(indices)
        gaps = indices.copy()
        gaps[1:] -= indices[:-1] + 1
        self.gap_r, coded = _rice(gaps)
        self.payload = coded + tail

    def payload_bytes(self) -> int:
        """The length of all sections."""
        return len(self.payload)


def _entries(values: Floats, indices: Longs) -> Floats:
    """values[indices]. The first index that is out of order or range, or whose value is not finite, is the ValueError."""
    fair = (indices >= 0) & (indices < len(values))
    fair[1:] &= indices[1:] > indices[:-1]
    sound = len(indices) if fair.all() else int(np.argmin(fair))
    entries = values[indices[:sound]]
    finite = np.isfinite(entries)
    if not finite.all():
        raise ValueError(f"value {indices[np.argmin(finite)]} is not finite")
    if sound < len(indices):
        raise ValueError(f"indices must be ascending and below {len(values)}")
    return entries


def _quantized(values: Floats) -> tuple[int, Longs]:
    """(the bits of the int8 scale, the magnitudes in it), rounded in float64 as the library does."""
    sizes = np.abs(values).astype(np.float64)
    bits = scale_of(float(sizes.max(initial=0.0)))
    return bits, (sizes / from_bits(bits << 16) + 0.5).astype(np.int64)


def _rice(values: Longs) -> tuple[int, bytes]:
    """(the Rice parameter with the fewest bits, the smallest of equals; the unary section and that of the low bits).

    One bit more saves sum(quotients) - sum(quotients >> 1), which only falls, so the first that does not pay is the last.
    """
    quotients, total, r = values, int(values.sum()), 0
    while r < 15:
        halves = quotients >> 1
        less = int(halves.sum())
        if total - less <= len(values):
            break
        quotients, total, r = halves, less, r + 1
    unary = np.zeros(total + len(values), dtype=np.uint8)
    unary[np.cumsum(quotients + 1) - 1] = 1
    low = np.unpackbits(values.astype("<u2").view(np.uint8), bitorder="little").reshape(-1, 16)[:, :r]
    return r, np.packbits(unary, bitorder="little").tobytes() + np.packbits(low, bitorder="little").tobytes()


def _float_bytes(values: Floats, codec: int) -> bytes:
    if codec == F16:
        return np.clip(values, -LARGEST_HALF, LARGEST_HALF).astype("<f2").tobytes()
    return values.astype("<f4").tobytes()


def _tensor_bytes(weights: Floats) -> bytes:
    """One scale and the signed bytes in it."""
    bits, magnitudes = _quantized(weights)
    return pack("<H", bits) + np.where(weights < 0, -magnitudes, magnitudes).astype(np.int8).tobytes()


def _get_tensors(data: bytes, at: int, model: Model) -> Floats:
    """The int8 weights from byte `at` on; the caller has checked the length."""
    weights = np.zeros(model.size, dtype=np.float32)
    for start, stop in tensors_of(model):
        bits = unpack_from("<H", data, at)[0]
        if not 0 < bits < 0x7F80:
            raise WireError("scale: must be finite and above zero")
        signed = np.frombuffer(data, dtype=np.int8, count=stop - start, offset=at + 2)
        with np.errstate(over="ignore"):
            weights[start:stop] = signed * from_bits(bits << 16)
        at += 2 + stop - start
    finite = np.isfinite(weights)
    if not finite.all():
        raise WireError(f"values: value {np.argmin(finite)} is not finite")
    return weights
