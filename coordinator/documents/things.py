"""Thing Descriptions as documents, on top of the registry's graph: what devices announce and what people put or patch.

In the graph of a thing (its name is the thing's id) stand what the document says (semantics.things) and, of the id itself:

    tegu:document   the document as last announced or put, JSON text
    tegu:patch      what people changed of an announced one (RFC 7396), JSON text
    tegu:digest     sha256 of what was last announced
    tegu:announced  true: the thing speaks for itself
    tegu:brief      true: what questions read stands there, the rest of the document's triples is to follow
    tegu:etag, tegu:expires, dct:created, dct:modified

The document in force is the merge of document and patch: so a room that people set is not lost when the device starts anew.

The broker redelivers retained announcements at each connect. Whoever removes a thing that announced itself leaves its
digest in the graph `retired`, and a redelivery of just that is ignored; the thing itself, alive, comes back.
"""

import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from pyoxigraph import Literal, NamedNode, Triple

from ..registry import Registry
from ..semantics import things as descriptions
from ..semantics.naming import own_ids
from ..semantics.terms import LIVE, term
from ..semantics.things import Fault, Faulty
from .entries import (
    Entry,
    Invalid,
    Kept,
    described,
    digest_of,
    entry,
    faults_of,
    iri_of,
    json_text,
    keep,
    registration_faults,
    stripped,
    ttl_s_of,
)
from .merge_patch import (
    Json,
    compose,
    difference,
    merge,
)

__all__ = ["HIDDEN", "SORTABLE", "Entry", "Fault", "Invalid", "Json", "Things", "Watcher"]
log = logging.getLogger("tegu.registry")
RETIRED = NamedNode("urn:tegu-graph:retired")
DOCUMENT, PATCH, DIGEST = term("tegu:document"), term("tegu:patch"), term("tegu:digest")
ANNOUNCED, ETAG, EXPIRES = term("tegu:announced"), term("tegu:etag"), term("tegu:expires")
BRIEF = term("tegu:brief")
CREATED, MODIFIED, DATE_TIME = term("dct:created"), term("dct:modified"), term("xsd:dateTime")
HIDDEN = frozenset([DOCUMENT, PATCH, DIGEST, ANNOUNCED, ETAG])  # of no use to anybody else
OURS = HIDDEN | {EXPIRES, CREATED, MODIFIED}  # no document can say these
SORTABLE = {"id": ETAG, "title": term("schema:name"), "created": CREATED, "modified": MODIFIED}
Watcher = Callable[[str, str, Json, Json], None]  # kind of change, id, document before ({}: none), and after; no locks
Allow = Callable[[Entry | None], None]


def anyway(_: Entry | None) -> None:
    """A change that asks for nothing."""


def say_refused(id: str, why: str) -> None:
    log.warning("%s is not taken: %s", id, why)


