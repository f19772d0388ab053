"""The update: a sparse delta, Golomb-Rice coded. The layout is in tegu.wire."""

from array import array
from binascii import crc32
from struct import pack_into, unpack_from

from ..model import Model
from . import CODECS, F32, FORMAT, INT8, WireError
from .bits import (
    Bits,
    Rice,
    check_crc,
    check_finite,
    from_bits,
    get_floats,
    get_varint,
    put_bits,
    put_unary,
    put_varint,
    scale_of,
    to_half,
    varint_bytes,
)

try:
    from .. import native
except ImportError:  # see tegu.learner
    native = None  # type: ignore[assignment]

LEAST_BYTES = 13  # no update is shorter: 4 fixed, 5 varints, CRC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Bytes = bytes | bytearray
    Floats = array[float]
    Indices = array[int]


class Update:
    """A decoded update. indices: ascending positions among the shared parameters; values: array('f'), as many."""

    def __init__(
        self, codec: int, version: int, boot: int, sequence: int, samples: int, indices: "Indices", values: "Floats"
    ) -> None:
        self.codec = codec
        self.version = version
        self.boot = boot
        self.sequence = sequence
        self.samples = samples
        self.indices = indices
        self.values = values

    def key(self) -> "tuple[int, int, int]":
        """(version, boot, sequence): with the device and the model, the name of this update for ever."""
        return self.version, self.boot, self.sequence


class _Plan:
    """What the encoder must know before the first bit: scale, entries left, Rice parameters, sizes."""

    def __init__(self, values: "Floats", indices: "Indices", codec: int) -> None:
        largest = 0.0
        before = -1
        for i in indices:
            if i <= before or i >= len(values):
                raise ValueError("indices must be ascending and below %d" % len(values))
            before = i
            if not values[i] - values[i] == 0.0:
                raise ValueError("value %d is not finite" % i)
            largest = max(largest, abs(values[i]))
        self.codec = codec
        self.scale_bits = scale_of(largest)
        self.scale = from_bits(self.scale_bits << 16)
        self.least = 127
        rice = Rice()
        before = -1
        for i in indices:
            magnitude = self.magnitude(values[i])
            if magnitude:
                rice.add(i - before - 1)
                before = i
                self.least = min(self.least, magnitude)
        self.count = rice.count
        self.gap_r = rice.best()
        self.gap_unary_bytes = rice.unary_bytes(self.gap_r)
        rice.clear()
        if codec == INT8:
            for i in indices:
                magnitude = self.magnitude(values[i])
                if magnitude:
                    rice.add(magnitude - self.least)
        self.magnitude_r = rice.best()
        self.magnitude_unary_bytes = rice.unary_bytes(self.magnitude_r)

    def low_bytes(self, r: int) -> int:
        """The length of a section of r bits an entry."""
        return (self.count * r + 7) >> 3

    def magnitude(self, value: float) -> int:
        """The int8 magnitude; 1 for any value of the float codecs."""
        return int(abs(value) / self.scale + 0.5) if self.codec == INT8 else 1

    def payload_bytes(self) -> int:
        """The length of all sections."""
        gaps = self.gap_unary_bytes + self.low_bytes(self.gap_r)
        if self.codec != INT8:
            return gaps + self.count * (4 if self.codec == F32 else 2)
        return gaps + self.low_bytes(1) + self.magnitude_unary_bytes + self.low_bytes(self.magnitude_r)


