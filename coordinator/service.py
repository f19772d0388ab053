"""The coordinator as a process: MQTT in and out, and nothing else. `tegu coordinator`.

One thread (paho's) receives and only queues; the other takes what has come, at most 64 messages at a time, gives it to
the federation, which commits once, and only then acks to the broker and publishes. Whatever is lost on the way out (an
ack, a retained message) is sent again: by the device's resend, and by publishing all retained state at every connect.

What is only watched (telemetry, readings) never enters that queue: it goes to the monitor's process, as does a note of
everything else that passes (coordinator.recording).
"""

import argparse
import logging
import queue
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker_config.link import client
from tegu import topics
from tegu.wire.messages import State

from .admission import Admission
from .federation import Federation, Outgoing
from .homeassistant import Discovery
from .incoming import Incoming, take
from .recording import Recorder, Watched
from .settings import Settings, example, load, to_toml

log = logging.getLogger("tegu.coordinator")
BATCH = 64  # messages that share a commit
TICK_S = 0.25  # how late a deadline may be noticed
QUEUED = 4096  # messages; the broker holds back more, as they are not acked
ONLY_WATCHED = ("telemetry", "sense", "thing")


class Service:
    """The link between a Federation and a broker."""

    def __init__(self, settings: Settings) -> None:
        if not settings.model.online:
            raise ValueError("passes, batch, proximal and query are for simulated devices: real ones learn online")
        admission = None
        if settings.registry.address:
            admission = Admission(settings.registry, settings.link.site, settings.model.name)
        self.federation = Federation(settings, admission=admission)
        self._link = settings.link
        self._model_name = settings.model.name
        self.dropped = 0  # messages for which there was no room: their devices send them again
        self.recorder: Recorder | None = None
        self._commits = 0
        self._commit_s = 0.0
        self._counted = 0, 0.0
        self._incoming: Incoming = queue.Queue(QUEUED)
        self._republish = False
        self._stopping = False
        self._client = client(self._link.user, self._link.password, self._link.ca, clean_session=False, manual_ack=True)
        self._client.will_set(*self._state("offline"), 1, True)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_message = self._on_message
        self._discovery: Discovery | None = None
        if settings.monitor.homeassistant:
            self._discovery = Discovery(settings.monitor.homeassistant, self._link.site)
        if settings.monitor.wanted:
            watched = Watched(
                self._link.site, self._model_name, self.federation.epoch, self.federation.rounds.version, time.time_ns()
            )
            self.recorder = Recorder(settings.monitor, watched, self._numbers)

    def stop(self, *_: object) -> None:
        """Finish the batch in hand and leave."""
        self._stopping = True

    def run(self) -> None:
        """Serve until stop(). A broker that cannot be reached yet, or any more, is tried again."""
        self._client.connect_async(self._link.host, self._link.port, keepalive=30)
        self._client.loop_start()
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._publish([(*self._state("offline"), True)])
            self._client.disconnect()
            self._client.loop_stop()
            self.federation.checkpoint.close()
            if self.recorder is not None:
                self.recorder.close()

    def _turn(self) -> None:
        messages = take(self._incoming, BATCH, TICK_S)
        if self._republish:
            self._republish = False
            self._publish([*self.federation.retained(), (*self._state("online"), True)])
            if self._discovery is not None:
                self._publish(self._discovery.everything())
        if messages:
            began_s = time.perf_counter()
            out = self.federation.batch([(message.topic, bytes(message.payload)) for message in messages])
            self._commit_s += time.perf_counter() - began_s
            self._commits += 1
            for message in messages:
                self._client.ack(message.mid, message.qos)
            self._publish(out)
        while out := self.federation.tick():
            self._publish(out)

    def _publish(self, out: Outgoing) -> None:
        """Publish now or not at all: on the next connect all retained state goes out anyway, and devices ask again."""
        if not self._client.is_connected():
            return
        for topic, payload, retain in out:
            if self.recorder is not None:
                self.recorder.said(topic, payload, retain)
            self._client.publish(topic, payload, 1, retain)

    def _state(self, state: str) -> tuple[str, bytes]:
        return topics.coordinator_state(self._link.site), State(state=state, boot=self.federation.epoch).encode()

    # --- on the recorder's thread ---

    def _numbers(self) -> dict[str, float]:
        """What the monitor cannot know from the messages."""
        before, self._counted = self._counted, (self._commits, self._commit_s)
        commits, spent_s = (now - then for now, then in zip(self._counted, before, strict=True))
        opened = self.federation.rounds.open
        numbers: dict[str, float] = {
            "connected": int(self._client.is_connected()),
            "queue_messages": self._incoming.qsize(),
            "dropped_messages": self.dropped,
            "commits": commits,
            "disk_free_bytes": shutil.disk_usage(self._link.checkpoint.absolute().parent).free,
        }
        if commits:
            numbers["commit_ms"] = 1000 * spent_s / commits
        if opened is not None:
            numbers["round_age_s"] = self.federation.now_s() - opened.opens_s
        return numbers

    # --- on paho's thread ---

    def _on_connect(
        self, client: mqtt.Client, _: object, __: mqtt.ConnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("the broker refuses %s: %s (user name, password?)", self._link.user, reason)
            return
        site = self._link.site
        wanted = [(self._discovery.own, 1)] if self._discovery is not None else []
        wanted += [
            (topics.device(site, topics.ANY, "state"), 1),
            (topics.device(site, topics.ANY, "update", self._model_name), 1),
        ]
        if self.recorder is not None:
            wanted += [
                (topics.device(site, topics.ANY, "telemetry"), 0),
                (topics.device(site, topics.ANY, "sense", topics.ANY), 0),
            ]
        if self._discovery is not None:
            wanted.append((topics.device(site, topics.ANY, "thing"), 1))
        client.subscribe(wanted)
        self._republish = True

    def _on_connect_fail(self, _: mqtt.Client, __: object) -> None:
        log.warning("no broker at %s:%d yet; trying again", self._link.host, self._link.port)

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        words = topics.parse(message.topic)
        if words is None:  # what this coordinator said to Home Assistant in an earlier life
            if self._discovery is not None:
                self._discovery.heard(message.topic, bytes(message.payload))
            client.ack(message.mid, message.qos)
            return
        if words[3] == "update" and (message.retain or message.qos == 0):
            client.ack(message.mid, message.qos)  # an update is an event, with an ack: neither retained nor QoS 0
            return
        if self.recorder is not None:
            self._watch(self.recorder, message, words[3])
        if words[3] in ONLY_WATCHED:
            client.ack(message.mid, message.qos)
            return
        try:
            self._incoming.put_nowait(message)
        except queue.Full:
            self.dropped += 1
            if self.dropped % QUEUED == 1:
                log.warning("%d messages were dropped: they come faster than they can be kept", self.dropped)

    def _watch(self, recorder: Recorder, message: mqtt.MQTTMessage, kind: str) -> None:
        """Note what is heard: of all devices, in the order in which each of them said it."""
        payload = bytes(message.payload)
        if kind != "thing":
            recorder.heard(kind, message.topic, payload, message.retain)
        if self._discovery is not None and kind != "update":
            self._publish(self._discovery.heard(message.topic, payload))


def run(arguments: list[str]) -> int:
    """`tegu coordinator`: serve one model until interrupted."""
    parser = argparse.ArgumentParser("tegu coordinator", description="Serve one model's rounds over MQTT.")
    parser.add_argument("config", type=Path, nargs="?", help="settings file (TOML)")
    parser.add_argument("--example", action="store_true", help="print a settings file to begin with, and end")
    parser.add_argument("--verbose", action="store_true", help="log every update")
    options = parser.parse_args(arguments)
    if options.example:
        sys.stdout.write(to_toml(example()))
        return 0
    if options.config is None:
        parser.error("which settings file? `tegu coordinator --example` prints one to begin with")
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    try:
        service = Service(load(options.config))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"tegu coordinator: {error}\n")
        return 1

    signal.signal(signal.SIGTERM, service.stop)
    signal.signal(signal.SIGINT, service.stop)
    try:
        service.run()
    except sqlite3.Error as error:
        sys.stderr.write(f"tegu coordinator: the checkpoint failed: {error}; what was acknowledged is in it\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
