"""How much free heap a board needs to take part in a model: what the manifest states and a board checks before it begins.

A sum of what a board holds at its worst moment (32-bit pointers, 16-byte blocks, mcu_firmware/flash.py, the C of native):
weights; activations, two rows of deltas and one sample; at the end of a round the indices and the update, and for an ack, where
a residual is kept, the decoded update instead. The constants are measured by tests/test_board_memory.py, on the emulated board
and with what it adds by scattering its heap.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Model

FIXED_BYTES = 11700  # session, messages, a chunk, the manifest, round and ack, telemetry, open files
LAYER_BYTES = 320  # a Layer and its part of the C's plan
GRID_BYTES = 4096  # tegu.grid, where a model has a layer of it
SCATTERED = 128  # of a heap so full, one part in so many lies between objects in pieces too small to be used
BITS_OF_MAGNITUDE = {"int8": 9, "f16": 16, "f32": 32}  # sign and magnitude of an entry, at most


def heap_bytes(model: "Model", top_p: float, codec: str = "int8", residual: bool = True) -> int:
    """Bytes of free heap that a round takes. top_p: percent of the shared parameters, codec: of updates."""
    units = [layer.units for layer in model.layers]
    floats = model.size + sum(units) + 2 * max(units) + model.inputs
    entries = -(-model.shared_size * top_p // 100)
    width = 2 if model.shared_size <= 65536 else 4
    indices = width * entries * (2 if entries < 256 else 1)
    gap_bits = 3 + max(0, len(bin(int(100 / top_p))) - 3)
    update = 32 + entries * (gap_bits + BITS_OF_MAGNITUDE[codec]) // 8
    finish = indices + update
    ack = update + (width + 4) * entries if residual else 0
    grids = GRID_BYTES if any(layer.kind != "dense" for layer in model.layers) else 0
    if len(model.shared) > 1:
        grids += 4 * model.shared_size  # its delta is gathered beside the weights
    total = int(FIXED_BYTES + LAYER_BYTES * len(units) + grids + 4 * floats + max(finish, ack))
    return total + total // SCATTERED
