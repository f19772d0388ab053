"""The whole line on real parts: agents, mosquitto, a coordinator with its monitor, InfluxDB 1.6.7. And the ledger adds up.

What is expected is worked out from what passed on the broker, as a third party saw it, and from the sessions' own counts.
"""

import json
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from coordinator.metrics import MEASUREMENTS, Point
from dashboards.queries import Choice
from edge_agents.agent import Agent, Place
from edge_agents.fleet import Fleet
from tegu import topics
from tegu.model import Model

from .lossy import LossyLink
from .panel_queries import Panels
from .panel_values import WORTH
from .parts import needs
from .test_dashboard_queries import compare
from .test_federation import DEVICES, SITE, SPARSE, SPEC, USERS, Line, Site, site
from .timeseries import RunningInflux, influxdb, until

ROUNDS = 12
MONITOR = """store = "{store}"
influxdb = "{url}"
influxdb_api = "1"
bucket = "tegu"
spool = "{spool}"
every_s = 0.2
silent_s = 60
"""


@pytest.fixture(autouse=True)
def _parts() -> None:
    needs("mosquitto")
    needs("influxd")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RunningInflux]:
    with influxdb(tmp_path / "influxdb") as running:
        running.create("tegu")
        yield running


@contextmanager
def watched(folder: Path, database: RunningInflux, rules: str = SPARSE) -> Iterator[Site]:
    monitor = MONITOR.format(store=folder / "telemetry.sqlite", url=database.url, spool=folder / "spool.sqlite")
    with site(folder, ROUNDS, rules=rules, monitor=monitor) as here:
        yield here


def agent(here: Site, name: str, number: int, port: int = 0) -> Agent:
    place = Place(
        name,
        SITE,
        "lines",
        port=port or here.running.port,
        password=USERS[name],
        state_folder=here.folder,
        telemetry_s=0.5,
    )
    return Agent(place, Line(number))


def stored(store: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5.0)) as db:
        return db.execute(question).fetchall()


def one(database: RunningInflux, question: str) -> dict[str, Any]:
    (row,) = database.rows(question, "tegu")
    return row


class Passed:
    """What passed on the broker, counted by hand."""

    def __init__(self, here: Site) -> None:
        self.update_bytes: Counter[str] = Counter()
        self.updates: Counter[str] = Counter()
        self.telemetry: dict[str, list[bytes]] = defaultdict(list)
        self.results: Counter[str] = Counter()
        for topic, payload in here.seen:
            words = topics.parse(topic)
            if words is None or words[1] != "device":
                continue
            _, _, device, kind, _ = words
            if kind == "update":
                self.update_bytes[device] += len(payload)
                self.updates[device] += 1
            elif kind == "telemetry":
                self.telemetry[device].append(payload)
            elif kind == "ack":
                self.results[json.loads(payload)["result"]] += 1


def online(here: Site) -> None:
    """Wait until the coordinator says that it is."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        for topic, payload in here._tap.messages(0.2):
            here.seen.append((topic, payload))
            if topic == topics.coordinator_state(SITE):
                return
    pytest.fail("no coordinator")


def quiet(here: Site, database: RunningInflux, agents: list[Agent]) -> None:
    """Wait until each device's last word is in the database: its heartbeats say the same twice, and the ledger has settled."""

    def told() -> bool:
        rows = database.rows('SELECT last("update_up_device") AS sent FROM "bytes" GROUP BY "device"', "tegu")
        sent = {row["device"]: row["sent"] for row in rows}
        return all(sent.get(agent.place.device) == agent.session.bytes["update_up"] for agent in agents)

    deadline_s = time.monotonic() + 60
    while not told():
        assert time.monotonic() < deadline_s, database.rows('SELECT * FROM "bytes" ORDER BY time DESC LIMIT 8', "tegu")
        for topic, payload in here._tap.messages(0.2):
            here.seen.append((topic, payload))


