"""The registry's answers by plain loops over plain facts: what the questions of coordinator/queries are held against.

It knows the rules and no SPARQL. The rules:
- A device can run a model if it says it has the RAM and the flash that the model needs, has each kind of sensor that it
  needs, and is not quarantined. A model that does not say how much flash it needs needs none; one that does not say how
  much RAM it needs is run by nobody, as nobody knows. A device that does not say what it has has none.
- It can train a model if it can run it, the model says how much RAM training takes, and the device has that.
- Several models fit on one device if each does, and the sums of their RAM and of their flash do. Sums, because an arena is
  taken from its model's start to its stop, and nothing makes two models take turns.
- A room has a kind of sensor if a device in it, not quarantined, has one.

Any objects with the fields below will do for Device and Model.

`facts_of_turtle` reads the authors' files with rdflib, which has nothing to do with coordinator.semantics.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from rdflib import RDF, Graph, URIRef
from rdflib.term import Node

TOP_1 = "nnet:Top_1_accuracy"
NOWHERE = "http://nowhere.invalid/"  # what IRIs without a scheme are relative to


@dataclass(frozen=True)
class Device:
    """None: it does not say. sensors: kinds, as sosax:Camera. quarantined: why."""

    name: str
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    sensors: frozenset[str] = frozenset()
    room: str | None = None
    quarantined: str | None = None


@dataclass(frozen=True)
class Model:
    """None: it does not say; of training: it cannot. metrics: (kind, value), as ("nnet:Top_1_accuracy", 91.4).

    data: what it was trained on, as it is written.
    """

    name: str
    needs_ram_bytes: int | None = None
    needs_training_ram_bytes: int | None = None
    needs_flash_bytes: int | None = None
    sensors: frozenset[str] = frozenset()
    metrics: tuple[tuple[str, float], ...] = ()
    macs: int | None = None
    description: str = ""
    data: str = ""


@dataclass(frozen=True)
class Retired:
    """What is no more without a device: kinds of sensors by room, and models that no other device can run, or train."""

    sensors: dict[str, frozenset[str]] = field(default_factory=dict)
    not_run: frozenset[str] = frozenset()
    not_trained: frozenset[str] = frozenset()


# --- pairs ---


def can_run(device: Device, model: Model) -> bool:
    if device.quarantined is not None or model.needs_ram_bytes is None:
        return False
    return (
        (device.ram_bytes or 0) >= model.needs_ram_bytes
        and (device.flash_bytes or 0) >= (model.needs_flash_bytes or 0)
        and model.sensors <= device.sensors
    )


def can_train(device: Device, model: Model) -> bool:
    needed = model.needs_training_ram_bytes
    return needed is not None and can_run(device, model) and (device.ram_bytes or 0) >= needed


def pairs_to_run(devices: Iterable[Device], models: Sequence[Model]) -> set[tuple[str, str]]:
    """(device, model)"""
    return {(device.name, model.name) for device in devices for model in models if can_run(device, model)}


def pairs_to_train(devices: Iterable[Device], models: Sequence[Model]) -> set[tuple[str, str]]:
    """(device, model)"""
    return {(device.name, model.name) for device in devices for model in models if can_train(device, model)}


# --- one device ---


def metric(model: Model, kind: str) -> float | None:
    """The best value that is stated of a kind of metric."""
    return max((value for name, value in model.metrics if name == kind), default=None)


def best_first(device: Device, models: Iterable[Model], kind: str = TOP_1, train: bool = False) -> list[str]:
    """The models that it can run (or train): the highest first, then those without this metric; equal ones by name."""
    fitting = [model for model in models if (can_train if train else can_run)(device, model)]

    def order(model: Model) -> tuple[bool, float, str]:
        value = metric(model, kind)
        return value is None, -(value or 0.0), model.name

    return [model.name for model in sorted(fitting, key=order)]


def fit_together(device: Device, models: Sequence[Model]) -> bool:
    return (
        all(can_run(device, model) for model in models)
        and (device.ram_bytes or 0) >= sum(model.needs_ram_bytes or 0 for model in models)
        and (device.flash_bytes or 0) >= sum(model.needs_flash_bytes or 0 for model in models)
    )


def sets_together(device: Device, models: Iterable[Model], size: int = 2) -> set[frozenset[str]]:
    """All sets of so many models that fit on it together."""
    fitting = [model for model in models if can_run(device, model)]
    return {
        frozenset(model.name for model in chosen)
        for chosen in combinations(fitting, size)
        if fit_together(device, chosen)
    }


# --- rooms ---


def sensors_of_room(devices: Iterable[Device], room: str) -> frozenset[str]:
    there = [device.sensors for device in devices if device.room == room and device.quarantined is None]
    return frozenset().union(*there)


def missing_in_room(model: Model, devices: Iterable[Device], room: str) -> frozenset[str]:
    """The kinds of sensors that it needs and that no device of the room has."""
    return model.sensors - sensors_of_room(devices, room)


def missing_by_device(model: Model, devices: Iterable[Device], room: str) -> dict[str, frozenset[str]]:
    """The same for each device of the room by itself: a model runs on one device, with that one's sensors."""
    there = [device for device in devices if device.room == room and device.quarantined is None]
    return {device.name: model.sensors - device.sensors for device in there}


