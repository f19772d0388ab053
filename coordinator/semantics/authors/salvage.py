"""Turtle that others wrote, read triple by triple: what cannot be read is reported, and costs nothing else.

The text (see turtle_words) is taken apart into single triples here, so that each has its line, and each is then read by
pyoxigraph, so that a term means what it means there. Repaired on the way, and reported: names like `x/:Y` and `x::Y`,
prefixes that are used and not declared but known, IRIs with forbidden characters, doubled slashes in IRIs of the authors'
namespaces, IRIs without a scheme; `<None>` and the like say nothing, and their triple is left out. Reported only:
declarations that do not match what the file says.

Blank nodes get names from the text itself: the same text gives the same triples, another text gives other names.
"""

import re
import zlib
from collections.abc import Mapping

from pyoxigraph import RdfFormat, parse

from ..terms import PREFIXES
from .defects import Defects, Stated, unknown
from .turtle_words import Token, tokens

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
HOST = re.compile(r"[\w-]+(\.[\w-]+)+(/|$)")
FORBIDDEN = re.compile(r"[\x00-\x20{}|^`\\]")
PREFIX = re.compile(r"(?:^|\^\^)([\w.-]*):")
FIRST, REST, NIL = (f"<{PREFIXES['rdf']}{name}>" for name in ("first", "rest", "nil"))
BASE = re.compile(r"#\s*baseURI:\s*(\S+)")
DOUBLED = re.compile("/{2,}|/:(?=[A-Za-z])")
DEEPEST = 64  # brackets in brackets
AUTHORS = ("http://tinyml-schema.org/", "https://w3id.org/tinyml-schema/")


def read(file: str, text: str, known: Mapping[str, str], defects: Defects) -> list[Stated]:
    """All triples that can be read. known: prefixes that are taken as declared when they are used and are not."""
    return _Reader(file, text, known, defects).read()


