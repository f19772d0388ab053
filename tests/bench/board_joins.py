"""An emulated board in a federation, told as it happens: `python -m tests.bench.board_joins`.

Broker, coordinator and four Pis are real; the board is the firmware on an emulated Cortex-M4F with 256 KB, behind the gateway.
Left is what the board prints on its console, right what passes on MQTT. At the end its updates are worked out again by CPython.
"""

import argparse
import queue
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from edge_agents.rooms import simulated
from tests.emulator import BoardError, EmulatedBoard, build_firmware, make_image
from tests.test_board_federation import (
    BOARD,
    FIRMWARE,
    MANIFEST,
    UPDATES,
    Federation,
    check_updates,
    files,
    process,
    rows_of,
)


def say(began_s: float, who: str, words: str) -> None:
    print(f"{time.monotonic() - began_s:7.2f} s  {who:8} {words}")


def console(board: EmulatedBoard, began_s: float) -> None:
    """What the board has printed so far."""
    try:
        while True:
            say(began_s, "board", board.read_line(0.01))
    except BoardError:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    rows = rows_of(simulated(seed="1", number="9"))
    firmware = build_firmware(FIRMWARE / "manifest.py")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, began_s = Path(name), time.monotonic()
        image = make_image(files({"kind": "serial"}, rows), folder / "flash.img")
        federation = Federation(folder, stack, rounds)
        board = stack.enter_context(EmulatedBoard(firmware, image))
        gateway = ["--port", board.uart1_url, "--broker-port", str(federation.broker.port)]
        stack.enter_context(process(folder, "edge_agents.gateway", *gateway))
        while not any(b'"finished": 1' in payload for payload in federation.seen.get(MANIFEST, [])):
            console(board, began_s)
            try:
                message = federation.observer.received.get(timeout=0.05)
            except queue.Empty:
                continue
            federation.seen.setdefault(message.topic, []).append(message.payload)
            if BOARD in message.topic:
                size = len(message.payload)
                words = f"{size} bytes" if message.topic == UPDATES else message.payload.decode()[:100]
                say(began_s, "mqtt", f"{message.topic.split(BOARD)[1]} {words}")
        console(board, began_s)
        count = len(federation.seen[UPDATES])
        check_updates(federation, rows, (1,) * count)
        print(f"{count} updates, each as CPython works it out in float32 from the same samples, byte for byte")


if __name__ == "__main__":
    main()
