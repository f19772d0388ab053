"""Every byte that Tegu puts on the wire, and nothing else. This docstring is the definition of the formats.

A varint is little-endian base 128, at most 32 bits, without leading zero groups. A float16 is IEEE 754 binary16, a
bfloat16 the upper half of a float32. Sections of bits fill bytes from the least significant bit, a number's own
bits least significant first, and end at a byte boundary, padded with zeros. The CRC is CRC-32 (ISO-HDLC) of all bytes before it. All integers are little-endian.

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

The shape hash is the low 16 bits of the CRC-32 of the model's line of text (tegu.model). A gap is the distance to the
entry before, less one (the first: the index itself), so indices cannot repeat or be out of order. The split of unary
parts and low bits is Golomb-Rice coding: the parameter is the one with the fewest bits, the smallest of equals, at most 15
for gaps and 6 for magnitudes. A decoder takes any parameters; the encoding is canonical by the encoder.

An int8 value is sign x magnitude x scale, exact in float32. The scale is the least bfloat16 above zero that is not below
largest / 127. A value becomes the nearest multiple of the scale, half-way the one farther from zero; those that become
zero are not sent. With no entries the scale is the smallest bfloat16 above zero and the least magnitude 127. The float
codecs send every entry, zeros too; a value beyond 65504 is sent in float16 as 65504.

DELTA: what changed between two versions of the initialization, as an UPDATE. Version is the older one, the boot number is the
CRC-32 of all its weights as float32, sequence and samples are 0.

INITIALIZATION: all the parameters of a version.

    1      format (1) in the high half, value codec in the low half
    2      shape hash
    1-5    varint: version
    ...    float32 or float16: the values; int8: for each tensor (a layer's weights, its biases) a bfloat16 scale,
           then its values as signed bytes (-128 is never sent)
    4      CRC

MANIFEST, ROUND, ACK, STATE, LABEL, DESIRED, REPORTED and telemetry are small JSON objects, so that they can be read in any MQTT
tool; the classes of tegu.wire.messages say their fields. Unknown fields are ignored, which leaves room to add some.

Errors: WireError (a kind of ValueError) names the field that is wrong. Nothing is allocated by a number from the wire
before it was checked against the payload's length and the model. Padding that is not zero, bytes after the last section
and values that are not finite are refused. Format, codec and Rice parameters are looked at before the CRC, the rest after.
"""

FORMAT = 1
F32 = 0
F16 = 1
INT8 = 2
CODECS = ("f32", "f16", "int8")


class WireError(ValueError):
    """The peer's bytes are wrong; the first words name the field."""