class Things:
    """The things of a registry. now: the time, with its zone. Its methods may be called from any thread."""

    def __init__(self, registry: Registry, now: Callable[[], datetime]) -> None:
        self.registry = registry
        self.now = now
        self.watchers: list[Watcher] = []
        self._sorted: dict[str, list[str]] = {}  # SORTABLE -> ids in this order; forgotten at each change
        registry.listeners.append(self._on_change)
        self._brief = dict.fromkeys(self._said(BRIEF))  # ids, the oldest first

    # --- devices ---

    def announce(
        self,
        documents: Sequence[Json],
        retained: bool,
        modelled: Collection[str] = frozenset(),
        refuse: Callable[[str, str], None] = say_refused,
    ) -> list[str]:
        """Announcements of devices, expanded and checked; the ids that are new or changed.

        retained: the broker redelivers them. What is known already changes nothing, unless it renews a ttl. modelled: ids
        of documents that were expanded from a Thing Model: of these, complete() brings in later what no question reads.
        refuse: is told the id of each that cannot be taken all the same, and why.
        """
        graphs, changes = {}, []
        with self._changing() as told:
            for document in {document["id"]: _believed(document) for document in documents}.values():
                iri, digest = iri_of(document["id"]), digest_of(document)
                kept = self._kept(iri)
                if kept is None and retained and digest in self.registry.facts(iri, DIGEST, RETIRED):
                    continue
                if kept is not None and kept.digest == digest and (retained or not ttl_s_of(kept.in_force)):
                    continue
                try:
                    if kept is None:
                        self._not_taken(iri)
                    changed = self._announced(document, digest, kept)
                    brief = iri.value in modelled and not changed.patch and changed.document == document
                    graphs[iri] = self._brief_triples(iri, changed) if brief else self._triples(iri, changed)
                except Invalid as error:
                    refuse(iri.value, str(error))
                    continue
                changes.append((iri, kept, changed))
            if graphs:
                self.registry.replace_graphs(graphs)
            for iri, kept, changed in changes:
                self._note(told, iri.value, kept, changed)
        return [iri.value for iri, _, _ in changes]

    def complete(self, most: int) -> int:
        """The rest of the triples of so many documents that were taken briefly; how many are left."""
        for id in list(self._brief)[:most]:
            with self.registry.writing:
                iri = NamedNode(id)
                kept = (
                    self._kept(iri)
                    if self._brief.pop(id, "") is None and self.registry.facts(iri, BRIEF, iri)
                    else None
                )
                if kept is not None:
                    try:
                        self.registry.add(iri, self._triples(iri, kept))
                    except Invalid as error:  # never again: it would be tried for ever
                        log.error("%s: its description stays brief: %s", id, error)
                    self.registry.set_facts(iri, [(iri, BRIEF, None)])
        return len(self._brief)

    def _brief_triples(self, iri: NamedNode, kept: Kept) -> list[Triple]:
        self._brief[iri.value] = None
        return [*descriptions.brief(kept.document), *self._said_of(iri, kept), Triple(iri, BRIEF, Literal(True))]

    def _announced(self, document: Json, digest: str, kept: Kept | None) -> Kept:
        """What people changed stays, but for what does not fit the device any more."""
        if kept is not None and kept.digest == digest:
            return keep(kept.document, kept.patch, digest, kept, self.now())
        patch = kept.patch if kept is not None else {}
        faults = faults_of(merge(document, patch)) if patch else []
        if faults:
            log.warning("%s: not all that people changed fits it any more: %s", document["id"], Invalid(faults))
            patch = {name: value for name, value in patch.items() if not faults_of(merge(document, {name: value}))}
            patch = {} if faults_of(merge(document, patch)) else patch
        return keep(document, patch, digest, kept, self.now())

    # --- people ---

    def put(self, document: Json, allow: Allow = anyway) -> tuple[Entry, bool]:
        """Keep a document, in place of what was there; True: it was new. One with no id is given one.

        allow: raises if what is there now must not be changed. Invalid: the document is not valid, or its id is none that a
        thing can have.
        """
        iri = iri_of(document["id"]) if "id" in document else NamedNode(f"urn:uuid:{uuid.uuid4()}")
        document = stripped(document) | {"id": iri.value}
        if faults := faults_of(document):
            raise Invalid(faults)
        with self._changing() as told:
            kept = self._kept(iri)
            allow(entry(iri.value, kept) if kept is not None else None)
            if kept is None:
                self._not_taken(iri)
            changed = keep(document, {}, kept.digest if kept else "", kept, self.now())
            self._keep(iri, changed)
            self._note(told, iri.value, kept, changed)
        return entry(iri.value, changed), kept is None

    def patch(self, id: str, patch: Json, allow: Allow = anyway) -> Entry:
        """Change a part of a document (RFC 7396). KeyError: no such thing. Invalid: what would come of it is."""
        with self._changing() as told:
            iri, kept = self._found(id)
            allow(entry(id, kept))
            patch = stripped(patch)
            target = merge(kept.in_force, patch)
            if target.get("id") != id:
                raise Invalid([Fault("id", "is the name of this thing, and cannot be changed")])
            if faults := faults_of(target):
                raise Invalid(faults)
            document, both = (kept.document, self._both(kept, patch, target)) if kept.digest else (target, {})
            changed = keep(document, both, kept.digest, kept, self.now())
            self._keep(iri, changed)
            self._note(told, id, kept, changed)
        return entry(id, changed)

    def _both(self, kept: Kept, patch: Json, target: Json) -> Json:
        """One patch for what people changed before and what they change now."""
        both = compose(kept.patch, patch)
        return both if merge(kept.document, both) == target else difference(kept.document, target)

    def remove(self, id: str, allow: Allow = anyway) -> None:
        """Forget a thing, and how it was last heard of; also a device that is known by that alone. KeyError: no such thing."""
        with self._changing() as told:
            try:
                iri, kept = self._found(id)
            except KeyError:
                self._remove_heard(id, allow)
                told.append(("thing_deleted", id))
                return
            allow(entry(id, kept))
            if kept.digest:
                self.registry.set_facts(RETIRED, [(iri, DIGEST, Literal(kept.digest))])
            self.registry.remove_graph(iri)
            self.registry.forget(LIVE, iri)
            self._note(told, id, kept, None)

    def _remove_heard(self, id: str, allow: Allow) -> None:
        """Of a device with no document, as one whose announcement was wrong. KeyError: nothing was heard of it."""
        iri = NamedNode(id) if own_ids(id) is not None else None
        if iri is None or next(self.registry.store.quads_for_pattern(iri, None, None, LIVE), None) is None:
            raise KeyError(id)
        allow(None)
        self.registry.forget(LIVE, iri)

    def expire(self) -> list[str]:
        """Forget the things whose time is over; their ids. One that cannot be removed keeps none of the others."""
        gone = []
        for id in [id for id, at in self._said(EXPIRES).items() if self._is_over(at)]:
            try:
                self.remove(id, self._still_over)
                gone.append(id)
            except KeyError:  # somebody has removed it, or renewed it
                continue
            except Exception:
                log.exception("%s has expired, and cannot be removed", id)
        return gone

    def _still_over(self, found: Entry | None) -> None:
        if found is None or not self._is_over(found.expires):
            raise KeyError

    def _is_over(self, expires: str) -> bool:
        try:
            return datetime.fromisoformat(expires) <= self.now()
        except (ValueError, TypeError):  # no time, or with no zone: of a graph that is no thing's
            return False

    # --- reading ---

    def get(self, id: str) -> Entry | None:
        """The thing with this id, if there is one."""
        try:
            return entry(id, self._found(id)[1])
        except KeyError:
            return None

    def page(self, offset: int, limit: int, sort_by: str = "id", descending: bool = False) -> list[Entry]:
        """Some of the things, in the order of Unicode's code points of their id, title, created or modified (SORTABLE)."""
        ids = self.ids(sort_by)
        if descending:
            ids = ids[::-1]
        return [entry for id in ids[offset : offset + limit] if (entry := self.get(id)) is not None]

    def count(self) -> int:
        """So many things are there."""
        return len(self.ids())

    def ids(self, sort_by: str = "id") -> list[str]:
        """All ids, in this order; not to be changed. Kept until a thing changes: 10,000 are sorted in 30 ms."""
        memory = self._sorted
        if sort_by not in memory:
            ids = self._said(ETAG)
            keys = {} if sort_by == "id" else self._said(SORTABLE[sort_by])
            # Times with no Z, as 12:00:00 comes before 12:00:00.5
            end = "Z" if sort_by in ("created", "modified") else ""
            memory[sort_by] = sorted(ids, key=lambda id: (keys.get(id, "").removesuffix(end), id))
        return memory[sort_by]

    def _said(self, predicate: NamedNode) -> dict[str, str]:
        """What each graph says of the thing whose graph it is."""
        quads = self.registry.store.quads_for_pattern(None, predicate, None, None)
        return {
            quad.subject.value: quad.object.value
            for quad in quads
            if quad.subject == quad.graph_name
            and isinstance(quad.subject, NamedNode)
            and isinstance(quad.object, Literal)
        }

    # --- what stands in the graph ---

    def _kept(self, iri: NamedNode) -> Kept | None:
        quads = self.registry.store.quads_for_pattern(iri, None, None, iri)
        said = {quad.predicate: quad.object.value for quad in quads if isinstance(quad.object, Literal)}
        if DOCUMENT not in said:
            return None
        document, patch = json.loads(said[DOCUMENT]), json.loads(said.get(PATCH, "{}"))
        created, modified, etag = said[CREATED], said[MODIFIED], said[ETAG]
        return Kept(document, patch, said.get(DIGEST, ""), created, modified, etag, said.get(EXPIRES, ""))

    def _found(self, id: str) -> tuple[NamedNode, Kept]:
        try:
            iri = iri_of(id)
        except Invalid as error:
            raise KeyError(id) from error
        kept = self._kept(iri)
        if kept is None:
            raise KeyError(id)
        return iri, kept

    def _keep(self, iri: NamedNode, kept: Kept) -> None:
        self.registry.replace_graph(iri, self._triples(iri, kept))

    def _triples(self, iri: NamedNode, kept: Kept) -> list[Triple]:
        """All that stands in the thing's graph. Invalid: the document cannot be said in RDF."""
        try:
            said = descriptions.triples(described(kept.in_force))
        except Faulty as error:
            raise Invalid([error.fault]) from error
        ours = self._said_of(iri, kept)
        return [*(triple for triple in said if triple.subject != iri or triple.predicate not in OURS), *ours]

    def _said_of(self, iri: NamedNode, kept: Kept) -> list[Triple]:
        """What stands there of the document itself."""
        facts = {DOCUMENT: json_text(kept.document), ETAG: kept.etag}
        facts |= {PATCH: json_text(kept.patch)} if kept.patch else {}
        facts |= {DIGEST: kept.digest} if kept.digest else {}
        times = {CREATED: kept.created, MODIFIED: kept.modified} | ({EXPIRES: kept.expires} if kept.expires else {})
        triples = [Triple(iri, predicate, Literal(text)) for predicate, text in facts.items()]
        triples += [Triple(iri, predicate, Literal(at, datatype=DATE_TIME)) for predicate, at in times.items()]
        return [*triples, Triple(iri, ANNOUNCED, Literal(True))] if kept.digest else triples

    def _not_taken(self, iri: NamedNode) -> None:
        if self.registry.has(iri):
            raise Invalid([Fault("id", "names something else in the registry than a thing")])

    # --- telling ---

    @contextmanager
    def _changing(self) -> Iterator[list[tuple[str, str]]]:
        """Nobody else changes anything. What was noted is told when this is over: who hears of it may want locks of its own."""
        told: list[tuple[str, str]] = []
        with self.registry.writing:
            yield told
        for kind, id in told:
            self.registry.tell(kind, id)

    def _note(self, told: list[tuple[str, str]], id: str, before: Kept | None, after: Kept | None) -> None:
        """Watchers hear of it at once, in the order in which things change."""
        kind = "thing_updated" if before and after else "thing_created" if after else "thing_deleted"
        told.append((kind, id))
        old, new = (described(kept.in_force) if kept is not None else {} for kept in (before, after))
        for watcher in list(self.watchers):
            watcher(kind, id, old, new)

    def _on_change(self, kind: str, _: str) -> None:
        """New dictionaries: whoever sorts just now fills the old one."""
        if kind == "thing_updated":
            self._sorted = {key: ids for key, ids in self._sorted.items() if key in ("id", "created")}
        elif kind in ("thing_created", "thing_deleted"):
            self._sorted = {}


def _believed(document: Json) -> Json:
    """An announcement, with no registration if that is not valid: for this nobody is refused."""
    return described(document) if registration_faults(document) else document
