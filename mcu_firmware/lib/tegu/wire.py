"""Every byte that Tegu puts on the wire, and nothing else. This docstring is the definition of the formats.

A varint is little-endian base 128, at most 32 bits, without leading zero groups. A float16 is IEEE 754 binary16, a
bfloat16 the upper half of a float32. Sections of bits fill bytes from the least significant bit and end at a byte
boundary, padded with zeros. The CRC is CRC-32 (ISO-HDLC) of all bytes before it. All integers are little-endian.

UPDATE: a sparse delta over the model's shared parameters, in their order.

    bytes  field
    1      format (1) in the high half, value codec in the low half: 0 float32, 1 float16, 2 int8
    1      Rice parameter of the gaps in the high half, of the magnitudes in the low half (0 unless int8)
    2      shape hash of the model
    1-5    varint: version of the initialization that the delta is relative to
    1-5    varint: boot number of the device
    1-5    varint: sequence number within that boot
    1-5    varint: samples learned from
    1-5    varint: k, the number of entries
    3      int8 only: scale as bfloat16, then the least magnitude (1 to 127)
    ...    section: k gaps, unary part (gap >> r zeros, then a one)
    ...    section: k gaps, low r bits each
    ...    int8: section: k signs (1 is negative)
    ...    int8: section: k magnitudes less the least, unary part
    ...    int8: section: k magnitudes less the least, low bits
    ...    float16, float32: k values as they are, instead of the three sections above
    4      CRC

A gap is the distance to the entry before, less one (the first: the index itself), so indices cannot repeat or be out of
order. An int8 value is sign x magnitude x scale, exact in float32; entries that round to zero are not sent.
The split of unary parts and low bits is Golomb-Rice coding; each parameter is the one with the fewest bits.

INITIALIZATION: all the parameters of a version.

    1      format (1) in the high half, value codec in the low half
    2      shape hash
    1-5    varint: version
    ...    float32 or float16: the values; int8: for each tensor (a layer's weights, its biases) a bfloat16 scale,
           then its values as signed bytes
    4      CRC

MANIFEST, ROUND, ACK and STATE are small JSON objects, so that they can be read in any MQTT tool; the classes below say
their fields. Unknown fields are ignored, which leaves room to add some.

Errors: WireError (a kind of ValueError) names the field that is wrong. Nothing is allocated by a number from the wire
before it was checked against the payload's length and the model.
"""

import json
from array import array
from binascii import crc32
from struct import pack, pack_into, unpack_from

from .model import Model

FORMAT = 1
F32 = 0
F16 = 1
INT8 = 2
CODECS = ("f32", "f16", "int8")
LEAST_BYTES = 13  # no update is shorter: 4 fixed, 5 varints, CRC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Bytes = bytes | bytearray
    Floats = array[float]
    Indices = array[int]


class WireError(ValueError):
    """The peer's bytes are wrong; the first words name the field."""


# --- numbers ---------------------------------------------------------------------------------------------------------


def _varint_bytes(value: int) -> int:
    count = 1
    while value > 127:
        value >>= 7
        count += 1
    return count


def _put_varint(out: bytearray, at: int, value: int) -> int:
    while value > 127:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


def _get_varint(data: "Bytes", at: int, end: int, field: str) -> "tuple[int, int]":
    value = shift = 0
    while at < end and shift < 35:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            if (byte == 0 and shift > 7) or value > 0xFFFFFFFF:
                break
            return value, at
    raise WireError("%s: not a varint" % field)


def _bits(value: float) -> int:
    bits: int = unpack_from("<I", pack("<f", value), 0)[0]
    return bits


def _float(bits: int) -> float:
    value: float = unpack_from("<f", pack("<I", bits), 0)[0]
    return value


