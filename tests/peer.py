"""An MQTT client for tests: every call waits for the broker's answer, with a deadline."""

import contextlib
import queue
import socket
import threading
from typing import Any, NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from experiments.broker import RunningBroker

DEADLINE_S = 10.0
MQTT311, MQTT5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5


class Message(NamedTuple):
    topic: str
    payload: bytes
    retained: bool


class Peer:
    """Connected when made; ConnectionRefusedError if the broker does not let it in. A context manager.

    user: its password is its name, as in `passwords`; None connects without one. keeps_session: the broker queues for
    it while it is away. will: published, retained, when it leaves.
    """

    def __init__(
        self,
        broker: RunningBroker,
        user: str | None,
        *,
        password: str | None = None,
        client_id: str | None = None,
        protocol: MQTTProtocolVersion = MQTT311,
        keeps_session: bool = False,
        will: tuple[str, bytes] | None = None,
        ca_file: str | None = None,
        port: int | None = None,
    ) -> None:
        self.received: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.disconnected = threading.Event()
        self._answered = threading.Event()
        self._refusal: str | None = "no answer"
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or user or "nobody",
            protocol=protocol,
            reconnect_on_failure=False,
            clean_session=None if protocol == MQTT5 else not keeps_session,
        )
        if user is not None:
            self._client.username_pw_set(user, password or user)
        if will is not None:
            self._client.will_set(*will, qos=1, retain=True)
        if ca_file is not None:
            self._client.tls_set(ca_file)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _given, message: self.received.put(
            Message(message.topic, bytes(message.payload), message.retain)
        )
        self._connect(port or (broker.port_mqtt5 if protocol == MQTT5 else broker.port), protocol, keeps_session)

    def _connect(self, port: int, protocol: MQTTProtocolVersion, keeps_session: bool) -> None:
        mqtt5: dict[str, Any] = {}
        if protocol == MQTT5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600 if keeps_session else 0
            mqtt5 = {"clean_start": not keeps_session, "properties": properties}
        self._client.connect("127.0.0.1", port, **mqtt5)
        self._client.loop_start()
        answered = self._answered.wait(DEADLINE_S)
        if not answered or self._refusal:
            self.leave()
            raise ConnectionRefusedError(self._refusal)

    def _on_connect(self, _client: Any, _given: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else None
        self._answered.set()

    def _on_disconnect(self, *_: Any) -> None:
        self.disconnected.set()
        self._answered.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def publish(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """With QoS 1; back when the broker has acknowledged it."""
        info = self._client.publish(topic, payload, qos=1, retain=retained)
        info.wait_for_publish(DEADLINE_S)
        assert info.is_published(), f"no PUBACK for {topic}"

    def send(self, topic: str, payload: bytes, qos: int = 1, *, retained: bool = False) -> None:
        """Without waiting."""
        self._client.publish(topic, payload, qos=qos, retain=retained)

    def subscribe(self, topic: str) -> None:
        """With QoS 1; back when the broker has answered."""
        self._subscribed.clear()
        self._client.subscribe(topic, qos=1)
        assert self._subscribed.wait(DEADLINE_S), f"no SUBACK for {topic}"

    def next(self) -> Message:
        """The next message received; queue.Empty after the deadline."""
        return self.received.get(timeout=DEADLINE_S)

    def all_so_far(self) -> list[Message]:
        """All it received for what was published before this call.

        A broker writes to one connection in order, so the answer to one more SUBSCRIBE comes after them.
        """
        self.subscribe("nobody/writes/here")
        return [self.received.get_nowait() for _ in range(self.received.qsize())]

    def leave(self) -> None:
        """Close our end without a DISCONNECT, so a will is published; back when the broker has closed its end too.

        (With rumqttd a DISCONNECT not waited for may meet the next CONNECT: see experiments/broker_folder.py.)
        """
        link = self._client.socket()
        if isinstance(link, socket.socket):
            with contextlib.suppress(OSError):  # the broker was faster
                link.shutdown(socket.SHUT_WR)
            assert self.disconnected.wait(DEADLINE_S), "the broker keeps a connection whose client has left"
        self._client.loop_stop()
