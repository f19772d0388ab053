"""Top-P% of each tensor instead of the whole model: every layer's weights and every layer's biases get their share.

Loaded only where a manifest asks for it. Which of the two is better is open in TinyMetaFed's abstract (arXiv 2307.06822).
"""

from array import array

from .sparse import top_p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .model import Model

    Floats = array[float]
    Indices = array[int]


def shared_tensors(model: "Model") -> "list[tuple[int, int]]":
    """The runs [start, stop) of the tensors among the shared parameters, in their order."""
    runs = []
    at = 0
    for layer in model.layers:
        if layer.local or not layer.size:
            continue
        middle = at + layer.bias - layer.offset
        runs += [(at, middle), (middle, at + layer.size)]
        at += layer.size
    return runs


def top_p_of_each(model: "Model", values: "Floats", percent: float) -> "Indices":
    """As sparse.top_p of each tensor of `values`, which are model.shared_size deltas."""
    indices = array("H" if len(values) <= 65536 else "I")
    for start, stop in shared_tensors(model):
        for i in top_p(values[start:stop], percent):
            indices.append(start + i)
    return indices
