"""Messages that paho's thread has queued, taken many at a time by the thread that does the work."""

import queue

import paho.mqtt.client as mqtt

Incoming = queue.Queue[mqtt.MQTTMessage]


def take(incoming: Incoming, most: int, wait_s: float) -> list[mqtt.MQTTMessage]:
    """Up to `most` of the messages, in their order; [] if none comes within wait_s. One thread only may take."""
    try:
        messages = [incoming.get(timeout=wait_s)]
    except queue.Empty:
        return []
    while len(messages) < most and not incoming.empty():
        messages.append(incoming.get())
    return messages