def _to_half(value: float) -> int:
    """The bits of the nearest binary16, ties to even; what is too large becomes its largest, 65504."""
    bits = _bits(value)
    sign = bits >> 16 & 0x8000
    bits &= 0x7FFFFFFF
    if bits >= 0x477FF000:
        return sign | 0x7BFF
    if bits < 0x38800000:  # a subnormal half: steps of 2**-24
        shift = 126 - (bits >> 23)
        if shift > 24:
            return sign
        whole = bits & 0x7FFFFF | 0x800000
        half = whole >> shift
        rest = whole & ((1 << shift) - 1)
        middle = 1 << (shift - 1)
        return sign | (half + (rest > middle or (rest == middle and half & 1)))
    half = (bits - 0x38000000) >> 13
    rest = bits & 0x1FFF
    return sign | (half + (rest > 0x1000 or (rest == 0x1000 and half & 1)))


def _from_half(bits: int) -> float:
    exponent = bits >> 10 & 31
    mantissa = bits & 0x3FF
    value = mantissa * 2.0**-24 if exponent == 0 else (1024 + mantissa) * 2.0 ** (exponent - 25)
    return -value if bits & 0x8000 else value


def _scale(largest: float) -> int:
    """The bfloat16 just above largest / 127, so that no magnitude passes 127."""
    bits = (_bits(largest / 127.0) + 0xFFFF) >> 16
    return max(1, min(0x7F7F, bits))


def _finite(values: "Floats", field: str) -> None:
    for i in range(len(values)):
        if not values[i] - values[i] == 0.0:
            raise WireError("%s: value %d is not finite" % (field, i))


def _check_crc(data: "Bytes") -> int:
    """The end of what the CRC covers."""
    end = len(data) - 4
    if crc32(memoryview(data)[:end]) & 0xFFFFFFFF != unpack_from("<I", data, end)[0]:
        raise WireError("CRC: does not match")
    return end


# --- Golomb-Rice -----------------------------------------------------------------------------------------------------


class _Rice:
    """Counts the bits that each Rice parameter would cost, then tells the cheapest."""

    def __init__(self) -> None:
        self.quotients = array("I", bytes(64))  # sum of value >> r, for r = 0..15
        self.count = 0

    def add(self, value: int) -> None:
        self.count += 1
        r = 0
        while value and r < 16:
            self.quotients[r] += value
            value >>= 1
            r += 1

    def best(self) -> int:
        """The parameter with the fewest bits."""
        best = 0
        for r in range(1, 16):
            if self.quotients[r] + r * self.count < self.quotients[best] + best * self.count:
                best = r
        return best

    def unary_bytes(self, r: int) -> int:
        return (self.quotients[r] + self.count + 7) >> 3


class _Bits:
    """Writes or reads one section of bits in data from byte `at` on."""

    def __init__(self, data: "bytearray | bytes", at: int, end: int) -> None:
        self.data = data
        self.at = at << 3
        self.end = end << 3

    def put_unary(self, zeros: int) -> None:
        self.at += zeros
        self.data[self.at >> 3] |= 1 << (self.at & 7)  # type: ignore[index]
        self.at += 1

    def put(self, value: int, count: int) -> None:
        for i in range(count):
            if value >> i & 1:
                self.data[self.at >> 3] |= 1 << (self.at & 7)  # type: ignore[index]
            self.at += 1

    def unary(self, most: int, field: str) -> int:
        """Zeros up to the next one; more than `most`, or the end of the payload, is an error."""
        zeros = 0
        while self.at < self.end:
            bit = self.data[self.at >> 3] >> (self.at & 7) & 1
            self.at += 1
            if bit:
                return zeros
            zeros += 1
            if zeros > most:
                raise WireError("%s: out of range" % field)
        raise WireError("length: ends within the %s" % field)

    def get(self, count: int) -> int:
        value = 0
        for i in range(count):
            value |= (self.data[self.at >> 3] >> (self.at & 7) & 1) << i
            self.at += 1
        return value

    def close(self, field: str) -> int:
        """The byte after the section; its padding must be zeros."""
        while self.at & 7:
            if self.data[self.at >> 3] >> (self.at & 7) & 1:
                raise WireError("%s: padding is not zero" % field)
            self.at += 1
        return self.at >> 3


