"""A model moved to devices stage by stage, on real parts: mosquitto, the registry's service, two coordinators, agents.

Two models of the same lines: `lines` learns, `wild` has an inner step so large that what a device learns is worse than nothing.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edge_agents.agent import Agent, Place
from edge_agents.fleet import Fleet
from experiments import broker
from experiments.broker import RunningBroker

from .parts import needs
from .registered import Registered, until
from .test_registry_federation import SITE, SensedLine

DEVICES = [f"device-{n}" for n in range(1, 7)]
USERS = {name: name for name in [*DEVICES, "coordinator", "coordinator-2", "registry"]}
CONFIG = """
[coordinator]
site = "{site}"
port = {port}
user = "{user}"
password = "{user}"
checkpoint = "{name}.sqlite"
[model]
name = "{name}"
spec = "{spec}"
inner_step_size = {step}
samples = 8
[rounds]
quorum = 1
interval_s = 0.3
deadline_s = 30
[monitor]
store = ""
[about]
sensors = "light"
"""


@contextmanager
def coordinator(folder: Path, port: int, user: str, name: str, spec: str, step: float) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    told = {"site": SITE, "port": port, "user": user, "name": name, "spec": spec, "step": step}
    (folder / f"{name}.toml").write_text(CONFIG.format(**told))
    command = [sys.executable, "-m", "coordinator.service", f"{name}.toml"]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningBroker]:
    """A broker."""
    needs("mosquitto")
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as started:
        yield started


@pytest.fixture
def registry(running: RunningBroker, tmp_path: Path) -> Iterator[Registered]:
    made = Registered(tmp_path / "registry", SITE, running.port, "registry")
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def fleet(running: RunningBroker, tmp_path: Path) -> Iterator[Fleet]:
    """Two coordinators, and six devices that take part in the first one's model; the last has no light sensor."""
    with ExitStack() as stack:
        line, step = "1 | dense 8 tanh | dense 1 linear", 0.1
        stack.enter_context(coordinator(tmp_path / "c", running.port, "coordinator", "lines", line, step))
        wild = "1 | dense 4 tanh | dense 1 linear"
        stack.enter_context(coordinator(tmp_path / "c", running.port, "coordinator-2", "wild", wild, 1.0))
        agents = []
        for number, name in enumerate(DEVICES, 1):
            place = Place(name, SITE, "lines", port=running.port, password=name, state_folder=tmp_path / name)
            agents.append(Agent(place, SensedLine(number, {"light": "lx"} if number < 6 else {"co2": "ppm"})))
        yield stack.enter_context(Fleet(agents))


def runs(registry: Registered) -> dict[str, str]:
    """The model that each device reports."""
    rows = registry.select("SELECT ?d ?m { ?d tegu:runs ?m }")
    return {row["d"].rpartition(":")[2]: row["m"].rpartition(":")[2] for row in rows}


def everybody_runs_lines(registry: Registered) -> bool:
    ready = registry.column("SELECT ?d { ?d tegu:state 'ready' ; tegu:ramBytes ?ram }")
    return runs(registry) == dict.fromkeys(DEVICES, "lines") and len(ready) == len(DEVICES)


def deploy(registry: Registered, **told: object) -> dict[str, object]:
    asked = {"model": "wild", "where": "has light", "samples": 1, "patience_s": 60, "plan_only": False} | told
    found: dict[str, object] = registry.send("POST", "/registry/deployments", asked)
    return found


def ended(registry: Registered, number: int) -> dict[str, object] | None:
    found: dict[str, object] = registry.get(f"/registry/deployments/{number}")
    return found if found["status"] in ("done", "rolled back") else None


@pytest.mark.usefixtures("fleet")
def test_a_model_goes_to_one_device_then_to_more_then_to_all_that_were_selected(registry: Registered) -> None:
    until(lambda: everybody_runs_lines(registry), "six devices with the first model")
    until(lambda: registry.column("SELECT ?m { ?m a nnet:NeuralNetwork }")[1:], "two models")
    planned = deploy(registry, where="", plan_only=True)
    assert planned["outside"] == {"device-6": "it has no light sensor"}
    assert [len(stage) for stage in planned["plan"]] == [1, 1, 3]  # type: ignore[attr-defined]
    started = deploy(registry, metric="loss_after < 1000")
    found = until(lambda: ended(registry, int(str(started["number"]))), "the end of the deployment", 90)
    assert found["status"] == "done"
    assert sorted(found["devices"]["took"]) == DEVICES[:5]  # type: ignore[index]
    assert runs(registry) == {**dict.fromkeys(DEVICES[:5], "wild"), "device-6": "lines"}
    status = registry.select("SELECT ?s ?m { ?x a tegu:Deployment ; tegu:status ?s ; tegu:deploys ?m }")
    assert status == [{"s": "done", "m": "urn:tegu:test:model:wild"}]


@pytest.mark.usefixtures("fleet")
def test_a_model_whose_metric_does_not_hold_on_the_first_device_goes_no_further_and_is_taken_back(
    registry: Registered,
) -> None:
    until(lambda: everybody_runs_lines(registry), "six devices with the first model")
    until(lambda: registry.column("SELECT ?m { ?m a nnet:NeuralNetwork }")[1:], "two models")
    started = deploy(registry, metric="loss_after < 0")  # no loss is
    found = until(lambda: ended(registry, int(str(started["number"]))), "the end of the deployment", 90)
    assert found["status"] == "rolled back"
    assert "loss_after" in str(found["why"])
    assert {status: len(devices) for status, devices in found["devices"].items()} == {"back": 1, "waiting": 4}  # type: ignore[attr-defined]
    assert runs(registry) == dict.fromkeys(DEVICES, "lines")


@pytest.mark.usefixtures("fleet")
def test_a_deployment_goes_on_where_it_was_after_kill_9(registry: Registered) -> None:
    until(lambda: everybody_runs_lines(registry), "six devices with the first model")
    until(lambda: registry.column("SELECT ?m { ?m a nnet:NeuralNetwork }")[1:], "two models")
    started = deploy(registry, metric="loss_after < 1000", samples=2)
    number = int(str(started["number"]))
    until(lambda: registry.get(f"/registry/deployments/{number}")["devices"].get("took"), "the first device", 60)
    registry.kill()
    registry.start()
    found = until(lambda: ended(registry, number), "the end of the deployment", 90)
    assert (found["status"], sorted(found["devices"]["took"])) == ("done", DEVICES[:5])  # type: ignore[index]
