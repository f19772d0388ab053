"""What a board keeps in flash, where it outlives a loss of power: the initialization, the residual, the update that waits, the boots.

Each is a state of its own in two slots (slots.py), for they change at different rates: start and residual once or twice a
round, the boot number at each start. A block of 256 numbers at a time passes through RAM, so that beside the weights it learns
with a board never holds a second copy of them.

| state | body |
|---|---|
| start | version, 4 bytes; SHA-256 as hex, 64 bytes, zeros after a delta; length of the spec, 2 bytes; spec; weights, float32 |
| residual | version, boot, sequence of the last update that was taken off it, 4 bytes each; then float32 of the shared parameters |
| pending | the same three of the update that waits for its ack, then the update; empty if none does |
| boot | how often the board has started, 4 bytes |

An ack changes residual first and pending then. When the power goes in between, the key in the residual says that this
update is done with. Decoding from flash follows tegu.wire.initialization.
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
from tegu.wire.initialization import tensors_of
from tegu.wire.update import decode_update

try:
    from tegu import native
except ImportError:
    native = None  # type: ignore[assignment]

BLOCK = 256  # numbers

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
    """As tegu.kept.Kept, in files of `folder`, which ends with a slash. OSError if the flash cannot be written."""

    def __init__(self, folder: str) -> None:
        self._starts, self._residuals = Slots(folder + "start"), Slots(folder + "residual")
        self._pendings = Slots(folder + "pending")
        self._pieces_path = folder + "pieces"
        self._one, self._two = array("f", bytes(4 * BLOCK)), array("f", bytes(4 * BLOCK))
        self._named = 0, ""
        self.spec = self.sha256 = ""
        self.version = 0
        self._weights = 0  # how many the start has
        self._begun = False  # a save of the residual
        self.pending = None
        self.pending_key = (0, 0, 0)
        self._read_start()
        self._read_pending()

    def _read_start(self) -> None:
        found = self._starts.open()
        if found is None:
            return
        with found[0] as file:
            if found[1] >= 70:
                self.version, digest, length = unpack("<I64sH", file.read(70))
                self.sha256 = digest.decode().strip("\0")
                self.spec = file.read(length).decode()
                self._weights = (found[1] - 70 - length) // 4

    def _read_pending(self) -> None:
        found = self._pendings.open()
        if found is None:
            return
        with found[0] as file:
            if found[1] > 12:
                self.pending_key = unpack("<III", file.read(12))
                self.pending = bytearray(file.read(found[1] - 12))
        if self.pending is not None and self._taken_off() == self.pending_key:
            self._clear_pending()

    def _taken_off(self) -> "tuple[int, ...]":
        """The key of the update that was last taken off the residual."""
        found = self._residuals.open()
        if found is None:
            return (0, 0, 0)
        with found[0] as file:
            return unpack("<III", file.read(12))

    def forget(self) -> None:
        self._starts.write(b"")
        self.spec = self.sha256 = ""
        self.version = 0
        self.drop_residual()
        if self.pending is not None:
            self._clear_pending()

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
            codec, found, _ = self._header(file, model)
            if codec >= len(CODECS) or found != version:
                raise WireError("version: not the manifest's, or a codec that is not known")
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
        self.version, self.sha256 = self._named
        self._keep_start(model, weights)
        os.remove(self._pieces_path)
        return weights

    def _keep_start(self, model: "Model", weights: "Floats") -> None:
        self.spec, self._weights = model.spec, model.size
        spec = self.spec.encode()
        self._starts.write(pack("<I64sH", self.version, self.sha256.encode(), len(spec)), spec, weights)

    def load(self, model: "Model") -> "Floats":
        weights = _floats(model.size)
        self.restore(weights)
        return weights

    def change(self, model: "Model", indices: "Indices", values: "Floats", weights: "Floats") -> None:
        self.restore(weights)
        add(model.shared, weights, indices, values)
        self.version += 1
        self.sha256 = ""
        self._keep_start(model, weights)

    def _open_start(self) -> "BufferedReader":
        """The file of the initialization, at its first weight."""
        found = self._starts.open()
        if found is None:
            raise OSError("the initialization is gone from flash")
        found[0].seek(70 + len(self.spec.encode()))
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
        found = self._residuals.open()
        if found is None:
            return
        with found[0] as file:
            key = file.read(12)
        if found[1] > 12:
            self._residuals.write(key)

    def delta(self, model: "Model", weights: "Floats", keep: bool = True) -> "Floats | None":
        if len(model.shared) == 1:
            first, stop = model.shared[0]
            values = memoryview(weights)[first:stop]  # in place
        else:
            values = memoryview(array("f", bytes(4 * model.shared_size)))
        self._begun = keep
        return values if self._fold(model, weights, values) else None  # type: ignore[return-value]

    def keep(self, model: "Model", weights: "Floats") -> bool:
        self._begun = True
        if not self._fold(model, weights, None):
            return False
        self._commit()
        return True

    def _fold(self, model: "Model", weights: "Floats", values: "memoryview | None") -> bool:
        """residual + weights - start, into `values` and, if _begun, into the other slot, which does not count before _commit()."""
        if self._begun:
            self._residuals.begin()
            self._residuals.put(pack("<III", *self._taken_off()))
        old = _Numbers(self._residuals, 12)
        at = 0
        fine = True
        try:
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
                        if self._begun:
                            self._residuals.put(one)
                        at += count
        finally:
            old.close()
        if not fine:
            self._residuals.abandon()
        return fine

    def _commit(self) -> None:
        if self._begun:
            self._residuals.commit()
        self._begun = False

    def resume(self, model: "Model", weights: "Floats") -> None:
        if len(model.shared) == 1:
            old = _Numbers(self._residuals, 12)  # still the one from before
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
        self._commit()

    # --- the update ---

    def send(self, payload: bytearray, key: "tuple[int, int, int]") -> None:
        self._pendings.write(pack("<III", *key), payload)
        self.pending, self.pending_key = payload, key

    def answered(self, model: "Model | None", accepted: bool) -> None:
        if accepted and model is not None and self.pending is not None:
            self._subtract(model)
        self._clear_pending()

    def _clear_pending(self) -> None:
        self.pending = None
        self._pendings.write(b"")

    def _subtract(self, model: "Model") -> None:
        old = _Numbers(self._residuals, 12)
        if not old.left:
            return
        sent = decode_update(self.pending or b"", model)
        self._residuals.begin()
        self._residuals.put(pack("<III", *self.pending_key))
        entry = 0
        for i in range(0, model.shared_size, BLOCK):
            count = min(BLOCK, model.shared_size - i)
            one = memoryview(self._one)[:count]
            old.read(one)
            entry = scatter(self._one, 0, i, i + count, sent.indices, sent.values, -1, entry)
            self._residuals.put(one)
        old.close()
        self._residuals.commit()


class _Numbers:
    """Reads the numbers of a state from byte `at` on; zeros where there are none."""

    def __init__(self, slots: Slots, at: int) -> None:
        found = slots.open()
        self._file = None if found is None else found[0]
        self.left = 0 if found is None else max(0, found[1] - at)
        if self._file is not None:
            self._file.seek(at)

    def read(self, block: memoryview) -> None:
        if self._file is not None and self.left >= 4 * len(block):
            self._file.readinto(block)
            self.left -= 4 * len(block)
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
