"""The registry as a process: the graph, MQTT in, HTTP out. `tegu registry serve`.

One thread (paho's) receives and only queues. Another takes what has come, many messages at a time, changes the graph, and only
then acks to the broker: what is acked is in the graph. HTTP has a thread of its own (coordinator.directory). The session at the
broker is kept, so that rounds that pass while this process is away are not lost; what a device is, is retained anyway.
"""

import argparse
import fcntl
import json
import logging
import os
import queue
import secrets
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker_config.link import client
from tegu import topics
from tegu.topics import ANY, check_id

from .deploying.deployments import Deployments
from .directory import Directory, DirectorySettings
from .documents.things import Things
from .incoming import Incoming, take
from .registering import Outgoing, Registering
from .registry import Registry

log = logging.getLogger("tegu.registry")
BATCH = 256  # messages that share a change of the graph
QUEUED = 16384
TICK_S = 0.25
COMPLETED = 8  # things whose description is completed between two looks at the broker
ADDRESS_FILE = "service.json"  # in the registry's folder: where the service is
TOKEN_FILE = "token"  # beside it: what allows changes, made at the first start unless another is named


@dataclass(frozen=True)
class ServiceSettings:
    """Where the broker is, where the graph is kept, and where HTTP is served."""

    folder: Path
    site: str = "home"
    host: str = "127.0.0.1"
    port: int = 1883
    user: str = "registry"
    password: str = ""
    ca: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 8480
    token: str = ""  # without it HTTP only reads


class RegistryService:
    """The link between a Registry, a broker and HTTP. OSError: the folder or the address cannot be had."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.registry = Registry(settings.folder, settings.site)
        self.things = Things(self.registry, lambda: datetime.now(UTC))
        self._registering = Registering(self.registry, self.things, time.time)
        began_s = time.time() - time.monotonic()  # a corrected clock must move no patience
        self.deployments = Deployments(self.registry, lambda: began_s + time.monotonic())
        self.registry.listeners += [self._registering.changed, self.deployments.changed]
        self._incoming: Incoming = queue.Queue(QUEUED)
        self._stopping = False
        self._connected = False  # anew
        self._left = 0  # things whose description is still to be completed
        self._client = client(settings.user, settings.password, settings.ca, clean_session=False, manual_ack=True)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_message = self._on_message
        told = DirectorySettings(
            host=settings.http_host, port=settings.http_port, token=settings.token, snapshots=settings.folder.parent
        )
        self.directory = Directory(self.registry, self.things, told, self.deployments)
        self.deployments.foreign = self.directory.app.state.parts.asking.select

    def stop(self, *_: object) -> None:
        """Finish the batch in hand and leave."""
        self._stopping = True

    def run(self) -> None:
        """Serve until stop(). A broker that cannot be reached yet, or any more, is tried again."""
        settings = self._settings
        self.directory.start()
        address = settings.folder / ADDRESS_FILE
        held = hold(address, {"url": self.directory.url, "pid": os.getpid()})
        log.info(
            "the registry of %s is at %s, its page at %s/docs", settings.site, self.directory.url, self.directory.url
        )
        self._client.connect_async(settings.host, settings.port, keepalive=30)
        self._client.loop_start()
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._stopping = True
            address.unlink(missing_ok=True)
            held.close()
            self._client.disconnect()
            self._client.loop_stop()
            self.directory.stop()
            self.registry.close()

    def _turn(self) -> None:
        messages = take(self._incoming, BATCH, 0 if self._left else TICK_S)
        if messages:
            heard = [(message.topic, bytes(message.payload), message.retain) for message in messages]
            out = self._registering.heard(heard)
            self.deployments.heard(heard)
            for message in messages:
                self._client.ack(message.mid, message.qos)
            self._publish(out)
        if self._incoming.empty():
            self._left = self.things.complete(COMPLETED)
        if self._client.is_connected():
            if self._connected:
                self._connected = False
                self.deployments.again()
            self._publish(self.deployments.tick())

    def _publish(self, out: Outgoing) -> None:
        for topic, payload, retain in out:
            self._client.publish(topic, payload, 1, retain)

    # --- on paho's thread ---

    def _on_connect(
        self, client: mqtt.Client, _: object, __: mqtt.ConnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("the broker refuses %s: %s (user name, password?)", self._settings.user, reason)
            return
        site = self._settings.site
        wanted = [topics.device(site, ANY, kind) for kind in ("thing", "state", "reported")]
        wanted += [topics.model(site, ANY, kind) for kind in ("manifest", "about", "round")]
        wanted.append(topics.device(site, ANY, "ack", ANY))
        log.info(
            "listening to the broker at %s:%d as %s", self._settings.host, self._settings.port, self._settings.user
        )
        client.subscribe([*((topic, 1) for topic in wanted), (topics.device(site, ANY, "telemetry"), 0)])
        self._connected = True

    def _on_connect_fail(self, _: mqtt.Client, __: object) -> None:
        log.warning("no broker at %s:%d yet; trying again", self._settings.host, self._settings.port)

    def _on_message(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        while not self._stopping:
            try:
                self._incoming.put(message, timeout=TICK_S)  # the broker waits
                return
            except queue.Full:
                if not message.qos:
                    return  # a telemetry: more comes than can be kept


def hold(path: Path, told: dict[str, Any]) -> IO[str]:
    """A file that says where the service is, for as long as it is: a lock on it ends with the process, however that ends."""
    path.unlink(missing_ok=True)
    file = path.open("w", encoding="utf-8")
    fcntl.flock(file, fcntl.LOCK_EX)
    json.dump(told, file)
    file.flush()
    return file


def serve(told: argparse.Namespace) -> int:
    """`tegu registry serve`: until interrupted. What is told: see coordinator.commands.arguments."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    check_id(told.site, "site")
    http_host, _, http_port = told.http.rpartition(":")
    if not http_host or not http_port.isdecimal():
        raise ValueError(f"--http must be ADDRESS:PORT, like 127.0.0.1:8480, not {told.http!r}")
    told.folder.mkdir(parents=True, exist_ok=True)
    settings = ServiceSettings(
        folder=told.folder,
        site=told.site,
        host=told.host,
        port=told.port or (8883 if told.ca else 1883),
        user=told.user,
        password=told.password or os.environ.get("TEGU_PASSWORD", ""),
        ca=told.ca,
        http_host=http_host.strip("[]"),
        http_port=int(http_port),
        token=token_in(told.token_file or told.folder / TOKEN_FILE, made=told.token_file is None),
    )
    service = RegistryService(settings)
    signal.signal(signal.SIGTERM, service.stop)
    signal.signal(signal.SIGINT, service.stop)
    service.run()
    return 0


def token_in(path: Path, made: bool) -> str:
    """The token in a file, for its owner only to read; made: a new one if there is none. OSError: it cannot be had."""
    if made and not path.exists():
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(secrets.token_urlsafe(24) + "\n", encoding="ascii")
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise ValueError(f"there is no token in {path}")
    return token
