"""The authors' graph as they published it: every defect reported, facts as an independent reader finds them, the matches."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from pyoxigraph import NamedNode
from rdflib import BNode, Graph

from coordinator.semantics.authors.loading import Imported, load
from coordinator.semantics.terms import short, term
from tests import registry_reference as reference
from tests.registry_reference import Device, Model

ARCHIVE = "download.tensorflow.org/models/tflite/magic_wand/data.tar.gz"
WITHOUT_SCHEME = {"None": "", ARCHIVE: f"http://{ARCHIVE}"}  # as it is written -> as it is meant


@pytest.fixture(scope="module")
def folder() -> Path:
    given = os.environ.get("TEGU_DATA")
    if given:
        return Path(given) / "semantic"
    sentence = "TEGU_DATA is not set; put the authors' Turtle files into DIR/semantic, then TEGU_DATA=DIR"
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="module")
def imported(folder: Path) -> Imported:
    return load(folder)


def facts(imported: Imported) -> tuple[list[Device], list[Model]]:
    """Plain facts of what was imported, by our terms only."""
    said: dict[object, dict[str, list[object]]] = {}
    for triple in imported.triples:
        said.setdefault(triple.subject, {}).setdefault(short(triple.predicate.value), []).append(triple.object)

    def texts(subject: object, predicate: str) -> list[str]:
        return [str(getattr(value, "value", value)) for value in said[subject].get(predicate, [])]

    def number(subject: object, predicate: str) -> int | None:
        return next(map(int, texts(subject, predicate)), None)

    def kinds(subject: object, predicate: str) -> frozenset[str]:
        return frozenset(map(short, texts(subject, predicate)))

    def metrics(model: object) -> tuple[tuple[str, float], ...]:
        return tuple(
            (next(kind for kind in kinds(one, "rdf:type") if kind != "nnet:Metric"), float(value))
            for one in said[model].get("nnet:hasMetric", [])
            for value in texts(one, "nnet:hasMetricValue")
        )

    devices = [
        Device(
            texts(one, "schema:name")[0],
            number(one, "tegu:ramBytes"),
            number(one, "tegu:flashBytes"),
            kinds(one, "tegu:sensor"),
        )
        for one in imported.devices
    ]
    models = [
        Model(
            texts(one, "schema:name")[0],
            number(one, "tegu:needsRamBytes"),
            number(one, "tegu:needsTrainingRamBytes"),
            number(one, "tegu:needsFlashBytes"),
            kinds(one, "tegu:needsSensor"),
            metrics(one),
            number(one, "nnet:hasMultiplyAccumulateOps"),
            texts(one, "schema:description")[0],
            "".join(texts(one, "nnet:trainingDataset")),
        )
        for one in imported.models
    ]
    return sorted(devices, key=lambda one: one.name), sorted(models, key=lambda one: one.name)


def test_the_facts_are_those_that_rdflib_finds(folder: Path, imported: Imported):
    devices, models = facts(imported)
    there, wanted = reference.facts_of_turtle(folder)
    assert (len(devices), len(models)) == (6, 23)
    assert devices == there
    for model, told in zip(models, wanted, strict=True):
        said = {"description": told.description.strip(), "data": WITHOUT_SCHEME.get(told.data, told.data)}
        assert model == replace(told, **said)


def test_some_facts_are_as_read_by_eye(imported: Imported):
    devices, models = ({one.name: one for one in many} for many in facts(imported))
    assert devices["Syntiant-TinyML-Board_1"] == Device(
        "Syntiant-TinyML-Board_1",
        25_000,
        1_883_000,
        frozenset(["sosax:Accelerometer", "sosax:Gyroscope", "sosax:Microphone"]),
    )
    yes_no = models["Micro_Speech_Yes_No_3"]
    assert (yes_no.needs_ram_bytes, yes_no.needs_flash_bytes, yes_no.macs) == (10_480, 18_856, 336_000)
    assert yes_no.metrics == (("nnet:Top_1_accuracy", 93.2),)
    assert models["Hello_World"].metrics == ()


def test_ram_flash_and_sensors_admit_78_of_138_pairs(imported: Imported):
    devices, models = facts(imported)
    assert len(devices) * len(models) == 138
    assert len(reference.pairs_to_run(devices, models)) == 78
    assert reference.pairs_to_train(devices, models) == set()


def test_no_triple_is_lost_but_those_that_say_nothing(folder: Path, imported: Imported):
    told = sum(len(Graph().parse(path, format="turtle")) for path in folder.glob("*.ttl"))
    facts_only = [t for t in imported.triples if short(t.predicate.value).startswith("tegu:")]
    added = len(facts_only) + 2 * len(imported.devices) + len(imported.devices)  # tegu:Device, name and description
    left_out = 3 + 1 + 5 + 12 + 7  # <None>, <N.A.>, "N.A.", metrics of 0, subclasses of rdfs:Class
    repeated = len(imported.triples) - added - told + left_out
    assert repeated == -told_in_several_files(folder)


def told_in_several_files(folder: Path) -> int:
    """How many triples without blank nodes are told again by another file."""
    every = [t for path in sorted(folder.glob("*.ttl")) for t in Graph().parse(path, format="turtle")]
    plain = [t for t in every if not any(isinstance(part, BNode) for part in t)]
    return len(plain) - len(set(plain))


def test_every_defect_is_reported_once_with_the_number_of_its_places(imported: Imported):
    begins = {
        "A prefix is declared and never used": "17 places",
        "The comment baseURI names an IRI that its file does not describe": "4 places",
        "A prefix is declared otherwise than what is used": "s3n_extend.ttl line 3",
        "An IRI has a slash twice": "46 places",
        "An IRI only says that nothing is known": "4 places, first tflite_models.ttl line 44",
        "An IRI has no scheme": "tflite_models.ttl line 622",
        "A term does not exist": "193 places",
        "Terms of the stale namespace <http://www.w3.org/ns/td#>": "7 places",
        "The address of a form is a text in a language": "20 places",
        "A text stands where a term should be and is read as the term": "82 places",
        "A text begins or ends with blanks": "18 places",
        "A class is called a subclass of rdfs:Class": "7 places",
        "Terms of the stale namespace <http://tinyml-schema.org/networkschema#>": "2298 places, first tflite_models.ttl line 13",
        "What is counted is written with an exponent": "23 places",
        "A day is a text": "23 places",
        "A text only says that nothing is known": "5 places",
        "A shape is text as numpy prints it": "46 places",
        "A metric of 0": "12 places",
        "The security of a thing names a scheme that is nowhere": "6 places",
        "A middle layer is counted from 1": "216 places",
        "A term is used that its vocabulary here does not define": "136 places",
        "An individual is used as a class": "22 places",
        "A text says another number of values than the shape does": "4 places",
        "Free memory": "12 places",
        "Memory needed": "46 places",
        "A model needs sosax:OtherSensor, which no device has: it fits none: Hello_World": "tflite_models.ttl line 424",
    }
    assert len(imported.defects) == len(begins)
    for sentence, (beginning, places) in zip(imported.defects, begins.items(), strict=True):
        assert sentence.startswith(beginning)
        assert f"({places}" in sentence
    assert all(
        name in str(imported.defects)
        for name in ("td:href as hctl:hasTarget", "schema:Sensor as sosa:Sensor", "nnet:Relu6")
    )


def test_the_stale_namespaces_are_gone(imported: Imported):
    iris = {
        part.value
        for t in imported.triples
        for part in (t.subject, t.predicate, t.object)
        if isinstance(part, NamedNode)
    }
    assert not [
        iri for iri in iris if iri.startswith(("http://tinyml-schema.org/networkschema#", "http://www.w3.org/ns/td#"))
    ]
    assert term("nnet:Top_1_accuracy").value in iris
