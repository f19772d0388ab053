"""The words of RDF 1.1 Turtle (https://www.w3.org/TR/turtle/, section 6.5), each with its line. Any text has words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<term>(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
        (?:@[A-Za-z][\w-]*|\^\^(?:<[^<>\n]*>|[\w.-]*:[\w.-]*\w))?)
    |(?P<iri><[^<>"\n]*>)
    |(?P<end>\.(?=\s|\#|$))
    |(?P<mark>[;,\[\]()])
    |(?P<word>(?:[^\s;,\[\]()<>"'\#.]|\.(?!\s|\#|$))+)
    |(?P<junk>\S)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """kind: comment, term (a text with its language or type), iri, end (a full stop), mark, word, or junk."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> Iterator[Token]:
    """The words of a Turtle text, comments among them, each with its line (from 1)."""
    line, seen = 1, 0
    for found in TOKEN.finditer(text):
        line += text.count("\n", seen, found.start())
        seen = found.start()
        yield Token(found.lastgroup or "junk", found.group(), line)
