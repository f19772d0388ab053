"""Writes the golden vectors beside it, from tests/reference_wire.py and never from tegu. Run it again after a change of
format; a test fails when that changes a file which was not committed.

Numbers that must be exact are given as hex of little-endian float32. `hex` is the message. A malformed message has the
`field` with which the WireError must begin.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests import reference_wire as wire  # noqa: E402
from tests.reference_wire import FLOAT16, FLOAT32, INT8, with_crc  # noqa: E402

TINY = "3 | dense 2 linear"  # 8 parameters
LOCAL = "4 | dense 3 tanh local | dense 5 relu | dense 2 softmax local"  # 15 + 20 + 12, of which 20 are shared
WIDE = "99 | dense 12 tanh"  # 1200
Entries = list[tuple[int, float]]


def shape_hash(spec: str) -> int:
    return zlib.crc32(spec.encode()) & 0xFFFF


def float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def floats_hex(values: list[float]) -> str:
    return struct.pack(f"<{len(values)}f", *values).hex()


def shared_size(spec: str) -> int:
    return {TINY: 8, LOCAL: 20, WIDE: 1200}[spec]


def pseudo_random(count: int, seed: int, limit: float) -> list[float]:
    state, values = seed, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        values.append(float32(limit * (state / 2**30 - 1) ** 3))
    return values


def update(note: str, spec: str, codec: int, counters: tuple[int, int, int, int], entries: Entries) -> dict[str, Any]:
    payload = wire.encode_update(codec, shape_hash(spec), counters, entries)
    read = wire.decode_update(payload, shape_hash(spec), shared_size(spec))
    return {
        "note": note,
        "spec": spec,
        "codec": codec,
        "counters": counters,
        "delta_indices": [index for index, _ in entries],
        "delta_values": floats_hex([value for _, value in entries]),
        "hex": payload.hex(),
        "indices": read["indices"],
        "values": floats_hex([float(value) for value in read["values"]]),  # type: ignore[attr-defined]
    }


# Worked by hand. Shape hash of TINY: CRC-32 of its text ends in the bytes that `shape` holds.
#
# int8, entries 1: 127, 4: -2, 6: 2. Largest 127, scale 127 / 127 = 1 = bfloat16 3f80, exact. Magnitudes 127 2 2, least 2,
# above it 125 0 0. Gaps 1, 4-1-1 = 2, 6-4-1 = 1.
#   Gap parameter 0: quotients 1+2+1 and 3 ones = 7 bits. 1: quotients 0+1+0, 3 ones, 3 low bits = 7 bits. 0, the smaller.
#   Magnitude parameters 0: 125+3. 3: 15+3+9 = 27. 4: 7+3+12 = 22. 5: 3+3+15 = 21. 6: 1+3+18 = 22. So 5.
#   byte 0: 12 (format 1, int8). byte 1: 05. Shape, then varints 1 2 3 4 and k = 3. Scale 80 3f, least 02.
#   Gaps unary 01 001 01, filled from the low end and padded: 01001010 backwards = 0101 0010 = 52. No low bits.
#   Signs 0 1 0: 02. Magnitudes unary: 125 >> 5 = 3: 0001, then 1, 1: 000111 = 38. Low: 125 & 31 = 29, 0, 0, of 5 bits:
#   10111 00000 00000, 2 bytes: 1d 00.
BY_HAND = "1205" + struct.pack("<H", shape_hash(TINY)).hex() + "0102030403" + "803f02" + "52" + "02" + "38" + "1d00"
# float16, entries 0: 1.0, 7: -2.0. Gaps 0, 6: parameter 0: 6+2 = 8 bits; 1: 3+2+2 = 7; 2: 1+2+4 = 7. So 1.
#   Unary 1, 0001: 11 hex. Low bits 0, 0: 00. 1.0 is 3c00, -2.0 is c000. Version 300 = ac 02.
BY_HAND_HALF = "1110" + struct.pack("<H", shape_hash(TINY)).hex() + "ac0200000102" + "1100" + "003c00c0"
# Nothing to say, float32: 2 sections of no bits.
BY_HAND_EMPTY = "1000" + struct.pack("<H", shape_hash(TINY)).hex() + "0700000000"


def updates() -> list[dict[str, Any]]:
    wide = list(zip(range(3, 1200, 11), pseudo_random(109, 5, 0.02), strict=True))
    every = list(zip(range(1200), pseudo_random(1200, 6, 1.0), strict=True))
    halves = [
        1.0,
        65504.0,
        65519.0,
        65520.0,
        1e9,
        2**-14,
        2**-24,
        2**-25,
        1.5 * 2**-25,
        6e-8,
        1 + 2**-11,
        1 + 3 * 2**-11,
    ]
    numbers = [0.1, -0.1, 3.4e38, -1.2e-38, 1e-45, 16777216.0, -1.0, 1 / 3]
    rows = [
        update("worked by hand", TINY, INT8, (1, 2, 3, 4), [(1, 127.0), (4, -2.0), (6, 2.0)]),
        update("worked by hand", TINY, FLOAT16, (300, 0, 0, 1), [(0, 1.0), (7, -2.0)]),
        update("worked by hand, no entries", TINY, FLOAT32, (7, 0, 0, 0), []),
        update("no entries, int8: scale and least are 1 and 127", TINY, INT8, (7, 0, 0, 0), []),
        update("no entries, float16", TINY, FLOAT16, (7, 0, 0, 0), []),
        update("one entry, the last", TINY, INT8, (1, 1, 1, 1), [(7, -0.25)]),
        update("counters of every length", TINY, INT8, (2**32 - 1, 127, 128, 2**21), [(0, 1.0)]),
        update("every parameter, all alike", TINY, INT8, (1, 1, 1, 1), [(i, 0.5) for i in range(8)]),
        update(
            "those that round to zero are left out",
            TINY,
            INT8,
            (1, 1, 1, 1),
            [(0, 1.0), (2, 0.003), (3, -0.004), (5, 0.0)],
        ),
        update("half-way goes away from zero", TINY, INT8, (1, 1, 1, 1), [(0, 127.0), (1, 0.5), (2, 1.5), (3, -2.5)]),
        update(
            "the scale is rounded up",
            TINY,
            INT8,
            (1, 1, 1, 1),
            [(0, float32(1.01)), (1, float32(-1.01)), (2, float32(0.02))],
        ),
        update("all zeros", TINY, INT8, (1, 1, 1, 1), [(0, 0.0), (5, -0.0)]),
        update("zeros are kept by the float codecs", TINY, FLOAT32, (1, 1, 1, 1), [(0, 0.0), (5, -0.0)]),
        update("zeros are kept by the float codecs", TINY, FLOAT16, (1, 1, 1, 1), [(0, 0.0), (5, -0.0)]),
        update("float32 as it is", TINY, FLOAT32, (1, 1, 1, 1), [(i, float32(v)) for i, v in enumerate(numbers)]),
        update(
            "halves: ties, subnormals, too large",
            WIDE,
            FLOAT16,
            (1, 1, 1, 1),
            [(i * 100, float32(v)) for i, v in enumerate(halves)],
        ),
        update("local layers are not counted", LOCAL, INT8, (1, 1, 1, 1), [(0, 0.5), (19, -0.125)]),
    ]
    for codec in (FLOAT32, FLOAT16, INT8):
        rows.append(update("a tenth of 1200", WIDE, codec, (2, 3, 4, 32), wide))
    rows.append(update("all of 1200", WIDE, INT8, (2, 3, 4, 32), every))
    for row, by_hand in zip(rows, (BY_HAND, BY_HAND_HALF, BY_HAND_EMPTY), strict=False):
        if row["hex"][:-8] != by_hand:
            raise SystemExit(f"the hand-worked {row['note']!r} is {by_hand}, the reference says {row['hex'][:-8]}")
    return rows


def malformed_updates() -> list[dict[str, Any]]:
    entries = [(1, 127.0), (4, -2.0), (6, 2.0)]
    rows = []

    def add(field: str, note: str, payload: bytes, spec: str = TINY) -> None:
        rows.append({"field": field, "note": note, "spec": spec, "hex": payload.hex()})

    def changed(
        field: str, note: str, codec: int = INT8, entries: Entries = entries, spec: str = TINY, **parts: str
    ) -> None:
        whole = wire.entries_parts(codec, shape_hash(spec), (1, 2, 3, 4), entries)
        for name, value in parts.items():
            whole[name.replace("_", " ")] = bytes.fromhex(value)
        add(field, note, with_crc(b"".join(whole.values())), spec)

    good = wire.encode_update(INT8, shape_hash(TINY), (1, 2, 3, 4), entries)
    add("length", "nothing", b"")
    add("length", "12 bytes", good[:12])
    add("CRC", "the last byte is missing", good[:-1])
    add("CRC", "one bit of the CRC", good[:-1] + bytes([good[-1] ^ 128]))
    add("CRC", "one bit of an index", good[:12] + bytes([good[12] ^ 1]) + good[13:])
    changed("format", "format 0", format="02")
    changed("format", "format 2", format="22")
    changed("format", "format 15", format="f2")
    changed("codec", "codec 3", format="13")
    changed("codec", "codec 15", format="1f")
    changed("Rice parameters", "of the magnitudes: 7", rice="07")
    changed("Rice parameters", "of magnitudes that are not there", FLOAT32, rice="01")
    changed("Rice parameters", "of magnitudes that are not there", FLOAT16, rice="0f")
    changed("shape hash", "of another model", shape="0000")
    for name in ("version", "boot", "sequence", "samples", "count"):
        changed(name, "a varint with a leading group of zeros", **{name: "8100"})
        changed(name, "zero in two bytes", **{name: "8000"})
        changed(name, "33 bits", **{name: "8080808010"})
        changed(name, "a varint of 6 bytes", **{name: "818080808000"})
    body = b"".join(wire.update_parts(FLOAT32, shape_hash(TINY), (1, 2, 3, 4), [], []).values())
    add("count", "a varint that does not end", with_crc(body[:-1] + b"\x80"))
    changed("count", "more entries than parameters", count="09")
    changed("count", "4,294,967,295 entries", count="ffffffff0f")
    changed("count", "more entries than bits", FLOAT32, [], WIDE, count="01")
    changed(
        "length", "more bytes than the entries need", count="01", gaps_unary="02", signs="00", magnitudes_unary="01"
    )
    changed("scale", "zero", scale="0000")
    changed("scale", "minus one", scale="80bf")
    changed("scale", "minus zero", scale="0080")
    changed("scale", "infinity", scale="807f")
    changed("scale", "not a number", scale="c07f")
    changed("least magnitude", "0", least="00")
    changed("least magnitude", "128", least="80")
    changed("gaps", "padding after the unary part", gaps_unary="d2")
    changed("gaps", "zeros past every index", gaps_unary="0002")
    changed("index", "one past the last", gaps_unary="1201")  # gaps 1 2 3: 01 001 0001
    changed("index", "8 of 8", INT8, [(7, 1.0)], gaps_unary="0001", gaps_low="", rice="00")
    changed(
        "length", "ends within the gaps", FLOAT32, [(7, 1.0)], WIDE, gaps_unary="00", gaps_low="", rice="00", values=""
    )
    changed(
        "length",
        "ends within the low bits",
        FLOAT32,
        [(0, 1.0)],
        WIDE,
        rice="90",
        gaps_unary="01",
        gaps_low="00",
        values="",
    )
    changed("gaps", "padding after the low bits", FLOAT32, [(3, 1.0)], rice="20", gaps_unary="01", gaps_low="07")
    changed("signs", "padding", signs="0a")
    changed("magnitudes", "padding after the unary part", magnitudes_unary="78")
    changed("magnitudes", "padding after the low bits", magnitudes_low="1d80")
    changed("magnitudes", "zeros past 127", rice="00", magnitudes_unary="00" * 16 + "07", magnitudes_low="")
    changed("magnitude", "128", least="03")
    changed("length", "ends within the magnitudes", magnitudes_unary="", magnitudes_low="")
    changed("length", "ends within the low bits of the magnitudes", magnitudes_low="1d")
    changed("length", "ends within the signs", signs="", magnitudes_unary="", magnitudes_low="")
    changed("length", "ends within the scale", INT8, [], scale="80", least="")
    changed("values", "larger than any float32", INT8, [(0, 1.0)], scale="7f7f")
    changed("values", "infinity", FLOAT32, [(0, 1.0)], values="0000807f")
    changed("values", "minus infinity", FLOAT32, [(0, 1.0)], values="000080ff")
    changed("values", "not a number", FLOAT32, [(0, 1.0), (1, 1.0)], values="0000803f0000c07f")
    changed("values", "infinity", FLOAT16, [(0, 1.0)], values="007c")
    changed("values", "not a number", FLOAT16, [(0, 1.0)], values="01fe")
    changed("length", "ends within the values", FLOAT32, [(0, 1.0)], values="000080")
    changed("length", "a byte too many", FLOAT32, [(0, 1.0)], values="0000803f00")
    changed("length", "a byte too many", magnitudes_low="1d0000")
    changed("index", "20 of 20: local layers do not count", FLOAT32, [(20, 1.0)], LOCAL)
    return rows


def initialization(note: str, spec: str, codec: int, version: int, tensors: list[list[float]]) -> dict[str, Any]:
    payload = wire.encode_initialization(codec, shape_hash(spec), version, tensors)
    _, values = wire.decode_initialization(payload, shape_hash(spec), [len(tensor) for tensor in tensors])
    return {
        "note": note,
        "spec": spec,
        "codec": codec,
        "version": version,
        "weights": floats_hex([value for tensor in tensors for value in tensor]),
        "hex": payload.hex(),
        "values": floats_hex([float(value) for value in values]),
    }


def initializations() -> list[dict[str, Any]]:
    tiny = [[1.0, -2.0, 0.5, 0.25, -0.125, 127.0], [0.0, 0.0]]
    local = [pseudo_random(count, count, 0.5) for count in (12, 3, 15, 5, 10, 2)]
    rows = []
    for codec in (FLOAT32, FLOAT16, INT8):
        rows.append(initialization("tiny", TINY, codec, 5, tiny))
        rows.append(initialization("all parameters, also local ones", LOCAL, codec, 2**32 - 1, local))
    # By hand: int8, scale 127 / 127 = 1, values 1 -2 1 (0.5, away from zero) 0 0 127; biases: zeros under scale 2**-133.
    by_hand = "12" + struct.pack("<H", shape_hash(TINY)).hex() + "05" + "803f" + "01fe0100007f" + "0100" + "0000"
    if rows[4]["hex"][:-8] != by_hand:
        raise SystemExit(f"the hand-worked initialization is {by_hand}, the reference says {rows[4]['hex'][:-8]}")
    return rows


def malformed_initializations() -> list[dict[str, Any]]:
    shape = struct.pack("<H", shape_hash(TINY))
    values = bytes.fromhex("803f01fe0100007f01000000")
    rows = []

    def add(field: str, note: str, payload: bytes) -> None:
        rows.append({"field": field, "note": note, "spec": TINY, "hex": payload.hex()})

    good = with_crc(b"\x12" + shape + b"\x05" + values)
    add("length", "nothing", b"")
    add("length", "7 bytes", good[:7])
    add("CRC", "cut short", good[:-1])
    add("CRC", "one bit", good[:8] + bytes([good[8] ^ 4]) + good[9:])
    add("format", "format 2", with_crc(b"\x22" + good[1:-4]))
    add("codec", "codec 3", with_crc(b"\x13" + good[1:-4]))
    add("shape hash", "of another model", with_crc(b"\x12" + bytes([shape[0] ^ 1, shape[1]]) + b"\x05" + values))
    add("version", "not the shortest", with_crc(b"\x12" + shape + b"\x85\x00" + values))
    add("version", "33 bits", with_crc(b"\x12" + shape + b"\xff\xff\xff\xff\x1f" + values))
    add("version", "does not end", with_crc(b"\x12" + shape + b"\x85\x80\x80"))
    add("length", "one value too few", with_crc(b"\x12" + shape + b"\x05" + values[:-1]))
    add("length", "one value too many", with_crc(b"\x12" + shape + b"\x05" + values + b"\x00"))
    add("length", "another codec's values", with_crc(b"\x10" + shape + b"\x05" + values))
    add("scale", "zero", with_crc(b"\x12" + shape + b"\x05" + b"\0\0" + values[2:]))
    add("scale", "minus one", with_crc(b"\x12" + shape + b"\x05" + b"\x80\xbf" + values[2:]))
    add("scale", "infinity", with_crc(b"\x12" + shape + b"\x05" + b"\x80\x7f" + values[2:]))
    add("scale", "of the biases: not a number", with_crc(b"\x12" + shape + b"\x05" + values[:8] + b"\xff\xff\0\0"))
    add("values", "larger than any float32", with_crc(b"\x12" + shape + b"\x05" + b"\x7f\x7f" + values[2:]))
    add("values", "float32 infinity", with_crc(b"\x10" + shape + b"\x05" + bytes(28) + b"\0\0\x80\x7f"))
    add("values", "float16 not a number", with_crc(b"\x11" + shape + b"\x05" + bytes(14) + b"\x01\x7c"))
    return rows


MANIFEST = {
    "model": "room",
    "spec": TINY,
    "hash": shape_hash(TINY),
    "version": 3,
    "bytes": 21,
    "sha256": "ab" * 32,
    "chunks": 1,
    "inner_step_size": 0.0625,
    "samples": 32,
    "top_p": 10.0,
}
ROUND = {"round_num": 9, "version": 3, "opens_s": 1790000000, "closes_s": 1790000600, "quorum": 5}
ACK = {"result": "accepted", "boot": 7, "sequence": 12, "version": 4}
OUTSIDE = {"result": "outside", "version": 4, "round_num": 2**32 - 1, "why": "not in this round: it has no CO2 sensor"}
STATE = {"state": "ready", "boot": 7}
DESIRED = {"version": 3, "model": "presence"}
REPORTED = {"version": 3, "model": "presence", "why": "sine: needs 1 inputs, has 11"}


def text(fields: dict[str, Any] | str) -> str:
    return (fields if isinstance(fields, str) else json.dumps(fields)).encode().hex()


def messages() -> list[dict[str, Any]]:
    """`fields`: what the decoded message must have; `same`: encoding them gives an object with just the fields of hex."""
    round_defaults = {"join_percent": 100.0, "invited": "", "top_p": 0.0}
    manifest_defaults = {"codec": "int8", "outer_step_size": 1.0, "heap_bytes": 0, "finished": 0}
    full_manifest = {**MANIFEST, "codec": "f16", "outer_step_size": 0.5, "heap_bytes": 30000, "finished": 1}
    full_round = {**ROUND, "join_percent": 50.0, "invited": "pi-3", "top_p": 2.5}
    return [
        {"kind": "Manifest", "hex": text(MANIFEST), "fields": {**MANIFEST, **manifest_defaults}, "same": True},
        {"kind": "Manifest", "hex": text(full_manifest), "fields": full_manifest, "same": True},
        {"kind": "Round", "hex": text(ROUND), "fields": {**ROUND, **round_defaults}, "same": True},
        {"kind": "Round", "hex": text(full_round), "fields": full_round, "same": True},
        {
            "kind": "Round",
            "hex": text({**ROUND, "join_percent": 100, "new": [1, {"a": None}]}),
            "fields": {**ROUND, **round_defaults},
            "same": False,
        },
        {"kind": "Ack", "hex": text(ACK), "fields": {**ACK, "why": ""}, "same": True},
        {
            "kind": "Ack",
            "hex": text({"result": "stale", "version": 2**32 - 1}),
            "fields": {"result": "stale", "boot": 0, "sequence": 0, "version": 2**32 - 1, "round_num": 0, "why": ""},
            "same": True,
        },
        {
            "kind": "Ack",
            "hex": text(OUTSIDE),
            "fields": {**OUTSIDE, "boot": 0, "sequence": 0, "least_boot": 0},
            "same": True,
        },
        {"kind": "State", "hex": text(STATE), "fields": {**STATE, "wakes_s": 0, "why": ""}, "same": True},
        {
            "kind": "State",
            "hex": text({"state": "sleeping", "boot": 7, "wakes_s": 1790000000}),
            "fields": {"state": "sleeping", "boot": 7, "wakes_s": 1790000000, "why": "", "version": 0},
            "same": True,
        },
        {
            "kind": "State",
            "hex": text({"state": "ready", "boot": 7, "model": "m", "version": 41}),
            "fields": {"state": "ready", "boot": 7, "model": "m", "version": 41, "wakes_s": 0, "why": ""},
            "same": True,
        },
        {"kind": "Desired", "hex": text(DESIRED), "fields": DESIRED, "same": True},
        {"kind": "Desired", "hex": text({**DESIRED, "model": ""}), "fields": {**DESIRED, "model": ""}, "same": True},
        {"kind": "Reported", "hex": text(DESIRED), "fields": {**DESIRED, "why": ""}, "same": True},
        {"kind": "Reported", "hex": text(REPORTED), "fields": REPORTED, "same": True},
    ]


def malformed_messages() -> list[dict[str, Any]]:
    rows = []

    def add(kind: str, field: str, note: str, fields: dict[str, Any] | str) -> None:
        rows.append({"kind": kind, "field": field, "note": note, "hex": text(fields)})

    def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
        return {key: value for key, value in fields.items() if key != name}

    for kind, fields in (
        ("Manifest", MANIFEST),
        ("Round", ROUND),
        ("Ack", {"result": "late", "version": 1}),
        ("State", {"state": "ready"}),
        ("Desired", DESIRED),
        ("Reported", DESIRED),
    ):
        for name, value in fields.items():
            add(kind, name, "is missing", without(fields, name))
            add(kind, name, "is null", {**fields, name: None})
            add(kind, name, "is of the wrong type", {**fields, name: 5 if isinstance(value, str) else "5"})
            if isinstance(value, int):
                add(kind, name, "is negative", {**fields, name: -1})
                add(kind, name, "has 33 bits", {**fields, name: 2**32})
                add(kind, name, "is a fraction", {**fields, name: 1.5})
                add(kind, name, "is a truth value", {**fields, name: True})
            if isinstance(value, float):
                add(kind, name, "is too large", json.dumps(fields).replace(json.dumps(value), "1e999"))
        add(kind, "json", "is a list", "[]")
        add(kind, "json", "is a number", "7")
        add(kind, "json", "is no JSON", "{")
        add(kind, "json", "is empty", "")
        add(kind, "json", "is deep", "[" * 200)
        add(kind, "length", "is too long", " " * 513)
    add("Round", "length", "257 bytes", json.dumps(ROUND).ljust(257))
    add("Round", "join_percent", "a text", {**ROUND, "join_percent": "all"})
    add("Round", "invited", "a list", {**ROUND, "invited": ["a"]})
    add("Manifest", "codec", "a number", {**MANIFEST, "codec": 2})
    add("Ack", "why", "an object", {**ACK, "why": {}})
    add("Ack", "round_num", "a text", {**OUTSIDE, "round_num": "9"})
    add("Ack", "round_num", "has 33 bits", {**OUTSIDE, "round_num": 2**32})
    add("State", "version", "a text", {**STATE, "version": "41"})
    add("State", "wakes_s", "an infinite number", '{"state": "ready", "wakes_s": 1e999}')
    return rows


def documents() -> dict[str, str]:
    """File name -> contents."""
    kinds = (updates, malformed_updates, initializations, malformed_initializations, messages, malformed_messages)
    return {f"{kind.__name__}.json": "[\n" + ",\n".join(json.dumps(row) for row in kind()) + "\n]\n" for kind in kinds}


if __name__ == "__main__":
    for name, document in documents().items():
        (HERE / name).write_text(document)
