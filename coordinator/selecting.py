"""Which devices a round of a model is for, and why not the others: a question about the graph, and its answer kept there.

A device is selected if it takes part in the model, is not in quarantine, has the RAM and the sensors that the model needs to
learn, and meets the condition (coordinator.semantics.where). A whole query may stand in the condition's place.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pyoxigraph import Literal, NamedNode, Triple

from .registry import Registry
from .semantics import terms, where
from .semantics.terms import term

EXPLAINED = 1000  # devices, at most


def select(
    registry: Registry,
    model_name: str,
    round_num: int,
    condition: str,
    ready: Iterable[str],
    foreign: where.Foreign | None = None,
) -> dict[str, Any]:
    """{devices: ids, outside: {id: why}, where}; kept with the round. ready: the devices that the coordinator knows of.

    ValueError: the condition cannot be read, or a name is none.
    """
    model = terms.model(registry.site, model_name)
    devices = {name: terms.device(registry.site, name) for name in sorted(set(ready))}
    devices |= {terms.short(row["device"]): NamedNode(row["device"]) for row in _taking_part(registry, model)}
    found = set(where.select(registry, condition, needs(registry, model), foreign))
    selected = sorted(name for name, iri in devices.items() if iri.value in found)
    outside = {name: iri for name, iri in devices.items() if iri.value not in found}
    _keep(registry, terms.round_(registry.site, model_name, round_num), [devices[name] for name in selected], condition)
    return {"devices": selected, "outside": _explain(registry, model, condition, outside), "where": condition}


def needs(registry: Registry, model: NamedNode) -> str:
    """SPARQL about ?device: it has the sensors and the RAM that the model needs, to learn if it can, else to run."""
    of_ram = (
        "tegu:needsTrainingRamBytes"
        if registry.facts(model, term("tegu:needsTrainingRamBytes"))
        else "tegu:needsRamBytes"
    )
    return "".join(
        f"""
    FILTER NOT EXISTS {{ {model} {needed} ?needs {some} FILTER NOT EXISTS {{ ?device {has} ?has FILTER({test}) }} }}"""
        for needed, some, has, test in (
            ("tegu:needsSensor", "", "tegu:sensor", "?has = ?needs"),
            (of_ram, "FILTER(?needs > 0)", "tegu:ramBytes", "?has >= ?needs"),
            ("tegu:needsFlashBytes", "FILTER(?needs > 0)", "tegu:flashBytes", "?has >= ?needs"),
        )
    )


def _taking_part(registry: Registry, model: NamedNode) -> list[dict[str, Any]]:
    prefix = Literal(f"urn:tegu:{registry.site}:")
    return registry.select(
        f"SELECT ?model ?device {{ ?device tegu:takesPart ?model FILTER(STRSTARTS(STR(?device), {prefix})) }}",
        model=model,
    )


def _keep(registry: Registry, iri: NamedNode, selected: list[NamedNode], condition: str) -> None:
    with registry.writing:
        _replace(registry, iri, selected, condition)


def _replace(registry: Registry, iri: NamedNode, selected: list[NamedNode], condition: str) -> None:
    known = [
        triple
        for triple in registry.graph(iri)
        if triple.predicate not in (term("tegu:selected"), term("tegu:selectedBy"))
    ]
    triples = [Triple(iri, term("tegu:selected"), device) for device in selected]
    registry.replace_graph(iri, [*known, *triples, Triple(iri, term("tegu:selectedBy"), Literal(condition))])


def _explain(registry: Registry, model: NamedNode, condition: str, outside: Mapping[str, NamedNode]) -> dict[str, str]:
    told = {}
    conditions = None if where.is_query(condition) else where.parse(condition, where.kinds(registry))
    for name, iri in list(outside.items())[:EXPLAINED]:
        told[name] = why_not(registry, iri, model) or (
            "the query does not select it" if conditions is None else where.why_not(registry, iri, conditions)
        )
    return {name: why or "it has just changed" for name, why in told.items()}


def why_not(registry: Registry, device: NamedNode, model: NamedNode) -> str:
    """The first thing that keeps a device from a model; empty: nothing does."""
    if not registry.select("SELECT ?device { ?device a tegu:Device }", device=device):
        return "it is not in the registry"
    for why in registry.facts(device, term("tegu:quarantined")):
        return f"in quarantine: {why}"
    missing = registry.select(
        """SELECT ?device ?model ?kind ?label { ?model tegu:needsSensor ?kind
            FILTER NOT EXISTS { ?device tegu:sensor ?kind } OPTIONAL { ?kind rdfs:label ?label } } ORDER BY ?kind""",
        device=device,
        model=model,
    )
    if missing:
        return "it has no " + ", ".join(dict.fromkeys(row["label"] or terms.short(row["kind"]) for row in missing))
    learns = registry.facts(model, term("tegu:needsTrainingRamBytes"))
    for what, needed, has in (
        ("RAM", learns or registry.facts(model, term("tegu:needsRamBytes")), "tegu:ramBytes"),
        ("flash", registry.facts(model, term("tegu:needsFlashBytes")), "tegu:flashBytes"),
    ):
        free = registry.facts(device, term(has))
        if needed and not free:
            return f"its free {what} is not known, {needed[0]} bytes are needed"
        if needed and free[0] < needed[0]:
            return f"it has {free[0]} bytes of free {what}, {needed[0]} are needed"
    return ""
