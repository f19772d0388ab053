"""`tegu demo`: the whole idea on one machine, with real processes that talk MQTT; presence takes half a minute.

A broker, a coordinator and the devices start as processes of their own. The rounds run; what is seen on the screen is
what anyone may see who can read the broker. Then a device that never took part connects, takes the initialization from
the retained topics, and its adaptation curve is drawn against a random start and plain FedAvg, in a report directory.
"""

import argparse
import logging
import os
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

from coordinator.settings import AboutSettings, MonitorSettings, to_toml
from edge_agents import datasets
from edge_agents.agent import Agent, Place, make_source
from edge_agents.sources import Source
from tegu.model import Model

from . import broker, report
from .observer import USER, Observer, Tap
from .processes import Children
from .results import Curve, DeviceRow, Result, RoundRow
from .scoring import adaptation_curve
from .screen import Screen
from .tasks import SITE, TASKS, Cast, Task, settings_of, split

NEWCOMER = "newcomer"
SILENT_S = 30.0
START_DEADLINE_S = 60.0  # for the first round to close
ROUND_DEADLINE_S = 30.0  # without a closed round
DOWNLOAD_LIMIT_S = 8.0
FEDAVG_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    task: Task
    devices: int
    rounds: int
    samples: int
    top_p: float
    seed: int
    offline: bool
    broker: str | None
    out: Path
    store: Path  # of the coordinator: what `tegu watch` shows, while the demo runs and after

    @property
    def registry(self) -> Path:
        """The registry's folder: what `tegu registry` is asked about, likewise."""
        return self.store.with_name(f"{self.store.stem}-registry")

    def command(self) -> str:
        """The line for a shell that repeats this run."""
        words = f"tegu demo --task {self.task.name} --devices {self.devices} --rounds {self.rounds}"
        words = f"{words} --samples {self.samples} --top-p {self.top_p:g} --seed {self.seed}"
        words += " --offline" if self.offline else ""
        words += f" --broker {self.broker}" if self.broker else ""
        data = os.environ.get("TEGU_DATA")
        return f"TEGU_DATA={shlex.quote(data)} {words}" if data and self.task.name == "presence" else words


class DemoError(Exception):
    """The run cannot go on; the text says why."""


def run(arguments: list[str]) -> int:
    """`tegu demo`. 0: the report is written; 1: it could not be; 2: called wrongly; 130: interrupted."""
    options = _parse(arguments)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    finished = False
    try:
        with Screen() as screen, tempfile.TemporaryDirectory(prefix="tegu-demo-") as folder:
            result = play(options, screen, Path(folder))
            screen.note(f"All that was measured: tegu watch {shlex.quote(str(options.store))}")
            screen.note(
                f"Which model fits which device: tegu registry match --folder {shlex.quote(str(options.registry))}"
            )
            screen.done(report.write(result, options.out))
            finished = True
    except KeyboardInterrupt:
        sys.stderr.write("tegu demo: interrupted; every process has ended and nothing was written\n")
        return 130
    except (DemoError, OSError, ValueError) as error:
        sys.stderr.write(f"tegu demo: {error}\n")
        return 1
    finally:
        for end in () if finished else ("", "-wal", "-shm"):
            options.store.with_name(options.store.name + end).unlink(missing_ok=True)
        if not finished:
            shutil.rmtree(options.registry, ignore_errors=True)
    return 0


def play(options: Options, screen: Screen, folder: Path) -> Result:
    """Run it all; whatever happens, no process is left."""
    began_s = time.monotonic()
    cast = options.task.cast(options.devices, options.seed, _data(options, screen))
    screen.note(cast.data_note)
    names = [f"device-{n + 1}" for n in range(options.devices)]
    users = {name: secrets.token_urlsafe(12) for name in [*names, "coordinator", "registry", NEWCOMER, USER]}
    screen.stage(f"Starting a broker, a coordinator and {options.devices} devices")
    with broker.start(folder / "broker", users, options.broker) as running, Children(folder) as children:
        screen.note(running.note)
        screen.note(f"To watch it beside this, in another terminal: tegu watch {shlex.quote(str(options.store))}")
        with Tap(running.host, running.port, users[USER], SITE) as tap:
            fedavg = _start_fedavg(options, cast, children, folder)
            _start_registry(options, children, running, users["registry"])
            _start_coordinator(options, children, folder, running, users["coordinator"])
            for name, source in zip(names, cast.devices, strict=True):
                _start_device(options, name, source, children, folder, running, users[name])
            _await_registry(options, children)
            rows, observer = _watch(options, screen, tap, children)
        screen.stage("A device that never took part takes the initialization from the retained topics")
        learned = _join(options, cast, folder, running, users[NEWCOMER])
        screen.stage("Waiting for the FedAvg model that it is compared with")
        averaged = _fedavg_weights(fedavg, children)
    screen.stage("Adapting the unseen device, sample by sample")
    curves = _curves(options, cast, learned, averaged)
    screen.curves(curves)
    devices = tuple(_device_row(observer, name, source) for name, source in zip(names, cast.devices, strict=True))
    return _result(options, cast, curves, rows, devices, running.note, time.monotonic() - began_s)