# --- the update ------------------------------------------------------------------------------------------------------


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
        self.scale_bits = _scale(largest)
        self.scale = _float(self.scale_bits << 16)
        self.least = 127
        gaps = _Rice()
        before = -1
        for i in indices:
            magnitude = self.magnitude(values[i])
            if magnitude:
                gaps.add(i - before - 1)
                before = i
                self.least = min(self.least, magnitude)
        magnitudes = _Rice()
        if codec == INT8:
            for i in indices:
                magnitude = self.magnitude(values[i])
                if magnitude:
                    magnitudes.add(magnitude - self.least)
        self.count = gaps.count
        self.gap_r = gaps.best()
        self.magnitude_r = magnitudes.best()
        self.gap_unary_bytes = gaps.unary_bytes(self.gap_r)
        self.gap_low_bytes = (self.count * self.gap_r + 7) >> 3
        self.sign_bytes = (self.count + 7) >> 3
        self.magnitude_unary_bytes = magnitudes.unary_bytes(self.magnitude_r)
        self.magnitude_low_bytes = (self.count * self.magnitude_r + 7) >> 3

    def magnitude(self, value: float) -> int:
        """The int8 magnitude; 1 for any value of the float codecs."""
        return int(abs(value) / self.scale + 0.5) if self.codec == INT8 else 1

    def payload_bytes(self) -> int:
        gaps = self.gap_unary_bytes + self.gap_low_bytes
        if self.codec == INT8:
            return 3 + gaps + self.sign_bytes + self.magnitude_unary_bytes + self.magnitude_low_bytes
        return gaps + self.count * (4 if self.codec == F32 else 2)


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
    plan = _Plan(values, indices, codec)
    numbers = (version, boot, sequence, samples, plan.count)
    for number in numbers:
        if not 0 <= number <= 0xFFFFFFFF:
            raise ValueError("version, boot, sequence and samples must fit 32 bits")
    out = bytearray(4 + sum(_varint_bytes(number) for number in numbers) + plan.payload_bytes() + 4)
    out[0] = FORMAT << 4 | codec
    out[1] = plan.gap_r << 4 | plan.magnitude_r
    pack_into("<H", out, 2, model.shape_hash)
    at = 4
    for number in numbers:
        at = _put_varint(out, at, number)
    if codec == INT8:
        pack_into("<HB", out, at, plan.scale_bits, plan.least)
        at += 3
    at = _put_gaps(out, at, plan, values, indices)
    if codec == INT8:
        at = _put_magnitudes(out, at, plan, values, indices)
    else:
        for i in indices:
            if codec == F32:
                pack_into("<f", out, at, values[i])
            else:
                pack_into("<H", out, at, _to_half(values[i]))
            at += 4 if codec == F32 else 2
    pack_into("<I", out, at, crc32(memoryview(out)[:at]) & 0xFFFFFFFF)
    return out


def _put_gaps(out: bytearray, at: int, plan: _Plan, values: "Floats", indices: "Indices") -> int:
    unary = _Bits(out, at, len(out))
    low = _Bits(out, at + plan.gap_unary_bytes, len(out))
    before = -1
    for i in indices:
        if plan.magnitude(values[i]):
            gap = i - before - 1
            before = i
            unary.put_unary(gap >> plan.gap_r)
            low.put(gap, plan.gap_r)
    return at + plan.gap_unary_bytes + plan.gap_low_bytes


def _put_magnitudes(out: bytearray, at: int, plan: _Plan, values: "Floats", indices: "Indices") -> int:
    signs = _Bits(out, at, len(out))
    at += plan.sign_bytes
    unary = _Bits(out, at, len(out))
    at += plan.magnitude_unary_bytes
    low = _Bits(out, at, len(out))
    for i in indices:
        magnitude = plan.magnitude(values[i])
        if magnitude:
            signs.put(1 if values[i] < 0.0 else 0, 1)
            unary.put_unary((magnitude - plan.least) >> plan.magnitude_r)
            low.put(magnitude - plan.least, plan.magnitude_r)
    return at + plan.magnitude_low_bytes


