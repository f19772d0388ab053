"""Models: what they need of a device, as JSON, and all that is known of one, as RDF."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pyoxigraph import Literal, NamedNode, RdfFormat, serialize

from ..registry import plain
from ..semantics import models, terms
from ..semantics.terms import PREFIXES, term
from ..sparql.results import used
from .examples import A_MODEL, sends
from .model_json import from_json
from .negotiation import best
from .parts import Here, MayWrite, Parts, in_thread, json_body
from .problems import Problem

JSON = "application/json"
RDF = {
    "text/turtle": RdfFormat.TURTLE,
    "application/ld+json": RdfFormat.JSON_LD,
    "application/n-triples": RdfFormat.N_TRIPLES,
}
FACTS = {
    "name": "schema:name",
    "description": "schema:description",
    "ram_bytes": "tegu:needsRamBytes",
    "training_ram_bytes": "tegu:needsTrainingRamBytes",
    "flash_bytes": "tegu:needsFlashBytes",
    "multiply_accumulates": "nnet:hasMultiplyAccumulateOps",
    "parameters": "tegu:parameters",
    "shape_hash": "tegu:shapeHash",
    "licence": "schema:license",
    "data": "nnet:trainingDataset",
    "current_version": "tegu:currentVersion",
}
MODEL = NamedNode(PREFIXES["nnet"] + "NeuralNetwork")
Name = Annotated[
    str,
    Path(description="The model's name, or its IRI, percent-encoded.", openapi_examples={"one": {"value": "presence"}}),
]
NONE: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such model"}}
router = APIRouter(prefix="/registry/models", tags=["Models"])


@router.get("", summary="List the models")
async def listing(parts: Here) -> list[dict[str, Any]]:
    """Those of the site and those that were imported, each with what it needs of a device, in bytes."""
    return await in_thread(lambda: _listed(parts))


@router.get(
    "/{name:path}",
    summary="What is known of a model",
    response_class=Response,
    responses=NONE | {200: {"content": {media: {} for media in (JSON, *RDF)}}},
)
async def one(request: Request, parts: Here, name: Name) -> Response:
    """As JSON its needs and facts; as Turtle, JSON-LD or N-Triples also its layers, inputs, outputs and metrics."""
    media = best(request.headers.get("accept", ""), (JSON, *RDF))
    iri = _iri(parts, name)
    if not await in_thread(lambda: _is_model(parts, iri)):
        raise Problem(404, f"There is no model {name}")
    if media == JSON:
        return JSONResponse(await in_thread(lambda: _facts(parts, iri)))
    body = await in_thread(lambda: _rdf(parts, iri, RDF[media]))
    return Response(body, media_type=media)


@router.put(
    "/{name:path}",
    summary="Describe a model",
    status_code=201,
    dependencies=[MayWrite],
    response_class=Response,
    responses={
        201: {"description": "It is new"},
        204: {"description": "It is replaced"},
        400: {"description": "It is no description"},
        409: {"description": "A coordinator serves this model"},
    },
    openapi_extra=sends([JSON], A_MODEL),
)
async def put(request: Request, parts: Here, name: Name) -> Response:
    """Its layers, inputs and outputs, and what it needs: as `tegu registry add` reads them of a .tflite or Keras file."""
    given = await json_body(request, (JSON,))
    iri = _iri(parts, name)
    if parts.registry.facts(iri, term("tegu:currentVersion")):
        raise Problem(
            409, f"A coordinator serves {name}, and describes it: [about] in its settings says what people know"
        )
    new = await in_thread(lambda: _put(parts, iri, given))
    return Response(status_code=201 if new else 204)


@router.delete("/{name:path}", summary="Forget a model", status_code=204, dependencies=[MayWrite], responses=NONE)
async def delete(parts: Here, name: Name) -> None:
    """What is known of its rounds and versions stays."""
    iri = _iri(parts, name)
    if not await in_thread(lambda: _is_model(parts, iri) and parts.registry.has(iri)):
        raise Problem(404, f"There is no model {name}, or none that stands by itself")
    await in_thread(lambda: parts.registry.remove_graph(iri))
    parts.registry.tell("model_deleted", iri.value)


def _rdf(parts: Parts, iri: NamedNode, form: RdfFormat) -> bytes:
    triples = parts.registry.graph(iri)
    return serialize(triples, format=form, prefixes=used(triples)) or b""


def _iri(parts: Parts, name: str) -> NamedNode:
    try:
        return NamedNode(name) if ":" in name else terms.model(parts.registry.site, name)
    except ValueError as error:
        raise Problem(400, f"That can be no model's name: {error}") from error


def _put(parts: Parts, iri: NamedNode, given: dict[str, Any]) -> bool:
    site = parts.registry.site
    if not iri.value.startswith(terms.model(site, "x").value[:-1]) or iri.value.count(":") != 4:
        raise Problem(400, f"A model of this site is {terms.model(site, 'name').value}, with its own name")
    try:
        triples = models.triples(from_json(given), iri, site)
    except ValueError as error:
        raise Problem(400, f"The model's description is not valid: {error}") from error
    with parts.registry.writing:
        new = not parts.registry.has(iri)
        parts.registry.replace_graph(iri, triples)
    parts.registry.tell("model_created" if new else "model_updated", iri.value)
    return new


def _is_model(parts: Parts, iri: NamedNode) -> bool:
    return any(parts.registry.store.quads_for_pattern(iri, term("rdf:type"), MODEL, None))


def _listed(parts: Parts) -> list[dict[str, Any]]:
    quads = parts.registry.store.quads_for_pattern(None, term("rdf:type"), MODEL, None)
    iris = {quad.subject.value for quad in quads if isinstance(quad.subject, NamedNode)}
    return [_facts(parts, NamedNode(iri)) for iri in sorted(iris)]


def _facts(parts: Parts, iri: NamedNode) -> dict[str, Any]:
    """What is there of FACTS, its sensors and its metrics."""
    said: dict[NamedNode, list[Any]] = {}
    for quad in parts.registry.store.quads_for_pattern(iri, None, None, None):
        said.setdefault(quad.predicate, []).append(quad.object)
    facts = {name: plain(said[term(short)][0]) for name, short in FACTS.items() if term(short) in said}
    sensors = sorted({plain(kind) for kind in said.get(term("tegu:needsSensor"), ())})
    metrics: dict[str, float] = {}
    for metric in said.get(term("nnet:hasMetric"), ()):
        if not isinstance(metric, Literal):
            metrics |= _metric(parts, metric)
    return {"id": iri.value} | facts | {"sensors": sensors, "metrics": metrics}


def _metric(parts: Parts, metric: Any) -> dict[str, float]:
    store = parts.registry.store
    kinds = [quad.object for quad in store.quads_for_pattern(metric, term("rdf:type"), None, None)]
    names = [terms.short(kind.value) for kind in kinds if isinstance(kind, NamedNode) and kind != term("nnet:Metric")]
    values = [plain(quad.object) for quad in store.quads_for_pattern(metric, term("nnet:hasMetricValue"), None, None)]
    return {names[0]: values[0]} if names and values else {}
