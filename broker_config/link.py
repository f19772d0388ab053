"""The paho client of everything of ours that runs on Linux, set up the way our broker wants it."""

import socket

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def client(user: str, password: str, ca: str = "", clean_session: bool = True, manual_ack: bool = False) -> mqtt.Client:
    """A client for MQTT 3.1.1, not yet connected. The client id is the user name, as the broker makes it so anyway.

    ca: file with the certificate of the authority that signed the broker's; then TLS, with the host name checked. OSError
    if it cannot be read.
    """
    made = mqtt.Client(
        CallbackAPIVersion.VERSION2, user, clean_session=clean_session, protocol=mqtt.MQTTv311, manual_ack=manual_ack
    )
    made.username_pw_set(user, password or None)
    if ca:
        made.tls_set(ca_certs=ca)
    made.reconnect_delay_set(1, 30)
    made.on_socket_open = _without_delay
    return made


def _without_delay(_: mqtt.Client, __: object, opened: object) -> None:
    """Nagle's algorithm and delayed TCP acks together hold a small packet back 40 ms: measured, 88 ms a round trip."""
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