def decode_update(data: "Bytes", model: Model) -> Update:
    """The update in data, every byte of it checked, else WireError with the field's name."""
    if len(data) < LEAST_BYTES:
        raise WireError("length: %d bytes are too few" % len(data))
    if data[0] >> 4 != FORMAT:
        raise WireError("format: %d is not known" % (data[0] >> 4))
    codec = data[0] & 15
    if codec >= len(CODECS):
        raise WireError("codec: %d is not known" % codec)
    gap_r = data[1] >> 4
    magnitude_r = data[1] & 15
    if magnitude_r and (codec != INT8 or magnitude_r > 6):
        raise WireError("Rice parameters: of the magnitudes out of range")
    end = _check_crc(data)
    if unpack_from("<H", data, 2)[0] != model.shape_hash:
        raise WireError("shape hash: not of this model")
    version, at = _get_varint(data, 4, end, "version")
    boot, at = _get_varint(data, at, end, "boot")
    sequence, at = _get_varint(data, at, end, "sequence")
    samples, at = _get_varint(data, at, end, "samples")
    count, at = _get_varint(data, at, end, "count")
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
        scale = _float(scale_bits << 16)
        at += 3
    indices, at = _get_indices(data, at, end, count, gap_r, model.shared_size)
    if codec == INT8:
        values, at = _get_magnitudes(data, at, end, count, magnitude_r, scale, least)
    else:
        values, at = _get_floats(data, at, end, count, codec)
    if at != end:
        raise WireError("length: %d bytes too many" % (end - at))
    return Update(codec, version, boot, sequence, samples, indices, values)


def peek_key(data: "Bytes") -> "tuple[int, int]":
    """(boot, sequence) that bytes seem to have which are no update, so that their sender knows which; zeros if none."""
    try:
        _, at = _get_varint(data, 4, len(data), "version")
        boot, at = _get_varint(data, at, len(data), "boot")
        return boot, _get_varint(data, at, len(data), "sequence")[0]
    except WireError:
        return 0, 0


def _get_indices(data: "Bytes", at: int, end: int, count: int, r: int, size: int) -> "tuple[Indices, int]":
    indices = array("H" if size <= 65536 else "I", bytes((2 if size <= 65536 else 4) * count))
    room = array("I", bytes(4 * count))
    unary = _Bits(data, at, end)
    for n in range(count):
        room[n] = unary.unary(size >> r, "gaps") << r
    at = unary.close("gaps")
    if at + ((count * r + 7) >> 3) > end:
        raise WireError("length: ends within the gaps")
    low = _Bits(data, at, end)
    index = -1
    for n in range(count):
        index += 1 + (room[n] | low.get(r))
        if index >= size:
            raise WireError("index: %d is out of range" % index)
        indices[n] = index
    return indices, low.close("gaps")


def _get_magnitudes(
    data: "Bytes", at: int, end: int, count: int, r: int, scale: float, least: int
) -> "tuple[Floats, int]":
    signs = _Bits(data, at, end)
    unary_at = at + ((count + 7) >> 3)
    unary = _Bits(data, unary_at, end)
    values = array("f", bytes(4 * count))
    for n in range(count):
        values[n] = unary.unary(126 >> r, "magnitudes") << r
    at = unary.close("magnitudes")
    if at + ((count * r + 7) >> 3) > end:
        raise WireError("length: ends within the magnitudes")
    low = _Bits(data, at, end)
    for n in range(count):
        magnitude = least + (int(values[n]) | low.get(r))
        if magnitude > 127:
            raise WireError("magnitude: %d is out of range" % magnitude)
        values[n] = -magnitude * scale if signs.get(1) else magnitude * scale
    if signs.close("signs") != unary_at:
        raise WireError("length: ends within the signs")
    _finite(values, "values")
    return values, low.close("magnitudes")


def _get_floats(data: "Bytes", at: int, end: int, count: int, codec: int) -> "tuple[Floats, int]":
    width = 4 if codec == F32 else 2
    if at + count * width > end:
        raise WireError("length: ends within the values")
    values = array("f", bytes(4 * count))
    for n in range(count):
        if codec == F32:
            values[n] = unpack_from("<f", data, at)[0]
        else:
            bits = unpack_from("<H", data, at)[0]
            if bits >> 10 & 31 == 31:
                raise WireError("values: value %d is not finite" % n)
            values[n] = _from_half(bits)
        at += width
    _finite(values, "values")
    return values, at


