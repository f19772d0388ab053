"""What is wrong with triples that others wrote: where each was found, and what is said about it."""

import re
from dataclasses import dataclass, field

from pyoxigraph import Triple

SHOWN = 16  # examples of one sentence
UNKNOWN = frozenset(["", "none", "nan", "null", "n.a.", "n/a", "unknown"])  # words for what is not known


@dataclass(frozen=True)
class Stated:
    """A triple, and where it was found."""

    triple: Triple
    file: str
    line: int


@dataclass
class Defects:
    """What was found wrong, in sentences; one sentence may cover many places."""

    places: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # sentence -> (where, example)

    def note(self, sentence: str, one: Stated, example: str = "") -> None:
        """One more place where this sentence (without its full stop) is true, with what stands there."""
        self.note_line(sentence, one.file, one.line, example)

    def note_line(self, sentence: str, file: str, line: int, example: str = "") -> None:
        """The same, of a line."""
        self.places.setdefault(sentence, []).append((f"{file} line {line}", example))

    def sentences(self) -> list[str]:
        """One text a sentence, in the order in which they were first noted: the examples, how many places, and the first."""
        return [f"{sentence}{_examples(places)} ({_where(places)})." for sentence, places in self.places.items()]


def _examples(places: list[tuple[str, str]]) -> str:
    told = list(dict.fromkeys(example for _, example in places if example))
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return f": {', '.join(told[:SHOWN])}{more}" if told else ""


def _where(places: list[tuple[str, str]]) -> str:
    first = places[0][0]
    return first if len(places) == 1 else f"{len(places)} places, first {first}"


def unknown(text: str) -> bool:
    """Whether a text only says that nothing is known."""
    return text.strip().lower() in UNKNOWN


def tail(iri: str) -> str:
    """The last word of an IRI."""
    return re.split("[#/]", iri.rstrip("#/"))[-1]
