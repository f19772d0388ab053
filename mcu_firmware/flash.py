"""What a board keeps in flash, where it outlives a loss of power: the initialization, what it has learned, the boots.

Each is a state of its own in two slots (slots.py), for they change at different rates: once or twice a round, and at each
start. A block of 256 numbers at a time passes through RAM, so that beside the weights it learns with a board never holds a
second copy of them.

| state | body |
|---|---|
| start | version, 4 bytes; version of the last whole initialization before or at it, 4, and its SHA-256 as hex, 64; length of the spec, 2; spec; weights, float32 |
| learned | residual: float32 of the shared parameters, or nothing; the update that waits for its ack, or nothing; then its length, its key and the key of the last update that was accepted, 4 bytes a number |
| boot | how often the board has started, 4 bytes |
| twin | as tegu.twin encodes it (registry.py) |

Of another model than the settings' the names of start and learned, and of the pieces on their way, begin with the model's and a dash.

A key is version, boot and sequence number. Residual and update are one state: whenever the power goes, an update that was made
is the one that its residual knows of. Decoding from flash follows tegu.wire.initialization.
"""

import os
from array import array
from binascii import crc32, hexlify
from hashlib import sha256
from struct import pack, unpack

from slots import Slots
from tegu.sparse import add, fold, scatter
from tegu.wire import CODECS, F16, F32, FORMAT, WireError
from tegu.wire.bits import from_bits, from_half, get_varint
from tegu.wire.initialization import tensors_of, values_bytes
from tegu.wire.update import decode_update

try:
    from tegu import native
except ImportError:
    native = None  # type: ignore[assignment]

BLOCK = 256  # numbers
HEAD_BYTES, TAIL_BYTES = 74, 28  # of the states start and learned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedReader

    from tegu.kept import Kept
    from tegu.model import Model

    Floats = array[float]
    Indices = array[int]
else:
    Kept = object  # FlashKept takes its place without loading it


def next_boot(folder: str) -> int:
    """The number of this start, kept before anything is done with it."""
    slots = Slots(folder + "boot")
    kept = bytearray(4)
    boot: int = unpack("<I", kept)[0] + 1 if slots.read_into(kept) else 1
    keep_boot(folder, boot)
    return boot


def keep_boot(folder: str, boot: int) -> None:
    """The coordinator knows of a later start than this board does."""
    Slots(folder + "boot").write(pack("<I", boot))


