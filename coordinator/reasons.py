"""Reasons that go into an ack: short enough for its 256 bytes, whatever is in them."""

import json

JSON_BYTES = 140


def fitting(why: str) -> str:
    """As much of it as JSON writes in JSON_BYTES, in ASCII: a quote takes two, a control character six."""
    why = why.encode("ascii", "replace").decode()[:JSON_BYTES]
    while len(json.dumps(why)) > JSON_BYTES + 2:
        why = why[:-1]
    return why
