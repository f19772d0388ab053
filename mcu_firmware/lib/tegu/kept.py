"""What a device keeps of a model beside the weights it learns with: the initialization, the residual and the unacknowledged update.

Kept holds them in RAM, for Linux. A board keeps the same in flash (mcu_firmware/flash.py), where they outlive a loss of
power and leave the heap to the weights; it does not load this.
"""

from array import array
from binascii import crc32, hexlify
from hashlib import sha256

from .sparse import add, fold, subtract
from .wire import WireError
from .wire.initialization import decode_init
from .wire.update import decode_update

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Model

    Floats = array[float]
    Indices = array[int]


class Kept:
    """spec, version: of the initialization in hand, version 0 is none; whole_version, sha256: of the last whole one before or at it.
    pending: the update that waits for its ack, with its key (version, boot, sequence); accepted_key: of the last accepted one."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """All of it: what was learned and sent belongs to other weights."""
        self.spec, self.version, self.whole_version, self.sha256 = "", 0, 0, ""
        self.pending: "bytearray | None" = None
        self.pending_key = self.accepted_key = (0, 0, 0)
        self._start: "Floats | None" = None
        self._residual: "Floats | None" = None
        self._pieces = bytearray()
        self._next = array("f")  # complete, not yet taken
        self._named = 0, ""  # its version and digest

    # --- the initialization ---

    def add_piece(self, payload: bytes, first: bool) -> int:
        """The next bytes of an initialization on its way; how many there are so far."""
        if first:
            self._pieces = bytearray()
        self._pieces += payload
        return len(self._pieces)

    def complete(self, model: "Model", version: int, digest: str) -> bool:
        """Whether the pieces are the initialization that digest (SHA-256, hex) names; else they are forgotten.

        WireError if they are and cannot be read. What is in hand still is.
        """
        pieces, self._pieces = self._pieces, bytearray()
        if hexlify(sha256(pieces).digest()).decode() != digest:
            return False
        found, self._next = decode_init(pieces, model)
        if found != version:
            raise WireError("version: not the manifest's")
        self._named = version, digest
        return True

    def take(self, model: "Model", weights: "Floats | None") -> "Floats":
        """Make what is complete the initialization in hand: its weights, in the memory of `weights` if there is some."""
        self._start, self.spec = self._next, model.spec
        self.version, self.sha256 = self._named
        self.whole_version = self.version
        if weights is None:
            return array("f", self._start)
        self.restore(weights)
        return weights

    def load(self, model: "Model") -> "Floats":
        """The weights of what was kept from before."""
        raise NotImplementedError  # RAM keeps nothing

    def change(self, model: "Model", indices: "Indices", values: "Floats", weights: "Floats") -> None:
        """The next version, by a sparse delta, into `weights` too."""
        assert self._start is not None
        add(model.shared, self._start, indices, values)
        self.version += 1
        self.restore(weights)

    def restore(self, weights: "Floats") -> None:
        """The initialization into `weights`."""
        if self._start is not None:
            weights[:] = self._start

    def crc(self) -> int:
        """CRC-32 of the initialization's weights as float32."""
        return crc32(self._start or b"") & 0xFFFFFFFF

    # --- the residual: of the shared parameters, learned but not yet accepted ---

    def drop_residual(self) -> None:
        self._residual = None

    def reserve(self, count: int) -> None:
        """So many bytes will be wanted by the indices and the update, after delta()."""

    def delta(self, model: "Model", weights: "Floats", keep: bool = True) -> "Floats | None":
        """What is to be sent: the residual with what `weights` have learned added to it. None, and none is kept, if not finite.

        The result may lie in the memory of `weights`, which then hold nothing else until resume(). keep: whether what is not
        sent will be asked for again.
        """
        assert self._start is not None
        if self._residual is None:
            self._residual = array("f", bytes(4 * model.shared_size))
        at = 0
        for first, stop in model.shared:
            if not fold(self._residual, at, weights, self._start, first, first, stop - first):
                self._residual = None
                break
            at += stop - first
        return self._residual

    def keep(self, model: "Model", weights: "Floats") -> bool:
        """As delta(), for later; `weights` stay. False: it was not finite."""
        return self.delta(model, weights) is not None

    def resume(self, model: "Model", weights: "Floats") -> None:
        """After delta(): weights are the adapted ones again."""

    # --- the update ---

    def send(self, payload: bytearray, key: "tuple[int, int, int]") -> None:
        """This update waits for its ack from now on."""
        self.pending, self.pending_key = payload, key

    def answered(self, model: "Model | None", accepted: bool) -> None:
        """Its ack has come: what was accepted leaves the residual."""
        if accepted and model is not None and self.pending is not None and self._residual is not None:
            sent = decode_update(self.pending, model)
            subtract(self._residual, sent.indices, sent.values)
        if accepted:
            self.accepted_key = self.pending_key
        self.pending = None