def retire(name: str, devices: Sequence[Device], models: Sequence[Model]) -> Retired:
    """What changes without this device."""
    left = [device for device in devices if device.name != name]
    sensors = {}
    for gone in devices:
        if gone.name == name and gone.room is not None:
            lost = sensors_of_room(devices, gone.room) - sensors_of_room(left, gone.room)
            sensors = {gone.room: lost} if lost else {}
    ran, runs = ({model for _, model in pairs_to_run(those, models)} for those in (devices, left))
    trained, trains = ({model for _, model in pairs_to_train(those, models)} for those in (devices, left))
    return Retired(sensors, frozenset(ran - runs), frozenset(trained - trains))


# --- the authors' files ---


def facts_of_turtle(folder: Path) -> tuple[list[Device], list[Model]]:
    """The authors' devices and models, by the last words of their terms, whatever namespace they stand in."""
    graph = Graph()
    for path in sorted(folder.rglob("*.ttl")):
        graph.parse(path, format="turtle", publicID=NOWHERE)
    found = _Found(graph)
    devices = [found.device(node) for node in found.of_kind("SmartSensor") if "tinyml-demo" in str(node)]
    models = [found.model(node) for node in found.of_kind("NeuralNetwork")]
    return sorted(devices, key=lambda device: device.name), sorted(models, key=lambda model: model.name)


def _last(term: Node) -> str:
    return str(term).replace("#", "/").rstrip("/").rsplit("/", 1)[-1]


class _Found:
    def __init__(self, graph: Graph) -> None:
        self.said: dict[Node, list[tuple[str, Node]]] = {}
        self.kinds: dict[Node, set[str]] = {}
        for subject, predicate, value in graph:
            self.said.setdefault(subject, []).append((_last(predicate), value))
            if predicate == RDF.type:
                self.kinds.setdefault(subject, set()).add(_last(value))

    def of_kind(self, kind: str) -> list[URIRef]:
        return [node for node, kinds in self.kinds.items() if kind in kinds and isinstance(node, URIRef)]

    def values(self, node: Node, *path: str) -> list[Node]:
        nodes = [node]
        for word in path:
            nodes = [value for one in nodes for said, value in self.said.get(one, []) if said == word]
        return nodes

    def text(self, node: Node, word: str) -> str:
        return "".join(map(str, self.values(node, word)))

    def sensor(self, node: Node) -> str | None:
        """The one type of a sensor that is not the kind of all sensors."""
        kinds = self.kinds.get(node, set()) - {"Sensor", "MicroController"}
        return f"sosax:{kinds.pop().lstrip(':')}" if kinds else None

    def bytes(self, nodes: list[Node], kind: str, word: str) -> int | None:
        """From kilobytes of 1000 bytes."""
        for node in nodes:
            if kind in self.kinds[node] and self.text(node, "unitCode").endswith("/kilobyte"):
                return round(float(self.text(node, word)) * 1000)
        return None

    def device(self, node: Node) -> Device:
        parts = self.values(node, "hasSubSystem")
        memories = self.values(node, "hasSubSystem", "hasSystemCapability", "hasSystemProperty")
        return Device(
            name=self.text(node, "title"),
            ram_bytes=self.bytes(memories, "RAM", "value"),
            flash_bytes=self.bytes(memories, "Flash", "value"),
            sensors=frozenset(kind for part in parts if (kind := self.sensor(part))),
        )

    def model(self, node: Node) -> Model:
        memories = self.values(node, "hasProcedureFeature", "inCondition")
        inputs = set(self.values(node, "hasInput"))
        feeding = [one for one in self.said if inputs & set(self.values(one, "provideInput"))]
        stated = [
            (f"nnet:{(self.kinds[one] - {'Metric'}).pop()}", float(self.text(one, "hasMetricValue")))
            for one in self.values(node, "hasMetric")
        ]
        return Model(
            name=self.text(node, "name"),
            needs_ram_bytes=self.bytes(memories, "RAM", "minValue"),
            needs_flash_bytes=self.bytes(memories, "Flash", "minValue"),
            sensors=frozenset(kind for one in feeding if (kind := self.sensor(one))),
            metrics=tuple((kind, value) for kind, value in stated if value > 0),
            macs=round(float(self.text(node, "hasMultiplyAccumulateOps"))),
            description=self.text(node, "description"),
            data=self.text(node, "trainingDataset").removeprefix(NOWHERE),
        )
