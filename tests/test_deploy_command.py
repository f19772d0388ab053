"""`tegu deploy` in words, and on real parts: mosquitto, the registry's service, and devices that take a model or refuse it."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from coordinator.commands import deploy as deploy_command
from coordinator.commands import deploy_words
from experiments import broker
from experiments.broker import RunningBroker
from tegu import topics
from tegu.thing import announce
from tegu.wire.messages import Desired, Manifest, Reported, State

from .parts import needs
from .peer import Message, Peer
from .registered import Registered, until

SITE = "test"
DEVICES = ("d1", "d2", "d3")
STOP = Message("", b"", False)


# --- words ---


def _summary(status: str, stage: int, **devices: dict[str, str]) -> dict[str, Any]:
    return {
        "number": 3,
        "model": "presence",
        "where": "has CO2",
        "status": status,
        "why": "",
        "stage": stage,
        "stages": [1, 3],
        "metric": "",
        "after": {},
        "before": {},
        "devices": devices,
    }


def test_a_plan_names_the_devices_of_each_stage_and_those_left_out() -> None:
    planned = _summary("planned", 0) | {
        "plan": [["d1"], ["d2", "d3"]],
        "outside": {"d4": "it has no CO2 sensor"},
        "metric": "loss_after <= 0.5",
    }
    assert deploy_words.plan(planned, None) == [
        "presence to 3 devices where has CO2",
        "",
        "stage  devices  which",
        "    1        1  d1",
        "    2        2  d2, d3",
        "",
        "It goes on while loss_after <= 0.5; else it goes back.",
        "",
        "Left out: 1 device",
        "",
        "device  why",
        "d4      it has no CO2 sensor",
    ]


def test_each_change_is_a_line() -> None:
    before = _summary("running", 1, waiting={"d2": "", "d3": ""}, asked={"d1": ""})
    now = _summary("running", 2, asked={"d2": "", "d3": ""}, took={"d1": ""})
    assert deploy_words.changes({}, before) == [
        "Deployment 3 of presence: running, stage 1 of 2",
        "  d1 was asked",
    ]
    assert deploy_words.changes(before, now) == [
        "Deployment 3 of presence: running, stage 2 of 2",
        "  d1 has it",
        "  d2 was asked",
        "  d3 was asked",
    ]
    assert deploy_words.changes(now, now) == []


def test_a_refusal_is_told_with_its_reason() -> None:
    now = _summary("rolling back", 1, refused={"d1": "no room"}, waiting={"d2": ""})
    now["why"] = "d1 could not take it: no room"
    assert deploy_words.picture(now, None) == [
        "Deployment 3 of presence: rolling back, stage 1 of 2",
        "where  has CO2",
        "why    d1 could not take it: no room",
        "device              count  which  why",
        "waits for its turn      1  d2     -",
        "refused it              1  d1     no room",
    ]


def test_the_metric_is_told_with_what_it_is_now() -> None:
    now = _summary("running", 1, took={"d1": ""}) | {"metric": "loss_after <= 0.5", "after": {"loss_after": 0.3125}}
    assert "metric  loss_after <= 0.5 (loss_after is 0.312)" in deploy_words.picture(now, None)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (_summary("done", 2, took={"d1": "", "d2": ""}), "Done: 2 of 2 devices have presence."),
        (
            _summary("done", 2, took={"d1": ""}, asked={"d2": ""}),
            "Done: 1 of 2 devices have presence; 1 device will take it when they are back.",
        ),
        (
            _summary("rolled back", 1, back={"d1": ""}, lost={"d2": "x"}) | {"why": "loss_after is 0.9, more than 0.5"},
            "Rolled back: loss_after is 0.9, more than 0.5. 1 device could not be reached.",
        ),
    ],
)
def test_the_last_word_says_what_became_of_it(found: dict[str, Any], line: str) -> None:
    assert deploy_words.ended(found) == line


def test_deployments_are_listed_with_how_far_they_came() -> None:
    assert deploy_words.listed([], None) == ["No deployment yet."]
    assert deploy_words.listed([_summary("done", 2, took={"d1": "", "d2": ""}, lost={"d3": ""})], None) == [
        "number  model     status  stage   have it  where    why",
        "     3  presence  done    2 of 2  2 of 3   has CO2  -",
    ]


# --- calls ---


@pytest.mark.parametrize("arguments", [[], ["presence", "--list"], ["--pause", "x"]])
def test_a_wrong_call_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        deploy_command.run(arguments)
    assert ended.value.code == 2


def test_without_a_service_it_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy_command.run(["presence", "--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"tegu deploy: no registry service was found: {tmp_path} has no service.json. "
        "Start one with `tegu registry serve`, or name it by --url\n"
    )


# --- on real parts ---


@contextmanager
def _device(running: RunningBroker, name: str, refuses: str = "") -> Iterator[None]:
    """A device that runs `lines` and takes whatever is desired, or refuses it with a reason."""
    with Peer(running, name) as peer:
        peer.subscribe(topics.device(SITE, name, "desired"))
        told = announce(name.upper(), "lines", {"co2": "ppm"}, ram=64_000, flash=500_000)
        peer.publish(topics.device(SITE, name, "thing"), told, retained=True)
        peer.publish(
            topics.device(SITE, name, "state"), State(state="ready", boot=1, model="lines").encode(), retained=True
        )
        answering = threading.Thread(target=_answer, args=(peer, name, refuses))
        answering.start()
        try:
            yield
        finally:
            peer.received.put(STOP)
            answering.join()


def _answer(peer: Peer, name: str, refuses: str) -> None:
    while (message := peer.received.get()) is not STOP:
        desired: Desired = Desired.decode(message.payload)
        refused = refuses if desired.model == "presence" else ""
        model = "lines" if refused else desired.model
        answer = Reported(version=desired.version, model=model, why=refused)
        peer.send(topics.device(SITE, name, "reported"), answer.encode())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningBroker]:
    needs("mosquitto")
    users = {name: name for name in (*DEVICES, "registry", "coordinator")}
    with broker.start(tmp_path / "broker", users, "mosquitto") as started:
        yield started


@pytest.fixture
def folder(running: RunningBroker, tmp_path: Path) -> Iterator[Path]:
    """Of a service that knows the model `presence`, which a coordinator has published."""
    made = Registered(tmp_path / "registry", SITE, running.port, "registry")
    told = Manifest(
        model="presence", spec="1 | dense 2 tanh | dense 1 linear", hash=1, version=1, bytes=1, sha256="0" * 64, chunks=1,
        inner_step_size=0.1, samples=8, top_p=10.0,
    )  # fmt: skip
    try:
        with Peer(running, "coordinator") as coordinator:
            coordinator.publish(topics.model(SITE, "presence", "manifest"), told.encode(), retained=True)
            coordinator.publish(topics.model(SITE, "presence", "about"), b'{"sensors": ["co2"]}', retained=True)
        asked = f"SELECT ?s {{ <urn:tegu:{SITE}:model:presence> tegu:needsSensor ?s }}"
        until(lambda: made.select(asked), "the model in the graph")
        yield made.folder
    finally:
        made.stop()


@contextmanager
def _devices(running: RunningBroker, folder: Path, **refusing: str) -> Iterator[None]:
    with ExitStack() as stack:
        for name in DEVICES:
            stack.enter_context(_device(running, name, refusing.get(name, "")))
        until(lambda: _ready(folder) == len(DEVICES), "the devices in the graph")
        yield


def _ready(folder: Path) -> int:
    from coordinator.commands.access import find_service

    return len(find_service(folder, "", None).select("SELECT ?d { ?d tegu:state 'ready' ; tegu:ramBytes ?b }"))


def test_a_model_goes_to_all_devices_stage_by_stage(
    running: RunningBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _devices(running, folder):
        capsys.readouterr()
        assert deploy_command.run(["presence", "--where", "has CO2", "--yes", "--folder", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "presence to 3 devices where has CO2"
    assert lines[3:6] == ["    1        1  d1", "    2        1  d2", "    3        1  d3"]
    assert next(line for line in lines if line.startswith("Deployment")) == (
        "Deployment 1 of presence: running, stage 1 of 3"
    )
    assert "  d3 has it" in lines
    assert lines[-1] == "Done: 3 of 3 devices have presence."


def test_a_model_that_a_device_refuses_is_taken_back(
    running: RunningBroker, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _devices(running, folder, d2="no room for it"):
        assert deploy_command.run(["presence", "--yes", "--folder", str(folder)]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "Rolled back: d2 could not take it: no room for it."
        assert deploy_command.run(["--show", "1", "--json", "--folder", str(folder)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["devices"].keys() == {"back", "waiting"}
        assert set(found["devices"]["back"]) == {"d1", "d2"}
        assert deploy_command.run(["--list", "--folder", str(folder)]) == 0
        assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["1", "presence", "rolled", "back"]


def test_a_plan_starts_nothing(running: RunningBroker, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _devices(running, folder):
        assert deploy_command.run(["presence", "--plan", "--folder", str(folder)]) == 0
        assert deploy_command.run(["presence", "--folder", str(folder)]) == 1
        assert "nobody is here to be asked" in capsys.readouterr().err
        assert deploy_command.run(["--list", "--folder", str(folder)]) == 0
        assert capsys.readouterr().out == "No deployment yet.\n"
        assert deploy_command.run(["presence", "--where", "has nothing", "--yes", "--folder", str(folder)]) == 1
        assert "no sensor 'nothing' is known" in capsys.readouterr().err
