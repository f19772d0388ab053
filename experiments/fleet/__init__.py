"""Many devices learning at once: tegu.learner's rules on arrays, with numpy alone or compiled by numba.

`weights` is float32 (devices, model.size) and is changed in place; each device has samples of its own. The pure Python
Learner is the reference: a test holds both kernels against it for every layer and every loss. A device whose weights are
not finite afterwards has diverged; it says so by those weights, and the caller must not send them.

A `Way` is how a device goes through its samples. One sample at a time and once is TinyReptile's online learning
(arXiv 2304.05201); the rest of it are the rules of the algorithms that it is compared with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tegu.model import Model

from . import batched, reference

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """One way through a row of samples: the mean gradient of each `batch` of them, one after the other."""

    step: float
    batch: int = 1
    only: str = ""  # which layers learn: all, the "local" or the "shared" ones
    proximal: float = 0.0  # pull back to where the device began (FedProx's mu)


class Kernel(Protocol):
    """What learns: see learn()."""

    def __call__(
        self, model: Model, weights: Floats, x: Floats, targets: Floats, step: float, batch: int, only: str, pull: float
    ) -> None: ...


def kernels() -> dict[str, Callable[[], Kernel]]:
    """The kernels there are on this machine, the quickest first."""
    found: dict[str, Callable[[], Kernel]] = {"numpy": lambda: batched.learn, "python": lambda: reference.learn}
    return {"numba": _compiled, **found} if find_spec("numba") else found


def kernel(name: str = "") -> Kernel:
    """The kernel of that name, else the quickest one. ValueError if it is not here."""
    here = kernels()
    if name and name not in here:
        raise ValueError(
            f"no kernel {name!r} here; there are {', '.join(here)} (numba: pip install 'tegu[experiments]')"
        )
    return here[name or next(iter(here))]()


def _compiled() -> Kernel:
    from . import compiled

    return compiled.learn


def targets_of(model: Model, y: NDArray[Any]) -> Floats:
    """What the outputs should be, float32 (..., outputs): one-hot for a softmax, the number itself else."""
    if model.layers[-1].activation == "softmax":
        one_hot: Floats = np.eye(model.outputs, dtype=np.float32)[y]
        return one_hot
    return np.asarray(y, dtype=np.float32).reshape(*y.shape[: y.ndim - (not model.classes)], model.outputs)


def learn(model: Model, weights: Floats, x: Floats, y: NDArray[Any], way: Way, with_kernel: Kernel) -> None:
    """Every device learns its samples in their order.

    x: float32 (devices, samples, inputs); y: classes (devices, samples), or numbers (devices, samples, outputs). A last
    batch that is not full counts as one of its own size.
    """
    if weights.shape != (len(x), model.size) or x.shape[:2] != y.shape[:2] or x.shape[2] != model.inputs:
        raise ValueError(f"weights {weights.shape}, x {x.shape} and y {y.shape} do not fit the model {model.spec!r}")
    targets = targets_of(model, y)
    with_kernel(model, weights, x, targets, way.step, way.batch, way.only, way.proximal)


def predict(model: Model, weights: Floats, x: Floats) -> Floats:
    """Outputs (devices, samples, outputs) of x (devices, samples, inputs), or of x (samples, inputs) for all devices."""
    return batched.predict(model, weights, x)
