"""JSON Merge Patch (RFC 7396): a document that says what of another document changes.

A member that is null goes, an object is merged member by member, all else replaces what was there.
"""

from typing import Any

Json = dict[str, Any]


def merge(document: Any, patch: Any) -> Any:
    """The document with the patch applied (RFC 7396, section 2). Neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def difference(before: Json, after: Json) -> Json:
    """The patch that makes `after` of `before`. (A member of `after` that is null and new cannot be said.)"""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        known = before.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            if inner := difference(known, value):
                patch[name] = inner
        elif name not in before or not _same(known, value):
            patch[name] = value
    return patch


def compose(first: Json, second: Json) -> Json:
    """A patch that does what `first` and then `second` do, but for one case: where `first` has put a text or a number in
    an object's place, and `second` an object in that one's."""
    both = dict(first)
    for name, value in second.items():
        known = both.get(name)
        both[name] = compose(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return both


def _same(one: Any, other: Any) -> bool:
    """Equal also as JSON: 1 is not true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
