"""Models to and from other tools: Keras in (`keras_in`), LiteRT out (`litert_out`), both as `tegu model` (`command`).

TensorFlow is large and slow to import, so it is imported by the functions that need it and nowhere else.
"""

import importlib
import os
from typing import Any

MISSING = "Keras models need TensorFlow; install it with: pip install 'tegu[tensorflow]'"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}  # the latter only for the lines it logs at import


def optional(name: str) -> Any:
    """The module `name` of the extra `tensorflow`, imported now. ValueError with the install command if it is missing."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(MISSING) from error


def keras() -> Any:
    """Keras, on TensorFlow. ValueError if TensorFlow is missing, or if Keras is set to run on something else."""
    optional("tensorflow")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    found = optional("keras")
    if found.backend.backend() != "tensorflow":
        raise ValueError(f"Keras runs on {found.backend.backend()} here; set KERAS_BACKEND=tensorflow")
    return found
