"""A second reading of the wire format, to hold tegu.wire against: written from the docstring of tegu.wire alone.

Nothing here is fast and nothing here comes from tegu. A message is a string of '0' and '1' until the last moment,
arithmetic is on exact fractions, and a float is built from its bits. CHOICE marks what is a matter of agreement and not
of reading: which of several right encodings an encoder sends.
"""

from __future__ import annotations

import zlib
from fractions import Fraction

FLOAT32, FLOAT16, INT8 = 0, 1, 2
LARGEST_MAGNITUDE = 127
LARGEST_RICE = 15  # half a byte
TOO_LARGE = Fraction(2) ** 128 * (1 - Fraction(1, 2**25))  # what a float32 rounds to infinity
COUNTERS = ("version", "boot", "sequence", "samples", "count")


class Malformed(Exception):
    """The payload is not a message of this format; says which part."""


# Floating point by its definition: sign, exponent, fraction. Formats are (exponent bits, fraction bits).
BINARY32, BINARY16, BFLOAT16 = (8, 23), (5, 10), (8, 7)


def float_to_fraction(bits: int, form: tuple[int, int]) -> Fraction:
    exponent_bits, fraction_bits = form
    sign = bits >> (exponent_bits + fraction_bits)
    exponent = bits >> fraction_bits & (1 << exponent_bits) - 1
    fraction = bits & (1 << fraction_bits) - 1
    if exponent == (1 << exponent_bits) - 1:
        raise Malformed("not finite")
    bias = (1 << exponent_bits - 1) - 1
    significand = fraction + (1 << fraction_bits) * (exponent > 0)
    return (-1) ** sign * significand * Fraction(2) ** (max(exponent, 1) - bias - fraction_bits)


def read_float(bits: int, form: tuple[int, int]) -> Fraction | float:
    """Exact; minus zero, which no fraction is, as a float."""
    return float_to_fraction(bits, form) or (-0.0 if bits else 0.0)


