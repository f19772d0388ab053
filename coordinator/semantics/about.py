"""What only people know of a model: its sensors, what it was trained on, how good it is, whose it is. Given beside the file.

Beside `presence.tflite` this is `presence.about.toml`; every field may be left out:

    name = "Presence"                       # else the file's name
    description = "Whether somebody is in the room"
    input = "the last minute's means"       # a text, or a list of texts, one an input
    output = "0: nobody, 1: somebody"       # likewise
    sensors = ["co2", "temperature"]        # channels; which of several inputs one feeds is not said
    category = "classification"             # or regression, object-detection, feature-extraction, unsupervised
    data = "https://example.org/rooms"      # it was trained on: an address or a text
    licence = "Apache-2.0"                  # SPDX, or an address
    creator = "Facilities"
    runtime = "TFLite Micro"                # what runs it
    derived_from = ["presence-small"]       # models of this site, versions of them (presence:3), or IRIs

    [metrics]
    top-1-accuracy = 92.1
"""

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tegu.topics import check_id

CATEGORIES = ("classification", "regression", "object-detection", "feature-extraction", "unsupervised")
LARGEST_BYTES = 65536  # of a side file
LONGEST = 4000  # characters of a text
MOST = 64  # entries of a list
ORIGIN = re.compile(r"[a-z0-9-]{1,32}(:\d{1,10})?|(https?|urn):[^\s<>\"{}|\\^`]+")


@dataclass(frozen=True, kw_only=True)
class About:
    """The facts that people give. ValueError, with the field's name, for what cannot be one."""

    name: str
    description: str = ""
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    category: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    data: str = ""
    licence: str = ""
    creator: str = ""
    runtime: str = ""
    derived_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.name.strip() != "", "name must not be empty")
        _require(self.category in ("", *CATEGORIES), f"category must be one of {', '.join(CATEGORIES)}")
        for channel in self.sensors:
            check_id(channel, "sensors: a channel")
        for name, value in self.metrics:
            check_id(name, "metrics: a name")
            _require(math.isfinite(value), f"metrics: {name} must be a finite number")
        for origin in self.derived_from:
            _require(ORIGIN.fullmatch(origin) is not None, f"derived_from: {origin!r} is no model, version or IRI")


def told(path: Path, given: Mapping[str, object]) -> dict[str, Any]:
    """What About takes, for a model file: `given`, else its side file, else its name. ValueError with the faulty field."""
    side = path.with_suffix(".about.toml")
    found: Mapping[str, object] = {}
    if side.is_file():
        try:
            found = checked(_read(side))
        except (ValueError, RecursionError) as error:  # a TOML or UTF-8 error is a ValueError
            raise ValueError(f"{side.name}: {error}") from error
    return {"name": path.stem, **found, **checked(given)}


def checked(given: Mapping[str, object]) -> dict[str, Any]:
    """The same facts as About has them: lists as tuples. ValueError: an unknown field, or one that is of another kind."""
    known = {field.name: field.type for field in fields(About)}
    for name in given:
        _require(name in known, f"{name} is not known; there are: {', '.join(known)}")
    return {name: _value(name, known[name], value) for name, value in given.items()}


def _value(name: str, kind: object, value: object) -> object:
    if kind is str:
        return _text(name, value)
    if name == "metrics":
        _require(isinstance(value, Mapping) and len(value) <= MOST, "metrics must be a table of numbers")
        return tuple(sorted((_text(name, key), _number(key, number)) for key, number in value.items()))  # type: ignore[attr-defined]
    texts = [value] if isinstance(value, str) and name in ("input", "output") else value
    _require(isinstance(texts, list | tuple) and len(texts) <= MOST, f"{name} must be a list of texts in quotes")
    return tuple(_text(name, text) for text in texts)  # type: ignore[attr-defined]


def _text(name: str, value: object) -> str:
    _require(
        isinstance(value, str) and len(value) <= LONGEST, f"{name} must be text in quotes, {LONGEST} letters at most"
    )
    return str(value)


def _number(name: object, value: object) -> float:
    _require(isinstance(value, int | float) and not isinstance(value, bool), f"metrics: {name} must be a number")
    return float(value)  # type: ignore[arg-type]


def _read(side: Path) -> dict[str, object]:
    with side.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    _require(len(content) <= LARGEST_BYTES, f"it must have at most {LARGEST_BYTES} bytes")
    return tomllib.loads(content.decode())


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)
