"""Tables and numbers for people, as lines of plain text that fit a width. No I/O but `width` and `say`.

What is put into a cell may be anybody's words: letters that a terminal obeys, or that turn the order of letters about, are
shown as question marks.
"""

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NONE = "-"
GAP = "  "
NARROWEST = 6  # columns that a cut column keeps
# what a terminal obeys instead of showing it, and what turns the order of letters about
UNSEEN = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], "?"
)
BYTE_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def plain(text: str) -> str:
    """What anyone said, as letters and nothing else."""
    return text if text.isprintable() else text.translate(UNSEEN)


def size(count: int | float | None) -> str:
    """Bytes in decimal units: 812 B, 6.8 kB, 256 kB, 2.1 MB."""
    if count is None:
        return NONE
    for unit, least in BYTE_UNITS:
        if abs(count) >= least * 0.9995:
            return f"{digits(count / least)} {unit}"
    return f"{count:.0f} B"


def digits(value: int | float | None) -> str:
    """Three significant digits where there is a fraction, thousands apart: 12,345, 98.5, 0.0123."""
    if value is None:
        return NONE
    if isinstance(value, int) or value == int(value):
        return f"{value:,.0f}"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.2e}"
    places = max(0, 2 - _exponent(abs(value)))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def many(count: int, word: str) -> str:
    """1 device, 2 devices."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def cell(value: Any) -> str:
    """Any value as the text of a cell."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return digits(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(one) for one in value) or NONE
    return plain(str(value))


def width() -> int | None:
    """Columns of the terminal; None where the output is a file or a pipe, which has no width."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def say(told: Sequence[str] | Mapping[str, Any]) -> int:
    """Lines for people, or a mapping as JSON for programs, to standard output. A letter that it lacks becomes a question mark."""
    lines = [json.dumps(told, indent=2)] if isinstance(told, Mapping) else [plain(line) for line in told]
    text = "".join(f"{line}\n" for line in lines)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    return 0


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], columns: int | None = None) -> list[str]:
    """Lines: the heads, then a row each, in columns that begin below each other; numbers end below each other.

    columns: the longest line; the widest columns of words are cut until it holds. None: nothing is cut.
    """
    given = [list(row) for row in rows]
    cells = [[cell(value) for value in row] for row in given]
    right = [_is_number([row[at] for row in given]) for at in range(len(heads))]
    widths = [max(map(letters, [head, *(row[at] for row in cells)])) for at, head in enumerate(heads)]
    if columns is not None:
        widths = _fitted(widths, right, columns)
    return [_line(row, widths, right) for row in [list(heads), *cells]]


def pairs(rows: Iterable[tuple[str, Any]], columns: int | None = None) -> list[str]:
    """A name and its value a line; what is too long goes on below its beginning. Rows without a value are left out."""
    told = [(name, cell(value)) for name, value in rows if value not in (None, "", [], ())]
    indent = max((letters(name) for name, _ in told), default=0) + len(GAP)
    lines: list[str] = []
    for name, text in told:
        parts = wrapped(text, None if columns is None else max(columns - indent, 20))
        lines.append(_padded(name, indent, False) + parts[0])
        lines += [" " * indent + part for part in parts[1:]]
    return lines


def wrapped(text: str, columns: int | None) -> list[str]:
    """Text in lines of at most so many columns, broken between words where it can be."""
    if columns is None or letters(text) <= columns:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if letters(longer) <= columns or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def letters(text: str) -> int:
    """Columns that a text takes in a terminal: wide letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _is_number(values: list[Any]) -> bool:
    told = [value for value in values if value not in (None, "", NONE)]
    return bool(told) and all(
        (isinstance(value, int | float) and not isinstance(value, bool)) or _is_size(value) for value in told
    )


def _is_size(value: Any) -> bool:
    return isinstance(value, str) and value[:1].isdigit() and value.rpartition(" ")[2] in ("B", "kB", "MB", "GB")


def _fitted(widths: list[int], right: list[bool], columns: int) -> list[int]:
    """The widest columns of words made narrower, one letter after the other, until the line fits."""
    fitted = list(widths)
    over = sum(fitted) + len(GAP) * (len(fitted) - 1) - columns
    while over > 0:
        cuttable = [at for at in range(len(fitted)) if not right[at] and fitted[at] > NARROWEST]
        if not cuttable:
            break
        fitted[max(cuttable, key=fitted.__getitem__)] -= 1
        over -= 1
    return fitted


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return GAP.join(_padded(*one) for one in zip(row, widths, right, strict=True)).rstrip()


def _padded(text: str, columns: int, right: bool) -> str:
    cut = _cut(text, columns)
    space = " " * (columns - letters(cut))
    return space + cut if right else cut + space


def _cut(text: str, columns: int) -> str:
    if letters(text) <= columns:
        return text
    kept = ""
    for letter in text:
        if letters(kept + letter) > columns - 1:
            break
        kept += letter
    return kept + "\N{HORIZONTAL ELLIPSIS}"
