"""Values as YAML for people: blocks, texts in double quotes as in JSON. It writes and cannot read."""

import json
from collections.abc import Iterator


def to_yaml(value: object, head: str) -> str:
    """head: lines of a comment, without their #."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    return comment + "\n".join(_lines(value)) + "\n"


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _under(f"{name}:", inner)
    elif isinstance(value, list) and value:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield json.dumps(value, ensure_ascii=False)


def _under(name: str, inner: object) -> Iterator[str]:
    if isinstance(inner, dict | list) and inner:
        yield name
        yield from (f"  {line}" for line in _lines(inner))
    else:
        yield f"{name} {json.dumps(inner, ensure_ascii=False)}"
