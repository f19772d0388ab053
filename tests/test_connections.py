"""A coordinator that announces its devices to Home Assistant and serves Prometheus, on a real broker with real agents."""

import json
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_agents.agent import Agent, Place
from edge_agents.fleet import Fleet
from edge_agents.rooms import simulated
from experiments import broker

from .parts import needs
from .peer import Peer
from .test_federation import Coordinator
from .timeseries import free_port, until

USERS = {name: f"secret of {name}" for name in ("device-1", "device-2", "coordinator", "homeassistant")}
CONFIG = """
[coordinator]
site = "test"
port = {port}
password = "secret of coordinator"
checkpoint = "{folder}/coordinator.sqlite"
[model]
name = "presence"
spec = "11 | dense 8 tanh | dense 2 softmax"
samples = 8
[rounds]
rounds = 3
[monitor]
store = ""
homeassistant = "homeassistant"
prometheus = "127.0.0.1:{metrics}"
every_s = 0.2
"""


class Process(Coordinator):
    """The coordinator with these settings."""

    def __init__(self, folder: Path, port: int, metrics: int) -> None:
        self._config = folder / "coordinator.toml"
        self._config.write_text(CONFIG.format(folder=folder, port=port, metrics=metrics))
        self._log = (folder / "coordinator.log").open("ab")
        self.start()


def scrape(port: int) -> dict[tuple[str, str], float]:
    """(name, device) -> value; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    families = text_string_to_metric_families(text)
    return {(s.name, s.labels.get("device", "")): s.value for family in families for s in family.samples}


@pytest.mark.timeout(120)
def test_devices_are_announced_to_home_assistant_and_counted_for_prometheus(tmp_path: Path) -> None:
    needs("mosquitto")
    metrics = free_port()
    with broker.start(tmp_path / "broker", USERS, "mosquitto") as running:
        coordinator = Process(tmp_path, running.port, metrics)
        try:
            agents = [
                Agent(
                    Place(name, "test", port=running.port, password=USERS[name], state_folder=tmp_path),
                    simulated("1", str(n)),
                )
                for n, name in enumerate(("device-1", "device-2"), 1)
            ]
            with Fleet(agents), Peer(running, "homeassistant", password=USERS["homeassistant"]) as home:
                home.subscribe("homeassistant/#")
                config: dict[str, dict[str, object]] = {}
                deadline_s = time.monotonic() + 60
                while not all("sense_presence" in config.get(name, {}) for name in ("device-1", "device-2")):
                    assert time.monotonic() < deadline_s, config
                    message = home.next()
                    config[message.topic.split("/")[-2]] = json.loads(message.payload)["components"]
                until(lambda: scrape(metrics).get(("tegu_round_accepted_total", "")) == 6.0, 60)
                numbers = scrape(metrics)
            presence = config["device-1"]["sense_presence"]
            assert isinstance(presence, dict)
            assert (presence["platform"], presence["device_class"]) == ("binary_sensor", "occupancy")
            assert presence["state_topic"] == "tegu/1/test/device/device-1/sense/presence"
            assert numbers["tegu_device_updates_total", "device-1"] == 3.0
            assert 300 < numbers["tegu_reading_co2_ppm", "device-2"] < 5000
            coordinator.kill()
            coordinator.start()  # it hears what it said before, and says nothing new
            with Peer(running, "homeassistant", password=USERS["homeassistant"]) as home:
                home.subscribe("homeassistant/#")
                kept = {home.next().topic for _ in range(2)}
            assert kept == {f"homeassistant/device/tegu-test/{name}/config" for name in ("device-1", "device-2")}
        finally:
            coordinator.stop()
