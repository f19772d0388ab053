"""What is wrong with a document, and where: `properties.co2.forms.0.href` and a sentence's end, as `is missing`.

What a JSON Schema validator finds is said anew in our words: a part of the schema that has a `title` is what is wanted there,
as in `must be a language tag, as en or de-AT, not 'English'`; of others the words are made from their keywords.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jsonschema_rs import ValidationError

ROOT = "(root)"
SHOWN = 40  # letters of a value, at most
NAMED = 80  # letters of a name, at most
LISTED = 10  # allowed values, at most
KINDS = {
    "object": "an object",
    "array": "an array",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


class Fault(NamedTuple):
    """path: names and positions with dots between, or (root). message: what is wrong there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Faulty(ValueError):
    """Of a document that cannot be used at all; its text is `path: message`."""

    def __init__(self, path: Iterable[str | int], message: str) -> None:
        self._path, self._message = list(path), message
        super().__init__(str(self.fault))

    @property
    def fault(self) -> Fault:
        return Fault(dotted(self._path), self._message)

    def below(self, step: str | int) -> "Faulty":
        """The same fault, seen from one level higher."""
        return Faulty([step, *self._path], self._message)


def dotted(path: Iterable[str | int]) -> str:
    """A path as one line. Names may be anybody's: long ones are cut, and what a terminal would obey is escaped."""
    return ".".join(_step(str(step)) for step in path) or ROOT


def _step(name: str) -> str:
    name = name if len(name) <= NAMED else name[: NAMED - 3] + "..."
    return name if name.isprintable() else repr(name)[1:-1]


def shown(value: Any) -> str:
    """A value of JSON, short enough for a sentence."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def of_schema(schema: dict[str, Any], errors: Iterable[ValidationError]) -> Iterator[Fault]:
    """The faults behind a validator's errors, each once. schema: what they are errors against."""
    seen = set()
    for error in errors:
        fault = _fault(schema, error)
        if fault not in seen:
            seen.add(fault)
            yield fault


def _fault(schema: dict[str, Any], error: ValidationError) -> Fault:
    path = error.instance_path
    if error.kind.name == "required":
        return Fault(dotted([*path, error.kind.as_dict()["property"]]), "is missing")
    if error.kind.name == "propertyNames":
        return Fault(dotted(path), "has a name that is not " + _wanted(_at(schema, error.schema_path[:-1])))
    return Fault(dotted(path), f"must be {_wanted(_at(schema, error.schema_path[:-1]))}, not {shown(error.instance)}")


def _at(schema: Any, path: Iterable[str | int]) -> Any:
    for step in path:
        schema = schema[step]
    return schema


def _wanted(schema: dict[str, Any]) -> str:
    """What a part of the schema wants, as words after `must be`."""
    if "title" in schema:
        return str(schema["title"])
    if "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        words = [str(word) for word in allowed[:LISTED]] + ["..."] * (len(allowed) > LISTED)
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(KINDS[kind] for kind in kinds)
