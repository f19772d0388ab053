"""The firmware in a real federation: an emulated Cortex-M4F behind the gateway, and the same main.py on MicroPython's unix port.

mosquitto, the coordinator and four Pi agents are real processes and threads; the board learns from a recording of a simulated
room. What it sends is worked out again by CPython, in float32 and from the same samples, and compared byte by byte.
"""

import json
import queue
import re
import signal
import ssl
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import broker_config
from edge_agents.agent import Agent, Place
from edge_agents.fleet import Fleet
from edge_agents.rooms import simulated
from edge_agents.sources import Source
from experiments import broker
from experiments.observer import USER
from tegu import topics
from tegu.memory import heap_bytes
from tegu.model import Model
from tegu.sparse import top_p
from tegu.wire.initialization import decode_init
from tegu.wire.update import decode_update, encode_update

from .emulator import EmulatedBoard, build_firmware, make_image
from .host_native import float32_learner
from .parts import find_micropython, find_mpy_cross, needs
from .peer import Message, Peer

FIRMWARE = Path(__file__).parent.parent / "mcu_firmware"
sys.path.append(str(FIRMWARE))

import slots  # noqa: E402

SITE, BOARD = "test", "board-1"
PIS = ["pi-1", "pi-2", "pi-3", "pi-4"]
USERS = {name: f"secret of {name}" for name in [*PIS, BOARD, "coordinator", USER]}
SPEC = "11 | dense 24 tanh | dense 16 tanh | dense 2 softmax"
SAMPLES, STEP, TOP_P = 32, 0.05, 10.0
SUPPORT, QUERY = 640, 32
DEADLINE_S = 60.0
CONFIG = """
[coordinator]
site = "{site}"
port = {port}
password = "{password}"
checkpoint = "{folder}/coordinator.sqlite"
[model]
name = "presence"
spec = "{spec}"
inner_step_size = {step}
samples = {samples}
top_p = {top_p}
residual = {residual}
[rounds]
rounds = {rounds}
quorum = {quorum}
deadline_s = 60
[monitor]
store = ""
"""


