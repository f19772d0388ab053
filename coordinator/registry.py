"""The registry's graph: an RDF store on disk (pyoxigraph) with things, models, rounds and deployments, and questions asked of it.

Each thing and each model has a graph of its own, named by its IRI, which is replaced as a whole; what changes often is in
the graph `live`. A question is a file of coordinator/queries, named by what it answers, asked over the union of all graphs.
Its head says what it takes, one line a parameter:

    # Devices that can run a model.
    # ?model iri: the model

A parameter stands in the SELECT too: that is how pyoxigraph takes values (SEP-0007), with no text put together by hand.

What a method has returned from is in RocksDB's log, and outlives kill -9. `things` keeps W3C Thing Descriptions as they came.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pyoxigraph import (
    BlankNode,
    DefaultGraph,
    Literal,
    NamedNode,
    Quad,
    QuerySolutions,
    RdfFormat,
    Store,
    Triple,
    Variable,
    parse,
)

from .semantics.terms import PREFIXES, VOCABULARY, term

HERE = Path(__file__).parent
QUERIES = HERE / "queries"
PARAMETER = re.compile(r"^# \?(\w+) (iri|text|number): (.+)$", re.MULTILINE)
INTEGERS = frozenset(
    PREFIXES["xsd"] + name for name in ("integer", "int", "long", "nonNegativeInteger", "positiveInteger")
)
NUMBERS = frozenset(PREFIXES["xsd"] + name for name in ("decimal", "double", "float"))
BOOLEAN = PREFIXES["xsd"] + "boolean"
Row = dict[str, Any]  # variable -> IRI as str, or the literal's value
Given = str | int | float | NamedNode | Literal
Listener = Callable[[str, str], None]  # kind of change, IRI


@dataclass(frozen=True)
class Question:
    """A file of queries. parameters: name -> (iri, text or number; what it means)."""

    name: str
    text: str
    says: str
    parameters: Mapping[str, tuple[str, str]]


class Registry:
    """The graph of one site. folder: where it is kept; None: in memory only.

    OSError if the folder cannot be had, as when another process has it. Its methods may be called from any thread.
    """

    def __init__(self, folder: Path | None, site: str = "home") -> None:
        self.site = site
        try:
            self.store = Store(folder) if folder is not None else Store()
        except OSError as error:
            hint = "; another process has it open" if "lock" in str(error).lower() else ""
            raise OSError(f"cannot use the registry {folder}: {error}{hint}") from error
        self.writing = threading.RLock()
        self.changes = 0  # so many since the start: whoever kept an answer can see whether it is old
        self.listeners: list[Listener] = []
        self._load_vocabulary()

    def close(self) -> None:
        """All is on disk, also over a loss of power."""
        self.store.flush()

    # --- writing ---

    def replace_graphs(self, graphs: Mapping[NamedNode, Iterable[Triple]]) -> None:
        """Each of these graphs holds these triples and nothing else: all of it, or after an error nothing."""
        with self.writing:
            new = [name for name in graphs if not self.store.contains_named_graph(name)]
            old = [name for name in graphs if name not in set(new)]
            quads = [_quad(triple, name) for name in new for triple in graphs[name]]
            if old:
                drops = "".join(f"DROP SILENT GRAPH {name};\n" for name in old)
                quads += [_quad(triple, name) for name in old for triple in graphs[name]]
                self.store.update(f"{drops}INSERT DATA {{\n{''.join(map(_statement, quads))}}}")
            elif quads:
                self.store.extend(quads)
            self.changes += 1

    def replace_graph(self, name: NamedNode, triples: Iterable[Triple]) -> None:
        """The same, of one graph."""
        self.replace_graphs({name: triples})

    def remove_graph(self, name: NamedNode) -> None:
        """Forget a graph, if it is there."""
        with self.writing:
            self.store.update(f"DROP SILENT GRAPH {name}")
            self.changes += 1

    def add(self, name: NamedNode, triples: Iterable[Triple]) -> None:
        """These triples too, in a graph."""
        with self.writing:
            self.store.extend([_quad(triple, name) for triple in triples])
            self.changes += 1

    def set_facts(
        self, graph: NamedNode, facts: Iterable[tuple[NamedNode, NamedNode, NamedNode | Literal | None]]
    ) -> None:
        """For each (subject, predicate, value): this value and no other; None: none. The last word on each counts. All or nothing."""
        last = {(subject, predicate): value for subject, predicate, value in facts}
        gone: list[Quad] = []
        added: list[Quad] = []
        with self.writing:
            for (subject, predicate), value in last.items():
                known = list(self.store.quads_for_pattern(subject, predicate, None, graph))
                gone += [quad for quad in known if quad.object != value]
                if value is not None and all(quad.object != value for quad in known):
                    added.append(Quad(subject, predicate, value, graph))
            if gone:
                deleted, inserted = ("".join(map(_statement, quads)) for quads in (gone, added))
                self.store.update(f"DELETE DATA {{\n{deleted}}};\nINSERT DATA {{\n{inserted}}}")
            elif added:
                self.store.extend(added)
            if gone or added:
                self.changes += 1

    def forget(self, graph: NamedNode, subject: NamedNode) -> None:
        """No fact about this subject in a graph."""
        self.set_facts(
            graph,
            [(subject, quad.predicate, None) for quad in self.store.quads_for_pattern(subject, None, None, graph)],
        )

    def tell(self, kind: str, iri: str) -> None:
        """Something was changed, for those who listen: thing_created, thing_updated, thing_deleted, model_updated, ..."""
        for listener in list(self.listeners):
            listener(kind, iri)

    # --- asking ---

    def ask(self, question: str, **given: Given) -> list[Row]:
        """The answer to a question of coordinator/queries, row by row.

        given: its parameters; an IRI may be a str. KeyError: no such question. ValueError: not its parameters.
        """
        found = questions()[question]
        if given.keys() != found.parameters.keys():
            raise ValueError(
                f"{question} takes {', '.join(found.parameters) or 'no parameter'}, not {', '.join(given) or 'none'}"
            )
        values = {Variable(name): _term(value, found.parameters[name][0]) for name, value in given.items()}
        return list(self._rows(found.text, values))

    def select(self, text: str, **given: NamedNode | Literal) -> list[Row]:
        """The rows of a SELECT, or of an ASK one row {'answer': bool}. Our prefixes are known. SyntaxError: it cannot be read."""
        values = {Variable(name): value for name, value in given.items()}
        return list(self._rows(text, values))

    def _rows(self, text: str, values: dict[Variable, NamedNode | Literal]) -> Iterator[Row]:
        found = self.store.query(text, prefixes=PREFIXES, use_default_graph_as_union=True, substitutions=values or None)  # type: ignore[arg-type]
        if not isinstance(found, QuerySolutions):
            raise ValueError("this is no SELECT query")
        names = [(at, name.value) for at, name in enumerate(found.variables) if name not in values]
        for solution in found:  # by position: five times as fast as by name
            yield {name: plain(solution[at]) for at, name in names}

    def facts(self, subject: NamedNode, predicate: NamedNode, graph: NamedNode | None = None) -> list[Any]:
        """The values of a predicate, wherever they stand."""
        return [plain(quad.object) for quad in self.store.quads_for_pattern(subject, predicate, None, graph)]

    def graph(self, name: NamedNode) -> list[Triple]:
        """What stands in a graph."""
        return [quad.triple for quad in self.store.quads_for_pattern(None, None, None, name)]

    def has(self, name: NamedNode) -> bool:
        """Whether there is such a graph."""
        return self.store.contains_named_graph(name)

    # --- all of it ---

    def export(self, form: RdfFormat) -> bytes:
        """Everything; TriG and N-Quads keep the graphs apart, in the others they are joined."""
        if form.supports_datasets:
            return self.store.dump(format=form, prefixes=PREFIXES) or b""
        joined = Store()
        joined.bulk_extend(_quad(quad.triple, DefaultGraph()) for quad in self.store)
        return joined.dump(format=form, from_graph=DefaultGraph(), prefixes=PREFIXES) or b""

    def _load_vocabulary(self) -> None:
        text = (HERE / "vocabulary.ttl").read_bytes()
        mark = Literal(hashlib.sha256(text).hexdigest())
        if mark.value in self.facts(VOCABULARY, term("tegu:sha256")):
            return
        triples = [quad.triple for quad in parse(text, RdfFormat.TURTLE)]
        self.replace_graph(VOCABULARY, [*triples, Triple(VOCABULARY, term("tegu:sha256"), mark)])


@cache
def questions() -> dict[str, Question]:
    """Every question by its name."""
    return {path.stem: _question(path) for path in sorted(QUERIES.glob("*.rq"))}


def _question(path: Path) -> Question:
    text = path.read_text(encoding="utf-8")
    parameters = {name: (kind, meaning) for name, kind, meaning in PARAMETER.findall(text)}
    says = [line[2:] for line in text.splitlines() if line.startswith("# ") and not line.startswith("# ?")]
    return Question(path.stem, text, " ".join(says), parameters)


def _term(value: Given, kind: str) -> NamedNode | Literal:
    if isinstance(value, NamedNode | Literal):
        return value
    if kind == "iri":
        return NamedNode(str(value))
    return Literal(value)


def plain(found: Any) -> Any:
    """A term as a Python value: an IRI or a blank node's name as str, a literal's value, None for what is not bound."""
    if found is None or isinstance(found, NamedNode):
        return None if found is None else found.value
    if isinstance(found, BlankNode):
        return f"_:{found.value}"
    kind = found.datatype.value
    if kind in INTEGERS:
        return int(found.value)
    if kind in NUMBERS:
        return float(found.value)
    return found.value in ("true", "1") if kind == BOOLEAN else found.value


def _quad(triple: Triple, graph: NamedNode | DefaultGraph) -> Quad:
    return Quad(triple.subject, triple.predicate, triple.object, graph)


def _statement(quad: Quad) -> str:
    return f"GRAPH {quad.graph_name} {{ {quad.subject} {quad.predicate} {quad.object} . }}\n"