# --- data ------------------------------------------------------------------------------------------------------------


def _data(options: Options, screen: Screen) -> Path | None:
    """The folder of the real rooms, downloaded if that goes quickly; None: the task needs none or none can be had."""
    if options.task.name != "presence":
        return None
    found = datasets.find("presence")
    if found is not None or options.offline:
        return found
    screen.stage("Getting the recorded rooms (1.5 MB; --offline skips this)")
    try:
        return datasets.get("presence", None, DOWNLOAD_LIMIT_S)
    except (OSError, ValueError):
        screen.note("The recorded rooms could not be had; `tegu data get presence` says what to do.")
        return None


# --- the processes ---------------------------------------------------------------------------------------------------


def _start_coordinator(
    options: Options, children: Children, folder: Path, running: broker.RunningBroker, password: str
) -> None:
    settings = settings_of(
        options.task,
        options.seed,
        options.devices,
        options.rounds,
        options.samples,
        options.top_p,
        host=running.host,
        port=running.port,
        password=password,
        checkpoint=folder / "coordinator.sqlite",
    )
    monitor = MonitorSettings(store=str(options.store.absolute()), silent_s=SILENT_S, every_s=1.0)
    config = folder / "coordinator.toml"
    sensors = "co2, temperature, humidity" if options.task.name == "presence" else ""
    about = AboutSettings(name=options.task.title, sensors=sensors)
    config.write_text(to_toml(replace(settings, monitor=monitor, about=about)), encoding="utf-8")
    children.start("coordinator", "tegu_command", ["coordinator", str(config)])


def _start_registry(options: Options, children: Children, running: broker.RunningBroker, password: str) -> None:
    arguments = ["registry", "serve", "--folder", str(options.registry), "--site", SITE, "--http", "127.0.0.1:0"]
    arguments += ["--host", running.host, "--port", str(running.port)]
    children.start("registry", "tegu_command", arguments, {"TEGU_PASSWORD": password})


def _await_registry(options: Options, children: Children) -> None:
    deadline_s = time.monotonic() + START_DEADLINE_S
    while not (options.registry / "service.json").exists():
        if (trouble := children.ended()) or time.monotonic() > deadline_s:
            raise DemoError(trouble or "the registry does not start")
        threading.Event().wait(0.05)


def _start_device(
    options: Options,
    name: str,
    source: str,
    children: Children,
    folder: Path,
    running: broker.RunningBroker,
    password: str,
) -> None:
    factory, settings = split(source)
    arguments = [name, "--host", running.host, "--port", str(running.port), "--site", SITE]
    arguments += ["--model", options.task.name, "--state", str(folder / "state"), "--source", factory]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    children.start(name, "edge_agents.agent", arguments, {"TEGU_PASSWORD": password})


