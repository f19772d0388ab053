"""What a model is and needs: one description, however it came (our own spec, .tflite, Keras), and its triples in the graph.

The facts that questions read (tegu:needsRamBytes, ...) are one triple each, in bytes. Beside them stands the full structure as
the TinyML neural-network ontology (nnet:) has it: layers in their order, input and output, metrics, and the memory as conditions
of the procedure (s3n:, ssns:). What hangs on a model has the model's IRI with a fragment, as `...#layer-1`: the same
description gives the same triples. Types, activations and quantisations that nnet lacks are terms of ours, as tegu:Relu6.
"""

import math
import re
from collections.abc import Iterator

from pyoxigraph import Literal, NamedNode, Triple

from tegu import memory
from tegu.model import Layer as SpecLayer
from tegu.model import Model
from tegu.wire import CODECS
from tegu.wire.initialization import values_bytes

from . import terms
from .about import checked
from .description import Description, Layer, Tensor
from .terms import term

__all__ = ["Description", "Layer", "Tensor", "describe_spec", "metric_kind", "triples"]

KINDS = {  # of our layers
    "dense": "FullyConnected",
    "conv": "Conv2D",
    "depthwise": "DepthwiseConv2D",
    "maxpool": "MaxPool2D",
    "meanpool": "AveragePool2D",
}
LAYERS_IN_NNET = """
    FullyConnected Dequantize Quantize Logistic Softmax DepthwiseConv2D Reshape MaxPool2D Conv2D AveragePool2D
    ResizeNearestNeighbor"""
IN_NNET = {  # the words that nnet has, by the property whose value they are; the others are ours
    "hasType": frozenset(LAYERS_IN_NNET.split()),
    "hasActivation": frozenset(["Relu", "Tanh"]),
    "hasQuantization": frozenset(["Float32", "Float16", "Int16", "Int8"]),
    "hasCategory": frozenset(["Classification", "ObjectDetection", "FeatureExtraction", "Unsupervised"]),
}
METRICS = {"top-1-accuracy": "nnet:Top_1_accuracy", "top-5-accuracy": "nnet:Top_5_accuracy"}
BLOCK_BYTES = 4096  # of a board's flash: a file takes whole ones
START_BYTES, LEARNED_BYTES, INIT_BYTES = 74 + 24, 28 + 24, 16  # around the numbers in a file of a board's state
ENTRY_BYTES, UPDATE_BYTES = 6, 32  # of an update, at most: an entry, and what is around them


def describe_spec(
    name: str,
    spec: str,
    top_p: float = 10.0,
    codec: str = "int8",
    init_codec: str = "int8",
    residual: bool = True,
    training_ram_bytes: int = 0,
    **facts: object,
) -> Description:
    """One of our models, from its spec (tegu.model) and what its manifest says. facts: fields of About.

    training_ram_bytes: 0, tegu.memory works it out. RAM to run is the same sum without what only learning takes: deltas, indices,
    update. Flash is what a board keeps that takes part (mcu_firmware/flash.py), at its fullest. ValueError: no such model.
    """
    model = Model(spec)
    shape = (1, *(int(word) for word in model.spec.split(" ")[0].split("x")))
    return Description(
        **{"name": name, "runtime": "Tegu", **checked(facts)},
        layers=tuple(_spec_layers(model, shape)),
        inputs=(Tensor(shape, "float32"),),
        outputs=(Tensor((1, model.outputs), "float32"),),
        flash_bytes=_board_flash_bytes(model, top_p, CODECS.index(init_codec), residual),
        ram_bytes=_running_bytes(model),
        training_ram_bytes=training_ram_bytes or memory.heap_bytes(model, top_p, codec, residual),
        shape_hash=model.shape_hash,
    )


def _spec_layers(model: Model, shape: tuple[int, ...]) -> Iterator[Layer]:
    for index, layer in enumerate(model.layers, 1):
        before, shape = shape, (1, *getattr(layer, "shape", (layer.units,)))
        if layer.kind == "dense":
            before = (1, layer.inputs)
        activation = "" if layer.activation == "linear" else layer.activation
        yield Layer(index, KINDS[layer.kind], before, shape, activation, "float32", layer.size, _macs(layer))


