"""The description of a model as JSON: the fields of semantics.models.Description, by their names.

{"name": "Presence", "sensors": ["co2"], "metrics": {"top-1-accuracy": 92.1}, "ram_bytes": 2048, "flash_bytes": 8192,
 "training_ram_bytes": null, "shape_hash": null, "layers": [{"index": 1, "kind": "FullyConnected", ...}],
 "inputs": [{"shape": [1, 4], "dtype": "float32"}], "outputs": [{"shape": [1, 2], "dtype": "float32"}]}
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from ..semantics.about import About, checked
from ..semantics.models import Description, Layer, Tensor

T = TypeVar("T")
NUMBERS = ("flash_bytes", "ram_bytes", "training_ram_bytes", "shape_hash")
MAY_BE_NULL = NUMBERS[2:]
MOST_LAYERS = 1000


def from_json(given: dict[str, Any]) -> Description:
    """ValueError, with the name of the field: it is no description."""
    people = {field.name for field in fields(About)}
    unknown = given.keys() - people - {"layers", "inputs", "outputs", *NUMBERS}
    if unknown:
        raise ValueError(f"{min(unknown)} is no field of a model's description")
    missing = {"name", "layers", "inputs", "outputs", "flash_bytes", "ram_bytes"} - given.keys()
    if missing:
        raise ValueError(f"{min(missing)} is missing")
    about = {name: value for name, value in given.items() if name in people}
    if isinstance(about.get("metrics"), list):
        about["metrics"] = _pairs(about["metrics"])
    told = [name for name in NUMBERS if given.get(name) is not None or name not in MAY_BE_NULL]
    numbers: dict[str, Any] = {name: _number(name, given[name]) for name in told}
    return Description(
        **checked(about),
        **numbers,
        layers=_list("layers", given["layers"], _layer),
        inputs=_list("inputs", given["inputs"], _tensor),
        outputs=_list("outputs", given["outputs"], _tensor),
    )


def _list(name: str, given: Any, make: Callable[[str, dict[str, Any]], T]) -> tuple[T, ...]:
    if not isinstance(given, list) or len(given) > MOST_LAYERS or not all(isinstance(one, dict) for one in given):
        raise ValueError(f"{name} must be a list of objects")
    return tuple(make(f"{name}.{at}", one) for at, one in enumerate(given))


def _layer(path: str, given: dict[str, Any]) -> Layer:
    _exactly(path, given, set(LAYER))
    read = {name: READ[kind](f"{path}.{name}", given[name]) for name, kind in LAYER.items()}
    return Layer(**read)


def _tensor(path: str, given: dict[str, Any]) -> Tensor:
    _exactly(path, given, {"shape", "dtype"})
    return Tensor(_shape(f"{path}.shape", given["shape"]), _text(f"{path}.dtype", given["dtype"]))


def _exactly(path: str, given: dict[str, Any], names: set[str]) -> None:
    if given.keys() != names:
        raise ValueError(f"{path} must have {', '.join(sorted(names))}, and nothing else")


def _shape(path: str, given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or len(given) > 16:
        raise ValueError(f"{path} must be a list of whole numbers")
    return tuple(_number(path, size) for size in given)


def _number(path: str, given: Any) -> int:
    if type(given) is not int or not 0 <= given < 1 << 63:
        raise ValueError(f"{path} must be a whole number")
    return given


def _text(path: str, given: Any) -> str:
    if not isinstance(given, str) or len(given) > 64:
        raise ValueError(f"{path} must be text, 64 letters at most")
    return given


def _pairs(given: list[Any]) -> dict[Any, Any]:
    """Metrics as a list of [name, value]."""
    if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in given):
        raise ValueError("metrics must be an object of numbers")
    return dict(given)


LAYER: dict[str, Any] = {field.name: field.type for field in fields(Layer)}
READ: dict[Any, Callable[[str, Any], Any]] = {int: _number, str: _text, tuple[int, ...]: _shape}
