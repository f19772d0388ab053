"""How long the authors' questions take on the authors' data: 23 models and 6 devices, as they published them.

    TEGU_DATA=DIR python -m tests.bench.authors_matching            # DIR/semantic has their Turtle; some 40 s
    TEGU_DATA=DIR python -m tests.bench.authors_matching --without-rdflib

The goals: "model to devices" under 10 ms, the full matching of 23 x 6 under 50 ms. Each question is asked of the registry's
store (pyoxigraph, in memory), over the union of its graphs, once on the full structure as the authors have it (with its
prefixes repaired) and once on our facts; every answer is compared with the plain join of tests.registry_reference. A figure
is the median of the repeats, with the slowest beside it; the question's text is parsed and planned each time, as it is in use.

For comparison, the first question on rdflib in memory: the same text, and one with the memory in subqueries of their own,
which rdflib runs first.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyoxigraph
import rdflib
import rdflib.query

from coordinator.registry import Registry
from coordinator.semantics.authors.loading import load
from coordinator.semantics.terms import PREFIXES, imported
from tests.registry_reference import Device, Model, best_first, facts_of_turtle, pairs_to_run

GOALS_MS = {"model to devices": 10.0, "full matching": 50.0}
KILO = 1000
Answer = list[tuple[str, ...]]

DEVICES_BY_STRUCTURE = """
SELECT ?name WHERE {
  ?device a s3n:SmartSensor ; td:title ?name ; ssn:hasSubSystem [ a sosax:Accelerometer ] , [ a sosax:Gyroscope ] , ?chip .
  ?chip s3n:hasSystemCapability/ssns:hasSystemProperty ?ram , ?flash .
  ?ram a s3nx:RAM ; schema:unitCode om:kilobyte ; schema:value ?ramKilobytes .
  ?flash a s3nx:Flash ; schema:unitCode om:kilobyte ; schema:value ?flashKilobytes .
  FILTER (?ramKilobytes >= 121 && ?flashKilobytes >= 610)
} ORDER BY ?ramKilobytes"""
DEVICES_BY_FACTS = """
SELECT ?name WHERE {
  ?device a tegu:Device ; tegu:sensor sosax:Accelerometer , sosax:Gyroscope ; schema:name ?name .
  ?device tegu:ramBytes ?ram ; tegu:flashBytes ?flash .
  FILTER (?ram >= 121000 && ?flash >= 610000)
} ORDER BY ?ram"""
MODELS_BY_STRUCTURE = """
SELECT ?name WHERE {
  ?model a nnet:NeuralNetwork ; schema:name ?name ; ssn:hasInput ?input .
  ?model s3n:hasProcedureFeature/ssns:inCondition ?ram , ?flash .
  ?camera a sosax:Camera ; ssnx:provideInput ?input .
  ?ram a s3nx:RAM ; schema:unitCode om:kilobyte ; schema:minValue ?ramKilobytes .
  ?flash a s3nx:Flash ; schema:unitCode om:kilobyte ; schema:minValue ?flashKilobytes .
  FILTER (?ramKilobytes <= 144 && ?flashKilobytes <= 621)
} ORDER BY ?name"""
MODELS_BY_FACTS = """
SELECT ?name WHERE {
  ?model a nnet:NeuralNetwork ; tegu:needsSensor sosax:Camera ; schema:name ?name .
  ?model tegu:needsRamBytes ?ram ; tegu:needsFlashBytes ?flash .
  FILTER (?ram <= 144000 && ?flash <= 621000)
} ORDER BY ?name"""
BENCHMARK = """
SELECT ?name WHERE {{
  ?model a nnet:NeuralNetwork ; schema:name ?name ; schema:description ?says ; nnet:trainingDataset ?data .
  ?model nnet:hasMetric [ a nnet:Top_1_accuracy ; nnet:hasMetricValue ?percent ] . {microphone}
  FILTER (CONTAINS(LCASE(?says), "yes/no") && CONTAINS(STR(?data), "speech_commands"))
}} ORDER BY DESC(?percent)"""
BENCHMARK_BY_STRUCTURE = BENCHMARK.format(
    microphone="?model ssn:hasInput ?input . ?microphone a sosax:Microphone ; ssnx:provideInput ?input ."
)
BENCHMARK_BY_FACTS = BENCHMARK.format(microphone="?model tegu:needsSensor sosax:Microphone .")
ALL_BY_FACTS = """
SELECT ?deviceName ?modelName WHERE {
  ?device a tegu:Device ; schema:name ?deviceName ; tegu:ramBytes ?ram ; tegu:flashBytes ?flash .
  ?model a nnet:NeuralNetwork ; schema:name ?modelName ; tegu:needsRamBytes ?needsRam .
  OPTIONAL { ?model tegu:needsFlashBytes ?needsFlash }
  FILTER (?ram >= ?needsRam && ?flash >= COALESCE(?needsFlash, 0))
  FILTER NOT EXISTS { ?device tegu:quarantined ?why }
  FILTER NOT EXISTS { ?model tegu:needsSensor ?kind FILTER NOT EXISTS { ?device tegu:sensor ?kind } }
} ORDER BY ?deviceName ?modelName"""
ALL_BY_STRUCTURE = """
SELECT ?deviceName ?modelName WHERE {
  { SELECT ?device ?deviceName ?ram ?flash WHERE {
    ?device a s3n:SmartSensor ; td:title ?deviceName ; ssn:hasSubSystem/s3n:hasSystemCapability ?can .
    ?can ssns:hasSystemProperty [ a s3nx:RAM ; schema:value ?ram ] , [ a s3nx:Flash ; schema:value ?flash ] } }
  { SELECT ?model ?modelName ?input ?needsRam ?needsFlash WHERE {
    ?model a nnet:NeuralNetwork ; schema:name ?modelName ; ssn:hasInput ?input .
    ?model s3n:hasProcedureFeature/ssns:inCondition [ a s3nx:RAM ; schema:minValue ?needsRam ] .
    ?model s3n:hasProcedureFeature/ssns:inCondition [ a s3nx:Flash ; schema:minValue ?needsFlash ] } }
  FILTER (?ram >= ?needsRam && ?flash >= ?needsFlash)
  FILTER NOT EXISTS { ?sensor ssnx:provideInput ?input ; a ?kind FILTER (?kind != sosa:Sensor)
    FILTER NOT EXISTS { ?device ssn:hasSubSystem/a ?kind } }
} ORDER BY ?deviceName ?modelName"""
DEVICES_REORDERED = """
SELECT ?name WHERE {
  { SELECT ?can WHERE { ?can ssns:hasSystemProperty ?ram . ?ram a s3nx:RAM ; schema:value ?ramKilobytes .
    FILTER (?ramKilobytes >= 121) } }
  { SELECT ?can WHERE { ?can ssns:hasSystemProperty ?flash . ?flash a s3nx:Flash ; schema:value ?flashKilobytes .
    FILTER (?flashKilobytes >= 610) } }
  ?chip s3n:hasSystemCapability ?can . ?device ssn:hasSubSystem ?chip ; td:title ?name .
  ?device ssn:hasSubSystem ?moves , ?turns . ?moves a sosax:Accelerometer . ?turns a sosax:Gyroscope .
}"""


def wanted(devices: list[Device], models: list[Model]) -> dict[str, Answer]:
    """The same answers by plain loops."""
    moving = {"sosax:Accelerometer", "sosax:Gyroscope"}
    able = [
        one
        for one in sorted(devices, key=lambda one: one.ram_bytes or 0)
        if moving <= one.sensors and (one.ram_bytes or 0) >= 121 * KILO and (one.flash_bytes or 0) >= 610 * KILO
    ]
    camera = Device("camera", 144 * KILO, 621 * KILO, frozenset(["sosax:Camera"]))
    speech = [
        one
        for one in models
        if "yes/no" in one.description.lower() and "speech_commands" in one.data and "sosax:Microphone" in one.sensors
    ]
    anything = Device("anything", 1 << 40, 1 << 40, frozenset(["sosax:Microphone"]))
    return {
        "model to devices": [(one.name,) for one in able],
        "device to models": [(name,) for name in sorted(best_first(camera, [m for m in models if m.sensors]))],
        "benchmark": [(name,) for name in best_first(anything, [one for one in speech if one.metrics])],
        "full matching": sorted(pairs_to_run(devices, models)),
    }


QUESTIONS = {
    "model to devices": {"structure": DEVICES_BY_STRUCTURE, "facts": DEVICES_BY_FACTS},
    "device to models": {"structure": MODELS_BY_STRUCTURE, "facts": MODELS_BY_FACTS},
    "benchmark": {"structure": BENCHMARK_BY_STRUCTURE, "facts": BENCHMARK_BY_FACTS},
    "full matching": {"structure": ALL_BY_STRUCTURE, "facts": ALL_BY_FACTS},
}


def timed(ask: Callable[[], Answer], repeats: int) -> tuple[float, float, Answer]:
    """(median, slowest) in ms, and the answer."""
    took_ms, answer = [], ask()
    for _ in range(repeats):
        began_s = time.perf_counter()
        answer = ask()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took_ms), max(took_ms), answer


def asked(registry: Registry, text: str) -> Callable[[], Answer]:
    return lambda: [tuple(map(str, row.values())) for row in registry.select(text)]


def show(question: str, on: str, median_ms: float, slowest_ms: float, rows: int, verdict: str) -> None:
    print(f"{question:17} {on:10} {median_ms:12.2f} {slowest_ms:12.2f} {rows:6} {verdict}")


def main() -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--repeats", type=int, default=101)
    told.add_argument("--without-rdflib", action="store_true", help="only pyoxigraph")
    given = told.parse_args()
    if not os.environ.get("TEGU_DATA"):
        print("TEGU_DATA is not set: the folder in which `semantic` has the authors' Turtle files", file=sys.stderr)
        return 2
    folder = Path(os.environ["TEGU_DATA"]) / "semantic"
    began_s = time.perf_counter()
    read = load(folder)
    registry = Registry(None)
    registry.replace_graph(imported("authors"), read.triples)
    took_s = time.perf_counter() - began_s
    print(f"{len(read.triples):,} triples, {len(read.defects)} kinds of defects, read and stored in {took_s:.2f} s\n")
    print(f"{'question':17} {'on':10} {'median ms':>12} {'slowest ms':>12} {'rows':>6} goal")
    failed = time_all(registry, wanted(*facts_of_turtle(folder)), given.repeats)
    if not given.without_rdflib:
        time_rdflib(read.triples)
    return 1 if failed else 0


def time_all(registry: Registry, answers: dict[str, Answer], repeats: int) -> bool:
    """Whether an answer was wrong or a goal missed."""
    failed = False
    for question, texts in QUESTIONS.items():
        goal_ms = GOALS_MS.get(question)
        for on, text in texts.items():
            median_ms, slowest_ms, answer = timed(asked(registry, text), repeats)
            good = answer == answers[question]
            missed = on == "facts" and goal_ms is not None and median_ms >= goal_ms
            goal = "" if goal_ms is None or on != "facts" else f"< {goal_ms:g} ms: {'missed' if missed else 'met'}"
            show(question, on, median_ms, slowest_ms, len(answer), goal if good else "WRONG ANSWER")
            failed = failed or missed or not good
    return failed


def time_rdflib(triples: list[pyoxigraph.Triple]) -> None:
    graph = rdflib.Graph()
    graph.parse(data=pyoxigraph.serialize(triples, format=pyoxigraph.RdfFormat.N_TRIPLES), format="nt")
    head = "".join(f"PREFIX {name}: <{iri}>\n" for name, iri in PREFIXES.items())

    def asking(text: str) -> Callable[[], Answer]:
        return lambda: [
            tuple(map(str, row)) for row in graph.query(head + text) if isinstance(row, rdflib.query.ResultRow)
        ]

    for text, how in ((DEVICES_BY_STRUCTURE, "for comparison"), (DEVICES_REORDERED, "for comparison, memory first")):
        median_ms, slowest_ms, answer = timed(asking(text), 3)
        show("model to devices", "rdflib", median_ms, slowest_ms, len(answer), how)


if __name__ == "__main__":
    sys.exit(main())
