"""How much RAM an interpreter takes to run a network: an estimate of the arena of TensorFlow Lite for Microcontrollers (TFLM).

An arena has two parts. `plan_bytes` is the first, the activations: each lives from the operator that makes it to the last
one that reads it, and is placed by TFLM's rule: the largest first, each at the lowest place free of all that live while
it does, in steps of 16 bytes. `records_bytes` is the second, what the interpreter notes down of the network; its constants
are fitted to what TFLM (of October 2026, on x86-64, reference kernels) says it used for 22 models of real applications,
and come out 0 to 14 % above it. On a board, whose pointers have half the width, the notes take less; optimised kernels (CMSIS-NN)
take scratch memory, which is in neither part. So it is an estimate and no promise.
"""

from bisect import insort
from collections.abc import Iterable

STEP_BYTES = 16
FIXED_BYTES = 832
TENSOR_BYTES = 48
OPERATOR_BYTES = 112
CHANNEL_BYTES = 8  # multiplier and shift of a channel of a quantised convolution


def plan_bytes(lives: Iterable[tuple[int, int, int]]) -> int:
    """Bytes that the activations take together. lives: (bytes, first operator, last operator) of each."""
    placed: list[tuple[int, int, int, int]] = []  # start, end, first, last; by start
    top = 0
    for size, first, last in sorted(lives, key=lambda life: -life[0]):
        size = -(-size // STEP_BYTES) * STEP_BYTES
        at = 0
        for start, end, begins, ends in placed:
            if begins <= last and first <= ends:
                if start - at >= size:
                    break
                at = max(at, end)
        insort(placed, (at, at + size, first, last))
        top = max(top, at + size)
    return top


def records_bytes(tensors: int, operators: int, channels: int = 0) -> int:
    """Bytes of the interpreter's notes. channels: of all quantised convolutions together."""
    return FIXED_BYTES + TENSOR_BYTES * tensors + OPERATOR_BYTES * operators + CHANNEL_BYTES * channels
