"""Descriptions of models: ours from their spec, facts that people give in a side file, and what the graph says of them."""

import hashlib
import sys
from array import array
from pathlib import Path
from typing import Any

import pytest
from pyoxigraph import Literal, NamedNode, RdfFormat, Store, parse

from coordinator.registry import Registry
from coordinator.semantics import models, terms
from coordinator.semantics.model_files import tflite
from coordinator.semantics.models import Description, Layer, Tensor, describe_spec
from coordinator.semantics.terms import term
from tegu.memory import heap_bytes
from tegu.model import Model
from tegu.wire.initialization import encode_init

from .test_tflite_files import small

sys.path.append(str(Path(__file__).parent.parent / "mcu_firmware"))

import flash  # type: ignore[import-not-found]

PRESENCE = "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax"
SPOKEN = "49x40x1 | conv 8 10x8 stride 2 same relu | depthwise 3x3 relu | maxpool 2x2 | dense 4 softmax"
IRI = terms.model("home", "presence")


# --- ours ---


def test_a_dense_model_of_ours_is_described_as_worked_by_hand() -> None:
    found = describe_spec("Presence", PRESENCE)
    assert found.layers == (
        Layer(1, "FullyConnected", (1, 11), (1, 24), "tanh", "float32", 12 * 24, 11 * 24),
        Layer(2, "FullyConnected", (1, 24), (1, 16), "tanh", "float32", 25 * 16, 24 * 16),
        Layer(3, "FullyConnected", (1, 16), (1, 2), "softmax", "float32", 17 * 2, 16 * 2),
    )
    assert (found.parameters, found.multiply_accumulates) == (722, 264 + 384 + 32)
    assert (found.inputs, found.outputs) == ((Tensor((1, 11), "float32"),), (Tensor((1, 2), "float32"),))
    # 11,700 for the session, 320 a layer, then weights, activations and inputs as float32: 15,760; one in 128 is scattered.
    assert 11_700 + 3 * 320 + 4 * (722 + 42 + 11) == 15_760
    assert found.ram_bytes == 15_760 + 123
    assert found.training_ram_bytes == heap_bytes(Model(PRESENCE), 10.0)
    assert found.shape_hash == Model(PRESENCE).shape_hash


def test_layers_over_grids_are_described_as_worked_by_hand() -> None:
    first, second, third, last = describe_spec("Spoken", SPOKEN).layers
    assert first == Layer(1, "Conv2D", (1, 49, 40, 1), (1, 25, 20, 8), "relu", "float32", 81 * 8, 25 * 20 * 8 * 80)
    assert second == Layer(2, "DepthwiseConv2D", (1, 25, 20, 8), (1, 23, 18, 8), "relu", "float32", 80, 23 * 18 * 8 * 9)
    assert third == Layer(3, "MaxPool2D", (1, 23, 18, 8), (1, 11, 9, 8), "", "float32", 0, 0)
    assert last == Layer(4, "FullyConnected", (1, 792), (1, 4), "softmax", "float32", 793 * 4, 792 * 4)


def test_to_run_takes_less_than_to_learn_and_a_manifest_s_word_counts() -> None:
    for spec in (PRESENCE, SPOKEN):
        found = describe_spec("m", spec)
        assert found.training_ram_bytes is not None
        assert found.ram_bytes < found.training_ram_bytes
    assert describe_spec("m", PRESENCE, training_ram_bytes=30_000).training_ram_bytes == 30_000
    assert describe_spec("m", PRESENCE, top_p=50.0, codec="f32").training_ram_bytes == heap_bytes(
        Model(PRESENCE), 50.0, "f32"
    )