def fraction_to_float(value: Fraction, form: tuple[int, int], up: bool = False) -> int:
    """The bits of the nearest float (ties to even) or, with `up`, of the least float that is not below a positive value."""
    exponent_bits, fraction_bits = form
    bias = (1 << exponent_bits - 1) - 1
    size = abs(value)
    exponent = 1 - bias
    while size >= Fraction(2) ** (exponent + 1):
        exponent += 1
    steps = size / Fraction(2) ** (exponent - fraction_bits)
    whole = -(-steps // 1) if up else round(steps)
    # Counting the floats upwards from zero counts their bit patterns: a carry into the exponent is right by itself.
    bits = int(whole) + ((exponent + bias - 1) << fraction_bits)
    if bits >> fraction_bits >= (1 << exponent_bits) - 1:
        bits = ((1 << exponent_bits) - 1 << fraction_bits) - 1  # CHOICE: what is too large becomes the largest
    return bits | (value < 0) << (exponent_bits + fraction_bits)


# Bits and bytes.
def little_endian(value: int, count: int) -> bytes:
    return bytes(value >> 8 * i & 255 for i in range(count))


def varint(value: int) -> bytes:
    digits = [value >> 7 * i & 127 for i in range(5) if i == 0 or value >> 7 * i]
    return bytes(digit | 128 * (place + 1 < len(digits)) for place, digit in enumerate(digits))


def pack_bits(bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 8)
    return bytes(int(padded[i : i + 8][::-1], 2) for i in range(0, len(padded), 8))


def low_bits(value: int, count: int) -> str:
    # The bits of one number come least significant first, as the bits of a byte do.
    return "".join(str(value >> i & 1) for i in range(count))


def with_crc(body: bytes) -> bytes:
    return body + little_endian(zlib.crc32(body), 4)


def rice_bits(values: list[int], parameter: int) -> int:
    return sum((value >> parameter) + 1 + parameter for value in values)


def best_rice(values: list[int]) -> int:
    # CHOICE: of several parameters with the fewest bits, the smallest; bits are counted before the padding to bytes.
    return min(range(LARGEST_RICE + 1), key=lambda parameter: (rice_bits(values, parameter), parameter))


def rice_sections(values: list[int], parameter: int) -> tuple[bytes, bytes]:
    unary = "".join("0" * (value >> parameter) + "1" for value in values)
    return pack_bits(unary), pack_bits("".join(low_bits(value, parameter) for value in values))


def gaps(indices: list[int]) -> list[int]:
    return [index - before - 1 for before, index in zip([-1, *indices], indices, strict=False)]


# UPDATE
def update_parts(
    codec: int,
    shape_hash: int,
    counters: tuple[int, int, int, int],
    indices: list[int],
    values: list[int],
    scale_bits: int = 0,
) -> dict[str, bytes]:
    """The fields of an update in their order, without the CRC. `counters` are version, boot, sequence, samples; `values`
    are the bits of floats, or for int8 signed integers."""
    distances = gaps(indices)
    magnitudes = [abs(value) for value in values] if codec == INT8 else []
    least = min(magnitudes, default=LARGEST_MAGNITUDE)  # CHOICE: of no entries, 127
    above = [magnitude - least for magnitude in magnitudes]
    gap_rice, magnitude_rice = best_rice(distances), best_rice(above)
    parts = {
        "format": bytes([1 << 4 | codec]),
        "rice": bytes([gap_rice << 4 | magnitude_rice]),
        "shape": little_endian(shape_hash, 2),
    }
    for name, number in zip(COUNTERS, (*counters, len(indices)), strict=True):
        parts[name] = varint(number)
    if codec == INT8:
        parts["scale"], parts["least"] = little_endian(scale_bits, 2), bytes([least])
    parts["gaps unary"], parts["gaps low"] = rice_sections(distances, gap_rice)
    if codec == INT8:
        parts["signs"] = pack_bits("".join("1" if value < 0 else "0" for value in values))
        parts["magnitudes unary"], parts["magnitudes low"] = rice_sections(above, magnitude_rice)
    else:
        parts["values"] = b"".join(little_endian(value, 2 if codec == FLOAT16 else 4) for value in values)
    return parts


def quantize(values: list[Fraction], scale_bits: int) -> list[int]:
    # CHOICE: a value becomes the nearest multiple of the scale; half-way, the one farther from zero.
    scale = float_to_fraction(scale_bits, BFLOAT16)
    return [(-1 if value < 0 else 1) * int(abs(value) / scale + Fraction(1, 2)) for value in values]


def scale_of(values: list[Fraction]) -> int:
    # CHOICE: the least bfloat16 above zero with which the largest value is at most 127.
    return max(1, fraction_to_float(max(map(abs, values), default=Fraction(0)) / LARGEST_MAGNITUDE, BFLOAT16, up=True))


def float_bits(value: float, form: tuple[int, int]) -> int:
    """With the sign of zero, which a fraction has not."""
    bits = fraction_to_float(Fraction(value), form)
    return bits | (1 << sum(form) if value == 0 and str(value).startswith("-") else 0)


def entries_parts(
    codec: int, shape_hash: int, counters: tuple[int, int, int, int], entries: list[tuple[int, float]]
) -> dict[str, bytes]:
    """The fields of the update that says these (index, float32 value)."""
    indices = [index for index, _ in entries]
    if codec != INT8:
        form = BINARY16 if codec == FLOAT16 else BINARY32
        return update_parts(codec, shape_hash, counters, indices, [float_bits(value, form) for _, value in entries])
    scale_bits = scale_of([Fraction(value) for _, value in entries])
    rounded = quantize([Fraction(value) for _, value in entries], scale_bits)
    sent = [(index, value) for index, value in zip(indices, rounded, strict=True) if value]
    return update_parts(
        codec, shape_hash, counters, [index for index, _ in sent], [value for _, value in sent], scale_bits
    )


def encode_update(
    codec: int, shape_hash: int, counters: tuple[int, int, int, int], entries: list[tuple[int, float]]
) -> bytes:
    return with_crc(b"".join(entries_parts(codec, shape_hash, counters, entries).values()))


class Reader:
    """A message from its start, as a string of bits within bytes."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) < 4 or with_crc(payload[:-4]) != payload:
            raise Malformed("crc")
        self.rest = payload[:-4]

    def integer(self, count: int, field: str) -> int:
        taken, self.rest = self.rest[:count], self.rest[count:]
        if len(taken) != count:
            raise Malformed(field)
        return sum(byte << 8 * i for i, byte in enumerate(taken))

    def varint(self, field: str) -> int:
        value, place = 0, 0
        while True:
            byte = self.integer(1, field)
            value |= (byte & 127) << 7 * place
            if byte < 128:
                break
            place += 1
        if value >> 32 or (place and byte == 0):
            raise Malformed(field)
        return value

    def bits(self) -> str:
        return "".join(f"{byte:08b}"[::-1] for byte in self.rest)

    def skip(self, bits: str, count: int, field: str) -> None:
        length = -(-count // 8)
        if length > len(self.rest) or "1" in bits[count : 8 * length]:
            raise Malformed(field)
        self.rest = self.rest[length:]

    def rice(self, count: int, parameter: int, field: str) -> list[int]:
        bits = self.bits()
        high, place = [], 0
        for _ in range(count):
            one = bits.find("1", place)
            if one < 0:
                raise Malformed(field)
            high.append(one - place)
            place = one + 1
        self.skip(bits, place, field)
        low = self.numbers(count, parameter, field)
        return [(a << parameter) + b for a, b in zip(high, low, strict=True)]

    def numbers(self, count: int, width: int, field: str) -> list[int]:
        bits = self.bits()
        self.skip(bits, count * width, field)
        return [int("0" + bits[i * width : (i + 1) * width][::-1], 2) for i in range(count)]

    def end(self) -> None:
        if self.rest:
            raise Malformed("trailing")


def decode_update(payload: bytes, shape_hash: int, size: int) -> dict[str, object]:
    """Header fields, `indices`, and `values` as exact fractions."""
    reader = Reader(payload)
    first = reader.integer(1, "format")
    codec = first & 15
    if first >> 4 != 1:
        raise Malformed("format")
    if codec > INT8:
        raise Malformed("codec")
    rice = reader.integer(1, "rice")
    gap_rice, magnitude_rice = rice >> 4, rice & 15
    if magnitude_rice > (6 if codec == INT8 else 0):  # magnitudes have 7 bits: 7 is never fewer bits than 6
        raise Malformed("rice")
    if reader.integer(2, "shape") != shape_hash:
        raise Malformed("shape")
    fields: dict[str, object] = {"codec": codec}
    for name in COUNTERS[:4]:
        fields[name] = reader.varint(name)
    count = reader.varint("count")
    if count > size:
        raise Malformed("count")
    scale_bits = reader.integer(2, "scale") if codec == INT8 else 0
    least = reader.integer(1, "least") if codec == INT8 else 0
    if codec == INT8 and not 1 <= least <= LARGEST_MAGNITUDE:
        raise Malformed("least")
    place, indices = -1, []
    for gap in reader.rice(count, gap_rice, "gaps"):
        place += gap + 1
        indices.append(place)
    if indices and indices[-1] >= size:
        raise Malformed("index")
    values: list[Fraction | float]
    if codec == INT8:
        scale = float_to_fraction(scale_bits, BFLOAT16)
        if scale <= 0:
            raise Malformed("scale")
        signs = reader.numbers(count, 1, "signs")
        magnitudes = [above + least for above in reader.rice(count, magnitude_rice, "magnitudes")]
        if max(magnitudes, default=0) > LARGEST_MAGNITUDE:
            raise Malformed("magnitudes")
        values = [(1 - 2 * sign) * magnitude * scale for sign, magnitude in zip(signs, magnitudes, strict=True)]
        if max(map(abs, values), default=0) >= TOO_LARGE:
            raise Malformed("values")
    else:
        width, form = (2, BINARY16) if codec == FLOAT16 else (4, BINARY32)
        values = [read_float(reader.integer(width, "values"), form) for _ in range(count)]
    reader.end()
    return {**fields, "indices": indices, "values": values}


# INITIALIZATION
def encode_initialization(codec: int, shape_hash: int, version: int, tensors: list[list[float]]) -> bytes:
    """`tensors`: the values of a layer's weights, of its biases, of the next layer's weights, and so on."""
    body = bytes([1 << 4 | codec]) + little_endian(shape_hash, 2) + varint(version)
    for tensor in tensors:
        values = [Fraction(value) for value in tensor]
        if codec == INT8:
            scale_bits = scale_of(values)
            body += little_endian(scale_bits, 2)
            body += bytes(value & 255 for value in quantize(values, scale_bits))
        else:
            width, form = (2, BINARY16) if codec == FLOAT16 else (4, BINARY32)
            body += b"".join(little_endian(float_bits(value, form), width) for value in tensor)
    return with_crc(body)


def decode_initialization(
    payload: bytes, shape_hash: int, tensor_sizes: list[int]
) -> tuple[int, list[Fraction | float]]:
    """Version and values."""
    reader = Reader(payload)
    first = reader.integer(1, "format")
    if first >> 4 != 1 or first & 15 > INT8:
        raise Malformed("format")
    if reader.integer(2, "shape") != shape_hash:
        raise Malformed("shape")
    version = reader.varint("version")
    values: list[Fraction | float] = []
    for count in tensor_sizes:
        if first & 15 == INT8:
            scale = float_to_fraction(reader.integer(2, "scale"), BFLOAT16)
            if scale <= 0:
                raise Malformed("scale")
            levels = [(reader.integer(1, "values") ^ 128) - 128 for _ in range(count)]
            if max(map(abs, levels)) * scale >= TOO_LARGE:
                raise Malformed("values")
            values += [level * scale for level in levels]
        else:
            width, form = (2, BINARY16) if first & 15 == FLOAT16 else (4, BINARY32)
            values += [read_float(reader.integer(width, "values"), form) for _ in range(count)]
    reader.end()
    return version, values
