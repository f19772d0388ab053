"""Numbers and runs of bits, as section for section the formats of tegu.wire have them."""

from array import array
from binascii import crc32
from struct import pack, unpack_from

from . import F32, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Bytes = bytes | bytearray
    Floats = array[float]


def varint_bytes(value: int) -> int:
    count = 1
    while value > 127:
        value >>= 7
        count += 1
    return count


def put_varint(out: bytearray, at: int, value: int) -> int:
    while value > 127:
        out[at] = value & 127 | 128
        value >>= 7
        at += 1
    out[at] = value
    return at + 1


def get_varint(data: "Bytes", at: int, end: int, field: str) -> "tuple[int, int]":
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


def to_bits(value: float) -> int:
    bits: int = unpack_from("<I", pack("<f", value), 0)[0]
    return bits


def from_bits(bits: int) -> float:
    value: float = unpack_from("<f", pack("<I", bits), 0)[0]
    return value


def to_half(value: float) -> int:
    """The bits of the nearest binary16, ties to even; what is too large becomes its largest, 65504."""
    bits = to_bits(value)
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


def from_half(bits: int) -> float:
    exponent = bits >> 10 & 31
    mantissa = bits & 0x3FF
    value = mantissa * 2.0**-24 if exponent == 0 else (1024 + mantissa) * 2.0 ** (exponent - 25)
    return -value if bits & 0x8000 else value


def scale_of(largest: float) -> int:
    """The bfloat16 just above largest / 127, so that no magnitude passes 127."""
    bits = (to_bits(largest / 127.0) + 0xFFFF) >> 16
    return max(1, min(0x7F7F, bits))


def check_finite(values: "Floats", field: str) -> None:
    for i in range(len(values)):
        if not values[i] - values[i] == 0.0:
            raise WireError("%s: value %d is not finite" % (field, i))


def check_crc(data: "Bytes") -> int:
    """The end of what the CRC covers."""
    end = len(data) - 4
    if crc32(memoryview(data)[:end]) & 0xFFFFFFFF != unpack_from("<I", data, end)[0]:
        raise WireError("CRC: does not match")
    return end


class Rice:
    """Counts the bits that each Rice parameter would cost, then tells the cheapest."""

    def __init__(self) -> None:
        self.quotients = array("I", bytes(64))  # sum of value >> r, for r = 0..15
        self.count = 0

    def clear(self) -> None:
        """Begin anew in the same memory."""
        for r in range(16):
            self.quotients[r] = 0
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


def put_unary(out: bytearray, at: int, zeros: int) -> int:
    """`zeros` zeros and a one from bit `at` on; the bit after them. Of plain numbers, for an object would cost heap."""
    at += zeros
    out[at >> 3] |= 1 << (at & 7)
    return at + 1


def put_bits(out: bytearray, at: int, value: int, count: int) -> int:
    """The low `count` bits of value from bit `at` on; the bit after them."""
    for i in range(count):
        if value >> i & 1:
            out[(at + i) >> 3] |= 1 << ((at + i) & 7)
    return at + count


class Bits:
    """Reads one section of bits in data from byte `at` on."""

    def __init__(self, data: "Bytes", at: int, end: int) -> None:
        self.data = data
        self.at = at << 3
        self.end = end << 3

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


def get_floats(data: "Bytes", at: int, end: int, count: int, codec: int) -> "tuple[Floats, int]":
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
            values[n] = from_half(bits)
        at += width
    check_finite(values, "values")
    return values, at