@pytest.mark.parametrize("spec", [PRESENCE, "100 | dense 100 tanh | dense 50 tanh | dense 10 softmax", SPOKEN])
def test_flash_is_what_a_board_s_files_take_at_their_fullest(tmp_path: Path, spec: str) -> None:
    """In blocks of 4,096 bytes; a block more a file at most, for the update is reckoned at its longest."""
    model, folder = Model(spec), f"{tmp_path}/"
    kept: Any = flash.FlashKept(folder)
    weights = array("f")
    for version in (1, 2):
        content = bytes(encode_init(model, model.initial(version), version, 2))
        kept.add_piece(content, True)
        assert kept.complete(model, version, hashlib.sha256(content).hexdigest())
        on_its_way = Path(f"{folder}pieces").stat().st_size
        weights = kept.take(model, None)
    for number in (1, 2):
        kept.delta(model, weights)
        kept.send(bytearray(32), (2, 1, number))
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 4
    blocks = sum(-(-size // 4096) for size in [*sizes, on_its_way])
    assert 4096 * blocks <= describe_spec("m", spec).flash_bytes <= 4096 * (blocks + 4)


@pytest.mark.parametrize("spec", ["", "11", "11 | dens 2 tanh", "11 | dense 0 softmax"])
def test_a_spec_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"layer|inputs|units"):
        describe_spec("m", spec)


# --- what people give ---

ABOUT = """
name = "Presence"
description = "Whether somebody is in the room"
input = "the last minute's means"
output = ["0: nobody, 1: somebody"]
sensors = ["co2", "temperature"]
category = "classification"
data = "https://example.org/rooms"
licence = "Apache-2.0"
creator = "Facilities"
derived_from = ["presence-small", "presence:3", "urn:example:other"]

[metrics]
top-1-accuracy = 92.1
loss = 1
"""


def beside(folder: Path, text: str) -> Path:
    path = folder / "small.tflite"
    path.write_bytes(small())
    (folder / "small.about.toml").write_text(text)
    return path


def test_a_side_file_says_what_people_know(tmp_path: Path) -> None:
    found = tflite.read(beside(tmp_path, ABOUT))
    assert (found.name, found.licence, found.creator) == ("Presence", "Apache-2.0", "Facilities")
    assert (found.input, found.output) == (("the last minute's means",), ("0: nobody, 1: somebody",))
    assert found.sensors == ("co2", "temperature")
    assert found.metrics == (("loss", 1.0), ("top-1-accuracy", 92.1))
    assert found.derived_from == ("presence-small", "presence:3", "urn:example:other")
    assert found.parameters == 811


def test_a_keyword_wins_over_the_side_file_and_that_over_the_name_of_the_file(tmp_path: Path) -> None:
    path = beside(tmp_path, 'creator = "Facilities"')
    found = tflite.read(path, creator="Somebody", sensors=["co2"])
    assert (found.name, found.creator, found.sensors, found.runtime) == ("small", "Somebody", ("co2",), "TFLite Micro")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('license = "MIT"', "license is not known; there are: name, description"),
        ('sensors = "co2"', "sensors must be a list of texts"),
        ('sensors = ["CO 2"]', "sensors: a channel must be"),
        ("name = 3", "name must be text"),
        ('name = " "', "name must not be empty"),
        ('category = "guessing"', "category must be one of classification"),
        ('metrics = ["loss"]', "metrics must be a table"),
        ('metrics = { loss = "low" }', "metrics: loss must be a number"),
        ("metrics = { loss = nan }", "metrics: loss must be a finite number"),
        ('metrics = { "top 1" = 3 }', "metrics: a name must be"),
        ('derived_from = ["a b"]', "'a b' is no model, version or IRI"),
        ('input = ["one", "two"]', "texts of more are given"),
        ("name =", "small.about.toml: "),
        (f'name = "{"x" * 5000}"', "4000 letters at most"),
        (f'name = "{"x" * 70000}"', "at most 65536 bytes"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_with_its_field(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match="small") as caught:
        tflite.read(beside(tmp_path, text))
    assert why in str(caught.value)


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ValueError, match="colour is not known"):
        describe_spec("m", PRESENCE, colour="red")


# --- the graph ---


@pytest.fixture
def told() -> Description:
    return describe_spec(
        "Presence",
        PRESENCE,
        description="Whether somebody is in the room",
        sensors=["co2", "temperature", "radon"],
        category="regression",
        metrics={"top-1-accuracy": 92.1, "loss": 0.5},
        data="https://example.org/rooms",
        licence="Apache-2.0",
        input="means",
        derived_from=["presence-small", "presence:3", "urn:example:other"],
    )


@pytest.fixture
def registry(told: Description) -> Registry:
    registry = Registry(None)
    registry.replace_graph(IRI, models.triples(told, IRI, "home"))
    return registry


def test_the_facts_that_questions_read_are_there_in_bytes(registry: Registry, told: Description) -> None:
    for fact, value in (
        ("tegu:needsRamBytes", told.ram_bytes),
        ("tegu:needsTrainingRamBytes", told.training_ram_bytes),
        ("tegu:needsFlashBytes", told.flash_bytes),
        ("tegu:shapeHash", told.shape_hash),
        ("tegu:parameters", 722),
        ("nnet:hasMultiplyAccumulateOps", 680),
        ("schema:name", "Presence"),
        ("schema:description", "Whether somebody is in the room"),
        ("schema:license", "Apache-2.0"),
        ("schema:runtimePlatform", "Tegu"),
        ("nnet:trainingDataset", "https://example.org/rooms"),
        ("nnet:hasCategory", "urn:tegu-terms:Regression"),
    ):
        assert registry.facts(IRI, term(fact)) == [value]
    assert sorted(registry.facts(IRI, term("tegu:needsSensor"))) == sorted(
        ["urn:tegu-terms:Co2Sensor", "http://tinyml-schema.org/sosa_extend/Thermometer", "urn:tegu-terms:sensor-radon"]
    )
    assert sorted(registry.facts(IRI, term("prov:wasDerivedFrom"))) == [
        *("urn:example:other", "urn:tegu:home:model:presence-small", "urn:tegu:home:model:presence:3")
    ]


def test_what_a_model_cannot_do_is_not_said(tmp_path: Path) -> None:
    path = tmp_path / "small.tflite"
    path.write_bytes(small())
    said = {triple.predicate for triple in models.triples(tflite.read(path), IRI, "home")}
    assert not said & {term("tegu:needsTrainingRamBytes"), term("tegu:shapeHash"), term("schema:license")}


def test_memory_sensors_and_inputs_hang_together_as_in_the_ontologies(registry: Registry, told: Description) -> None:
    rows = registry.select(
        """SELECT ?kind ?least ?unit { ?m s3n:hasProcedureFeature/ssns:inCondition ?condition .
           ?condition a ?kind ; schema:minValue ?least ; schema:unitCode ?unit . FILTER(?kind != s3n:Memory) }"""
    )
    byte = "http://qudt.org/vocab/unit/BYTE"
    assert sorted((row["kind"].rpartition("/")[2], row["least"], row["unit"]) for row in rows) == [
        ("Flash", told.flash_bytes, byte),
        ("RAM", told.ram_bytes, byte),
    ]
    rows = registry.select(
        """SELECT ?kind ?info ?shape { ?m ssn:hasInput ?i . ?i a nnet:NetworkInput ; nnet:hasInputInfo ?info ; tegu:shape ?shape .
           ?sensor ssnx:provideInput ?i ; a sosa:Sensor, ?kind . FILTER(?kind != sosa:Sensor) } ORDER BY ?kind"""
    )
    assert [row["kind"].rpartition("/")[2].rpartition(":")[2] for row in rows] == [
        *("Thermometer", "Co2Sensor", "sensor-radon")
    ]
    assert {(row["info"], row["shape"]) for row in rows} == {("means", "[1, 11]")}


def test_layers_stand_in_their_order_with_first_and_last_named(registry: Registry) -> None:
    rows = registry.select(
        """SELECT ?place ?index ?type ?in ?out ?activation ?quantisation { ?m ?place ?layer .
           ?layer a nnet:Layer ; nnet:hasIndex ?index ; nnet:hasType ?type ; nnet:shapeIn ?in ; nnet:shapeOut ?out ;
           nnet:hasActivation ?activation ; nnet:hasQuantization ?quantisation } ORDER BY ?index"""
    )
    nnet = "https://w3id.org/tinyml-schema/neural-network-schema#"
    dense, tanh, float32 = nnet + "FullyConnected", nnet + "Tanh", nnet + "Float32"
    softmax = "urn:tegu-terms:Softmax"
    assert [tuple(row.values()) for row in rows] == [
        (nnet + "inputLayer", 1, dense, "[1, 11]", "[1, 24]", tanh, float32),
        (nnet + "middleLayer", 2, dense, "[1, 24]", "[1, 16]", tanh, float32),
        (nnet + "outputLayer", 3, dense, "[1, 16]", "[1, 2]", softmax, float32),
    ]


def test_a_word_is_nnet_s_only_where_nnet_has_it_for_that() -> None:
    """nnet:Tanh is an activation and no type of a layer, nnet:Softmax a type and no activation."""
    layers = (
        Layer(1, "Tanh", (1, 4), (1, 4), "", "uint8", 0, 0),
        Layer(2, "Softmax", (1, 4), (1, 4), "relu-n1-to-1", "int8", 0, 0),
    )
    ends = (Tensor((1, 4), "int8"),)
    found = Description(name="m", layers=layers, inputs=ends, outputs=ends, flash_bytes=1, ram_bytes=1)
    said = {
        terms.short(triple.object.value)
        for triple in models.triples(found, IRI, "home")
        if triple.predicate in (term("nnet:hasType"), term("nnet:hasActivation"), term("nnet:hasQuantization"))
        and isinstance(triple.object, NamedNode)
    }
    assert said == {"tegu:Tanh", "tegu:Uint8", "nnet:Softmax", "tegu:ReluN1To1", "nnet:Int8"}


def test_a_metric_has_its_kind_and_value(registry: Registry) -> None:
    rows = registry.select(
        """SELECT ?kind ?value { ?m nnet:hasMetric ?metric . ?metric a nnet:Metric, ?kind ; nnet:hasMetricValue ?value .
           FILTER(?kind != nnet:Metric) } ORDER BY ?value"""
    )
    assert [(row["kind"], row["value"]) for row in rows] == [
        ("urn:tegu-terms:metric-loss", 0.5),
        (models.metric_kind("top-1-accuracy").value, 92.1),
    ]
    assert models.metric_kind("top-1-accuracy") == term("nnet:Top_1_accuracy")


def test_a_layer_that_is_alone_is_first_and_last() -> None:
    found = models.triples(describe_spec("m", "4 | dense 2 softmax"), IRI, "home")
    ends = {triple.predicate for triple in found if triple.object == NamedNode(f"{IRI.value}#layer-1")}
    assert ends == {term("nnet:inputLayer"), term("nnet:outputLayer")}


def test_the_same_description_gives_the_same_triples_and_others_keep_apart(told: Description) -> None:
    assert models.triples(told, IRI, "home") == models.triples(told, IRI, "home")
    other = terms.model("home", "other")
    here, there = ({triple.subject for triple in models.triples(told, iri, "home")} for iri in (IRI, other))
    assert not here & there


def test_what_the_graph_says_is_turtle_that_others_can_read(registry: Registry) -> None:
    text = registry.export(RdfFormat.TURTLE)
    again = Store()
    again.extend(parse(text, RdfFormat.TURTLE))
    found = list(again.quads_for_pattern(IRI, term("tegu:parameters"), None))
    assert [quad.object for quad in found] == [Literal(722)]