class FlashKept(Kept):
    """As tegu.kept.Kept, in files whose names begin with `folder`: a slash is its end. OSError if the flash cannot be written."""

    def __init__(self, folder: str) -> None:
        self._starts, self._learned = Slots(folder + "start"), Slots(folder + "learned")
        self._pieces_path = folder + "pieces"
        self._one, self._two = array("f", bytes(4 * BLOCK)), array("f", bytes(4 * BLOCK))
        self._named = 0, ""
        self._room: "bytearray | None" = None  # what an update will take, so that nothing scatters over it
        self._begun = False  # a save of what was learned
        self._has_residual = False
        self.spec, self.version, self.whole_version, self.sha256 = "", 0, 0, ""
        self._weights = 0  # how many the start has
        self.pending = None
        self.pending_key = self.accepted_key = (0, 0, 0)
        self._read_start()
        self._read_learned()

    def _read_start(self) -> None:
        found = self._starts.open()
        if found is None:
            return
        with found[0] as file:
            if found[1] >= HEAD_BYTES:
                self.version, self.whole_version, digest, length = unpack("<II64sH", file.read(HEAD_BYTES))
                self.sha256 = digest.decode()
                self.spec = file.read(length).decode()
                self._weights = (found[1] - HEAD_BYTES - length) // 4

    def _read_learned(self) -> None:
        found = self._learned.open()
        if found is None:
            return
        with found[0] as file:
            file.seek(found[1] - TAIL_BYTES)
            numbers = unpack("<7I", file.read(TAIL_BYTES))
            self.pending_key, self.accepted_key = numbers[1:4], numbers[4:]
            self._has_residual = found[1] > TAIL_BYTES + numbers[0]
            if numbers[0]:
                file.seek(found[1] - TAIL_BYTES - numbers[0])
                self.pending = bytearray(file.read(numbers[0]))

    def forget(self) -> None:
        self._starts.write(b"")
        self.spec, self.version, self.whole_version, self.sha256 = "", 0, 0, ""
        self.pending, self.accepted_key = None, (0, 0, 0)
        self._save(None)

    # --- the initialization ---

    def add_piece(self, payload: bytes, first: bool) -> int:
        with open(self._pieces_path, "wb" if first else "ab") as file:
            file.write(payload)
            size: int = file.tell()
        return size

    def complete(self, model: "Model", version: int, digest: str) -> bool:
        hashed, room = sha256(), memoryview(bytearray(4 * BLOCK))
        with open(self._pieces_path, "rb") as file:
            while True:
                count = file.readinto(room)
                if not count:
                    break
                hashed.update(room[:count])
            if hexlify(hashed.digest()).decode() != digest:
                return False
            codec, found, at = self._header(file, model)
            if codec >= len(CODECS) or found != version:
                raise WireError("version: not the manifest's, or a codec that is not known")
            if file.seek(0, 2) != at + values_bytes(model, codec) + 4:
                raise WireError("length: not the model's")
        self._named = version, digest
        return True

    def _header(self, file: "BufferedReader", model: "Model") -> "tuple[int, int, int]":
        """(codec, version, where the values begin) of the pieces."""
        file.seek(0)
        head = file.read(8)
        if len(head) < 8 or head[0] >> 4 != FORMAT or unpack("<H", head[1:3])[0] != model.shape_hash:
            raise WireError("format or shape hash: not of this model")
        version, at = get_varint(head, 3, 8, "version")
        return head[0] & 15, version, at

    def take(self, model: "Model", weights: "Floats | None") -> "Floats":
        if weights is None:
            weights = _floats(model.size)
        with open(self._pieces_path, "rb") as file:
            codec, _, at = self._header(file, model)
            file.seek(at)
            if codec == F32:
                file.readinto(weights)
            else:
                runs = ((0, model.size),) if codec == F16 else tensors_of(model)
                for start, stop in runs:
                    _widen(file, codec, weights, start, stop)
        self._keep_start(model, weights, self._named[0], *self._named)
        os.remove(self._pieces_path)
        return weights

    def _keep_start(self, model: "Model", weights: "Floats", version: int, whole_version: int, digest: str) -> None:
        spec = model.spec.encode()
        self._starts.write(pack("<II64sH", version, whole_version, digest.encode(), len(spec)), spec, weights)
        self.spec, self.version, self.whole_version, self.sha256 = model.spec, version, whole_version, digest
        self._weights = model.size

    def load(self, model: "Model") -> "Floats":
        weights = _floats(model.size)
        self.restore(weights)
        return weights

    def change(self, model: "Model", indices: "Indices", values: "Floats", weights: "Floats") -> None:
        self.restore(weights)
        add(model.shared, weights, indices, values)
        self._keep_start(model, weights, self.version + 1, self.whole_version, self.sha256)

    def _open_start(self) -> "BufferedReader":
        """The file of the initialization, at its first weight."""
        found = self._starts.open()
        if found is None:
            raise OSError("the initialization is gone from flash")
        found[0].seek(HEAD_BYTES + len(self.spec.encode()))
        return found[0]

    def restore(self, weights: "Floats") -> None:
        if self.version:
            with self._open_start() as file:
                file.readinto(weights)

    def crc(self) -> int:
        crc = 0
        view = memoryview(self._one)
        with self._open_start() as file:
            left = self._weights
            while left:
                count = min(left, BLOCK)
                file.readinto(view[:count])
                crc = crc32(view[:count], crc)
                left -= count
        return crc & 0xFFFFFFFF

    # --- the residual ---

    def drop_residual(self) -> None:
        if self._has_residual:
            self._save(None)

    def reserve(self, count: int) -> None:
        try:
            self._room = None
            self._room = bytearray(count)
        except MemoryError:
            pass  # then it must be found when it is needed

    def delta(self, model: "Model", weights: "Floats", keep: bool = True) -> "Floats | None":
        self._room = None
        if len(model.shared) == 1:
            first, stop = model.shared[0]
            values = memoryview(weights)[first:stop]  # in place
        else:
            values = memoryview(_floats(model.shared_size))
        return values if self._fold(model, weights, values, keep) else None  # type: ignore[return-value]

    def keep(self, model: "Model", weights: "Floats") -> bool:
        if not self._fold(model, weights, None, True):
            return False
        self._end()
        return True

    def _fold(self, model: "Model", weights: "Floats", values: "memoryview | None", keep: bool) -> bool:
        """residual + weights - start, into `values` and, to keep it, into the other slot, which does not count before _end()."""
        self._learned.begin()
        self._begun = keep
        old = self._old()
        at = 0
        fine = True
        with self._open_start() as file:
            base_at = file.tell()
            for first, stop in model.shared:
                file.seek(base_at + 4 * first)
                for i in range(first, stop, BLOCK):
                    count = min(BLOCK, stop - i)
                    one, two = memoryview(self._one)[:count], memoryview(self._two)[:count]
                    old.read(one)
                    file.readinto(two)
                    fine = fold(self._one, 0, weights, self._two, i, 0, count) and fine
                    if values is not None:
                        values[at : at + count] = one
                    if keep:
                        self._learned.put(one)
                    at += count
        old.close()
        if not fine:
            self._learned.abandon()
        return fine

    def resume(self, model: "Model", weights: "Floats") -> None:
        if len(model.shared) == 1:
            old = self._old()  # still the one from before
            first, stop = model.shared[0]
            with self._open_start() as file:
                file.seek(file.tell() + 4 * first)
                for i in range(first, stop, BLOCK):
                    count = min(BLOCK, stop - i)
                    one, two = memoryview(self._one)[:count], memoryview(self._two)[:count]
                    old.read(one)
                    file.readinto(two)
                    _add(weights, i, one, -1)
                    _add(weights, i, two, 1)
            old.close()

    def _old(self) -> "_Numbers":
        return _Numbers(self._learned.open() if self._has_residual else None)

    # --- the update ---

    def send(self, payload: bytearray, key: "tuple[int, int, int]") -> None:
        self.pending, self.pending_key = payload, key
        self._end()

    def answered(self, model: "Model | None", accepted: bool) -> None:
        pending, self.pending = self.pending, None
        if accepted:
            self.accepted_key = self.pending_key
        if model is None or pending is None or not self._has_residual:
            self._save(None)
        else:
            self._save(model, pending if accepted else b"")

    def _save(self, model: "Model | None", sent: "bytes | bytearray" = b"") -> None:
        """What was learned, anew: with the residual of `model`, less what the update `sent` carries; without one if None."""
        self._learned.begin()
        self._begun = model is not None
        if model is not None:
            old, entry = self._old(), 0
            update = decode_update(sent, model) if sent else None
            for i in range(0, model.shared_size, BLOCK):
                one = memoryview(self._one)[: min(BLOCK, model.shared_size - i)]
                old.read(one)
                if update is not None:
                    entry = scatter(self._one, 0, i, i + len(one), update.indices, update.values, -1, entry)
                self._learned.put(one)
            old.close()
        self._end()

    def _end(self) -> None:
        """The update and the keys behind the residual; only now it counts."""
        update = self.pending or b""
        self._learned.put(update)
        self._learned.put(pack("<7I", len(update), *self.pending_key, *self.accepted_key))
        self._learned.commit()
        self._has_residual = self._begun


