"""The initialization: all parameters of a version. The layout is in tegu.wire."""

from array import array
from binascii import crc32
from struct import pack_into, unpack_from

from ..model import Model
from . import CODECS, F16, F32, FORMAT, INT8, WireError
from .bits import (
    check_crc,
    check_finite,
    from_bits,
    get_floats,
    get_varint,
    put_varint,
    scale_of,
    to_half,
    varint_bytes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    Bytes = bytes | bytearray
    Floats = array[float]


def encode_init(model: Model, weights: "Floats", version: int, codec: int = F32) -> bytearray:
    """All weights of a version. ValueError if one is not finite."""
    if len(weights) != model.size:
        raise ValueError("the model has %d weights, not %d" % (model.size, len(weights)))
    for i in range(len(weights)):
        if not weights[i] - weights[i] == 0.0:
            raise ValueError("weight %d is not finite" % i)
    if not 0 <= codec < len(CODECS) or not 0 <= version <= 0xFFFFFFFF:
        raise ValueError("no codec %r, or the version does not fit 32 bits" % codec)
    header = 3 + varint_bytes(version)
    out = bytearray(header + values_bytes(model, codec) + 4)
    out[0] = FORMAT << 4 | codec
    pack_into("<H", out, 1, model.shape_hash)
    at = put_varint(out, 3, version)
    for start, stop in tensors_of(model) if codec == INT8 else ((0, model.size),):
        if codec == INT8:
            bits = scale_of(max(abs(weights[i]) for i in range(start, stop)))
            scale = from_bits(bits << 16)
            pack_into("<H", out, at, bits)
            at += 2
        for i in range(start, stop):
            if codec == F32:
                pack_into("<f", out, at, weights[i])
                at += 4
            elif codec == F16:
                pack_into("<H", out, at, to_half(weights[i]))
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
    end = check_crc(data)
    if unpack_from("<H", data, 1)[0] != model.shape_hash:
        raise WireError("shape hash: not of this model")
    version, at = get_varint(data, 3, end, "version")
    if end - at != values_bytes(model, codec):
        raise WireError("length: %d bytes of values, not %d" % (end - at, values_bytes(model, codec)))
    if codec != INT8:
        return version, get_floats(data, at, end, model.size, codec)[0]
    weights = array("f", bytes(4 * model.size))
    for start, stop in tensors_of(model):
        bits = unpack_from("<H", data, at)[0]
        if not 0 < bits < 0x7F80:
            raise WireError("scale: must be finite and above zero")
        scale = from_bits(bits << 16)
        at += 2
        for i in range(start, stop):
            weights[i] = (data[at] - 256 if data[at] > 127 else data[at]) * scale
            at += 1
    check_finite(weights, "values")
    return version, weights


def values_bytes(model: Model, codec: int) -> int:
    if codec == INT8:
        return model.size + 2 * len(tensors_of(model))
    return model.size * (4 if codec == F32 else 2)


def tensors_of(model: Model) -> "list[tuple[int, int]]":
    """The runs of weights that share a scale: each layer's weights, then its biases."""
    runs = []
    for layer in model.layers:
        if layer.size:
            runs += [(layer.offset, layer.bias), (layer.bias, layer.offset + layer.size)]
    return runs
