"""A device's twin (tegu.twin) in a file beside its boot number, folder/{device}.twin.json, and what a source can serve."""

from pathlib import Path

from tegu.model import Model
from tegu.topics import check_id
from tegu.twin import Twin

from .boots import write_durably
from .sources import Source


def load_twin(folder: Path, device: str, model_name: str) -> Twin:
    """As it was kept, or a new one of the settings' model. ValueError: the file is broken."""
    path = _path(folder, device)
    try:
        return Twin(model_name, path.read_bytes())
    except FileNotFoundError:
        return Twin(model_name)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is broken; without it the device has the model of its settings") from error


def keep_twin(folder: Path, device: str, twin: Twin) -> None:
    """For the next start, durably."""
    write_durably(_path(folder, device), twin.encode())


def unfit(model: Model, source: Source) -> str | None:
    """Why what the source gives is not for the model; empty: it is; None: that cannot be told before its first sample."""
    query = source.query()
    inputs = source.inputs or next((len(x) for x, _ in query), 0)
    if not inputs:
        return None
    if inputs != model.inputs:
        return f"takes {model.inputs} inputs, not {inputs}"
    labels = [y for _, y in query if isinstance(y, int)]
    if query and bool(labels) != bool(model.classes):
        return "learns classes, not numbers" if model.classes else "learns numbers, not classes"
    if labels and max(labels) >= model.classes:
        return f"has {model.classes} classes, not {max(labels) + 1}"
    return ""


def _path(folder: Path, device: str) -> Path:
    return folder / f"{check_id(device, 'device')}.twin.json"
