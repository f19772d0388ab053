"""The answer to a query, written row by row until a limit is reached: whatever is cut is still a whole document.

SPARQL 1.1 Query Results in JSON, XML, CSV and TSV. JSON that was cut has a member `cut` that says so.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pyoxigraph import BlankNode, Literal, NamedNode, QuerySolutions, RdfFormat, Triple, serialize

from ..semantics.terms import PREFIXES

STRING = "http://www.w3.org/2001/XMLSchema#string"
NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Term = NamedNode | BlankNode | Literal | Triple
Row = list[Term | None]
Begin = Callable[[list[str]], str]
Write = Callable[[list[str], Row], str]
End = Callable[[str], str]


@dataclass(frozen=True)
class Written:
    """A document, how many rows or triples are in it, and why these are not all ("": they are)."""

    body: bytes
    rows: int
    cut: str = ""


def write_solutions(found: QuerySolutions, form: str, most_rows: int, most_bytes: int) -> Written:
    """The rows of a SELECT. form: json, xml, csv or tsv."""
    names = [variable.value for variable in found.variables]
    rows = ([solution[name] for name in names] for solution in found)
    begin, write, end = FORMS[form]
    parts, cut = _limited((write(names, row) for row in rows), most_rows, most_bytes)
    between = "," if form == "json" else ""
    text = begin(names) + between.join(parts) + end(cut)
    return Written(text.encode(), len(parts), cut)


def write_triples(found: Iterable[Triple], form: RdfFormat, most: int, most_bytes: int) -> Written:
    """What a CONSTRUCT or DESCRIBE gives."""
    kept: list[Triple] = []

    def lines() -> Iterator[str]:
        for triple in found:
            kept.append(triple)
            yield str(triple)

    _, cut = _limited(lines(), most, most_bytes)
    return Written(serialize(kept[:most], format=form, prefixes=used(kept[:most])) or b"", len(kept[:most]), cut)


def used(triples: Iterable[Triple]) -> dict[str, str]:
    """The prefixes that shorten something in these."""
    iris = {part.value for triple in triples for part in triple if isinstance(part, NamedNode)}
    iris |= {triple.object.datatype.value for triple in triples if isinstance(triple.object, Literal)} - {STRING}
    return {prefix: name for prefix, name in PREFIXES.items() if any(iri.startswith(name) for iri in iris)}


def _limited(texts: Iterator[str], most: int, most_bytes: int) -> tuple[list[str], str]:
    parts: list[str] = []
    left = most_bytes
    for text in texts:
        if len(parts) == most:
            return parts, f"only the first {most} are given"
        left -= len(text.encode())
        if left < 0:
            return parts, f"more than {most_bytes} bytes: only the first {len(parts)} are given"
        parts.append(text)
    return parts, ""


# --- JSON ---


def _json_begin(names: list[str]) -> str:
    return f'{{"head":{{"vars":{json.dumps(names)}}},"results":{{"bindings":['


def _json_row(names: list[str], row: Row) -> str:
    bound = {name: _json_term(found) for name, found in zip(names, row, strict=True) if found is not None}
    return json.dumps(bound, ensure_ascii=False, separators=(",", ":"))


def _json_end(cut: str) -> str:
    return "]}" + (f',"cut":{json.dumps(cut)}' if cut else "") + "}"


def _json_term(found: Term) -> dict[str, Any]:
    if isinstance(found, NamedNode):
        return {"type": "uri", "value": found.value}
    if isinstance(found, BlankNode):
        return {"type": "bnode", "value": found.value}
    if isinstance(found, Triple):
        parts = {"subject": found.subject, "predicate": found.predicate, "object": found.object}
        return {"type": "triple", "value": {name: _json_term(part) for name, part in parts.items()}}
    said = {"type": "literal", "value": found.value}
    if found.language:
        return said | {"xml:lang": found.language}
    return said if found.datatype.value == STRING else said | {"datatype": found.datatype.value}


# --- XML ---


def _xml_begin(names: list[str]) -> str:
    head = "".join(f"<variable name={quoteattr(name)}/>" for name in names)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<sparql xmlns="http://www.w3.org/2005/sparql-results#">'
        f"<head>{head}</head><results>"
    )


def _xml_row(names: list[str], row: Row) -> str:
    bound = ((name, found) for name, found in zip(names, row, strict=True) if found is not None)
    cells = (f"<binding name={quoteattr(name)}>{_xml_term(found)}</binding>" for name, found in bound)
    return f"<result>{''.join(cells)}</result>"


def _xml_end(cut: str) -> str:
    return "</results>" + (f"<!-- {cut} -->" if cut else "") + "</sparql>"


def _xml_term(found: Term) -> str:
    if isinstance(found, NamedNode):
        return f"<uri>{escape(found.value)}</uri>"
    if isinstance(found, BlankNode):
        return f"<bnode>{found.value}</bnode>"
    if isinstance(found, Triple):
        parts = {"subject": found.subject, "predicate": found.predicate, "object": found.object}
        return "<triple>" + "".join(f"<{name}>{_xml_term(part)}</{name}>" for name, part in parts.items()) + "</triple>"
    kind = f" xml:lang={quoteattr(found.language)}" if found.language else ""
    if not kind and found.datatype.value != STRING:
        kind = f" datatype={quoteattr(found.datatype.value)}"
    return f"<literal{kind}>{escape(NOT_IN_XML.sub(chr(0xFFFD), found.value))}</literal>"


# --- CSV, TSV ---


def _csv_begin(names: list[str]) -> str:
    return _csv_line(names)


def _csv_row(_: list[str], row: Row) -> str:
    return _csv_line(["" if found is None else _csv_term(found) for found in row])


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _csv_term(found: Term) -> str:
    return found.value if isinstance(found, NamedNode | Literal) else str(found)


def _tsv_begin(names: list[str]) -> str:
    return "\t".join(f"?{name}" for name in names) + "\n"


def _tsv_row(_: list[str], row: Row) -> str:
    return "\t".join("" if found is None else str(found).replace("\t", "\\t") for found in row) + "\n"


def _nothing(_: str) -> str:
    return ""


FORMS: dict[str, tuple[Begin, Write, End]] = {
    "json": (_json_begin, _json_row, _json_end),
    "xml": (_xml_begin, _xml_row, _xml_end),
    "csv": (_csv_begin, _csv_row, _nothing),
    "tsv": (_tsv_begin, _tsv_row, _nothing),
}
