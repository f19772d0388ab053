"""The small messages: JSON objects with known fields. The rules are in tegu.wire."""

import json
from binascii import crc32

from . import WireError

TELEMETRY_BYTES = 2048  # at most

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class Message:
    """A JSON object with known fields.

    FIELDS names them, as `name:kind` or, where it may be left out, `name:kind=default`; a kind is str, int (0 to 2**32 - 1)
    or float. One string, because on a board it stays in flash where a dict would take the heap.
    """

    FIELDS = ""
    LIMIT_BYTES = 512

    def __init__(self, **values: "Any") -> None:
        for name, _, default in fields_of(self):
            value = values.pop(name, default)
            if value is None:
                raise ValueError("%s is missing" % name)
            setattr(self, name, value)
        if values:
            raise ValueError("no field %s" % ", ".join(values))

    def encode(self) -> bytes:
        """As JSON, fields at their defaults left out. ValueError if it is longer than its limit."""
        fields = {}
        for name, _, default in fields_of(self):
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
        fields = _object(data, cls.LIMIT_BYTES)
        values = {}
        for name, kind, default in fields_of(cls):
            value = fields.get(name, default)
            if name not in fields and default is None:
                raise WireError("%s: is missing" % name)
            if kind is float and type(value) is int and abs(value) < 1 << 53:
                value = float(value)
            if type(value) is not kind:
                raise WireError("%s: must be %s" % (name, kind.__name__))
            if (kind is int and not 0 <= value <= 0xFFFFFFFF) or (kind is float and not value - value == 0.0):
                raise WireError("%s: out of range" % name)
            values[name] = value
        return cls(**values)


def fields_of(message: "Message | type[Message]") -> "Iterator[tuple[str, Any, Any]]":
    """(name, type, default or None) of each field."""
    for word in message.FIELDS.split():
        name, rest = word.split(":")
        kind, _, default = rest.partition("=")
        made = int if kind == "int" else float if kind == "float" else str
        yield name, made, made(default) if "=" in rest else None


def _object(data: bytes, limit_bytes: int) -> "dict[str, Any]":
    if len(data) > limit_bytes:
        raise WireError("length: %d bytes are more than %d" % (len(data), limit_bytes))
    try:
        fields = json.loads(data)
    except (ValueError, RuntimeError):
        raise WireError("json: cannot be read")
    if not isinstance(fields, dict):
        raise WireError("json: must be an object")
    return fields


class Manifest(Message):
    """What a device must know before it takes an initialization: retained, at most 512 bytes."""

    FIELDS = (
        "model:str spec:str hash:int version:int bytes:int sha256:str chunks:int codec:str=int8 "
        "inner_step_size:float outer_step_size:float=1.0 samples:int top_p:float heap_bytes:int=0 "
        "finished:int=0 deltas:int=0 by_tensor:int=0 residual:int=1 rebuild:int=0 adapt:str="
    )
    model: str  # name
    spec: str  # layers, with the shared/local split (see tegu.model)
    hash: int  # the spec's shape hash
    version: int
    bytes: int  # of the initialization as published
    sha256: str  # of the same, as hex
    chunks: int  # pieces of 1 KiB
    codec: str  # of updates
    inner_step_size: float
    outer_step_size: float
    samples: int  # a device learns from in a round
    top_p: float  # percent of shared parameters sent
    heap_bytes: int  # free heap that a device needs to take part
    finished: int  # 1: no more rounds, this version is for use
    deltas: int  # a device so many versions behind may take sparse deltas instead of the whole
    by_tensor: int  # 1: top_p is of each tensor, not of the whole model
    residual: int  # 0: what an update leaves out is forgotten
    rebuild: int  # samples of a round that the local layers learn from alone, before the shared ones do
    adapt: str  # local: outside the rounds only those layers learn; empty: all


class Round(Message):
    """An open round: retained, at most 256 bytes. Times are seconds since 1970 by the coordinator's clock."""

    LIMIT_BYTES = 256
    FIELDS = (
        "round_num:int version:int opens_s:int closes_s:int quorum:int join_percent:float=100.0 "
        "invited:str= top_p:float=0.0 inner_step_size:float=0.0"
    )
    round_num: int
    version: int
    opens_s: int
    closes_s: int
    quorum: int
    join_percent: float  # probability that a device takes part
    invited: str  # one device id: TinyReptile's serial round; empty means all
    top_p: float  # 0 means the manifest's
    inner_step_size: float  # the same

    def invites(self, device: str) -> bool:
        """Whether this round is for the device: invited, or drawn by its own name and the round's number."""
        if self.invited:
            return self.invited == device
        return crc32(("%s %d" % (device, self.round_num)).encode()) % 10000 < self.join_percent * 100


class Ack(Message):
    """The receipt of an update, sent after the coordinator's commit. boot, sequence: of the update it answers.

    Or, before there is one, `outside` and round_num: that round, of that version, is for others.
    """

    LIMIT_BYTES = 256
    FIELDS = "result:str boot:int=0 sequence:int=0 version:int least_boot:int=0 round_num:int=0 why:str="
    result: str
    boot: int
    sequence: int
    version: int  # the current one
    least_boot: int  # the highest boot number heard: one below it is from an earlier life
    round_num: int  # of the round that the device is outside of; 0: this says nothing of a round
    why: str


class State(Message):
    """A device's or the coordinator's state, retained, also as last will."""

    LIMIT_BYTES = 256
    FIELDS = "state:str boot:int=0 model:str= wakes_s:int=0 why:str= version:int=0"
    state: str  # ready, sleeping, offline, lost, refused; the coordinator: online, offline
    boot: int  # of the device; the coordinator's epoch
    model: str  # that a device takes part in
    wakes_s: int
    why: str
    version: int  # of the initialization that a device has in hand; 0 is none


class Label(Message):
    """A label for a device's present reading, from someone who knows it."""

    LIMIT_BYTES = 256
    FIELDS = "label:int"
    label: int  # the class


class Desired(Message):
    """The model that the registry wants a device to have, empty: that of its settings. Retained.

    version: of the wish, one more with each.
    """

    FIELDS = "version:int model:str"
    version: int
    model: str


class Reported(Message):
    """The model that a device has, and the newest wish that it knows of: retained. why: it has another than was wished for.

    Another one without a why: it tries the one that was wished for, and does not know yet whether it can serve it.
    """

    FIELDS = "version:int model:str why:str="
    version: int
    model: str
    why: str


def encode_numbers(numbers: "dict[str, float]") -> bytes:
    """Telemetry: flat numbers by name, as JSON."""
    return json.dumps(numbers).encode()


def decode_numbers(data: bytes) -> "dict[str, float]":
    """The numbers of a telemetry message, all finite, else WireError."""
    numbers = _object(data, TELEMETRY_BYTES)
    for name, value in numbers.items():
        if type(value) not in (int, float) or not -1e38 < value < 1e38:
            raise WireError("%.40s: must be a finite number" % name)
    return numbers
