"""The process that answers: `python -m coordinator.sparql.answering MEMORY_BYTES`, started by asking.py, which may end it at any time.

It reads orders, one line of JSON each, and writes for each a line of JSON and as many bytes as that says:

    {"snapshot": folder or .nq file, "query": text, "rows": "json", "graph": "Turtle", "most_rows": n, "most_bytes": n, "cpu_s": n,
     "default_graphs": [IRI], "named_graphs": [IRI]}
    {"snapshot": ..., "export": "TriG", "to": file, "cpu_s": n}
    -> {"bytes": n, "kind": "rows" | "graph" | "export", "count": n, "cut": ""}  or  {"bytes": 0, "error": why}

It opens no socket, has little memory, and ends by itself when it has had more processor time than an order allows.
"""

import json
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from pyoxigraph import NamedNode, QueryBoolean, QueryResultsFormat, QuerySolutions, RdfFormat, Store, serialize

from coordinator.semantics.terms import PREFIXES

from .results import Written, write_solutions, write_triples
from .sealed import seal

NICENESS = 10  # the service goes first
RESULTS = {
    "json": QueryResultsFormat.JSON,
    "xml": QueryResultsFormat.XML,
    "csv": QueryResultsFormat.CSV,
    "tsv": QueryResultsFormat.TSV,
}
GRAPHS = {
    "turtle": RdfFormat.TURTLE,
    "ntriples": RdfFormat.N_TRIPLES,
    "jsonld": RdfFormat.JSON_LD,
    "trig": RdfFormat.TRIG,
    "nquads": RdfFormat.N_QUADS,
}
SERVICE = re.compile(
    r"\bSERVICE\s+(SILENT\s+)?(<|[?$]\w|[\w.-]*:)", re.IGNORECASE
)  # as it is usually written; see sealed.py
FROM = re.compile(r"\bFROM\s+(NAMED\s+)?(<[^>\s]*>|[\w.-]*:[\w.-]*)(?=\s*(FROM|WHERE|\{))", re.IGNORECASE)
Order = dict[str, Any]


class Answering:
    """What is kept from one order to the next: the snapshot."""

    def __init__(self, sealed: bool) -> None:
        self._sealed = sealed
        self._path = ""
        self._store = Store()

    def answer(self, order: Order) -> tuple[Order, bytes]:
        """The line that says what comes, and what comes."""
        try:
            self._open(order["snapshot"])
            if "export" in order:
                return self._export(order), b""
            return self._query(order)
        except (SyntaxError, ValueError, RuntimeError, OSError) as error:
            return {"bytes": 0, "error": str(error)}, b""

    def _open(self, path: str) -> None:
        if path == self._path:
            return
        if path.endswith(".nq"):
            self._store = Store()
            self._store.bulk_load(path=path, format=RdfFormat.N_QUADS)
        else:
            self._store = Store.read_only(path)
        self._path = path

    def _query(self, order: Order) -> tuple[Order, bytes]:
        text = order["query"]
        if SERVICE.search(text) or (not self._sealed and "service" in text.lower()):
            raise ValueError("SERVICE is not answered here: nothing is fetched from elsewhere")
        named = [match[2] for match in FROM.finditer(text)]
        for iri in named:
            if iri.startswith("<http") and not self._store.contains_named_graph(NamedNode(iri[1:-1])):
                raise ValueError(f"FROM {iri} is not answered: there is no such graph here, and none is fetched")
        graphs = {name: [NamedNode(iri) for iri in order[name]] or None for name in ("default_graphs", "named_graphs")}
        found = self._store.query(
            text,
            prefixes=PREFIXES,
            use_default_graph_as_union=not named and graphs["default_graphs"] is None,
            default_graph=graphs["default_graphs"],  # type: ignore[arg-type]
            named_graphs=graphs["named_graphs"],  # type: ignore[arg-type]
        )
        if isinstance(found, QueryBoolean):
            kind, written = "rows", Written(found.serialize(format=RESULTS[order["rows"]]) or b"", 1)
        elif isinstance(found, QuerySolutions):
            kind, written = "rows", write_solutions(found, order["rows"], order["most_rows"], order["most_bytes"])
        else:
            form = GRAPHS[order["graph"]]
            kind, written = "graph", write_triples(found, form, order["most_rows"], order["most_bytes"])
        said = {"bytes": len(written.body), "kind": kind, "count": written.rows, "cut": written.cut}
        return said, written.body

    def _export(self, order: Order) -> Order:
        form = GRAPHS[order["export"]]
        quads = self._store if form.supports_datasets else (quad.triple for quad in self._store)
        with Path(order["to"]).open("wb") as to:
            serialize(quads, to, form, prefixes=PREFIXES)
        return {"bytes": 0, "kind": "export", "count": Path(order["to"]).stat().st_size, "cut": ""}


def _allow_cpu(seconds: float) -> None:
    """Whoever started this may be gone: then the kernel ends it."""
    until = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))  # files that are mapped do not count
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answering = Answering(seal())
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(b"ready\n")
    answers.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what runs out of memory says so at length
    for line in orders:
        order = json.loads(line)
        _allow_cpu(order["cpu_s"])
        said, body = answering.answer(order)
        answers.write(json.dumps(said).encode() + b"\n" + body)
        answers.flush()


if __name__ == "__main__":
    main()
