"""A thing as the registry keeps it: its document, what people patched of it, and its registration information.

`registration` (W3C WoT Discovery, section 7.3.1.1) is ours to say: of what is given, `ttl` (seconds) and `expires` are read.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pyoxigraph import NamedNode

from ..semantics import things as descriptions
from ..semantics.naming import thing_id
from ..semantics.things import Fault, Faulty
from .merge_patch import Json, merge

DISCOVERY = "https://www.w3.org/2022/wot/discovery"
MOST_ID_CHARACTERS = 512
MOST_TTL_S = 10 * 365 * 86400


class Invalid(ValueError):
    """The document is none that can be kept: faults says what is wrong, and where."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = list(faults)


@dataclass(frozen=True)
class Entry:
    """A thing as it is kept. document: the one in force, with no `registration`. Times: ISO 8601, UTC; expires "": never."""

    id: str
    document: Json
    created: str
    modified: str
    etag: str
    announced: bool
    expires: str = ""
    ttl_s: float = 0  # 0: none was given

    @property
    def enriched(self) -> Json:
        """The document with its registration information, as a directory gives it."""
        times = {"created": self.created, "modified": self.modified}
        times |= {"expires": self.expires} if self.expires else {}
        registration = times | ({"ttl": self.ttl_s} if self.ttl_s else {})
        given = self.document.get("@context", [])
        contexts = given if isinstance(given, list) else [given]
        known = DISCOVERY in contexts
        # The TD context stays first, as TD 1.1 wants it.
        return self.document | {
            "@context": contexts if known else [*contexts[:1], DISCOVERY, *contexts[1:]],
            "registration": registration,
        }


@dataclass(frozen=True)
class Kept:
    """What stands in a thing's graph."""

    document: Json
    patch: Json
    digest: str  # "": it has not announced itself
    created: str
    modified: str
    etag: str
    expires: str

    @property
    def in_force(self) -> Json:
        return dict(merge(self.document, self.patch))


def entry(id: str, kept: Kept) -> Entry:
    """For those who read."""
    document = kept.in_force
    ttl_s = ttl_s_of(document)
    announced = bool(kept.digest)
    return Entry(id, described(document), kept.created, kept.modified, kept.etag, announced, kept.expires, ttl_s)


def keep(document: Json, patch: Json, digest: str, before: Kept | None, now: datetime) -> Kept:
    """What is kept from now on of a thing, with its times; the documents are valid."""
    in_force = merge(document, patch)
    ttl_s, until = ttl_s_of(in_force), in_force.get("registration", {}).get("expires")
    expires = iso(now + timedelta(seconds=ttl_s)) if ttl_s else iso(datetime.fromisoformat(until)) if until else ""
    created, modified = before.created if before else iso(now), iso(now)
    etag = digest_of([in_force, created, modified, expires])[:20]
    return Kept(document, patch, digest, created, modified, etag, expires)


def described(document: Json) -> Json:
    """What the document says of the thing itself."""
    return {name: value for name, value in document.items() if name != "registration"}


def stripped(document: Json) -> Json:
    """What of `registration` is the directory's alone is not taken from anybody."""
    registration = document.get("registration")
    if not isinstance(registration, dict):
        return document
    given = {name: value for name, value in registration.items() if name in ("ttl", "expires")}
    return described(document) | ({"registration": given} if given else {})


def iri_of(id: object) -> NamedNode:
    """An id as an IRI. Invalid: it cannot be a thing's."""
    try:
        iri = NamedNode(thing_id({"id": id}))
    except Faulty as error:
        raise Invalid([error.fault]) from error
    except ValueError as error:
        raise Invalid([Fault("id", f"is no IRI: {error}")]) from error
    if len(iri.value) > MOST_ID_CHARACTERS:
        raise Invalid([Fault("id", f"is longer than {MOST_ID_CHARACTERS} characters")])
    return iri


def faults_of(document: Json) -> list[Fault]:
    """What is wrong with a document and its registration."""
    return registration_faults(document) + descriptions.check(described(document))


def registration_faults(document: Json) -> list[Fault]:
    """What is wrong with what is said of the registration alone."""
    registration = document.get("registration", {})
    if not isinstance(registration, dict):
        return [Fault("registration", "must be an object")]
    faults, ttl, expires = [], registration.get("ttl", 1), registration.get("expires")
    number = isinstance(ttl, int | float) and not isinstance(ttl, bool)  # NaN and infinity are not between these
    if not number or not 0 < ttl <= MOST_TTL_S:
        faults.append(Fault("registration.ttl", f"must be a number of seconds above 0, and at most {MOST_TTL_S}"))
    try:
        at = datetime.fromisoformat(expires) if expires is not None else None
        if at is not None and at.tzinfo is None:
            faults.append(
                Fault("registration.expires", "must have its offset from UTC (RFC 3339), as 2030-01-31T12:00:00Z has")
            )
        elif at is not None:
            iso(at)
    except (TypeError, ValueError, OverflowError):
        faults.append(Fault("registration.expires", "must be a date-time (RFC 3339), as 2030-01-31T12:00:00Z is"))
    return faults


def ttl_s_of(document: Json) -> float:
    """For how long a document wants to be kept; 0: it does not say."""
    registration = document.get("registration")
    ttl_s: float = registration.get("ttl", 0) if isinstance(registration, dict) else 0
    return ttl_s


def digest_of(value: Any) -> str:
    """sha256 of JSON, whatever the order of its members."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def json_text(value: Any) -> str:
    """As it is kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def iso(at: datetime) -> str:
    """With as many digits as the store gives back: 2030-01-31T12:00:00.5Z."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.rstrip("0").removesuffix(".") + "Z"