def encode_update(
    model: Model,
    values: "Floats",
    indices: "Indices",
    codec: int = INT8,
    version: int = 0,
    boot: int = 0,
    sequence: int = 0,
    samples: int = 0,
) -> bytearray:
    """The update that carries values[i] for each i of indices.

    values: array('f') of model.shared_size, the whole delta; indices: ascending. ValueError if an index is out of order or
    range, or a value to be sent is not finite.
    """
    if len(values) != model.shared_size:
        raise ValueError("the model shares %d parameters, not %d" % (model.shared_size, len(values)))
    if not 0 <= codec < len(CODECS):
        raise ValueError("no codec %r" % codec)
    if native is not None:
        message = native.encode(values, indices, codec, model.shape_hash, version, boot, sequence, samples)
        if message is not None:
            return message  # type: ignore[no-any-return]
    plan = _Plan(values, indices, codec)
    out = _with_header(model, plan, (version, boot, sequence, samples, plan.count))
    at = _put_gaps(out, len(out) - 4 - plan.payload_bytes(), plan, values, indices)
    if codec == INT8:
        _put_magnitudes(out, at, plan, values, indices)
    else:
        _put_floats(out, at, codec, values, indices)
    pack_into("<I", out, len(out) - 4, crc32(memoryview(out)[: len(out) - 4]) & 0xFFFFFFFF)
    return out


def _with_header(model: Model, plan: _Plan, numbers: "tuple[int, ...]") -> bytearray:
    """The whole message in length, written up to its first section."""
    size = 8 + (3 if plan.codec == INT8 else 0) + plan.payload_bytes()
    for number in numbers:
        if not 0 <= number <= 0xFFFFFFFF:
            raise ValueError("version, boot, sequence and samples must fit 32 bits")
        size += varint_bytes(number)
    out = bytearray(size)
    out[0] = FORMAT << 4 | plan.codec
    out[1] = plan.gap_r << 4 | plan.magnitude_r
    pack_into("<H", out, 2, model.shape_hash)
    at = 4
    for number in numbers:
        at = put_varint(out, at, number)
    if plan.codec == INT8:
        pack_into("<HB", out, at, plan.scale_bits, plan.least)
    return out


def _put_gaps(out: bytearray, at: int, plan: _Plan, values: "Floats", indices: "Indices") -> int:
    unary = at << 3
    low = (at + plan.gap_unary_bytes) << 3
    before = -1
    for i in indices:
        if plan.magnitude(values[i]):
            unary = put_unary(out, unary, (i - before - 1) >> plan.gap_r)
            low = put_bits(out, low, i - before - 1, plan.gap_r)
            before = i
    return at + plan.gap_unary_bytes + plan.low_bytes(plan.gap_r)


def _put_magnitudes(out: bytearray, at: int, plan: _Plan, values: "Floats", indices: "Indices") -> None:
    sign = at << 3
    unary = (at + plan.low_bytes(1)) << 3
    low = unary + (plan.magnitude_unary_bytes << 3)
    for i in indices:
        magnitude = plan.magnitude(values[i])
        if magnitude:
            sign = put_bits(out, sign, values[i] < 0.0, 1)
            unary = put_unary(out, unary, (magnitude - plan.least) >> plan.magnitude_r)
            low = put_bits(out, low, magnitude - plan.least, plan.magnitude_r)


def _put_floats(out: bytearray, at: int, codec: int, values: "Floats", indices: "Indices") -> None:
    for i in indices:
        if codec == F32:
            pack_into("<f", out, at, values[i])
        else:
            pack_into("<H", out, at, to_half(values[i]))
        at += 4 if codec == F32 else 2