def _macs(layer: SpecLayer) -> int:
    return layer.units * layer.fan_in if layer.size else 0


def _running_bytes(model: Model) -> int:
    """As tegu.memory.heap_bytes, of a board that never learns."""
    floats = model.size + sum(layer.units for layer in model.layers) + model.inputs
    grids = memory.GRID_BYTES if any(layer.kind != "dense" for layer in model.layers) else 0
    total = memory.FIXED_BYTES + memory.LAYER_BYTES * len(model.layers) + grids + 4 * floats
    return total + total // memory.SCATTERED


def _board_flash_bytes(model: Model, top_p: float, init_codec: int, residual: bool) -> int:
    """The initialization twice and once more on its way, what was learned twice: two slots a state, whole blocks a file."""
    entries = -(-model.shared_size * top_p // 100)
    start = START_BYTES + len(model.spec.encode()) + 4 * model.size
    learned = LEARNED_BYTES + 4 * model.shared_size * residual + UPDATE_BYTES + ENTRY_BYTES * int(entries)
    pieces = INIT_BYTES + values_bytes(model, init_codec)
    return sum(math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES for size in (start, start, learned, learned, pieces))


# --- triples ---


def triples(description: Description, iri: NamedNode, site: str) -> list[Triple]:
    """All that the graph says of a model. site: where the models are that it is derived from. ValueError: no such IRI."""
    found = [
        *_about(description, iri),
        *_needs(description, iri),
        *_ends(description, iri),
        *_metrics(description, iri),
        *(Triple(iri, term("prov:wasDerivedFrom"), _origin(site, origin)) for origin in description.derived_from),
    ]
    for layer in description.layers:
        found += _layer(layer, iri, len(description.layers))
    return found


def _about(description: Description, iri: NamedNode) -> Iterator[Triple]:
    yield Triple(iri, term("rdf:type"), term("nnet:NeuralNetwork"))
    yield Triple(iri, term("nnet:hasMultiplyAccumulateOps"), Literal(description.multiply_accumulates))
    yield Triple(iri, term("tegu:parameters"), Literal(description.parameters))
    for predicate, text in (
        ("schema:name", description.name),
        ("schema:description", description.description),
        ("schema:license", description.licence),
        ("schema:creator", description.creator),
        ("schema:runtimePlatform", description.runtime),
        ("nnet:trainingDataset", description.data),
    ):
        if text:
            linked = predicate in ("schema:license", "nnet:trainingDataset") and re.match(r"https?://", text)
            yield Triple(iri, term(predicate), NamedNode(text) if linked else Literal(text))
    if description.category:
        yield _kind(iri, "hasCategory", description.category)


def _needs(description: Description, iri: NamedNode) -> Iterator[Triple]:
    for predicate, number in (
        ("tegu:needsRamBytes", description.ram_bytes),
        ("tegu:needsTrainingRamBytes", description.training_ram_bytes),
        ("tegu:needsFlashBytes", description.flash_bytes),
        ("tegu:shapeHash", description.shape_hash),
    ):
        if number is not None:
            yield Triple(iri, term(predicate), Literal(number))
    for memory_kind, count in (("RAM", description.ram_bytes), ("Flash", description.flash_bytes)):
        feature, condition = (_part(iri, f"{word}-{memory_kind.lower()}") for word in ("feature", "condition"))
        yield Triple(iri, term("s3n:hasProcedureFeature"), feature)
        yield Triple(feature, term("rdf:type"), term("s3n:ProcedureFeature"))
        yield Triple(feature, term("ssns:inCondition"), condition)
        yield Triple(condition, term("rdf:type"), term("s3n:Memory"))
        yield Triple(condition, term("rdf:type"), term(f"s3nx:{memory_kind}"))
        yield Triple(condition, term("schema:minValue"), Literal(count))
        yield Triple(condition, term("schema:unitCode"), term("unit:BYTE"))


def _ends(description: Description, iri: NamedNode) -> Iterator[Triple]:
    """Inputs with the sensors behind them, and outputs."""
    for word, tensors, texts in (
        ("Input", description.inputs, description.input),
        ("Output", description.outputs, description.output),
    ):
        for at, tensor in enumerate(tensors, 1):
            end = _part(iri, f"{word.lower()}-{at}")
            yield Triple(iri, term(f"ssn:has{word}"), end)
            yield Triple(end, term("rdf:type"), term(f"nnet:Network{word}"))
            yield Triple(end, term("tegu:shape"), Literal(str(list(tensor.shape))))
            yield Triple(end, term("tegu:dataType"), Literal(tensor.dtype))
            if at <= len(texts):
                yield Triple(end, term(f"nnet:has{word}Info"), Literal(texts[at - 1]))
    for channel in description.sensors:
        sensor, kind = _part(iri, f"sensor-{channel}"), terms.sensor_kind(channel)
        yield Triple(iri, term("tegu:needsSensor"), kind)
        yield Triple(sensor, term("rdf:type"), term("sosa:Sensor"))
        yield Triple(sensor, term("rdf:type"), kind)
        for at in range(1, len(description.inputs) + 1):
            yield Triple(sensor, term("ssnx:provideInput"), _part(iri, f"input-{at}"))


def _metrics(description: Description, iri: NamedNode) -> Iterator[Triple]:
    for name, value in description.metrics:
        metric = _part(iri, f"metric-{name}")
        yield Triple(iri, term("nnet:hasMetric"), metric)
        yield Triple(metric, term("rdf:type"), term("nnet:Metric"))
        yield Triple(metric, term("rdf:type"), metric_kind(name))
        yield Triple(metric, term("nnet:hasMetricValue"), Literal(value))


def metric_kind(name: str) -> NamedNode:
    """The class of metrics of a name: nnet's, or one of ours."""
    return term(METRICS.get(name, f"tegu:metric-{name}"))


def _layer(layer: Layer, iri: NamedNode, count: int) -> Iterator[Triple]:
    one = _part(iri, f"layer-{layer.index}")
    for place, here in (
        ("inputLayer", layer.index == 1),
        ("outputLayer", layer.index == count),
        ("middleLayer", 1 < layer.index < count),
    ):
        if here:
            yield Triple(iri, term(f"nnet:{place}"), one)
    yield Triple(one, term("rdf:type"), term("nnet:Layer"))
    yield Triple(one, term("nnet:hasIndex"), Literal(layer.index))
    yield _kind(one, "hasType", layer.kind)
    yield Triple(one, term("nnet:shapeIn"), Literal(str(list(layer.input_shape))))
    yield Triple(one, term("nnet:shapeOut"), Literal(str(list(layer.output_shape))))
    yield _kind(one, "hasQuantization", layer.quantisation)
    yield Triple(one, term("tegu:parameters"), Literal(layer.parameters))
    if layer.activation:
        yield _kind(one, "hasActivation", layer.activation)


def _kind(subject: NamedNode, predicate: str, name: str) -> Triple:
    """`object-detection` as nnet:ObjectDetection, `relu6` as tegu:Relu6."""
    word = "".join(part[:1].upper() + part[1:] for part in name.split("-"))
    return Triple(
        subject, term(f"nnet:{predicate}"), term(f"{'nnet' if word in IN_NNET[predicate] else 'tegu'}:{word}")
    )


def _part(iri: NamedNode, name: str) -> NamedNode:
    return NamedNode(f"{iri.value}#{name}")


def _origin(site: str, origin: str) -> NamedNode:
    """A model of the site, a version of one (presence:3), or an IRI."""
    name, colon, rest = origin.partition(":")
    if not colon:
        return terms.model(site, name)
    return terms.version(site, name, int(rest)) if rest.isdecimal() else NamedNode(origin)