@pytest.mark.parametrize("rules", ["", SPARSE], ids=["whole", "deltas"])
def test_undisturbed_the_database_says_what_passed_to_the_byte(
    tmp_path: Path, database: RunningInflux, rules: str
) -> None:
    with watched(tmp_path / "site", database, rules) as here:
        agents = [agent(here, name, n) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("finished")
            quiet(here, database, agents)
    passed = Passed(here)
    for member in agents:
        name = member.place.device
        last = one(
            database,
            'SELECT last("update_up_device") AS sent, "update_up_coordinator" AS got, "model_down_device" AS took, '
            f'"model_down_coordinator" AS gave FROM "bytes" WHERE "device" = \'{name}\'',
        )
        assert last["sent"] == last["got"] == passed.update_bytes[name] == member.session.bytes["update_up"]
        assert last["took"] == last["gave"] == member.session.bytes["model_down"]
        sums = one(
            database,
            'SELECT sum("update_up") AS sent, sum("model_down") AS took, sum("dense_up") AS dense, max("gap") AS gap '
            f'FROM "bytes" WHERE "device" = \'{name}\'',
        )
        assert (sums["sent"], sums["took"], sums["gap"]) == (last["sent"], last["took"], 0)
        assert sums["dense"] == passed.updates[name] * 4 * Model(SPEC).shared_size == ROUNDS * 4 * 25
        spent = one(database, f'SELECT sum("joules") AS joules FROM "energy" WHERE "device" = \'{name}\'')
        told = json.loads(passed.telemetry[name][-1])
        parts = [told[f"{part}_joules"] for part in ("compute", "radio", "session")]
        assert spent["joules"] == pytest.approx(sum(parts), rel=0.2)  # a heartbeat or two may have come since
    closed = one(
        database,
        'SELECT count("version") AS rounds, sum("accepted") AS accepted, sum("update_bytes") AS bytes, '
        'sum("late") AS late, sum("dense_bytes") AS dense FROM "round"',
    )
    assert (closed["rounds"], closed["accepted"], closed["late"]) == (ROUNDS, 8 * ROUNDS, 0)
    assert closed["bytes"] == sum(passed.update_bytes.values())
    assert closed["dense"] == 8 * ROUNDS * 4 * 25
    answers = database.rows('SELECT count("bytes") AS n FROM "update" GROUP BY "result"', "tegu")
    assert {row["result"]: row["n"] for row in answers} == dict(passed.results) == {"accepted": 8 * ROUNDS}
    losses: dict[int, list[float]] = defaultdict(list)
    for told in (json.loads(payload) for payloads in passed.telemetry.values() for payload in payloads):
        if "loss_after" in told:
            losses[told["version"]].append(told["loss_after"])
    rows = database.rows('SELECT "version", "loss_after" FROM "round"', "tegu")
    for row in rows:
        mean = sum(losses[row["version"]]) / 8
        assert row["loss_after"] == pytest.approx(mean, rel=1e-9)
    assert [row["version"] for row in rows] == list(range(1, ROUNDS + 1))


def points_of(store: Path) -> list[Point]:
    """All points of an embedded store, in the order of their times."""
    made = []
    for name, told in MEASUREMENTS.items():
        words = ", ".join(f'"{word}"' for word in ("time_ns", *told.tags, *told.fields))
        for time_ns, *values in stored(store, f'SELECT {words} FROM "{name}"'):
            tags, kept = tuple(values[: len(told.tags)]), zip(told.fields, values[len(told.tags) :], strict=True)
            made.append(Point(name, tags, {word: value for word, value in kept if value is not None}, time_ns))
    return sorted(made, key=lambda point: point.time_ns)


def test_every_panel_shows_of_a_real_federation_what_its_points_say(tmp_path: Path, database: RunningInflux) -> None:
    with watched(tmp_path / "site", database) as here:
        agents = [agent(here, name, n) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("finished")
            quiet(here, database, agents)
    told = points_of(tmp_path / "site" / "telemetry.sqlite")
    to_s = told[-1].time_ns // 10**9 + 1
    from_s = to_s - 86_400  # the windows of a day are those of the reference
    device = DEVICES[0]
    for (dashboard, panel, ref), worth in WORTH.items():
        chosen = {"device": device} if dashboard == "device" else {}
        values = {name: [value] for name, value in chosen.items()}
        asked = Panels(database.url, "tegu", Choice(from_s * 1000, to_s * 1000, values))
        rows = asked.rows(dashboard, panel, ref)
        if panel == "Latest rounds":  # many a second here
            assert [row["version"] for row in rows] == list(range(ROUNDS, 0, -1))
        else:
            compare(rows, worth.rows(told, from_s, to_s, chosen), worth)


def test_the_difference_is_the_injected_loss_to_the_byte(
    tmp_path: Path, database: RunningInflux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tegu.session.RESEND_S", 2)
    lost: Counter[str] = Counter()
    count: Counter[str] = Counter()

    def drop(topic: str, payload: bytes) -> bool:
        kind = topics.parse(topic)[3]  # type: ignore[index]
        count[kind] += 1
        if kind in ("update", "telemetry") and count[kind] in (2, 3, 7):
            lost[kind] += len(payload)
            return True
        return False

    with watched(tmp_path / "site", database) as here, LossyLink(here.running.port, drop) as link:
        online(here)  # so that every device is known from its birth on
        agents = [agent(here, name, n, link.port if n == 3 else 0) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("finished")
            quiet(here, database, agents)
    name = agents[3].place.device
    last = one(
        database,
        'SELECT last("update_up_gap") AS update, "telemetry_up_gap" AS telemetry, "model_down_gap" AS down, "gap" '
        f'FROM "bytes" WHERE "device" = \'{name}\'',
    )
    assert (last["update"], last["telemetry"], last["down"]) == (lost["update"], lost["telemetry"], 0)
    assert last["gap"] == lost["update"] + lost["telemetry"] > 200
    others = one(database, f'SELECT max("gap") AS gap FROM "bytes" WHERE "device" != \'{name}\'')
    assert others["gap"] == 0


def test_an_outage_of_the_database_loses_nothing_and_stops_no_round(tmp_path: Path, database: RunningInflux) -> None:
    store = tmp_path / "site" / "telemetry.sqlite"
    with watched(tmp_path / "site", database) as here:
        agents = [agent(here, name, n) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("accepted", 8 * 3)
            database.kill()
            here.watch("finished")
            until(lambda: stored(store, "SELECT max(spool_points) FROM coordinator")[0][0])
            database.start()
            until(lambda: stored(store, "SELECT spool_points FROM coordinator ORDER BY time_ns DESC LIMIT 1") == [(0,)])
    assert stored(store, 'SELECT count(*) FROM "round"') == [(ROUNDS,)]
    for name, told in MEASUREMENTS.items():
        field = next(iter(told.fields))
        if name == "other":
            continue
        field = "gap" if name == "bytes" else field
        (kept,) = stored(store, f'SELECT count("{field}") FROM "{name}"')
        rows = database.rows(f'SELECT count("{field}") AS n FROM "{name}"', "tegu")
        assert (rows[0]["n"] if rows else 0) == kept[0], name
    assert stored(store, "SELECT max(failing), max(lost_points), max(rejected_points) FROM coordinator") == [(1, 0, 0)]


def test_a_database_that_refuses_leaves_training_alone(tmp_path: Path, database: RunningInflux) -> None:
    database.query('DROP DATABASE "tegu"')
    with watched(tmp_path / "site", database) as here:
        agents = [agent(here, name, n) for n, name in enumerate(DEVICES)]
        with Fleet(agents):
            here.watch("finished")
    assert 'database "tegu"' in here._log() or "tegu" in here._log()
    assert threading.active_count() < 50