def decode_update(data: "Bytes", model: Model, sections: "Any" = None) -> Update:
    """The update in data, every byte of it checked, else WireError with the field's name.

    sections: who reads the bits, as functions get_indices, get_magnitudes and get_floats; None: those of this library.
    """
    if len(data) < LEAST_BYTES:
        raise WireError("length: %d bytes are too few" % len(data))
    if len(data) > 64 + 6 * model.shared_size:  # more than all parameters could need
        raise WireError("length: %d bytes are too many" % len(data))
    if data[0] >> 4 != FORMAT:
        raise WireError("format: %d is not known" % (data[0] >> 4))
    codec = data[0] & 15
    if codec >= len(CODECS):
        raise WireError("codec: %d is not known" % codec)
    gap_r = data[1] >> 4
    magnitude_r = data[1] & 15
    if magnitude_r and (codec != INT8 or magnitude_r > 6):
        raise WireError("Rice parameters: of the magnitudes out of range")
    end = check_crc(data)
    if unpack_from("<H", data, 2)[0] != model.shape_hash:
        raise WireError("shape hash: not of this model")
    version, at = get_varint(data, 4, end, "version")
    boot, at = get_varint(data, at, end, "boot")
    sequence, at = get_varint(data, at, end, "sequence")
    samples, at = get_varint(data, at, end, "samples")
    count, at = get_varint(data, at, end, "count")
    if count > model.shared_size or count > (end - at) * 8:
        raise WireError("count: %d entries are too many" % count)
    scale = 0.0
    least = 0
    if codec == INT8:
        if at + 3 > end:
            raise WireError("length: ends within the scale")
        scale_bits, least = unpack_from("<HB", data, at)
        if not 0 < scale_bits < 0x7F80:
            raise WireError("scale: must be finite and above zero")
        if not 1 <= least <= 127:
            raise WireError("least magnitude: must be 1 to 127")
        scale = from_bits(scale_bits << 16)
        at += 3
    indices, at = (sections.get_indices if sections else get_indices)(data, at, end, count, gap_r, model.shared_size)
    if codec == INT8:
        read = sections.get_magnitudes if sections else get_magnitudes
        values, at = read(data, at, end, count, magnitude_r, scale, least)
    else:
        values, at = (sections.get_floats if sections else get_floats)(data, at, end, count, codec)
    if at != end:
        raise WireError("length: %d bytes too many" % (end - at))
    return Update(codec, version, boot, sequence, samples, indices, values)


def peek_key(data: "Bytes") -> "tuple[int, int, int]":
    """(version, boot, sequence) that bytes seem to have, of an update or not, whole or its first 32; zeros if none."""
    try:
        version, at = get_varint(data, 4, len(data), "version")
        boot, at = get_varint(data, at, len(data), "boot")
        return version, boot, get_varint(data, at, len(data), "sequence")[0]
    except WireError:
        return 0, 0, 0


def get_indices(data: "Bytes", at: int, end: int, count: int, r: int, size: int) -> "tuple[Indices, int]":
    indices = array("H" if size <= 65536 else "I", range(count))  # not of bytes(...), which would be there twice
    if native is not None:
        after = native.get_indices(data, at, end, count, r, size, indices)
        if after >= 0:
            return indices, after
    room = array("I", bytes(4 * count))
    unary = Bits(data, at, end)
    left = size  # all gaps together cannot be more: told at once, not after reading a long lie
    for n in range(count):
        room[n] = unary.unary(size >> r, "gaps") << r
        left -= room[n]
        if left < 0:
            raise WireError("index: out of range")
    at = unary.close("gaps")
    if at + ((count * r + 7) >> 3) > end:
        raise WireError("length: ends within the gaps")
    low = Bits(data, at, end)
    index = -1
    for n in range(count):
        index += 1 + (room[n] | low.get(r))
        if index >= size:
            raise WireError("index: %d is out of range" % index)
        indices[n] = index
    return indices, low.close("gaps")


def get_magnitudes(
    data: "Bytes", at: int, end: int, count: int, r: int, scale: float, least: int
) -> "tuple[Floats, int]":
    values = array("f", range(count))
    if native is not None:
        after = native.get_magnitudes(data, at, end, count, r, scale, least, values)
        if after >= 0:
            return values, after
    signs = Bits(data, at, end)
    unary_at = at + ((count + 7) >> 3)
    unary = Bits(data, unary_at, end)
    for n in range(count):
        values[n] = unary.unary(126 >> r, "magnitudes") << r
    at = unary.close("magnitudes")
    if at + ((count * r + 7) >> 3) > end:
        raise WireError("length: ends within the magnitudes")
    low = Bits(data, at, end)
    for n in range(count):
        magnitude = least + (int(values[n]) | low.get(r))
        if magnitude > 127:
            raise WireError("magnitude: %d is out of range" % magnitude)
        values[n] = -magnitude * scale if signs.get(1) else magnitude * scale
    signs.close("signs")
    check_finite(values, "values")
    return values, low.close("magnitudes")
