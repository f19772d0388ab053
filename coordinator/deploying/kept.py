"""Deployments in the graph: what a restarted service rebuilds them from, and what questions read (PROV-O).

    deployment  a tegu:Deployment, prov:Activity ; tegu:deploys model ; tegu:where "..." ;
                tegu:metric "loss_after <= 0.5" ; tegu:status "running" ; tegu:why "..." ; tegu:stage 2 ;
                prov:startedAtTime, prov:endedAtTime ; tegu:deployedTo device, each that it is for ; tegu:kept "{...}"
    move        a tegu:Move, one for each of these devices, {deployment}:{device} ; tegu:moveOf deployment ;
                tegu:moves device ; tegu:status "took" ; tegu:why "..." ; tegu:stage 1 ; tegu:desiredVersion 7 ;
                tegu:earlierModel model ; tegu:kept "{...}"

tegu:kept is JSON that only the service needs: rules and times, telemetries that count. Every property but
tegu:deployedTo has one value, so what changed can be set without the rest. A text that is empty is absent.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pyoxigraph import Literal, NamedNode, Triple

from tegu.topics import check_id

from ..semantics import terms
from ..semantics.terms import PREFIXES, term
from .moves import Move
from .stages import Deployment, Rules

Value = NamedNode | Literal
Fact = tuple[NamedNode, NamedNode, Value | None]  # None: absent
Known = dict[str, Any]  # short name of a property -> its value as Python has it
A = term("rdf:type")
DATE_TIME = term("xsd:dateTime")
TIMES = ("started_s", "ended_s", "stage_s", "held_s", "paused_s")
RULES = ("samples", "hold_s", "patience_s", "needed_percent")
OF_MOVE = ("state", "energy", "asked_s", "told", "before", "after")


def move_iri(site: str, number: int, device: str) -> NamedNode:
    return NamedNode(f"{terms.deployment(site, number).value}:{check_id(device, 'device')}")


def to_triples(deployment: Deployment, site: str) -> list[Triple]:
    """All of a deployment, and from now on nothing of it has changed."""
    iri = terms.deployment(site, deployment.number)
    triples = [Triple(iri, A, term("tegu:Deployment")), Triple(iri, A, term("prov:Activity"))]
    for move in deployment.moves.values():
        device, moving = terms.device(site, move.device), move_iri(site, deployment.number, move.device)
        triples += [
            Triple(iri, term("tegu:deployedTo"), device),
            Triple(moving, A, term("tegu:Move")),
            Triple(moving, term("tegu:moveOf"), iri),
            Triple(moving, term("tegu:moves"), device),
        ]
        move.changed = True
    facts = to_facts(deployment, site)
    return triples + [Triple(subject, name, value) for subject, name, value in facts if value is not None]


def to_facts(deployment: Deployment, site: str) -> list[Fact]:
    """What may differ from what was kept last: the deployment's own, and the moves that have changed since."""
    facts = list(_of_deployment(deployment, site))
    for move in deployment.moves.values():
        if move.changed:
            facts += _of_move(move, site, deployment.number)
            move.changed = False
    return facts


def from_triples(triples: Iterable[Triple], site: str) -> list[Deployment]:
    """The deployments of a site, by number. Whatever was desired and not answered is due again.

    `restarted` is to be called on each, with the time. Other triples may be there; ValueError or KeyError: these were
    changed by somebody else.
    """
    known: dict[str, Known] = {}
    for triple in triples:
        if isinstance(triple.subject, NamedNode) and isinstance(triple.object, NamedNode | Literal):
            known.setdefault(triple.subject.value, {})[triple.predicate.value] = triple.object.value
    start = f"urn:tegu:{site}:deployment:"
    found: dict[int, Deployment] = {}
    moves: dict[int, list[Known]] = {}
    for iri, facts in known.items():
        if iri.startswith(start):
            digits, _, device = iri[len(start) :].partition(":")
            number = int(digits)
            if device:
                moves.setdefault(number, []).append({"device": device, **_short(facts)})
            else:
                found[number] = _deployment(number, _short(facts))
    for number, deployment in found.items():
        rows = sorted(moves.get(number, []), key=lambda row: str(row["device"]))
        deployment.moves.update((row["device"], _move(row, deployment.model)) for row in rows)
        deployment.again()
    return [found[number] for number in sorted(found)]


def _of_deployment(one: Deployment, site: str) -> Iterator[Fact]:
    iri = terms.deployment(site, one.number)
    kept = {name: getattr(one, name) for name in TIMES} | {name: getattr(one.rules, name) for name in RULES}
    yield iri, term("tegu:deploys"), terms.model(site, one.model)
    yield iri, term("tegu:where"), _text(one.where)
    yield iri, term("tegu:status"), _text(one.status)
    yield iri, term("tegu:why"), _text(one.why)
    yield iri, term("tegu:stage"), Literal(one.stage)
    yield iri, term("tegu:metric"), _text(one.rules.metric)
    yield iri, term("prov:startedAtTime"), _time(one.started_s)
    yield iri, term("prov:endedAtTime"), _time(one.ended_s)
    yield iri, term("tegu:kept"), Literal(json.dumps(kept))


def _of_move(move: Move, site: str, number: int) -> Iterator[Fact]:
    iri = move_iri(site, number, move.device)
    yield iri, term("tegu:status"), _text(move.status)
    yield iri, term("tegu:why"), _text(move.why)
    yield iri, term("tegu:stage"), Literal(move.stage)
    yield iri, term("tegu:desiredVersion"), Literal(move.version)
    yield iri, term("tegu:earlierModel"), terms.model(site, move.earlier) if move.earlier else None
    yield iri, term("tegu:kept"), Literal(json.dumps({name: getattr(move, name) for name in OF_MOVE}))


def _deployment(number: int, facts: Known) -> Deployment:
    kept = json.loads(facts["tegu:kept"])
    rules = Rules(facts.get("tegu:metric", ""), **{name: kept[name] for name in RULES})
    model, where = terms.short(facts["tegu:deploys"]), facts.get("tegu:where", "")
    one = Deployment(number, model, where, rules, {}, facts["tegu:status"], facts.get("tegu:why", ""))
    one.stage = int(facts["tegu:stage"])
    for name in TIMES:
        setattr(one, name, kept[name])
    return one


def _move(facts: Known, model: str) -> Move:
    kept = json.loads(facts["tegu:kept"])
    earlier = facts.get("tegu:earlierModel", "")
    return Move(
        facts["device"],
        model,
        kept["state"],
        kept["energy"],
        terms.short(earlier) if earlier else "",
        int(facts["tegu:desiredVersion"]),
        facts["tegu:status"],
        facts.get("tegu:why", ""),
        int(facts["tegu:stage"]),
        kept["asked_s"],
        tuple(kept["told"]),
        list(map(tuple, kept["before"])),
        list(map(tuple, kept["after"])),
    )


def _short(facts: Known) -> Known:
    """The same facts under the names `tegu:...`."""
    long = PREFIXES["tegu"]
    return {"tegu:" + name[len(long) :]: value for name, value in facts.items() if name.startswith(long)}


def _text(text: str) -> Literal | None:
    return Literal(text) if text else None


def _time(time_s: float | None) -> Literal | None:
    if time_s is None:
        return None
    return Literal(datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds"), datatype=DATE_TIME)