class _Reader:
    """One text. Its parts are gone through once, from the front."""

    def __init__(self, file: str, text: str, known: Mapping[str, str], defects: Defects) -> None:
        self.file, self.known, self.defects = file, known, defects
        words = list(tokens(text))
        self.comments = [token for token in words if token.kind == "comment"]
        self.left = [token for token in words if token.kind != "comment"][::-1]
        self.marks = f"{re.sub('[^A-Za-z0-9]', '', file)}{zlib.crc32(text.encode()):08x}"
        self.prefixes: dict[str, str] = {}
        self.declared: dict[str, int] = {}  # in which line
        self.used: set[str] = set()
        self.relative_to = ""
        self.blanks = 0
        self.depth = 0
        self.found: list[Stated] = []

    def read(self) -> list[Stated]:
        while self.left:
            word = self.left[-1].text.lower()
            if word in ("@prefix", "prefix", "@base", "base"):
                self._declaration()
            else:
                self._statement()
        self._judge_declarations()
        return self.found

    def _next(self) -> Token:
        return self.left.pop() if self.left else Token("end", ".", 0)

    def _at(self, *texts: str) -> bool:
        return not self.left or self.left[-1].kind in texts or self.left[-1].text in texts

    def _note(self, sentence: str, line: int, example: str = "") -> None:
        self.defects.note_line(sentence, self.file, line, example)

    def _declaration(self) -> None:
        form = self._next()
        name = "" if "base" in form.text.lower() else self._next().text
        iri = self._next()
        if iri.kind != "iri":
            self._note("The declaration of a prefix has no IRI and is left out", form.line, name)
        elif name:
            self.prefixes[name.removesuffix(":")] = iri.text
            self.declared[name.removesuffix(":")] = form.line
        else:
            self.relative_to = iri.text
        if form.text.startswith("@") and self._at("end"):
            self._next()

    def _statement(self) -> None:
        line = self.left[-1].line
        self._about(self._group() if self._at("[") else self._word(self._next()), whole=True)
        if not self.left:
            self._note("The last statement has no full stop", line)
        elif self._at("end"):
            self._next()

    def _about(self, subject: str | None, whole: bool = False) -> None:
        """predicate object, object ; predicate object ... subject None: it could not be read, and nothing is kept.

        whole: of a statement, after which the next may follow without the full stop that it needs.
        """
        while not self._at("end"):
            if self._at("]") and not whole:
                return
            if self._at("]"):
                self._note("A bracket is closed that was not opened", self._next().line)
            elif self._at(";"):
                self._next()
            else:
                self._said(subject, self._next())
                if not self._at("end", "]", ";") and self._astray(whole):
                    return

    def _astray(self, whole: bool) -> bool:
        """What follows an object and may not. Whether it is the next statement's subject."""
        token, *after = [*self.left[-1:-4:-1], *[Token("end", ".", 0)] * 2]
        name = token.kind == "iri" or ":" in token.text
        if name and (after[0].text == "[" or after[0].kind == "term" or after[1].text in (";", ",", "]", ".")):
            self._note("A semicolon is missing before a predicate", token.line, token.text)
            return False
        if name and whole:
            self._note("A full stop is missing before a subject", token.line, token.text)
            return True
        self._note("Something stands where a ; or a full stop should be, and is left out", token.line, token.text)
        while not self._at("end", "]", ";"):
            self._next()
        return False

    def _said(self, subject: str | None, token: Token) -> None:
        predicate = self._word(token)
        while True:
            if self._at("end", "]", ";"):
                self._note("A predicate has no object, or a comma no object after it", token.line, token.text)
                return
            line = self.left[-1].line
            value = self._object()
            if subject and predicate and value:
                self._triple(subject, predicate, value, line)
            if not self._at(",") or not self.left:
                return
            self._next()

    def _object(self) -> str | None:
        if not self._at("[", "("):
            return self._word(self._next())
        if self.depth == DEEPEST:
            self._note("Brackets are nested too deeply; one is left out", self._next().line)
            return None
        self.depth += 1
        value = self._group() if self._at("[") else self._list()
        self.depth -= 1
        return value

    def _list(self) -> str:
        opened, items = self._next(), []
        while not self._at("end", ")"):
            items.append((self._object(), self.left[-1].line if self.left else opened.line))
        if self._at(")") and self.left:
            self._next()
        rest = NIL
        for item, line in reversed(items):
            name = self._blank()
            self._triple(name, FIRST, item or NIL, line)
            self._triple(name, REST, rest, line)
            rest = name
        return rest

    def _blank(self) -> str:
        self.blanks += 1
        return f"_:{self.marks}n{self.blanks}"

    def _group(self) -> str:
        opened = self._next()
        name = self._blank()
        self._about(name)
        if self._at("end"):
            self._note("A bracket is opened and not closed", opened.line)
        else:
            self._next()
        return name

    def _triple(self, subject: str, predicate: str, value: str, line: int) -> None:
        words = (subject, predicate, value)
        names = {name for word in words for name in PREFIX.findall(word)} & self.prefixes.keys()
        self.used |= names
        head = "".join(f"@prefix {name}: {self.prefixes[name]} .\n" for name in sorted(names))
        head += f"@base {self.relative_to} .\n" if self.relative_to else ""
        try:
            quads = list(parse(f"{head}{' '.join(words)} .", RdfFormat.TURTLE))
        except SyntaxError as error:
            why = re.sub(r"^Parser error at line \d+ .*?: | \(line \d+\)$", "", str(error))
            said = re.sub(rf"_:{self.marks}\w+", "[ ]", " ".join(words))
            self._note("A triple cannot be read and is left out", line, f"{said[:120]} ({why})")
            return
        self.found += [Stated(quad.triple, self.file, line) for quad in quads]

    def _word(self, token: Token) -> str | None:
        """A term as it should have been written; None: it says that nothing is known, or what it says nobody can know."""
        word, line = token.text, token.line
        if word.startswith("<"):
            return self._iri(word[1:-1], line)
        if word.startswith("_:"):
            return f"_:{self.marks}{word[2:]}"
        if word[0] in "\"'" or ":" not in word:
            return word
        prefix, _, name = word.partition(":")
        if prefix.endswith("/") or name.startswith(":"):
            repaired = f"{prefix.rstrip('/')}:{name.lstrip(':')}"
            self._note("A name is malformed and is repaired", line, f"{word} as {repaired}")
            return self._word(Token("word", repaired, line))
        if prefix not in self.prefixes and prefix in self.known:
            self.prefixes[prefix] = f"<{self.known[prefix]}>"
            self._note("A prefix is used and not declared", line, f"{prefix}: is taken as <{self.known[prefix]}>")
        return word

    def _iri(self, iri: str, line: int) -> str | None:
        if SCHEME.match(iri) or self.relative_to:
            return f"<{self._slashes(self._characters(iri, line), line)}>"
        if unknown(iri):
            self._note("An IRI only says that nothing is known; its triple is left out", line, f"<{iri}>")
            return None
        if HOST.match(iri):
            self._note("An IRI has no scheme; http:// is put before it", line, f"<{iri}>")
            return self._iri(f"http://{iri}", line)
        self._note("An IRI is relative to nothing; its triple is left out", line, f"<{iri}>")
        return None

    def _characters(self, iri: str, line: int) -> str:
        good = FORBIDDEN.sub(lambda found: f"%{ord(found.group()):02X}", iri.strip())
        if good != iri:
            self._note("An IRI has characters that no IRI may have; they are encoded", line, f"<{iri}> as <{good}>")
        return good

    def _slashes(self, iri: str, line: int) -> str:
        if not iri.startswith(AUTHORS):
            return iri
        scheme, _, rest = iri.partition("://")
        found = DOUBLED.search(rest)
        if found is None:
            return iri
        example = f"<{scheme}://{rest[: found.end()]}...>"
        self._note("An IRI has a slash twice, or a colon after a slash, and is read without", line, example)
        return f"{scheme}://{DOUBLED.sub('/', rest)}"

    def _judge_declarations(self) -> None:
        """Namespaces that look like another one that is used, and prefixes that nothing uses."""
        used = {self.prefixes[name] for name in self.used}
        for name, line in self.declared.items():
            if name in self.used:
                continue
            iri = self.prefixes[name]
            near = [other for other in used - {iri} if other.rstrip("#/>") == iri.rstrip("#/>")]
            if near:
                self._note(
                    "A prefix is declared otherwise than what is used", line, f"{name}: as {iri}, used is {near[0]}"
                )
            elif iri not in used:
                self._note("A prefix is declared and never used", line, f"{name}:")
        known = {getattr(stated.triple.subject, "value", "").rstrip("#/") for stated in self.found}
        known |= {iri[1:-1].rstrip("#/") for iri in used}
        for token in self.comments:
            told = BASE.match(token.text)
            if told and told[1].rstrip("#/") not in known:
                self._note("The comment baseURI names an IRI that its file does not describe", token.line, told[1])