class _Numbers:
    """Reads the numbers of an open state, one block after the other; zeros where there is none."""

    def __init__(self, found: "tuple[BufferedReader, int] | None") -> None:
        self._file = None if found is None else found[0]

    def read(self, block: memoryview) -> None:
        if self._file is not None:
            self._file.readinto(block)
        else:
            for i in range(len(block)):
                block[i] = 0.0  # type: ignore[call-overload]  # of floats

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _floats(count: int) -> "Floats":
    """An array of so many numbers, in one piece and with no other beside it, as array("f", bytes(...)) would have."""
    return array("f", range(count))


def _add(target: "Floats", at: int, values: memoryview, sign: int) -> None:
    if native is not None:
        native.add(target, at, values, sign)
        return
    for i in range(len(values)):
        target[at + i] += sign * values[i]


def _widen(file: "BufferedReader", codec: int, weights: "Floats", start: int, stop: int) -> None:
    """One tensor's int8 or float16 values of the pieces."""
    scale = 0.0
    width = 2 if codec == F16 else 1
    if codec != F16:
        bits = unpack("<H", file.read(2))[0]
        if not 0 < bits < 0x7F80:
            raise WireError("scale: must be finite and above zero")
        scale = from_bits(bits << 16)
    block = memoryview(bytearray(BLOCK * width))
    for i in range(start, stop, BLOCK):
        count = min(BLOCK, stop - i)
        data = block[: count * width]
        file.readinto(data)
        if codec == F16:
            for n in range(count):
                weights[i + n] = from_half(data[2 * n] | data[2 * n + 1] << 8)
        elif native is not None:
            native.widen(weights, i, data, scale)
        else:
            for n in range(count):
                weights[i + n] = (data[n] - 256 if data[n] > 127 else data[n]) * scale
