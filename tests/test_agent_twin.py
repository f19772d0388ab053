"""An agent beside a real broker that is wished to have another model: it changes, goes back, remembers and says so."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.federation import Federation
from coordinator.settings import ModelSettings
from edge_agents.agent import Agent
from edge_agents.fleet import Fleet
from edge_agents.sources import Sample
from edge_agents.twins import load_twin, unfit
from experiments import broker
from experiments.observer import USER, Tap
from tegu import topics
from tegu.model import Model
from tegu.wire.messages import Ack, State

from .parts import needs
from .peer import Peer
from .test_agent import SETTINGS, USERS, Scripted, agent, first

MODELS = {
    "m": "1 | dense 2 softmax",
    "n": "1 | dense 3 tanh | dense 2 softmax",
    "wide": "2 | dense 2 softmax",
    "still": "1 | dense 2 softmax",
}
STILL = "still"  # has no rounds


@pytest.fixture
def running(tmp_path: Path) -> Iterator[broker.RunningBroker]:
    """A broker that has a round of each model but one open for room-1."""
    needs("mosquitto")
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as started:
        with Peer(started, "coordinator") as peer:
            for name, spec in MODELS.items():
                federation = Federation(replace(SETTINGS, model=ModelSettings(name, spec, samples=4)))
                federation.rounds.ready.add("room-1")
                for topic, payload, retain in [*federation.tick(), *federation.retained()]:
                    if not topic.endswith(f"{STILL}/round"):
                        peer.publish(topic, payload, retained=retain)
        yield started


def wish(running: broker.RunningBroker, version: int, model: str) -> None:
    with Peer(running, "coordinator") as peer:
        told = json.dumps({"version": version, "model": model}).encode()
        peer.publish(topics.device("test", "room-1", "desired"), told, retained=True)


def reported(tap: Tap, version: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(first(tap, "reported", f'"version": {version}'))
    return told


def tapped(running: broker.RunningBroker) -> Tap:
    return Tap(running.host, running.port, USERS[USER], "test")


def fed(*samples: Sample) -> Scripted:
    source = Scripted()
    for sample in samples:
        source.next.put(sample)
    return source


def test_a_device_that_is_wished_another_model_leaves_its_own_and_learns_the_other(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    source = Scripted()
    device = agent(running, source, tmp_path)
    with tapped(running) as tap, Fleet([device]):
        assert reported(tap, 0) == {"version": 0, "model": "m"}
        wish(running, 1, "n")
        gone = State.decode(first(tap, "state", "offline"))
        assert (gone.model, gone.boot) == ("m", 1)
        come = State.decode(first(tap, "state", "ready"))
        assert (come.model, come.boot) == ("n", 2)
        assert reported(tap, 1) == {"version": 1, "model": "m"}  # it only tries the other one
        for n in range(4):
            source.next.put(((0.5,), n % 2))
        assert reported(tap, 1) == {"version": 1, "model": "n"}
        first(tap, "update/n")
        wish(running, 2, "n")  # what it has
        assert reported(tap, 2) == {"version": 2, "model": "n"}
        assert (device.session.model_name, device.session.boot) == ("n", 2)


def test_a_model_is_reported_as_soon_as_its_manifest_tells_that_it_can_be_served(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    wish(running, 1, "n")
    source = Scripted()
    source.inputs = 1
    with tapped(running) as tap, Fleet([agent(running, source, tmp_path)]):
        assert [reported(tap, 1)["model"] for _ in range(2)] == ["m", "n"]


def test_a_model_that_nobody_serves_is_never_reported(running: broker.RunningBroker, tmp_path: Path) -> None:
    device = agent(running, fed(((0.5,), 0)), tmp_path)
    with tapped(running) as tap, Fleet([device]):
        wish(running, 1, "ghost")
        assert json.loads(first(tap, "state", "ghost"))["state"] == "ready"
        assert reported(tap, 1) == {"version": 1, "model": "m"}
        wish(running, 2, "m")
        assert reported(tap, 2) == {"version": 2, "model": "m"}
    assert device.session.model_name == "m"


def test_a_model_that_has_no_round_open_is_held_against_one_sample(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    wish(running, 1, STILL)
    source = Scripted()
    with tapped(running) as tap, Fleet([agent(running, source, tmp_path)]):
        source.next.put(((0.5,), 0))
        source.next.put(((0.5,), 1))
        assert [reported(tap, 1)["model"] for _ in range(2)] == ["m", STILL]
    assert not source.next.empty()  # the second sample was not asked for


def test_a_wish_for_no_model_brings_back_that_of_the_settings(running: broker.RunningBroker, tmp_path: Path) -> None:
    source = Scripted()
    source.inputs = 1
    with tapped(running) as tap, Fleet([agent(running, source, tmp_path)]):
        wish(running, 1, "n")
        assert [reported(tap, 1)["model"] for _ in range(2)] == ["m", "n"]
        wish(running, 2, "")
        assert [reported(tap, 2)["model"] for _ in range(2)] == ["n", "m"]
    assert agent(running, source, tmp_path).session.model_name == "m"


def test_a_device_that_starts_again_has_the_model_that_it_was_wished(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    wish(running, 7, "n")
    with tapped(running) as tap, Fleet([agent(running, Scripted(), tmp_path)]):
        reported(tap, 7)
    again = agent(running, Scripted(), tmp_path)
    assert (again.session.model_name, again.session.boot) == ("n", 3)
    with tapped(running) as tap, Fleet([again]):
        assert reported(tap, 7) == {"version": 7, "model": "m"}  # which it tries since it was started
        wish(running, 6, "m")  # an old one
        wish(running, 8, "m")
        assert reported(tap, 8) == {"version": 8, "model": "m"}
    assert again.session.boot == 4


def test_a_model_of_other_inputs_is_left_again_with_the_reason(running: broker.RunningBroker, tmp_path: Path) -> None:
    source = Scripted()
    source.inputs = 1
    device = agent(running, source, tmp_path)
    with tapped(running) as tap, Fleet([device]):
        assert device.ready.wait(20)
        wish(running, 1, "wide")
        assert json.loads(first(tap, "reported", "why")) == {
            "version": 1,
            "model": "m",
            "why": "wide: takes 2 inputs, not 1",
        }
    assert (device.session.model_name, device.session.boot) == ("m", 3)
    kept = load_twin(tmp_path, "room-1", "m")
    assert (kept.version, kept.model, kept.before) == (1, "m", "")


def test_a_model_whose_first_sample_cannot_be_learned_is_left_again(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    wish(running, 1, "wide")
    with tapped(running) as tap, Fleet([agent(running, fed(((0.5,), 0)), tmp_path)]):
        assert json.loads(first(tap, "reported", "why"))["why"] == "wide: a sample has 2 inputs, not 1"


def test_a_model_that_has_been_learned_is_not_left_for_a_bad_sample(
    running: broker.RunningBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wish(running, 1, "n")
    source = fed(((0.5,), 0), ((0.5, 0.5), 0), ((0.5,), 1), ((0.5,), 0), ((0.5,), 1))
    device = agent(running, source, tmp_path)
    with tapped(running) as tap, Fleet([device]):
        first(tap, "update/n")
    assert "a sample has 1 inputs, not 2" in caplog.text
    assert load_twin(tmp_path, "room-1", "m").before == ""


@pytest.mark.parametrize("bad", [b"{", b'{"version": 1}', b'{"version": "1", "model": "n"}', b""])
def test_what_is_no_wish_is_dropped_and_the_next_one_is_heard(
    running: broker.RunningBroker, tmp_path: Path, bad: bytes
) -> None:
    with tapped(running) as tap, Fleet([agent(running, Scripted(), tmp_path)]):
        with Peer(running, "coordinator") as peer:
            peer.publish(topics.device("test", "room-1", "desired"), bad, retained=True)
        wish(running, 1, "N/1")
        assert reported(tap, 1) == {"version": 1, "model": "m", "why": "no model has such a name"}


def test_why_an_update_was_not_taken_is_said_once_for_each_reason(
    running: broker.RunningBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = agent(running, Scripted(), tmp_path)
    with tapped(running) as tap, Fleet([device]):
        assert device.ready.wait(20)
        with Peer(running, "coordinator") as coordinator:
            for why in ("has no sensor co2", "battery at 12 %", "has no sensor co2"):
                told = Ack(result="limited", version=1, why=f"not in this round: {why}").encode()
                coordinator.publish(topics.device("test", "room-1", "ack", "m"), told)
        wish(running, 1, "m")
        reported(tap, 1)  # all before it was heard
    assert [record.getMessage() for record in caplog.records if "not taken" in record.getMessage()] == [
        "room-1: not taken: limited: not in this round: has no sensor co2",
        "room-1: not taken: limited: not in this round: battery at 12 %",
    ]


def test_a_device_whose_settings_name_another_model_since_has_that_one(
    running: broker.RunningBroker, tmp_path: Path
) -> None:
    wish(running, 1, "n")
    device = agent(running, Scripted(), tmp_path)
    with tapped(running) as tap, Fleet([device]):
        reported(tap, 1)
    again = Agent(replace(device.place, model="wide"), Scripted())
    assert again.session.model_name == "wide"


def test_a_broken_twin_is_a_sentence(running: broker.RunningBroker, tmp_path: Path) -> None:
    (tmp_path / "room-1.twin.json").write_text("{")
    with pytest.raises(ValueError, match=r"room-1\.twin\.json is broken; without it the device has the model of its"):
        agent(running, Scripted(), tmp_path)


@pytest.mark.parametrize(
    ("spec", "query", "why"),
    [
        ("1 | dense 2 softmax", [((0.5,), 0), ((0.5,), 1)], ""),
        ("1 | dense 2 softmax", [], None),
        ("2 | dense 2 softmax", [((0.5,), 0)], "takes 2 inputs, not 1"),
        ("1 | dense 2 softmax", [((0.5,), 0), ((0.5,), 4)], "has 2 classes, not 5"),
        ("1 | dense 2 softmax", [((0.5,), (0.5,))], "learns classes, not numbers"),
        ("1 | dense 1 linear", [((0.5,), (0.5,))], ""),
        ("1 | dense 1 linear", [((0.5,), 1)], "learns numbers, not classes"),
    ],
)
def test_what_a_source_gives_is_held_against_the_model(spec: str, query: list[Sample], why: str | None) -> None:
    source = Scripted()
    source.scored = query
    assert unfit(Model(spec), source) == why
