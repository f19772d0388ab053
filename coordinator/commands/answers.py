"""What the registry answered, as tables for people: short names for IRIs, units for bytes. Values in, lines out.

A column is named by what a query calls it: what ends in `Bytes` is bytes and is shown with a unit, `needsRamBytes` as `needs ram`.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from ..semantics.terms import short
from .tables import (
    NONE,
    letters,
    many,
    plain,
    size,
    table,
    wrapped,
)

IRI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`]+", re.IGNORECASE)
IRIS = re.compile(rf"{IRI.pattern}( {IRI.pattern})*", re.IGNORECASE)  # as some questions give them
SENTENCE = re.compile(r".*?(?<!\.)\.(?= |$)|.*", re.DOTALL)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^ ]*")
YES, NO = "yes", NONE
MEMORIES = ("ram", "ram to train", "flash")  # parts and reasons of which a question speaks
NARROWEST = 3  # letters of a column
UNBOUND = 120  # columns of a matrix that goes into a file
Row = Mapping[str, Any]


def word(value: Any) -> Any:
    """A value of an answer as it is shown: IRIs (one, or some with blanks between) by their short names, times to the second."""
    if isinstance(value, str):
        if MOMENT.fullmatch(value):
            return value[:19].replace("T", " ")
        return ", ".join(sorted(map(short_name, value.split(" ")))) if IRIS.fullmatch(value) else value
    return value


def short_name(iri: str) -> str:
    """A name that people may also give (see registry_names): what an IRI ends with, or its prefix and name."""
    told = short(iri)
    if told.startswith(("tegu:", "sosax:", "nnet:")):
        return told.partition(":")[2]
    return re.split(r"[/#]", iri)[-1] or iri if told == iri and "/" in iri else told


def head(name: str) -> str:
    """needsRamBytes: needs ram."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r" \1", name.removesuffix("Bytes")).lower()


def shown(name: str, value: Any) -> Any:
    """A value of the column with this name."""
    if name.endswith("Bytes") and isinstance(value, int | float) and not isinstance(value, bool):
        return size(value)
    if isinstance(value, list | tuple):
        return [word(one) for one in value]
    return word(value)


def rows(found: Sequence[Row], columns: int | None, names: Sequence[str] = ()) -> list[str]:
    """Any answer, a line each row. names: the columns and their order; columns that are empty throughout are left out."""
    if not found:
        return ["Nothing."]
    names = [name for name in names or list(found[0]) if any(row.get(name) not in (None, "", []) for row in found)]
    heads = [head(name) for name in names]
    return table(heads, [[_in_row(name, row) for name in names] for row in found], columns)


def _in_row(name: str, row: Row) -> Any:
    """Of a row that is about a memory, numbers are bytes whatever the column is called."""
    value = row.get(name)
    of_memory = row.get("part", row.get("reason")) in MEMORIES
    return shown("Bytes" if of_memory and isinstance(value, int) and not isinstance(value, bool) else name, value)


# --- matches ---


def matrix(
    models: Mapping[str, str],
    devices: Mapping[str, str],
    counts: Mapping[str, int],
    pairs: Iterable[Sequence[str]] | None,
    columns: int | None,
) -> list[str]:
    """A line a model, a column a device, `yes` where it fits, then the count. models, devices: name by IRI.

    Where the names of devices have no room, they are numbers and their names stand below; where these have none, or the
    pairs are too many to be told, counts.
    """
    if not models or not devices:
        return [f"There is no {'device' if models else 'model'} in the registry yet."]
    lines = _pairs(models, devices, {tuple(pair) for pair in pairs}, columns) if pairs is not None else []
    if not lines:
        rows = [[name, counts[model]] for model, name in models.items()]
        lines = table(["model", f"fits, of {many(len(devices), 'device')}"], rows, columns)
    return [*lines, "", f"{sum(counts.values()):,} of {many(len(models) * len(devices), 'pair')} fit."]


def _pairs(
    models: Mapping[str, str], devices: Mapping[str, str], fits: Container[tuple[str, ...]], columns: int | None
) -> list[str]:
    """Empty if there is no room for it."""
    if NARROWEST * len(devices) > (columns or UNBOUND):
        return []
    told = [[name, *(YES if (model, device) in fits else NO for device in devices)] for model, name in models.items()]
    lines = table(["model", *devices.values()], told)
    if not _has_room(lines, columns):
        lines = table(["model", *map(str, range(1, len(devices) + 1))], told)
        lines += ["", *(f"{at:>3}  {plain(name)}" for at, name in enumerate(devices.values(), 1))]
    return lines if _has_room(lines, columns) else []


def _has_room(lines: list[str], columns: int | None) -> bool:
    return max(map(letters, lines)) <= (columns or UNBOUND)


def needs(model: Row) -> str:
    """`needs 100 kB of RAM (120 kB to learn), 64 kB of flash, co2, temperature`."""
    ram, training = model.get("needsRamBytes"), model.get("needsTrainingRamBytes")
    parts = [f"{size(ram)} of RAM" + (f" ({size(training)} to learn)" if training else "")] if ram is not None else []
    if model.get("needsFlashBytes") is not None:
        parts.append(f"{size(model['needsFlashBytes'])} of flash")
    parts += [str(word(sensor)) for sensor in model.get("sensors", [])]
    return "needs " + ", ".join(parts) if parts else "says nothing of what it needs"


def reason(row: Row) -> str:
    """One reason of why_not: `RAM: has 64 kB, needs 100 kB`."""
    name, has, wanted = row["reason"], row.get("has"), row.get("needs")
    if name in MEMORIES:
        amounts = (size(has), size(wanted)) if size(has) != size(wanted) else (f"{has:,} B", f"{wanted:,} B")
        told = "does not say what it has" if has is None else f"has {amounts[0]}"
        return f"{name.replace('ram', 'RAM')}: {told}, needs {amounts[1]}"
    if name == "sensor":
        return f"has no {word(wanted)}"
    return f"{name}: {has}" if has else str(name)


def reasons(found: Sequence[Row], train: bool) -> list[str]:
    """Of all reasons those that count: for learning, or for running."""
    idle = ("ram",) if train else ("ram to train", "cannot train")
    return [reason(row) for row in found if row["reason"] not in idle]


# --- questions, faults ---


def questions(found: Sequence[Row], columns: int | None) -> list[str]:
    """Of each its name and what it takes, and below it what it answers."""
    lines = []
    for one in found:
        lines.append(
            " ".join([one["name"], *(f"{name}={said['kind'].upper()}" for name, said in one["parameters"].items())])
        )
        lines += [f"    {part}" for part in wrapped(_first(one["says"]), None if columns is None else columns - 4)]
    return lines


def _first(text: str) -> str:
    found = SENTENCE.match(text)
    return found[0] if found else text


def faults(path: str, found: Sequence[Row]) -> list[str]:
    """Of a document: `FILE: properties.co2.forms: why`, or that it is valid."""
    if not found:
        return [f"{plain(path)}: valid"]
    return [plain(f"{path}: {fault['path'] or 'the document'}: {fault['message']}") for fault in found]
