"""The RAM that learning takes on a device, by counted bytes: every array that its rules need, in float32.

`algorithm_bytes` is what the algorithm needs to learn: weights, activations, deltas, and for batches the gradient and the
samples that it goes through again. `device_bytes` adds what our session keeps beside them: the initialization, from which
the delta is formed, the residual (always there), the indices and the update itself until its ack, and the kilobyte that
encoding takes (tests/test_heap.py). The update counts a byte an entry for gap and sign. Code, stack and the network's
buffers are not in it.
"""

from dataclasses import dataclass

from coordinator.settings import ModelSettings
from tegu.model import Model

ENCODING_BYTES = 1024
FLOAT_BYTES = 4
VALUE_BYTES = {"f32": 4, "f16": 2, "int8": 1}


@dataclass(frozen=True)
class Memory:
    """Bytes by what they hold."""

    weights: int
    rows: int  # activations and two rows of deltas
    gradient: int
    samples: int
    initialization: int
    residual: int
    sending: int  # the indices and the encoded update

    @property
    def algorithm_bytes(self) -> int:
        return self.weights + self.rows + self.gradient + self.samples

    @property
    def device_bytes(self) -> int:
        return self.algorithm_bytes + self.initialization + self.residual + self.sending + ENCODING_BYTES


def memory_of(model: Model, rules: ModelSettings) -> Memory:
    """What a device needs that follows these rules."""
    weights = FLOAT_BYTES * model.size
    units = [layer.units for layer in model.layers]
    a_sample = FLOAT_BYTES * (model.inputs + (1 if model.classes else model.outputs))
    entries = -int(-(model.shared_size * rules.top_p) // 100)
    kept = rules.samples if rules.passes > 1 else 1
    return Memory(
        weights=weights,
        rows=FLOAT_BYTES * (sum(units) + 2 * max(units)),
        gradient=weights if rules.batch != 1 or rules.query or rules.proximal else 0,
        samples=kept * a_sample,
        initialization=weights,
        residual=FLOAT_BYTES * model.shared_size,
        sending=entries * ((2 if model.shared_size <= 65536 else 4) + 1 + VALUE_BYTES[rules.codec]),
    )
