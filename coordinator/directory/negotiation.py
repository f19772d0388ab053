"""Which of the forms we have whoever asks likes best (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence

from .problems import Problem

RANGE = re.compile(r"\s*([\w!#$&^+.*-]+)/([\w!#$&^+.*-]+)\s*((?:;[^,]*)?)")
QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*(?:;|$)", re.IGNORECASE)
Range = tuple[str, str, float]


def best(accept: str, offered: Sequence[str]) -> str:
    """The media type to send, one of those offered; the first is what is sent to whoever does not say. Problem 406: none."""
    found = maybe(accept, offered)
    if not found:
        raise Problem(406, f"There is this in {', '.join(offered)}, and in nothing else")
    return found


def maybe(accept: str, offered: Sequence[str]) -> str:
    """The same; "": none."""
    ranges = [_range(found) for found in map(RANGE.fullmatch, accept.split(",")) if found]
    if not ranges:
        return offered[0]
    likes = {media: _quality(media, ranges) for media in offered}
    liked = max(offered, key=lambda media: likes[media])
    return liked if likes[liked] > 0 else ""


def _range(found: re.Match[str]) -> Range:
    quality = QUALITY.search(found[3])
    return found[1].lower(), found[2].lower(), float(quality[1]) if quality else 1.0


def _quality(media: str, ranges: Sequence[Range]) -> float:
    """What the range that fits closest says."""
    kind, _, form = media.partition(";")[0].partition("/")
    closest, liked = -1, 0.0
    for wanted_kind, wanted_form, quality in ranges:
        fits = wanted_kind in ("*", kind) and wanted_form in ("*", form)
        close = (wanted_kind != "*") + (wanted_form != "*")
        if fits and close > closest:
            closest, liked = close, quality
    return liked
