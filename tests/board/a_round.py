"""Rounds of a Session on a board: the initialization in chunks into flash, learning, the update, its ack. Run by the board itself.

The coordinator's part is played here, from numbers made up on the way, so that the board holds nothing but its own.
"""

import json
from array import array
from binascii import hexlify
from hashlib import sha256

from flash import FlashKept
from tegu import topics
from tegu.model import Model
from tegu.session import Session
from tegu.wire.initialization import tensors_of
from tegu.wire.update import peek_key

CHUNK = 1024


def places(model):
    """Where in an int8 initialization of version 1 a tensor begins: with its scale."""
    at = 4
    for start, stop in tensors_of(model):
        yield at
        at += 2 + stop - start


def chunk(shape_hash, begins, size, version, at, out):
    """Bytes at..at+CHUNK of it, into out; how many."""
    count = min(CHUNK, size - at)
    for i in range(count):
        place = at + i
        if place < 4:
            out[i] = (0x12, shape_hash & 255, shape_hash >> 8, version)[place]
        elif place in begins:
            out[i] = 0
        elif place - 1 in begins:
            out[i] = 0x3B  # with the 0 before it, 2**-9 as bfloat16
        else:
            out[i] = (place * 37 % 31 - 15) & 255
    return count


class Played:
    """The initialization's numbers, and then the session that takes them."""

    def __init__(self, spec, top_p, samples, residual):
        model = Model(spec)
        self.hash, self.inputs, self.classes = model.shape_hash, model.inputs, model.classes
        self.outputs, self.begins = model.outputs, tuple(places(model))
        self.size = 8 + model.size + 2 * len(self.begins)
        self.digests = [self.digest(version) for version in (1, 2)]
        self.told = {"model": "m", "spec": spec, "hash": self.hash, "bytes": self.size, "chunks": 0, "samples": samples}
        self.told.update(inner_step_size=0.01, top_p=top_p, residual=residual)
        self.samples = samples

    def digest(self, version):
        hashed, room = sha256(), bytearray(CHUNK)
        for at in range(0, self.size, CHUNK):
            count = chunk(self.hash, self.begins, self.size, version, at, room)
            hashed.update(memoryview(room)[:count])
        return hexlify(hashed.digest()).decode()

    def session(self, folder):
        return Session("s", "d", "m", 1, None, 0, True, FlashKept(folder))

    def play(self, session, version):
        """A whole round; the update's bytes."""
        say = lambda kind, fields: session.received(topics.model("s", "m", kind), json.dumps(fields).encode())  # noqa: E731
        say("round", {"round_num": version, "version": version, "opens_s": 0, "closes_s": 9, "quorum": 1})
        effects = say("manifest", dict(self.told, version=version, sha256=self.digests[version - 1]))
        room = bytearray(CHUNK)
        for at in range(0, self.size, CHUNK):
            count = chunk(self.hash, self.begins, self.size, version, at, room)
            topic = topics.chunk("s", "m", version, at // CHUNK)
            assert effects[-1] == ("subscribe", topic), effects
            effects = session.received(topic, bytes(memoryview(room)[:count]))
        del room
        x = array("f", bytes(4 * self.inputs))
        for n in range(self.samples):
            for i in range(self.inputs):
                x[i] = (n * 7 + i) % 9 / 9 - 0.5
            effects = session.sample(x, n % self.classes if self.classes else [x[0]] * self.outputs)
        update = effects[0][2]
        _, boot, sequence = peek_key(update)
        ack = json.dumps({"result": "accepted", "boot": boot, "sequence": sequence, "version": version})
        size = len(update)
        telemetry = session.telemetry({"loss_before": 0.0, "loss_after": 0.0, "samples": n})
        del effects, update, telemetry
        session.received(topics.device("s", "d", "ack", "m"), ack.encode())
        assert session.accepted == version and session.idle
        return size