def _start_fedavg(options: Options, cast: Cast, children: Children, folder: Path) -> Path:
    """Train the model that Tegu is compared with, beside it; the file where its weights will be."""
    learning, out = options.task.learning, folder / "fedavg.f32"
    spec = options.task.spec.replace(" local", "")  # FedAvg shares all of it
    arguments = [str(out), "--spec", spec, "--seed", str(options.seed), "--initial", learning.initial]
    arguments += ["--bias", str(learning.first_bias), "--rounds"]
    arguments += [
        str(max(1, options.rounds // learning.fedavg_passes)),
        "--samples",
        str(options.samples),
        "--step",
        str(learning.inner_step_size),
    ]
    arguments += ["--passes", str(learning.fedavg_passes)]
    for source in cast.devices:
        arguments += ["--source", source]
    children.start("fedavg", "experiments.fedavg", arguments)
    return out


def _fedavg_weights(path: Path, children: Children) -> "array[float]":
    children.wait("fedavg", FEDAVG_DEADLINE_S)
    if children.ended() or not path.exists():
        raise DemoError(children.ended() or "the FedAvg model took too long")
    weights = array("f")
    weights.frombytes(path.read_bytes())
    return weights


def _watch(options: Options, screen: Screen, tap: Tap, children: Children) -> tuple[list[RoundRow], Observer]:
    """Show the rounds until the last is closed."""
    observer = Observer(SITE, options.task.name)
    rows: list[RoundRow] = []
    deadline_s = time.monotonic() + START_DEADLINE_S
    screen.stage(f"{options.rounds} rounds")
    while not observer.finished:
        for topic, payload in tap.messages(0.2):
            row = observer.see(topic, payload, time.monotonic())
            if row is not None:
                rows.append(row)
                screen.round(row, len(observer.ready), options.rounds)
                deadline_s = time.monotonic() + ROUND_DEADLINE_S
        if trouble := children.ended():
            raise DemoError(trouble)
        if time.monotonic() > deadline_s:
            raise DemoError(f"no round has closed for {ROUND_DEADLINE_S:.0f} s; ready: {sorted(observer.ready)}")
    return rows, observer


def _join(options: Options, cast: Cast, folder: Path, running: broker.RunningBroker, password: str) -> "array[float]":
    """What a late joiner gets: the initialization, from retained topics, over its own connection."""
    place = Place(
        NEWCOMER, SITE, options.task.name, running.host, running.port, password, state_folder=folder / "state"
    )
    agent = Agent(place, cast.unseen[0]())
    thread = threading.Thread(target=agent.run, name=NEWCOMER, daemon=True)
    thread.start()
    arrived = agent.ready.wait(START_DEADLINE_S)
    agent.stop()
    thread.join(START_DEADLINE_S)
    if agent.refused or not arrived or agent.session.learner is None:
        raise DemoError(f"the device that joined late got no initialization {agent.refused}")
    return array("f", agent.session.learner.weights)


# --- the outcome -----------------------------------------------------------------------------------------------------


def _curves(options: Options, cast: Cast, learned: "array[float]", averaged: "array[float]") -> tuple[Curve, ...]:
    learning, model = options.task.learning, Model(options.task.spec)
    scratch = model.initial(options.seed + 1, learning.first_bias, learning.initial == "fan-in")
    starts = (
        ("Tegu", learned, learning.inner_step_size),
        ("FedAvg, fine-tuned", averaged, learning.inner_step_size),
        ("random start", scratch, learning.scratch_step),
    )
    return tuple(
        adaptation_curve(label, model, weights, step, cast.unseen, options.task.score_name)
        for label, weights, step in starts
    )


def _device_row(observer: Observer, name: str, source: str) -> DeviceRow:
    made: Source = make_source(*split(source))
    return observer.device_row(name, f"{made.name}: {made.description}", made.simulated)


def _result(
    options: Options,
    cast: Cast,
    curves: tuple[Curve, ...],
    rows: list[RoundRow],
    devices: tuple[DeviceRow, ...],
    broker_note: str,
    seconds: float,
) -> Result:
    unseen = cast.unseen[0]()
    learning = options.task.learning
    return Result(
        task=options.task.name,
        title=options.task.title,
        unseen=f"{unseen.name}: {unseen.description}",
        unseen_simulated=unseen.simulated,
        data_note=cast.data_note,
        curves=curves,
        rounds=tuple(rows),
        devices=devices,
        settings={
            "command": options.command(),
            "seed": options.seed,
            "devices": options.devices,
            **asdict(learning),
            "rounds": options.rounds,
            "samples": options.samples,
            "top_p": options.top_p,
            "model": options.task.spec,
            "sources": list(cast.devices),
        },
        broker=broker_note,
        seconds=seconds,
        notes=(
            f"Each curve is the mean over {len(cast.unseen)} adaptations; every sample was learned from once.",
            f"FedAvg: the same devices and as many steps in all, in memory: {learning.fedavg_passes} local passes over a round's "
            "samples, dense, outer step 1 throughout. Its step size is ours and was not tuned for it.",
            f"Adaptation steps: {learning.inner_step_size:g}; of the random start {learning.scratch_step:g}, its best.",
            "Sent and received count the model's messages; telemetry goes up besides, about 300 bytes a round.",
            "Energy is modelled as an nRF52840 with BLE would spend it, not measured.",
        ),
    )


def _parse(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser("tegu demo", description="The whole idea on one machine.")
    parser.add_argument("--task", choices=sorted(TASKS), default="presence")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--rounds", type=int, help="default: the task's")
    parser.add_argument("--samples", type=int, help="learned from by each device in a round; default: the task's")
    parser.add_argument("--top-p", type=float, default=10.0, help="percent of the parameters sent")
    parser.add_argument("--seed", type=int, default=0, help="with recorded rooms it also says which is left out")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--broker", choices=("mosquitto", "embedded"), help="default: mosquitto if it is installed")
    parser.add_argument("--out", type=Path, help="report directory; default: tegu-report-TASK")
    told = parser.parse_args(arguments)
    task = TASKS[told.task]
    rounds = task.learning.rounds if told.rounds is None else told.rounds
    samples = task.learning.samples if told.samples is None else told.samples
    for name, value, low, high in (
        ("devices", told.devices, 1, 64),
        ("rounds", rounds, 1, 100_000),
        ("samples", samples, 1, 100_000),
        ("top-p", told.top_p, 1e-3, 100),
    ):
        if not low <= value <= high:
            parser.error(f"--{name} must be {low:g} to {high:g}")
    out = told.out or Path(f"tegu-report-{task.name}")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        parser.error(f"--out: {out.parent} is not a folder that can be written to")
    store = next(path for path in _names(out) if not path.exists())
    return Options(task, told.devices, rounds, samples, told.top_p, told.seed, told.offline, told.broker, out, store)


def _names(out: Path) -> Iterator[Path]:
    """Of stores beside a report: no run's is ever added to another's."""
    yield out.with_name(f"{out.name}.sqlite")
    for number in count(2):
        yield out.with_name(f"{out.name}-{number}.sqlite")
