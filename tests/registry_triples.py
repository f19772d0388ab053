"""A site of tests.registry_building as triples, graph by graph, as the registry keeps them: facts, and what the authors' graphs say
in many triples of memory, sensors and inputs. Blank nodes have names, so that the same site is the same graph to the byte."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from pyoxigraph import BlankNode, Literal, NamedNode, Quad, RdfFormat, Triple, serialize

from coordinator.semantics import terms
from coordinator.semantics.terms import DEPLOYMENTS, LINEAGE, LIVE, PREFIXES, term
from tests.registry_building import BEGAN_S, SITE, Deployment, Device, Model, Room, Round, Site

Graphs = dict[NamedNode, list[Triple]]
Subject = NamedNode | BlankNode
Value = str | int | float | NamedNode | BlankNode | None
A = term("rdf:type")
MOMENT = NamedNode(PREFIXES["xsd"] + "dateTime")


def graphs(site: Site) -> Graphs:
    """Every graph of a site by its name: for Registry.replace_graphs, or a bulk load."""
    every: Graphs = {terms.room(SITE, room.name): list(_room(room)) for room in site.rooms}
    every |= {terms.device(SITE, device.name): list(_device(device)) for device in site.devices}
    every |= {terms.model(SITE, model.name): list(_model(model)) for model in site.models}
    every[LIVE] = [triple for device in site.devices for triple in _live(device)]
    every[LIVE] += [
        Triple(
            terms.model(SITE, model.name), term("tegu:currentVersion"), terms.version(SITE, model.name, model.version)
        )
        for model in site.models
        if model.version is not None
    ]
    every[LINEAGE] = [triple for model in site.models for triple in _versions(model)]
    every[LINEAGE] += [triple for round_ in site.rounds for triple in _round(round_)]
    every[DEPLOYMENTS] = [triple for deployment in site.deployments for triple in _deployment(deployment)]
    return every


def quads(every: Graphs) -> Iterator[Quad]:
    """All of it, for a bulk load."""
    return (
        Quad(triple.subject, triple.predicate, triple.object, name)
        for name, triples in every.items()
        for triple in triples
    )


def fingerprint(every: Graphs) -> str:
    """SHA-256 of the sorted N-Quads."""
    lines = sorted((serialize(quads(every), format=RdfFormat.N_QUADS) or b"").splitlines())
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _facts(subject: Subject, **facts: Value) -> Iterator[Triple]:
    """tegu__room=x is tegu:room; None is no fact."""
    for name, value in facts.items():
        if value is not None:
            yield Triple(subject, term(name.replace("__", ":", 1)), _value(value))


def _value(value: str | int | float | NamedNode | BlankNode) -> NamedNode | BlankNode | Literal:
    if isinstance(value, NamedNode | BlankNode):
        return value
    if isinstance(value, float):
        return Literal(str(Decimal(str(value))), datatype=term("xsd:decimal"))
    return Literal(value)


def _moment(time_s: int | None) -> Literal | None:
    return None if time_s is None else Literal(datetime.fromtimestamp(time_s, UTC).isoformat(), datatype=MOMENT)


def _room(room: Room) -> Iterator[Triple]:
    iri = terms.room(SITE, room.name)
    yield Triple(iri, A, term("tegu:Room"))
    yield from _facts(
        iri, schema__name=room.title, tegu__roomType=room.type, tegu__floor=room.floor, tegu__building=room.building
    )


def _device(device: Device) -> Iterator[Triple]:
    iri = terms.device(SITE, device.name)
    yield Triple(iri, A, term("tegu:Device"))
    yield Triple(iri, A, term("s3n:SmartSensor"))
    yield Triple(iri, A, term("td:Thing"))
    yield from _facts(
        iri,
        schema__name=device.title or device.name,
        schema__description=device.description or None,
        tegu__ramBytes=device.ram_bytes,
        tegu__flashBytes=device.flash_bytes,
        tegu__room=device.room and terms.room(SITE, device.room),
        tegu__radio=device.radio,
        tegu__energySource=device.energy,
        tegu__firmware=device.firmware,
    )
    for kind in sorted(device.sensors):
        yield Triple(iri, term("tegu:sensor"), term(kind))
        part = BlankNode(f"{device.name}-{kind.partition(':')[2]}")
        yield Triple(iri, term("ssn:hasSubSystem"), part)
        yield Triple(part, A, term(kind))
    chip, can = BlankNode(f"{device.name}-chip"), BlankNode(f"{device.name}-capability")
    yield Triple(iri, term("ssn:hasSubSystem"), chip)
    yield Triple(chip, A, term("s3n:MicroController"))
    yield Triple(chip, term("s3n:hasSystemCapability"), can)
    for kind, size in (("RAM", device.ram_bytes), ("Flash", device.flash_bytes)):
        if size is not None:
            memory = BlankNode(f"{device.name}-{kind}")
            yield Triple(can, term("ssns:hasSystemProperty"), memory)
            yield Triple(memory, A, term(f"s3nx:{kind}"))
            yield from _facts(memory, schema__value=size, schema__unitCode=term("unit:BYTE"))


def _live(device: Device) -> Iterator[Triple]:
    iri = terms.device(SITE, device.name)
    yield from _facts(
        iri,
        tegu__state=device.state,
        tegu__boot=device.boot,
        tegu__batteryPercent=device.battery_percent,
        tegu__quarantined=device.quarantined,
        tegu__runs=device.runs and terms.model(SITE, device.runs),
    )
    moment = _moment(BEGAN_S + device.boot)
    if device.state is not None and moment is not None:
        yield Triple(iri, term("tegu:heardAt"), moment)
    for model, version in device.in_hand:
        yield Triple(iri, term("tegu:takesPart"), terms.model(SITE, model))
        yield Triple(iri, term("tegu:inHand"), terms.version(SITE, model, version))


def _model(model: Model) -> Iterator[Triple]:
    iri = terms.model(SITE, model.name)
    yield Triple(iri, A, term("nnet:NeuralNetwork"))
    yield from _facts(
        iri,
        schema__name=model.title or model.name,
        schema__description=model.description or None,
        tegu__needsRamBytes=model.needs_ram_bytes,
        tegu__needsTrainingRamBytes=model.needs_training_ram_bytes,
        tegu__needsFlashBytes=model.needs_flash_bytes,
        nnet__hasMultiplyAccumulateOps=model.multiply_accumulates,
    )
    given = BlankNode(f"{model.name}-input")
    yield Triple(iri, term("ssn:hasInput"), given)
    for kind in sorted(model.sensors):
        yield Triple(iri, term("tegu:needsSensor"), term(kind))
        sensor = BlankNode(f"{model.name}-{kind.partition(':')[2]}")
        yield Triple(sensor, A, term(kind))
        yield Triple(sensor, term("ssnx:provideInput"), given)
    for number, (kind, value) in enumerate(model.metrics):
        metric = BlankNode(f"{model.name}-metric-{number}")
        yield Triple(iri, term("nnet:hasMetric"), metric)
        yield Triple(metric, A, term("nnet:Metric"))
        yield Triple(metric, A, term(kind))
        yield from _facts(metric, nnet__hasMetricValue=value)
    for kind, size in (("RAM", model.needs_ram_bytes), ("Flash", model.needs_flash_bytes)):
        if size is not None:
            feature, memory = BlankNode(f"{model.name}-feature-{kind}"), BlankNode(f"{model.name}-{kind}")
            yield Triple(iri, term("s3n:hasProcedureFeature"), feature)
            yield Triple(feature, term("ssns:inCondition"), memory)
            yield Triple(memory, A, term(f"s3nx:{kind}"))
            yield from _facts(memory, schema__minValue=size, schema__unitCode=term("unit:BYTE"))


def _versions(model: Model) -> Iterator[Triple]:
    """The first version is of nobody, each other of the round before and the version before."""
    for number in range(1, (model.version or 0) + 1):
        iri = terms.version(SITE, model.name, number)
        yield Triple(iri, A, term("tegu:Version"))
        yield Triple(iri, A, term("prov:Entity"))
        yield Triple(iri, term("tegu:versionOf"), terms.model(SITE, model.name))
        sha256 = hashlib.sha256(iri.value.encode()).hexdigest()
        yield from _facts(iri, tegu__versionNumber=number, tegu__sha256=sha256)
        if number > 1:
            yield Triple(iri, term("prov:wasGeneratedBy"), terms.round_(SITE, model.name, number - 1))
            yield Triple(iri, term("prov:wasDerivedFrom"), terms.version(SITE, model.name, number - 1))


def _round(round_: Round) -> Iterator[Triple]:
    iri = terms.round_(SITE, round_.model, round_.number)
    yield Triple(iri, A, term("tegu:Round"))
    yield Triple(iri, A, term("prov:Activity"))
    yield Triple(iri, term("prov:used"), terms.version(SITE, round_.model, round_.number))
    yield from _facts(iri, tegu__roundNumber=round_.number, tegu__selectedBy=round_.selected_by or None)
    for name, time_s in (("prov:startedAtTime", round_.began_s), ("prov:endedAtTime", round_.ended_s)):
        moment = _moment(time_s)
        if moment is not None:
            yield Triple(iri, term(name), moment)
    for device in round_.selected:
        yield Triple(iri, term("tegu:selected"), terms.device(SITE, device))
    for device in round_.counted:
        yield Triple(iri, term("prov:wasAssociatedWith"), terms.device(SITE, device))


def _deployment(deployment: Deployment) -> Iterator[Triple]:
    iri = terms.deployment(SITE, deployment.number)
    yield Triple(iri, A, term("tegu:Deployment"))
    yield Triple(iri, A, term("prov:Activity"))
    yield from _facts(
        iri,
        tegu__deploys=terms.model(SITE, deployment.model),
        tegu__where=deployment.where,
        tegu__status=deployment.status,
        tegu__stage=deployment.stage,
    )
    for device in deployment.devices:
        yield Triple(iri, term("tegu:deployedTo"), terms.device(SITE, device))