# --- the initialization ----------------------------------------------------------------------------------------------


def encode_init(model: Model, weights: "Floats", version: int, codec: int = F32) -> bytearray:
    """All weights of a version. ValueError if one is not finite."""
    if len(weights) != model.size:
        raise ValueError("the model has %d weights, not %d" % (model.size, len(weights)))
    for i in range(len(weights)):
        if not weights[i] - weights[i] == 0.0:
            raise ValueError("weight %d is not finite" % i)
    header = 3 + _varint_bytes(version)
    out = bytearray(header + _values_bytes(model, codec) + 4)
    out[0] = FORMAT << 4 | codec
    pack_into("<H", out, 1, model.shape_hash)
    at = _put_varint(out, 3, version)
    for start, stop in _tensors(model) if codec == INT8 else ((0, model.size),):
        if codec == INT8:
            bits = _scale(max(abs(weights[i]) for i in range(start, stop)))
            scale = _float(bits << 16)
            pack_into("<H", out, at, bits)
            at += 2
        for i in range(start, stop):
            if codec == F32:
                pack_into("<f", out, at, weights[i])
                at += 4
            elif codec == F16:
                pack_into("<H", out, at, _to_half(weights[i]))
                at += 2
            else:
                magnitude = int(abs(weights[i]) / scale + 0.5)
                out[at] = (-magnitude if weights[i] < 0.0 else magnitude) & 0xFF
                at += 1
    pack_into("<I", out, at, crc32(memoryview(out)[:at]) & 0xFFFFFFFF)
    return out


def decode_init(data: "Bytes", model: Model) -> "tuple[int, Floats]":
    """(version, weights). WireError with the field's name."""
    if len(data) < 8:
        raise WireError("length: %d bytes are too few" % len(data))
    if data[0] >> 4 != FORMAT:
        raise WireError("format: %d is not known" % (data[0] >> 4))
    codec = data[0] & 15
    if codec >= len(CODECS):
        raise WireError("codec: %d is not known" % codec)
    end = _check_crc(data)
    if unpack_from("<H", data, 1)[0] != model.shape_hash:
        raise WireError("shape hash: not of this model")
    version, at = _get_varint(data, 3, end, "version")
    if end - at != _values_bytes(model, codec):
        raise WireError("length: %d bytes of values, not %d" % (end - at, _values_bytes(model, codec)))
    if codec != INT8:
        return version, _get_floats(data, at, end, model.size, codec)[0]
    weights = array("f", bytes(4 * model.size))
    for start, stop in _tensors(model):
        bits = unpack_from("<H", data, at)[0]
        if not 0 < bits < 0x7F80:
            raise WireError("scale: must be finite and above zero")
        scale = _float(bits << 16)
        at += 2
        for i in range(start, stop):
            weights[i] = (data[at] - 256 if data[at] > 127 else data[at]) * scale
            at += 1
    _finite(weights, "values")
    return version, weights


def _values_bytes(model: Model, codec: int) -> int:
    if codec == INT8:
        return model.size + 4 * len(model.layers)
    return model.size * (4 if codec == F32 else 2)


def _tensors(model: Model) -> "list[tuple[int, int]]":
    """The runs of weights that share a scale: each layer's weights, then its biases."""
    runs = []
    for layer in model.layers:
        middle = layer.offset + layer.units * layer.inputs
        runs += [(layer.offset, middle), (middle, layer.offset + layer.size)]
    return runs


# --- the small messages ----------------------------------------------------------------------------------------------