def rows_of(source: Source) -> list[list[float]]:
    """A room's samples as a board has them: the classes in turn, then those that are only scored."""
    rows = []
    for at in range(SUPPORT):
        sample = source.next_support(at % SAMPLES % 2)
        assert sample is not None
        rows.append([*sample[0], float(sample[1])])  # type: ignore[arg-type]
    query = source.query()
    rows += [[*x, float(y)] for x, y in (query[at * len(query) // QUERY] for at in range(QUERY))]  # type: ignore[arg-type]
    return rows


def recording(rows: list[list[float]]) -> bytes:
    """The file that mcu_firmware/samples.py describes."""
    return struct.pack("<HHHH", 11, 0, SUPPORT, QUERY) + b"".join(array("f", row).tobytes() for row in rows)


def files(link: dict[str, Any], rows: list[list[float]], **changes: object) -> dict[str, bytes]:
    """What lies in the board's flash before it starts for the first time."""
    settings: dict[str, Any] = {
        "device": BOARD,
        "password": USERS[BOARD],
        "site": SITE,
        "model": "presence",
        "link": link,
    }
    settings["sensor"] = {"kind": "replay", "file": "samples.f32"}
    return {"settings.json": json.dumps(settings | changes).encode(), "samples.f32": recording(rows)}


@contextmanager
def process(folder: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{module}.log").open("ab") as log:
        running = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.terminate()
            running.wait(DEADLINE_S)


class Federation:
    """Broker, coordinator and four Pis, or none; `seen` are all messages so far, by topic."""

    def __init__(self, folder: Path, stack: ExitStack, rounds: int, **changes: object) -> None:
        self.broker = stack.enter_context(broker.start(folder / "broker", USERS, "mosquitto"))
        self.folder = folder
        config = folder / "coordinator.toml"
        told = {"site": SITE, "port": self.broker.port, "password": USERS["coordinator"], "folder": folder}
        told |= {"spec": SPEC, "step": STEP, "samples": SAMPLES, "top_p": TOP_P, "residual": "true"}
        told |= {"rounds": rounds, "quorum": 1 + len(PIS)}
        config.write_text(CONFIG.format(**told | changes))
        self.observer = stack.enter_context(Peer(self.broker, USER, password=USERS[USER]))
        self.observer.subscribe(topics.everything(SITE))
        stack.enter_context(process(folder, "coordinator.service", str(config)))
        pis = PIS if not changes else []
        stack.enter_context(Fleet([self._agent(number, name) for number, name in enumerate(pis, 1)]))
        self.seen: dict[str, list[bytes]] = {}

    def _agent(self, number: int, name: str) -> Agent:
        place = Place(name, SITE, "presence", "127.0.0.1", self.broker.port, USERS[name], state_folder=self.folder)
        return Agent(place, simulated(seed="1", number=str(number)))

    def until(self, topic: str, count: int = 1, among: bytes = b"") -> bytes:
        """The count-th message on `topic` so far that has `among` in it, waiting for it if need be."""
        ends = time.monotonic() + DEADLINE_S
        while True:
            found = [payload for payload in self.seen.get(topic, []) if among in payload]
            if len(found) >= count:
                return found[count - 1]
            try:
                message: Message = self.observer.received.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{topic}: {len(found)} of {count} within {DEADLINE_S} s; {self.logs()}") from None
            self.seen.setdefault(message.topic, []).append(message.payload)

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    needs("mosquitto")
    (tmp_path / "broker").mkdir()
    return tmp_path


def of_board(kind: str, what: str = "") -> str:
    return topics.device(SITE, BOARD, kind, what)


UPDATES, ACKS = of_board("update", "presence"), of_board("ack", "presence")
MANIFEST = topics.model(SITE, "presence", "manifest")
INIT = topics.model(SITE, "presence", "init")


class Twin:
    """What CPython computes of the same samples, in float32: tegu.learner in pure Python, the residual in numpy."""

    def __init__(self, rows: list[list[float]]) -> None:
        self.model = Model(SPEC)
        self.rows = rows
        self.at = 0
        self.residual = np.zeros(self.model.size, np.float32)

    def update(self, initialization: bytes, boot: int, sequence: int) -> bytes:
        version, start = decode_init(initialization, self.model)
        with float32_learner() as learner_of:
            learner = learner_of(self.model, start, STEP)
            for _ in range(SAMPLES):
                row = self.rows[self.at % SUPPORT]
                learner.learn_one(np.array(row[:11], np.float32), int(row[11]))
                self.at += 1
            self.residual += np.asarray(learner.weights) - np.array(start, np.float32)
        values = array("f", self.residual.tobytes())
        return bytes(encode_update(self.model, values, top_p(values, TOP_P), 2, version, boot, sequence, SAMPLES))

    def accepted(self, payload: bytes) -> None:
        sent = decode_update(payload, self.model)
        self.residual[np.array(sent.indices)] -= np.array(sent.values, np.float32)


def check_updates(federation: Federation, rows: list[list[float]], boots: tuple[int, ...]) -> None:
    """Every update of the board so far, worked out again. boots: of each of them."""
    twin = Twin(rows)
    inits = {decode_init(payload, twin.model)[0]: payload for payload in federation.seen[INIT]}
    sequence = 0
    for at, payload in enumerate(federation.seen[UPDATES]):
        sequence = sequence + 1 if at and boots[at] == boots[at - 1] else 1
        sent = decode_update(payload, twin.model)
        assert sent.key() == (sent.version, boots[at], sequence)
        assert payload == twin.update(inits[sent.version], boots[at], sequence), f"update {at}"
        twin.accepted(payload)


def losses(said: str) -> list[tuple[float, float]]:
    return [(float(a), float(b)) for a, b in re.findall(r"update \d+ loss ([0-9.e-]+) to ([0-9.e-]+)", said)]


def check_learning(federation: Federation, rounds: int) -> None:
    """The loss on samples that were never learned from falls by adapting, as the board itself says."""
    said = [json.loads(payload) for payload in federation.seen[of_board("telemetry")]]
    told = [numbers for numbers in said if "loss_before" in numbers]
    before, after = (sum(numbers[name] for numbers in told) / len(told) for name in ("loss_before", "loss_after"))
    assert len(told) == rounds
    assert after < 0.9 * before
    assert all(numbers["energy_modelled"] == 1 and numbers["free_heap_bytes"] > 0 for numbers in said)
    uptimes_s = [numbers["uptime_s"] for numbers in said]
    assert uptimes_s == sorted(uptimes_s)


def test_an_emulated_cortex_m4f_takes_part_through_the_gateway(folder: Path) -> None:
    needs("qemu-system-arm")
    rows = rows_of(simulated(seed="1", number="9"))
    firmware = build_firmware(FIRMWARE / "manifest.py")
    image = make_image(files({"kind": "serial"}, rows), folder / "flash.img")
    rounds = 12
    with ExitStack() as stack:
        federation = Federation(folder, stack, rounds)
        board = stack.enter_context(EmulatedBoard(firmware, image))
        gateway = ["--port", board.uart1_url, "--broker-port", str(federation.broker.port)]
        stack.enter_context(process(folder, "edge_agents.gateway", *gateway))
        federation.until(MANIFEST, 1, b'"finished": 1')
        federation.until(ACKS, rounds)
        federation.until(of_board("telemetry"), rounds)
        assert all(json.loads(payload)["result"] == "accepted" for payload in federation.seen[ACKS])
        check_updates(federation, rows, (1,) * rounds)
        check_learning(federation, rounds)


def test_a_board_whose_power_was_cut_goes_on_as_its_next_life(folder: Path) -> None:
    needs("qemu-system-arm")
    rows = rows_of(simulated(seed="1", number="9"))
    firmware = build_firmware(FIRMWARE / "manifest.py")
    image = make_image(files({"kind": "serial"}, rows), folder / "flash.img")
    with ExitStack() as stack:
        federation = Federation(folder, stack, 12)
        for life, updates in ((1, 3), (2, 6), (3, 12)):
            with EmulatedBoard(firmware, image) as board:
                gateway = ["--port", board.uart1_url, "--broker-port", str(federation.broker.port)]
                with process(folder, "edge_agents.gateway", *gateway):
                    federation.until(of_board("state"), 1, b'"boot": %d' % life)
                    federation.until(ACKS, updates, b'"accepted"')
                board.cut_power()
        keys = [decode_update(payload, Model(SPEC)).key() for payload in federation.seen[UPDATES]]
        accepted = [json.loads(payload) for payload in federation.seen[ACKS] if b'"accepted"' in payload]
        assert {boot for _, boot, _ in keys} == {1, 2, 3}
        assert len({(ack["boot"], ack["sequence"]) for ack in accepted}) == len(accepted)  # none counted twice
        federation.until(MANIFEST, 1, b'"finished": 1')


def test_a_gateway_that_was_killed_is_no_more_than_a_pause(folder: Path) -> None:
    needs("qemu-system-arm")
    rows = rows_of(simulated(seed="1", number="9"))
    image = make_image(files({"kind": "serial"}, rows), folder / "flash.img")
    with ExitStack() as stack:
        federation = Federation(folder, stack, 100)
        board = stack.enter_context(EmulatedBoard(build_firmware(FIRMWARE / "manifest.py"), image))
        gateway = ["--port", board.uart1_url, "--broker-port", str(federation.broker.port)]
        for count in (2, 4, 6):
            with process(folder, "edge_agents.gateway", *gateway) as running:
                federation.until(ACKS, count, b'"accepted"')
                running.kill()
            federation.until(of_board("state"), count // 2, b'"lost"')
        accepted = [json.loads(payload) for payload in federation.seen[ACKS] if b'"accepted"' in payload]
        assert {ack["boot"] for ack in accepted} == {1}
        assert len({ack["sequence"] for ack in accepted}) == len(accepted)


def test_a_model_of_50_thousand_parameters_trains_on_256_kb(folder: Path) -> None:
    needs("qemu-system-arm")
    spec = "1 | dense 222 relu | dense 222 relu | dense 1 linear"
    rows = [[at / 32 - 1.0, (at / 32 - 1.0) ** 2] for at in range(64)]
    given = files({"kind": "serial"}, [])
    given["samples.f32"] = struct.pack("<HHHH", 1, 1, 64, 0) + b"".join(array("f", row).tobytes() for row in rows)
    image = make_image(given, folder / "flash.img")
    with ExitStack() as stack:
        changes = {"spec": spec, "step": 0.001, "top_p": 1.0, "residual": "false", "quorum": 1}
        federation = Federation(folder, stack, 3, **changes)
        board = stack.enter_context(EmulatedBoard(build_firmware(FIRMWARE / "manifest.py"), image))
        gateway = ["--port", board.uart1_url, "--broker-port", str(federation.broker.port)]
        stack.enter_context(process(folder, "edge_agents.gateway", *gateway))
        manifest = json.loads(federation.until(MANIFEST, 1))
        federation.until(ACKS, 3, b'"accepted"')
        told = json.loads(federation.until(of_board("telemetry"), 1))
        model = Model(spec)
        assert model.size == 50_173
        sent = [decode_update(payload, model) for payload in federation.seen[UPDATES]]
        assert [update.version for update in sent] == [1, 2, 3]
        assert all(150 < len(update.indices) <= 502 for update in sent)
        assert manifest["heap_bytes"] == heap_bytes(model, 1.0, residual=False)
        assert told["free_heap_bytes"] > 1024


def test_a_board_says_why_a_model_is_too_large_for_it(folder: Path) -> None:
    needs("qemu-system-arm")
    image = make_image(files({"kind": "serial"}, rows_of(simulated(seed="1", number="9"))), folder / "flash.img")
    with ExitStack() as stack:
        spec = "11 | dense 240 relu | dense 230 relu | dense 2 softmax"
        federation = Federation(folder, stack, 3, spec=spec, quorum=1)
        board = stack.enter_context(EmulatedBoard(build_firmware(FIRMWARE / "manifest.py"), image))
        gateway = ["--port", board.uart1_url, "--broker-port", str(federation.broker.port)]
        stack.enter_context(process(folder, "edge_agents.gateway", *gateway))
        refused = json.loads(federation.until(of_board("state"), 1, b'"refused"'))
        needed, free = map(int, re.findall(r"\d+", refused["why"]))
        assert needed == heap_bytes(Model(spec), TOP_P) > free > 200_000


def compiled(folder: Path) -> Path:
    """The firmware as .mpy files, as `tegu device flash` puts them onto a board."""
    for source in [*FIRMWARE.glob("*.py"), *(FIRMWARE / "lib").rglob("*.py")]:
        made = folder / "compiled" / source.relative_to(FIRMWARE).with_suffix(".mpy")
        made.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(find_mpy_cross()), "-O3", "-o", str(made), str(source)], check=True)
    return folder / "compiled"


def test_the_same_main_py_takes_part_on_the_unix_port_over_a_socket(folder: Path) -> None:
    needs("micropython")
    needs("mpy-cross")
    rows = rows_of(simulated(seed="1", number="9"))
    rounds = 6
    with ExitStack() as stack:
        federation = Federation(folder, stack, rounds)
        own = folder / "board"
        own.mkdir()
        link = {"kind": "unix", "host": "127.0.0.1", "port": federation.broker.port}
        for name, content in files(link, rows, telemetry_s=1).items():
            (own / name).write_bytes(content)
        # On a 64-bit interpreter everything but the weights takes twice what it takes on a board.
        command = [str(find_micropython()), "-X", "heapsize=256k", "main.py", str(own)]
        environment = {"MICROPYPATH": f"{compiled(folder)}:{folder / 'compiled' / 'lib'}"}
        with (folder / "board.log").open("wb") as log:
            running = subprocess.Popen(command, cwd=FIRMWARE, env=environment, stdout=log, stderr=log)
        stack.callback(running.wait)
        stack.callback(running.kill)
        federation.until(MANIFEST, 1, b'"finished": 1')
        federation.until(of_board("telemetry"), rounds + 2)  # it goes on when there is nothing more to learn
        check_learning(federation, rounds)
        running.send_signal(signal.SIGINT)
        federation.until(of_board("state"), 1, b'"offline"')
        assert running.wait(DEADLINE_S) == 0


def test_a_board_whose_flash_was_erased_is_told_its_boot_number_and_so_is_its_will(folder: Path) -> None:
    needs("micropython")
    needs("mpy-cross")
    with ExitStack() as stack:
        federation = Federation(folder, stack, 100)
        own = folder / "board"
        own.mkdir()
        link = {"kind": "unix", "host": "127.0.0.1", "port": federation.broker.port}
        environment = {"MICROPYPATH": f"{compiled(folder)}:{folder / 'compiled' / 'lib'}"}
        command = [str(find_micropython()), "-X", "heapsize=256k", "main.py", str(own)]
        for boot, state in ((8, b'"boot": 8'), (1, b'"boot": 9')):
            for name, content in files(link, rows_of(simulated(seed="1", number="9"))).items():
                (own / name).write_bytes(content)
            if boot == 8:
                slots.Slots(f"{own}/boot").write(struct.pack("<I", 7))
            with (folder / "board.log").open("wb") as log:
                running = subprocess.Popen(command, cwd=FIRMWARE, env=environment, stdout=log, stderr=log)
            try:
                federation.until(of_board("state"), 1, state)
                federation.until(ACKS, 1 if boot == 8 else len(federation.seen[ACKS]) + 1)
            finally:
                running.kill()
                running.wait()
            lost = json.loads(federation.until(of_board("state"), 1 if boot == 8 else 2, b'"lost"'))
            for file in own.iterdir():
                file.unlink()
        assert lost["boot"] == 9


@pytest.mark.parametrize("name", ["broker.example", "another.example"])
def test_a_board_speaks_tls_and_looks_at_the_name(folder: Path, name: str) -> None:
    """The unix port again: its TLS is mbedTLS, as on a board. The certificate is for broker.example, which is 127.0.0.1 here."""
    needs("micropython")
    needs("mpy-cross")
    needs("openssl")
    with ExitStack() as stack:
        running = stack.enter_context(broker.start(folder / "broker", USERS, "mosquitto"))
        (running.folder / "tls").mkdir()
        readme = (broker_config.folder() / "README.md").read_text()
        for command in [line for line in readme.splitlines() if line.startswith("openssl ")]:
            local = command.replace("broker.building.example", "broker.example")
            subprocess.run(["bash", "-c", local], cwd=running.folder / "tls", check=True, capture_output=True)
        port = broker.free_port()
        example = (broker_config.folder() / "tls.example.conf").read_text()
        (running.folder / "listeners" / "tls.conf").write_text(example.replace("8883", f"{port} 127.0.0.1"))
        running.restart()
        own = folder / "board"
        own.mkdir()
        authority = ssl.PEM_cert_to_DER_cert((running.folder / "tls" / "ca.crt").read_text())
        (own / "ca.der").write_bytes(authority)
        link = {"kind": "unix", "host": name, "port": port, "tls": True, "ca": str(own / "ca.der")}
        for file, content in files(link, rows_of(simulated(seed="1", number="9"))).items():
            (own / file).write_bytes(content)
        # MicroPython asks the C library for addresses; main.py is given one that it needs not ask for.
        (own / "start.py").write_text(
            "import socket, sys\n"
            "asked = socket.getaddrinfo\n"
            "class Named:\n"
            "    def __getattr__(self, what):\n"
            "        return getattr(socket, what)\n"
            "    @staticmethod\n"
            "    def getaddrinfo(host, port):\n"
            "        return asked('127.0.0.1', port)\n"
            "sys.modules['socket'] = Named()\n"
            "import main\n"
        )
        command = [str(find_micropython()), "-X", "heapsize=512k", str(own / "start.py"), str(own)]
        environment = {"MICROPYPATH": f"{compiled(folder)}:{folder / 'compiled' / 'lib'}"}
        observer = stack.enter_context(Peer(running, USER, password=USERS[USER]))
        observer.subscribe(of_board("state"))
        with (folder / "board.log").open("wb") as log:
            board = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        stack.callback(board.wait)
        stack.callback(board.kill)
        if name == "broker.example":
            assert json.loads(observer.next().payload)["state"] == "ready"
        else:
            ends = time.monotonic() + DEADLINE_S
            while b"no link" not in (folder / "board.log").read_bytes() and time.monotonic() < ends:
                board.poll()
            assert b"does not match" in (folder / "board.log").read_bytes()
            assert observer.received.empty()
