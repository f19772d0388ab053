"""What a board prints, each line with the time it came. Survives the cable being pulled; Ctrl-C leaves."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

import serial

from .port import open_port

QUIET_S = 0.5  # a line that is not ended is shown after this long
AGAIN_S = 0.5


def monitor(options: argparse.Namespace) -> None:
    """`tegu device monitor`. OSError: the port cannot be opened at the start; later it is waited for."""
    port = open_port(options.port, options.baud, QUIET_S)
    sys.stdout.write(f"{_now()} -- {options.port} is open; Ctrl-C leaves\n")
    try:
        while True:
            show(port, sys.stdout)
            sys.stdout.write(f"{_now()} -- {options.port} is gone; waiting for it\n")
            port = reopened(lambda: open_port(options.port, options.baud, QUIET_S))
            sys.stdout.write(f"{_now()} -- {options.port} is back\n")
    except KeyboardInterrupt:
        sys.stdout.write("\n")


def show(port: serial.Serial, out: TextIO) -> None:
    """Print lines until the port is gone."""
    line = b""
    while True:
        try:
            came = port.read(port.in_waiting or 1)
        except OSError:
            port.close()
            return
        *lines, line = (line + came).split(b"\n")
        if line and not came:
            lines, line = [*lines, line], b""
        for whole in lines:
            out.write(f"{_now()} {whole.decode('utf-8', 'replace').rstrip()}\n")
        out.flush()


def reopened(opening: Callable[[], serial.Serial]) -> serial.Serial:
    """The port as soon as it opens again."""
    while True:
        try:
            return opening()
        except OSError:
            time.sleep(AGAIN_S)


def _now() -> str:
    return datetime.now().strftime("%H:%M:%S.%f")[:-3]