class Message:
    """A JSON object with known fields. FIELDS: name -> (type, default); a default of ... means it must be there."""

    FIELDS: "dict[str, tuple[Any, Any]]" = {}
    LIMIT_BYTES = 512

    def __init__(self, **values: "Any") -> None:
        for name, (_, default) in self.FIELDS.items():
            setattr(self, name, values.pop(name, default))
        if values:
            raise ValueError("no field %s" % ", ".join(values))

    def encode(self) -> bytes:
        """As JSON, fields at their defaults left out. ValueError if it is longer than its limit."""
        fields = {}
        for name, (_, default) in self.FIELDS.items():
            value = getattr(self, name)
            if value != default:
                fields[name] = value
        data = json.dumps(fields).encode()
        if len(data) > self.LIMIT_BYTES:
            raise ValueError("%d bytes are more than the %d allowed" % (len(data), self.LIMIT_BYTES))
        return data

    @classmethod
    def decode(cls, data: bytes) -> "Any":
        """The message in data, else WireError with the field's name."""
        if len(data) > cls.LIMIT_BYTES:
            raise WireError("length: %d bytes are more than %d" % (len(data), cls.LIMIT_BYTES))
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError, RuntimeError):
            raise WireError("json: cannot be read")
        if not isinstance(fields, dict):
            raise WireError("json: must be an object")
        values = {}
        for name, (kind, default) in cls.FIELDS.items():
            value = fields.get(name, default)
            if value is ...:
                raise WireError("%s: is missing" % name)
            if kind is float and type(value) is int and abs(value) < 1 << 53:
                value = float(value)
            if value != default and type(value) is not kind:
                raise WireError("%s: must be %s" % (name, kind.__name__))
            if (kind is int and not 0 <= value <= 0xFFFFFFFF) or (kind is float and not value - value == 0.0):
                raise WireError("%s: out of range" % name)
            values[name] = value
        return cls(**values)


class Manifest(Message):
    """What a device must know before it takes an initialization: retained, at most 512 bytes."""

    FIELDS = {
        "model": (str, ...),  # name
        "spec": (str, ...),  # layers, with the shared/local split (see tegu.model)
        "hash": (int, ...),  # the spec's shape hash
        "version": (int, ...),
        "bytes": (int, ...),  # of the initialization as published
        "sha256": (str, ...),  # of the same, as hex
        "chunks": (int, ...),  # pieces of 1 KiB
        "codec": (str, "int8"),  # of updates
        "inner_step_size": (float, ...),
        "outer_step_size": (float, 1.0),
        "samples": (int, ...),  # a device learns from in a round
        "top_p": (float, ...),  # percent of shared parameters sent
        "heap_bytes": (int, 0),  # free heap that a device needs to take part
        "finished": (int, 0),  # 1: no more rounds, this version is for use
    }
    model: str
    spec: str
    hash: int
    version: int
    bytes: int
    sha256: str
    chunks: int
    codec: str
    inner_step_size: float
    outer_step_size: float
    samples: int
    top_p: float
    heap_bytes: int
    finished: int


class Round(Message):
    """An open round: retained, at most 256 bytes. Times are seconds since 1970 by the coordinator's clock."""

    LIMIT_BYTES = 256
    FIELDS = {
        "round_num": (int, ...),
        "version": (int, ...),
        "opens_s": (int, ...),
        "closes_s": (int, ...),
        "quorum": (int, ...),
        "join_percent": (float, 100.0),  # probability that a device takes part
        "invited": (str, ""),  # one device id: TinyReptile's serial round; empty means all
        "top_p": (float, 0.0),  # 0 means the manifest's
    }
    round_num: int
    version: int
    opens_s: int
    closes_s: int
    quorum: int
    join_percent: float
    invited: str
    top_p: float


RESULTS = ("accepted", "duplicate", "stale", "late", "invalid", "limited")


class Ack(Message):
    """The receipt of an update, sent after the coordinator's commit. boot, sequence: of the update it answers."""

    LIMIT_BYTES = 256
    FIELDS = {
        "result": (str, ...),
        "boot": (int, 0),
        "sequence": (int, 0),
        "version": (int, ...),  # the current one
        "why": (str, ""),
    }
    result: str
    boot: int
    sequence: int
    version: int
    why: str


class State(Message):
    """A device's or the coordinator's state, retained, also as last will."""

    LIMIT_BYTES = 256
    FIELDS = {
        "state": (str, ...),  # ready, sleeping, offline, lost, refused; the coordinator: online, offline
        "boot": (int, 0),  # of the device; the coordinator's epoch
        "wakes_s": (int, 0),
        "why": (str, ""),
    }
    state: str
    boot: int
    wakes_s: int
    why: str
