"""The firmware on MicroPython's unix port beside a real broker, wished to have another model: it begins anew with it, or goes back."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.federation import Federation
from coordinator.settings import ModelSettings
from edge_agents.rooms import simulated
from experiments import broker
from experiments.observer import USER, Tap
from tegu import topics

from .parts import find_micropython, needs
from .peer import Peer
from .test_agent import SETTINGS, first
from .test_board_federation import BOARD, FIRMWARE, SITE, USERS, compiled, files, rows_of

MODELS = {
    "presence": "11 | dense 2 softmax",
    "second": "11 | dense 3 tanh | dense 2 softmax",
    "wide": "2 | dense 2 softmax",
}
Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[broker.RunningBroker]:
    """A broker that has a round of each model open for the board."""
    needs("mosquitto")
    needs("micropython")
    needs("mpy-cross")
    (tmp_path / "broker").mkdir()
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as started:
        with Peer(started, "coordinator", password=USERS["coordinator"]) as peer:
            for name, spec in MODELS.items():
                settings = replace(SETTINGS, model=ModelSettings(name, spec, samples=4))
                federation = Federation(settings)
                federation.rounds.ready.add(BOARD)
                for topic, payload, retain in [*federation.tick(), *federation.retained()]:
                    peer.publish(topic, payload, retained=retain)
        yield started


@pytest.fixture
def start(running: broker.RunningBroker, tmp_path: Path) -> Iterator[Start]:
    """Powers the board on; at the end of the test it is off."""
    own = tmp_path / "board"
    own.mkdir()
    link = {"kind": "unix", "host": "127.0.0.1", "port": running.port}
    for name, content in files(link, rows_of(simulated(seed="1", number="9"))).items():
        (own / name).write_bytes(content)
    environment = {"MICROPYPATH": f"{compiled(tmp_path)}:{tmp_path / 'compiled' / 'lib'}"}
    command = [str(find_micropython()), "-X", "heapsize=256k", "main.py", str(own)]
    lives: list[subprocess.Popen[bytes]] = []

    def power_on() -> "subprocess.Popen[bytes]":
        with (tmp_path / "board.log").open("ab") as log:
            lives.append(subprocess.Popen(command, cwd=FIRMWARE, env=environment, stdout=log, stderr=log))
        return lives[-1]

    yield power_on
    for life in lives:
        life.kill()
        life.wait()


def wish(running: broker.RunningBroker, version: int, model: str) -> None:
    with Peer(running, "coordinator", password=USERS["coordinator"]) as peer:
        told = json.dumps({"version": version, "model": model}).encode()
        peer.publish(topics.device(SITE, BOARD, "desired"), told, retained=True)


def heard(tap: Tap, kind: str, wanted: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(first(tap, kind, wanted))
    return told


def test_a_board_leaves_its_model_for_another_one_and_comes_back_to_what_it_had_kept(
    running: broker.RunningBroker, start: Start, tmp_path: Path
) -> None:
    with Tap(running.host, running.port, USERS[USER], SITE) as tap:
        life = start()
        assert heard(tap, "reported", "presence") == {"version": 0, "model": "presence"}
        before = first(tap, "update/presence")
        wish(running, 1, "second")
        assert heard(tap, "state", "offline")["boot"] == 1
        assert life.wait(20) == 1  # where a board resets itself
        life = start()
        assert heard(tap, "state", "ready")["boot"] == 2
        assert heard(tap, "reported", '"version": 1') == {"version": 1, "model": "presence"}  # it tries the other one
        assert heard(tap, "reported", '"version": 1') == {"version": 1, "model": "second"}
        first(tap, "update/second")
        wish(running, 2, "")  # that of its settings
        assert life.wait(20) == 1
        life = start()
        assert heard(tap, "state", '"boot": 3')["model"] == "presence"
        for model in ("second", "presence"):  # at the start, and when it has heard the manifest
            assert heard(tap, "reported", '"version": 2') == {"version": 2, "model": model}
        with Peer(running, "coordinator", password=USERS["coordinator"]) as peer:  # which comes back
            peer.publish(topics.coordinator_state(SITE), b'{"state": "online"}')
        assert first(tap, "update/presence") == before  # of its first life, without an ack
        life.kill()
        start()
        heard(tap, "state", '"boot": 4')
    assert not list((tmp_path / "board").glob("second-*"))


def test_a_board_that_cannot_serve_a_model_says_why_and_has_its_own_again(
    running: broker.RunningBroker, start: Start
) -> None:
    wish(running, 1, "wide")
    with Tap(running.host, running.port, USERS[USER], SITE) as tap:
        for _ in range(2):  # it hears the wish; it hears the manifest
            assert start().wait(20) == 1
        start()
        told = {"version": 1, "model": "presence", "why": "wide: takes 2 inputs, not 11"}
        assert heard(tap, "reported", "why") == told
        first(tap, "update/presence")
